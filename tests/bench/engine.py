"""P2 and P9: what one market event costs on its way through the production road, when no decision is due.

The road is Supervisor.deliver, Mailbox.put, EventDrivenStrategyEngine.on_market, with a real supervisor in its task
tree. The floor is a bare loop over the same events that calls one method of an object, which asks the same question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import uvloop

from basis_daemon.clock import SystemClock
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, MarkTick
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import FeedEvent
from basis_daemon.strategies.basis import BtcBasis
from basis_daemon.strategies.parameters import BasisParameters, BasisVenue
from basis_daemon.tasks import TaskTree
from tests.bench.measure import ROUNDS, Bound, Rounds, Row, Target, settle_memory
from tests.bench.stack import Stack, assemble

NAME = "engine"
PER_EVENT_MAX, INSTRUMENTS_MAX, UNINTERESTED_MAX = 8.0, 1.3, 1.1

CHUNK, CHUNKS = 500, 20
MANY_INSTRUMENTS, UNINTERESTED = 1000, 100
STEP = timedelta(microseconds=5)
START = datetime.fromisoformat("2026-05-09T12:00:00+00:00")
SPOT, PERP = PositionKey("binance:spot:BTC"), PositionKey("binanceusdm:perp:BTCUSDT")
D = Decimal

Sink = Callable[[FeedEvent], None]


class _Bare:
    """The floor: a strategy that is called with the event and asks whether it is due."""

    def __init__(self) -> None:
        self.due_at = START + timedelta(days=1)
        self.turns = 0

    def on_market(self, event: BookTick) -> None:
        if event.venue_time >= self.due_at:
            self.turns += 1


class _Source:
    """Book ticks with stamps that rise over the whole run, made before the clock is read."""

    def __init__(self) -> None:
        self._now = START
        self._bids = tuple((D(60_000) - n, D(1)) for n in range(20))
        self._asks = tuple((D(60_001) + n, D(1)) for n in range(20))

    def ticks(self, keys: Sequence[PositionKey], count: int) -> list[BookTick]:
        """``count`` ticks, the keys in turn."""
        made = []
        for number in range(count):
            self._now += STEP
            made.append(BookTick(keys[number % len(keys)], self._now, 0, self._bids, self._asks))
        return made

    def mark(self) -> MarkTick:
        """Of the perp, now."""
        return MarkTick(PERP, self._now, 0, D(60_000), D(60_000), D("0.0001"), START + timedelta(hours=4))


class _Measuring:
    """A feed that, once it may deliver, measures what delivering costs."""

    def __init__(self, rounds: int, mailbox: Mailbox) -> None:
        self.rounds = Rounds()
        self.turns = 0
        self.stack: Stack | None = None
        self._count = rounds
        self._mailbox = mailbox

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return {key: _instrument(key) for key in (SPOT, PERP)}

    async def history(self) -> Sequence[FundingSettled]:
        return []

    async def run(self, sink: Sink) -> None:
        source, bare = _Source(), _Bare()
        many = [PositionKey.of("binance", Kind.SPOT, f"C{n}") for n in range(MANY_INSTRUMENTS)]
        elsewhere = [PositionKey.of("bybit", Kind.SPOT, f"C{n}") for n in range(UNINTERESTED)]
        first: tuple[FeedEvent, ...] = (*source.ticks([PERP], 1), source.mark(), *source.ticks([SPOT], 1))
        for event in first:
            sink(event)
        if self.stack is None or not await self.stack.valuer.value_now():
            raise RuntimeError("the book was not valued; expected the road of a running daemon")
        engine, *others = self.stack.engines
        if engine._last_reason == "":
            raise RuntimeError("no decision was taken; expected one, so that the next is not due")
        settle_memory()
        for number in range(self._count + 1):
            into = self.rounds if number else Rounds()  # the first round warms up
            into.measure("bare", self._chunks(bare.on_market, source, [SPOT]))
            into.measure("road", self._chunks(sink, source, [SPOT]))
            into.measure("mailbox", self._chunks(self._mailbox.put, source, [SPOT]))
            into.measure("behind", self._behind(sink, source))
            self._subscribe(many, engine)
            into.measure("many", self._chunks(sink, source, many))
            self._unsubscribe(many)
            for key, other in zip(elsewhere, others, strict=True):
                self._subscribe([key], other)
            into.measure("uninterested", self._chunks(sink, source, [SPOT]))
            self._unsubscribe(elsewhere)
        self.turns = bare.turns
        self.stack.supervisor.request_stop()

    async def close(self) -> None: ...

    def _behind(self, sink: Sink, source: _Source) -> Iterator[tuple[Callable[[], object], int]]:
        """Spot and perp in turn, the perp's stamps behind: as with a second account, those are compared."""
        for _ in range(CHUNKS):
            late = source.ticks([PERP], CHUNK // 2)
            ticks = source.ticks([SPOT], CHUNK // 2)
            yield partial(_deliver, sink, [tick for pair in zip(ticks, late, strict=True) for tick in pair]), CHUNK

    def _subscribe(self, keys: Sequence[PositionKey], engine: EventDrivenStrategyEngine) -> None:
        for key in keys:
            self._mailbox.subscribe(key, engine.on_market)

    def _unsubscribe(self, keys: Sequence[PositionKey]) -> None:
        for key in keys:
            self._mailbox._wakes.pop(key)

    def _chunks(
        self, take: Callable[[BookTick], None], source: _Source, keys: Sequence[PositionKey]
    ) -> Iterator[tuple[Callable[[], object], int]]:
        for _ in range(CHUNKS):
            ticks = source.ticks(keys, CHUNK)
            yield partial(_deliver, take, ticks), CHUNK


def _deliver(take: Callable[[BookTick], None], ticks: list[BookTick]) -> None:
    for tick in ticks:
        take(tick)


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Rows for the report."""
    feed = uvloop.run(_live(rounds))
    got = feed.rounds
    floor, road = got.sample("bare"), got.sample("road")
    at_most = partial(Target, Bound.AT_MOST)
    return [
        Row(NAME, "bare loop + strategy method", floor.median, "ns", floor.p99),
        Row(NAME, "one event, no decision due", road.median, "ns", road.p99, note="Supervisor.deliver to on_market"),
        Row(NAME, "P2 one event / bare loop", got.ratio("road", "bare"), target=at_most(PER_EVENT_MAX)),
        Row(NAME, "one event, two accounts / bare loop", got.ratio("behind", "bare"), note="half of them lag behind"),
        Row(NAME, "mailbox to on_market / bare loop", got.ratio("mailbox", "bare"), note="without Supervisor.deliver"),
        Row(NAME, "P9 1000 instruments / 1", got.ratio("many", "road"), target=at_most(INSTRUMENTS_MAX)),
        Row(NAME, "P9 100 uninterested / 0", got.ratio("uninterested", "road"), target=at_most(UNINTERESTED_MAX)),
    ]


async def _live(rounds: int) -> _Measuring:
    feeds: list[_Measuring] = []

    def feed(mailbox: Mailbox) -> _Measuring:
        feeds.append(_Measuring(rounds, mailbox))
        return feeds[0]

    strategies = [_strategy(f"bench_{number}") for number in range(1 + UNINTERESTED)]
    stack = assemble(strategies, MemoryJournal(SystemClock()), feed=feed)
    feeds[0].stack = stack
    async with TaskTree("bench") as tree:
        await stack.supervisor.run(tree, arm=False)
    return feeds[0]


def _strategy(name: str) -> BtcBasis:
    venue = BasisVenue(name="binance", spot_account="binance", perp_account="binanceusdm")
    return BtcBasis(BasisParameters(venues=(venue,), venue_cap=D(1), decision_interval_s=D(60)), name)


def _instrument(key: PositionKey) -> Instrument:
    step = D("0.001")
    return Instrument(key, "BTC", "USDT", step, D("0.1"), step, D(1000), D(5), D("0.0005"), D("0.0002"))
