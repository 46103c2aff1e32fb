"""The production replay path on quotes: virtual time, the assembled book, a paper venue, an order at every n-th."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import coroutine

from basis_daemon.domain.decision import Assessment, Exposure, ReasonCode, RiskView
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, Level, MarketEvent, MarketSnapshot, MarkTick
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import Trade
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import FeedEvent
from basis_daemon.settings import Settings, load_settings
from basis_daemon.simulation.replay import CONFIG
from basis_daemon.simulation.venue import as_venue, paper_of
from basis_daemon.simulation.virtual import VirtualClock, VirtualLoop
from basis_daemon.strategies.charter import Charter
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.venue import PaperAccountSpec, PaperTerms, PaperVenue
from basis_daemon.wiring_book import Ground, assemble
from tests.bench.measure import settle_memory
from tests.bench.stack import silent
from tests.bench.ticks import SPREAD_CENTS, START, STEP, STEP_NS, Quotes

NAME = "btc_basis"
SPOT, CASH = PositionKey("bybit:spot:BTC"), PositionKey("bybit:spot:USDT")
PERP = PositionKey("bybitlinear:perp:BTCUSDT")
QUANTITY, SIZE, CENT = Decimal("0.001"), Decimal(100), Decimal("0.01")
FIRST = 1
"""The quote that orders are counted from."""
BREATH = 1_000
"""Quotes after which the loop runs in any case: a second of process time."""
ZERO, NO_FEE = Decimal(0), Decimal(0)


class EveryNth:
    """Buys and sells in turn: first at the quote that comes ``every`` after the second one, then at every so manieth.

    0 never trades. The first quote is there while the book starts, and the second one is looked at in any case.
    """

    def __init__(self, every: int) -> None:
        self._every = every

    @property
    def name(self) -> str:
        return NAME

    @property
    def instruments(self) -> frozenset[PositionKey]:
        return frozenset({SPOT})

    @property
    def declared_keys(self) -> frozenset[PositionKey]:
        return frozenset({SPOT, CASH})

    @property
    def decision_interval_s(self) -> Decimal:
        return Decimal(self._every or 10**9) / 1_000

    @property
    def charter(self) -> Charter:
        return Charter(
            max_drawdown=Decimal("0.5"),
            slip_emergency_bp=Decimal(100),
            needed=frozenset({(OrderOperation.SPOT_TRADE, SPOT.venue)}),
            cash=(CASH,),
            shocks={"BTC": Decimal("0.2")},
            exchange_of={SPOT.venue: "bybit"},
        )

    def initial_memory(self) -> object:
        return None

    def dump_memory(self, memory: object) -> str:
        return "null"

    def load_memory(self, text: str) -> object:
        return None

    def fold(self, memory: object, event: object) -> object:
        return memory

    def _turn(self, timestamp: datetime, trigger: str) -> int:
        """Which order this is, counted from 1; 0 for none."""
        number = (timestamp - START) // STEP - FIRST
        is_due = trigger == "market" and self._every and number and number % self._every == 0
        return number // self._every if is_due else 0

    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        reason = ReasonCode.DELTA if self._turn(timestamp, trigger) else ReasonCode.HOLD
        return Assessment(timestamp, NAME, trigger, reason, "a quote came", {}, {})

    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        side = Side.BUY if self._turn(timestamp, trigger) % 2 else Side.SELL
        ids, tick = market.ids, market.books[SPOT]
        price = tick.ask if side is Side.BUY else tick.bid
        deltas = {SPOT: side.sign * QUANTITY, CASH: -side.sign * QUANTITY * price}
        return [
            Order(
                order_id=order_id(ids.book, ids.epoch, NAME, ids.decision, 0, 0, 0),
                strategy=NAME,
                decision=ids.decision,
                leg=0,
                operation=OrderOperation.SPOT_TRADE,
                venue=SPOT.venue,
                instrument=SPOT,
                side=side,
                amount=QUANTITY,
                order_type=OrderType.MARKET,
                ref_price=price,
                ref_time=timestamp,
                max_slippage_bp=Decimal(10),
                expected_deltas=deltas,
                reason=ReasonCode.DELTA,
                created_at=timestamp,
            )
        ]


@coroutine
def _turn() -> Generator[None, None, None]:
    """One turn of the loop for everybody else."""
    yield


@dataclass(slots=True)
class _Market:
    """Quotes as a feed. Process time goes with them; nothing comes while a plan runs."""

    ticks: Sequence[BookTick]
    loop: VirtualLoop
    clock: VirtualClock
    is_armed: Callable[[], bool] = bool
    plans: Mapping[str, object] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    wall_ns: int = 0
    cpu_ns: int = 0

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return {SPOT: instrument(SPOT), PERP: instrument(PERP)}

    async def history(self) -> Sequence[MarketEvent]:
        return []

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        first, *rest = self.ticks
        self.clock.reach(first.venue_time)
        while not self.is_armed():
            sink(BookTick(SPOT, first.venue_time, self.loop.now_ns, first.bids, first.asks))
            self._mark(first, sink)
            await self.clock.sleep(0.1)
        settle_memory()
        began_ns, began_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        await self._play(rest, sink)
        self.wall_ns, self.cpu_ns = time.perf_counter_ns() - began_ns, time.process_time_ns() - began_cpu_ns
        self.ended.set()
        await asyncio.Event().wait()

    async def _play(self, ticks: Sequence[BookTick], sink: Callable[[FeedEvent], None]) -> None:
        loop, plans = self.loop, self.plans
        for start in range(0, len(ticks), BREATH):
            loop.now_ns = max(loop.now_ns, ticks[start].received_ns)
            self._mark(ticks[start], sink)
            await _turn()
            for tick in ticks[start : start + BREATH]:
                received_ns = tick.received_ns
                if loop.now_ns < received_ns:  # noqa: PLR1730 - a call costs as much as delivering does
                    loop.now_ns = received_ns
                sink(tick)
                while plans:
                    await _turn()

    def _mark(self, tick: BookTick, sink: Callable[[FeedEvent], None]) -> None:
        """A second source of the price, which the last hop holds every order against."""
        due = START + timedelta(hours=8)
        sink(MarkTick(PERP, tick.venue_time, self.loop.now_ns, tick.bid, tick.bid, ZERO, due))

    async def close(self) -> None: ...


def ticks_of(quotes: Quotes, ahead_ns: int = 10_000_000_000) -> list[BookTick]:
    """Made before the clock is read; process time begins ``ahead_ns`` before the first quote."""
    level: dict[int, tuple[Level, ...]] = {}
    made, at = [], START
    for number, cents in enumerate(quotes.bids):
        bids = level.setdefault(cents, ((cents * CENT, SIZE),))
        asks = level.setdefault(cents + SPREAD_CENTS, (((cents + SPREAD_CENTS) * CENT, SIZE),))
        made.append(BookTick(SPOT, at, ahead_ns + number * STEP_NS, bids, asks))
        at += STEP
    return made


def instrument(key: PositionKey) -> Instrument:
    """Without fees, so that nothing but prices and quantities is compared."""
    step = Decimal("0.001")
    return Instrument(key, "BTC", "USDT", step, CENT, step, Decimal(10**6), Decimal(5), NO_FEE, NO_FEE)


def settings() -> Settings:
    """Those of a replay, with room for as many orders as a second may bring."""
    found = load_settings(CONFIG, {}, with_secrets=False).settings
    many = 10**9
    return found.model_copy(
        update={
            "risk": found.risk.model_copy(update={"orders_per_minute_max": many}),
            "guard": found.guard.model_copy(
                update={"orders_per_minute_max": many, "notional_per_minute_max_usdt": Decimal(10**15)}
            ),
            "journal": found.journal.model_copy(update={"snapshot_rows": 100_000}),
        }
    )


def play(ticks: Sequence[BookTick], every: int) -> dict[str, object]:
    """One run from the first quote to the last, in the words of the peer's."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_play(ticks, every, loop))


