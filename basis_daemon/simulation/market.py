"""The replayed market as a feed: books and marks of each point at its instant, and process time for what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, Level, MarketEvent, MarkTick
from basis_daemon.ports import FeedEvent
from basis_daemon.simulation.history import PERP, SeriesName
from basis_daemon.simulation.path import Point
from basis_daemon.simulation.virtual import VirtualClock

BP = Decimal("0.0001")
ZERO = Decimal(0)
FUNDING_HOURS = 8
STEP_S, BOOKED_S, PATIENCE_S, VALUED_S = 1.0, 0.25, 600.0, 3.0
"""Process seconds: at every point at least; for a settlement to be booked; at most, for plans to end and for a
valuation before time goes on. A stream with a hole lets no valuation through, and nobody waits for it."""

HEARTBEATS = timedelta(seconds=12), timedelta(seconds=16)
"""Where a series has a hole the engine waits for it no longer than its grace: then it looks with the first stream of
a point, before the others have spoken. So the others speak again, near enough to each other to be fresh together, and
late enough for another decision."""


@dataclass(frozen=True, slots=True)
class BookShape:
    """Distance of the best price from the mid and of level from level (bp), what each level holds (USDT), how many."""

    slippage_bp: Decimal
    step_bp: Decimal
    depth_usdt: Decimal
    levels: int

    def side(self, price: Decimal, sign: int) -> tuple[Level, ...]:
        """Bids (-1) or asks (+1) around ``price``."""
        edges = (price * (1 + sign * (self.slippage_bp + n * self.step_bp) * BP) for n in range(self.levels))
        return tuple((edge, self.depth_usdt / edge) for edge in edges)


@dataclass(slots=True)
class Stage:
    """What the market must know of the book it is played to: nobody listens before it is armed, nor beside a plan."""

    is_armed: Callable[[], bool] = bool
    is_busy: Callable[[], bool] = bool
    is_due: Callable[[], bool] = bool
    on_point: Callable[[Point], None] = lambda _: None
    on_settled: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Funding:
    """Of one perp: the last settled rate, and its interval."""

    rate: Decimal = ZERO
    hours: int = FUNDING_HOURS


@dataclass(slots=True)
class ReplayMarket:
    """Honours ``ports.Feed``. ``keys`` names the instrument of each series; ``ended`` is set behind the last point."""

    instruments: Mapping[PositionKey, Instrument]
    keys: Mapping[SeriesName, PositionKey]
    before: Sequence[Point]
    path: Iterator[Point]
    shape: BookShape
    clock: VirtualClock
    stage: Stage
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    newest: datetime | None = None
    played: int = 0
    _funding: dict[SeriesName, _Funding] = field(default_factory=dict)

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return self.instruments

    async def history(self) -> Sequence[MarketEvent]:
        return [event for point in self.before for event in self._past(point)]

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        for point in self.path:
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
            await self.clock.sleep(STEP_S)
        await self.clock.sleep(STEP_S)

    async def _play(self, point: Point, sink: Callable[[FeedEvent], None]) -> None:
        """Perps first, then what was settled on them, then spot: with the last of them the picture is whole."""
        for event in (*self._of_perps(point), *self._of_settlements(point)):
            sink(event)
        if point.settled:
            await self.clock.sleep(BOOKED_S)
        for event in self._of_spot(point):
            sink(event)
        self.stage.on_point(point)
        if len(point.prices) < len(self.keys):
            for gap in HEARTBEATS:
                self._show(replace(point, at=point.at + gap), sink)
        waited_s = 0.0
        while not waited_s or self._must_wait(waited_s):
            await self.clock.sleep(STEP_S)
            waited_s += STEP_S
            if self.stage.is_busy():  # the same prices, shown anew: a plan may take longer than a quote is young
                self._show(point, sink)
        self.stage.on_settled()

    def _show(self, point: Point, sink: Callable[[FeedEvent], None]) -> None:
        for event in (*self._of_perps(point), *self._of_spot(point)):
            sink(event)

    def _must_wait(self, waited_s: float) -> bool:
        """True while a plan runs or a valuation is due, each as long as it may take."""
        return (self.stage.is_busy() and waited_s < PATIENCE_S) or (self.stage.is_due() and waited_s < VALUED_S)

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
        bids, asks = self.shape.side(price, -1), self.shape.side(price, 1)
        return BookTick(self.keys[name], at, self.clock.monotonic_ns(), bids, asks)

    def _mark(self, name: SeriesName, price: Decimal, at: datetime) -> MarkTick:
        """Predicted is what was settled last: a later rate is not known yet."""
        funding = self._funding.setdefault(name, _Funding())
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        interval = timedelta(hours=funding.hours)
        following = midnight + ((at - midnight) // interval + 1) * interval
        now_ns = self.clock.monotonic_ns()
        return MarkTick(self.keys[name], at, now_ns, price, price, funding.rate, following)
