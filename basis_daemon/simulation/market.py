"""The replayed market as a feed: books and marks of each point at its instant, and process time for what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, Level, MarketEvent, MarkTick
from basis_daemon.ports import FeedEvent
from basis_daemon.simulation.history import PERP, SPOT, SeriesName
from basis_daemon.simulation.path import Point
from basis_daemon.simulation.virtual import VirtualClock

BP = Decimal("0.0001")
ZERO = Decimal(0)
FUNDING_HOURS = 8
STEP_S, BOOKED_S, PATIENCE_S, ARRIVED_S, VALUED_S = 1.0, 0.25, 600.0, 20.0, 3.0
"""Process seconds: at every point at least; for a settlement to be booked; at most, for plans to end, for what arrives
to be noticed, and for a valuation before time goes on. A stream with a hole lets no valuation through."""

ARMED_S = 0.25
"""Between two looks whether the book is armed: with two more of them its first point comes before its first tick."""

HEARTBEATS = timedelta(seconds=12), timedelta(seconds=16)
"""Where a series has a hole the engine waits for it no longer than its grace: then it looks with the first stream of
a point, before the others have spoken. So the others speak again, near enough to each other to be fresh together, and
late enough for another decision."""


ETHER = "ETHUSDT"
"""Whose spot price is that of the chain's own coin."""
BLOCK = timedelta(seconds=12)


class Blocks(Protocol):
    """A chain beside the market: it is told when, and tells by itself what it has to tell."""

    @property
    def is_partial(self) -> bool:
        """True while something that it told before is not known any more."""
        ...

    def reach(self, at: datetime, ether: Decimal | None) -> None:
        """A block then; ``ether`` is USDT per ETH, None where nobody knows."""
        ...

    def tell(self) -> None:
        """The newest block once more."""
        ...


def ether_at(point: Point) -> Decimal | None:
    """USDT per ETH at an exchange; None where the point has no such price."""
    found = (price for name, price in point.prices.items() if (name.market, name.symbol) == (SPOT, ETHER))
    return next(found, None)


@dataclass(frozen=True, slots=True)
class BookShape:
    """Distance of the best price from the mid and of level from level (bp), what each level holds (USDT), how many."""

    slippage_bp: Decimal
    step_bp: Decimal
    depth_usdt: Decimal
    levels: int

    def side(self, price: Decimal, sign: int, contract_value: Decimal | None = None) -> tuple[Level, ...]:
        """Bids (-1) or asks (+1) around ``price``; of an inverse perp in contracts."""
        edges = (price * (1 + sign * (self.slippage_bp + n * self.step_bp) * BP) for n in range(self.levels))
        return tuple((edge, self.depth_usdt / (contract_value or edge)) for edge in edges)


@dataclass(slots=True)
class Stage:
    """What the market must know of the book it is played to: nobody listens before it is armed, nor beside a plan."""

    is_armed: Callable[[], bool] = bool
    is_busy: Callable[[], bool] = bool
    is_due: Callable[[], bool] = bool
    on_point: Callable[[Point], None] = lambda _: None
    next_arrival: Callable[[], datetime | None] = lambda: None
    on_settled: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Funding:
    """Of one perp: the last settled rate, and its interval."""

    rate: Decimal = ZERO
    hours: int = FUNDING_HOURS