async def _play(ticks: Sequence[BookTick], every: int, loop: VirtualLoop) -> dict[str, object]:
    found = settings()
    clock = VirtualClock(loop, START)
    held = {PositionKey(name): amount for name, amount in paper_of(found).balances.items()}
    spec = PaperAccountSpec(SPOT.venue, trades_spot=True, trades_perps=False)
    paper = PaperVenue([spec], clock, held, terms=PaperTerms())
    market = _Market(ticks, loop, clock)
    fills: list[Trade] = []

    def hear(event: FeedEvent) -> None:
        if isinstance(event, Trade) and event.is_fill:
            fills.append(event)

    journal = MemoryJournal(clock)
    async with TaskTree("bench") as tree:
        ground = Ground(
            clock=clock,
            journal=journal,
            journal_name="bench",
            scope=tree,
            alarm=silent,
            venues=lambda _strategies, _recorder: [as_venue(paper, market, hear)],  # type: ignore[arg-type]  # the market is a bench of its own
            on_phase=lambda _: None,
            on_beat=lambda: None,
            kept=lambda _: None,
            disk=lambda _: None,
            memory_share=float,
        )
        daemon = assemble(found, [EveryNth(every)], ground)
        market.is_armed = lambda: daemon.supervisor.phase is Phase.ARMED
        (engine,) = daemon.supervisor.engines
        market.plans = engine._plans
        tree.spawn("end", _stop_behind(market, daemon.supervisor.request_stop))
        await daemon.supervisor.run(tree, arm=True)
    lines = [_line(trade) for trade in fills]
    return {
        "wall_ns": market.wall_ns,
        "cpu_ns": market.cpu_ns,
        "fills": len(lines),
        "fills_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "position": f"{daemon.recorder.state.ledger.holdings().get(SPOT, ZERO):.3f}",
    }


def _line(trade: Trade) -> str:
    side = "BUY" if trade.deltas[SPOT] > 0 else "SELL"
    return f"{side},{trade.price:.2f},{trade.qty_base:.3f}"


async def _stop_behind(market: _Market, stop: Callable[[], None]) -> None:
    await market.ended.wait()
    stop()


if __name__ == "__main__":
    print(json.dumps(play(ticks_of(Quotes.read(Path(sys.argv[1]))), int(sys.argv[2]))))