@dataclass(slots=True)
class ReplayMarket:
    """Honours ``ports.Feed``. ``keys`` names the instrument of each series; ``ended`` is set behind the last point.

    ``chain`` is played along with it, its past being ``read``: both have one time.
    """

    instruments: Mapping[PositionKey, Instrument]
    keys: Mapping[SeriesName, PositionKey]
    before: Sequence[Point]
    path: Iterator[Point]
    shape: BookShape
    clock: VirtualClock
    stage: Stage
    chain: Blocks | None = None
    read: Iterable[MarketEvent] = ()
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    newest: datetime | None = None
    played: int = 0
    _funding: dict[SeriesName, _Funding] = field(default_factory=dict)
    _block_at: datetime | None = None
    _last: Point | None = None

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return self.instruments

    async def history(self) -> Sequence[MarketEvent]:
        found = [event for point in self.before for event in self._past(point)]
        return sorted([*found, *self.read], key=lambda event: event.venue_time) if self.chain is not None else found

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        for point in self.path:
            await self._arrivals(point.at, sink)
            self.clock.reach(point.at)
            self.newest = point.at
            if not self.played:
                await self._until_armed(point, sink)
            await self._play(point, sink)
            self.played += 1
        self.ended.set()
        await asyncio.Event().wait()

    async def close(self) -> None: ...

    async def _until_armed(self, point: Point, sink: Callable[[FeedEvent], None]) -> None:
        """The first prices are there while the book starts, as in a living market; it is valued before it decides."""
        while not self.stage.is_armed():
            self._show(point, sink)
            await self.clock.sleep(ARMED_S)
        await self.clock.sleep(2 * ARMED_S)

    async def _play(self, point: Point, sink: Callable[[FeedEvent], None]) -> None:
        """Perps first, then what was settled on them, the chain, then spot: with the last the picture is whole."""
        if self.chain is not None and self._block_at is not None and point.at < self._block_at:
            point = replace(point, at=self._block_at)  # a plan went on until now
        for event in (*self._of_perps(point), *self._of_settlements(point)):
            sink(event)
        if point.settled:
            await self.clock.sleep(BOOKED_S)
        self._reach(point)
        for event in self._of_spot(point):
            sink(event)
        self.stage.on_point(point)
        if len(point.prices) < len(self.keys) or (self.chain is not None and self.chain.is_partial):
            for gap in HEARTBEATS:
                self._show(replace(point, at=point.at + gap), sink)
        await self._wait(point, sink)

    async def _wait(self, point: Point, sink: Callable[[FeedEvent], None]) -> None:
        """Until what this point began has ended; time goes on with it, prices stand."""
        self._last = replace(point, settled=())
        waited_s = 0.0
        while not waited_s or self._must_wait(waited_s):
            await self.clock.sleep(STEP_S)
            waited_s += STEP_S
            if self.stage.is_busy() or self._is_arriving():
                self._show(point if self.chain is None else replace(point, at=self.clock.wall()), sink)
        self.stage.on_settled()

    async def _arrivals(self, until: datetime, sink: Callable[[FeedEvent], None]) -> None:
        """What is due between two points arrives at its instant, at the prices of the one before."""
        while (due := self.stage.next_arrival()) is not None and self._last is not None and due < until:
            self.clock.reach(due)
            point = replace(self._last, at=max(due, self.clock.wall()))
            self._show(point, sink)
            await self._wait(point, sink)
            if self.stage.next_arrival() == due:  # nobody asks about it any more
                return

    def _is_arriving(self) -> bool:
        due = self.stage.next_arrival()
        return due is not None and due <= self.clock.wall()

    def _show(self, point: Point, sink: Callable[[FeedEvent], None]) -> None:
        """The same prices anew: a plan may take longer than a quote is young. Beside a chain time goes on with it."""
        for event in self._of_perps(point):
            sink(event)
        if self.chain is not None and (self._block_at is None or point.at - self._block_at >= BLOCK):
            self._reach(point)
        elif self.chain is not None:
            self.chain.tell()
        for event in self._of_spot(point):
            sink(event)

    def _reach(self, point: Point) -> None:
        if self.chain is not None:
            self.chain.reach(point.at, ether_at(point))
            self._block_at = point.at

    def _must_wait(self, waited_s: float) -> bool:
        """True while a plan runs, something arrives or a valuation is due, each as long as it may take."""
        if self.stage.is_busy():
            return waited_s < PATIENCE_S
        return (self._is_arriving() and waited_s < ARRIVED_S) or (self.stage.is_due() and waited_s < VALUED_S)

    def _past(self, point: Point) -> Iterator[MarketEvent]:
        yield from self._of_settlements(point)
        for name, price in point.prices.items():
            yield self._mark(name, price, point.at)

    def _of_settlements(self, point: Point) -> Iterator[MarketEvent]:
        for name, settlement in point.settled:
            self._funding[name] = _Funding(settlement.rate, settlement.interval_hours)
            yield FundingSettled(self.keys[name], settlement.at, settlement.rate, settlement.interval_hours)

    def _of_perps(self, point: Point) -> Iterator[MarketEvent]:
        for name, price in point.prices.items():
            if name.market == PERP:
                yield self._mark(name, price, point.at)
                yield self._book(name, price, point.at)

    def _of_spot(self, point: Point) -> Iterator[MarketEvent]:
        for name, price in point.prices.items():
            if name.market != PERP:
                yield self._book(name, price, point.at)

    def _book(self, name: SeriesName, price: Decimal, at: datetime) -> BookTick:
        key = self.keys[name]
        cv = self.instruments[key].contract_value
        bids, asks = self.shape.side(price, -1, cv), self.shape.side(price, 1, cv)
        return BookTick(key, at, self.clock.monotonic_ns(), bids, asks)

    def _mark(self, name: SeriesName, price: Decimal, at: datetime) -> MarkTick:
        """Predicted is what was settled last: a later rate is not known yet."""
        funding = self._funding.setdefault(name, _Funding())
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        interval = timedelta(hours=funding.hours)
        following = midnight + ((at - midnight) // interval + 1) * interval
        now_ns = self.clock.monotonic_ns()
        return MarkTick(self.keys[name], at, now_ns, price, price, funding.rate, following)
