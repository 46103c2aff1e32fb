"""The daemon assembled for a bench: every part is the real one, only strategy, feed and journal are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial

from basis_daemon.clock import SystemClock
from basis_daemon.domain.margin import Ladder
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.risk import RiskLimits
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.fence import Fence
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.gate import Permissions, RiskDesk
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.guard_watch import GuardWatch, Sight, WatchLimits
from basis_daemon.engine.last_hop import Collars, LastHop
from basis_daemon.engine.leg_group import LegBudget
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.picture import PictureMaker
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import Alarm, PositionUpdateHandler
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.engine.upkeep import Upkeep
from basis_daemon.engine.valuation import Mandate, Valuer
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.ports import AccountSource, Clock, ExecutionInterface, Feed, Journal, Strategy, TradeSink
from basis_daemon.supervisor import Parts, Phase, Rhythm, Supervisor

D = Decimal
BOOK = "bench"
NEVER_S, NEVER_ROWS = D(1_000_000), 10**9
_COLLARS = Collars(
    order_notional_max_usdt=D(10**9),
    orders_per_minute_max=10**9,
    notional_per_minute_max_usdt=D(10**15),
    price_collar_bp=D(500),
    source_max_s=NEVER_S,
)
_WATCH = WatchLimits(
    D("0.2"), D("0.1"), D("0.08"), D("0.12"), NEVER_S, NEVER_S, (), D(0), D(10**15), None, D("0.985"), {}
)


def silent(_what: str, _values: Mapping[str, str]) -> None:
    """An alarm that nobody hears."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The assembled daemon, and the parts a bench looks at."""

    supervisor: Supervisor
    engines: Sequence[EventDrivenStrategyEngine]
    mailbox: Mailbox
    handler: PositionUpdateHandler
    valuer: Valuer


def assemble(
    strategies: Sequence[Strategy],
    journal: Journal,
    *,
    feed: Callable[[Mailbox], Feed],
    interface: Callable[[TradeSink], ExecutionInterface] | None = None,
    source: AccountSource | None = None,
    alarm: Alarm = silent,
    on_phase: Callable[[Phase], None] = lambda _phase: None,
) -> Stack:
    """All of it on the machine's clocks; reconciliation and snapshots by rhythm do not fall into a run."""
    clock, mailbox, monitor = SystemClock(), Mailbox(), PositionMonitor()
    recorder = Recorder(BookState(), journal)
    handler = PositionUpdateHandler(recorder, monitor, alarm)
    freshness = Freshness(mailbox, FreshnessLimits(D(5), NEVER_S))

    def on_trade(trade: Trade) -> None:
        handler.process_trades([trade])

    interfaces = [interface(on_trade)] if interface is not None else []
    guard = Guard(recorder, alarm)
    hop = LastHop(recorder, guard, clock, alarm, _COLLARS, mailbox)
    manager = VenueInterfaceManager(interfaces, let_out=hop.let_out)
    runner = OrderRunner(recorder, handler, manager, clock, alarm, lambda _point: None)
    reconcilers = [Reconciler(source, recorder, handler, freshness, clock, alarm)] if source is not None else []
    operations = {one.account: one.operations for one in interfaces}
    floor = _Floor(recorder, mailbox, monitor, freshness, clock, manager, runner, alarm, guard, operations)
    floor.is_armed = lambda: supervisor.phase is Phase.ARMED
    made = [_engine(strategy, floor) for strategy in strategies]
    engines = [engine for engine, _ in made]
    fence, upkeep = Fence(recorder, guard, "bench"), Upkeep(recorder, alarm, NEVER_ROWS)
    survey = partial(made[0][1].survey, strategies[0])
    mandate = Mandate(strategies[0].name, D(1))
    valuer = Valuer(
        mandate=mandate, recorder=recorder, reconcilers=reconcilers, survey=survey, alarm=alarm, step=timedelta(days=30)
    )
    sight = Sight(lambda: [survey()[1]], lambda: valuer.drawdown)
    watch = GuardWatch(guard, recorder, freshness, clock, alarm, sight, _WATCH)
    parts = Parts(
        [feed(mailbox)],
        reconcilers,
        engines[:1],
        recorder,
        handler,
        runner,
        mailbox,
        freshness,
        fence,
        watch,
        upkeep,
        [valuer],
    )
    supervisor = Supervisor(parts, Rhythm(NEVER_S, D(1)), clock, alarm, on_phase)
    return Stack(supervisor, engines, mailbox, handler, valuer)


@dataclass(slots=True)
class _Floor:
    """What all engines of one daemon share."""

    recorder: Recorder
    mailbox: Mailbox
    monitor: PositionMonitor
    freshness: Freshness
    clock: Clock
    manager: VenueInterfaceManager
    runner: OrderRunner
    alarm: Alarm
    guard: Guard
    operations: Mapping[str, frozenset[OrderOperation]]
    is_armed: Callable[[], bool] = bool


def _engine(strategy: Strategy, floor: _Floor) -> tuple[EventDrivenStrategyEngine, PictureMaker]:
    desk = RiskDesk(
        limits=_limits(floor.operations),
        ladder=Ladder(D("1.5"), D("1.1"), D(1), D("0.5"), D("0.25")),
        permissions=Permissions(floor.operations, strategy.declared_keys, floor.is_armed),
        recorder=floor.recorder,
        guard=floor.guard,
        clock=floor.clock,
    )
    pictures = PictureMaker(
        mailbox=floor.mailbox,
        monitor=floor.monitor,
        recorder=floor.recorder,
        freshness=floor.freshness,
        clock=floor.clock,
        grace_ns=0,
        risk_of=desk.view,
    )
    execution = VenueManager(
        recorder=floor.recorder,
        runner=floor.runner,
        interfaces=floor.manager,
        clock=floor.clock,
        budget=LegBudget(D(25_000), D("0.1"), D(20), D(20), D(100)),
        book=BOOK,
        quotes=floor.mailbox.books,
        is_halted=floor.guard.forbids,
    )
    engine = EventDrivenStrategyEngine(
        strategy=strategy,
        pictures=pictures,
        recorder=floor.recorder,
        venue_manager=execution,
        gate=desk.gate,
        clock=floor.clock,
        alarm=floor.alarm,
        book=BOOK,
    )
    return engine, pictures


def _limits(operations: Mapping[str, frozenset[OrderOperation]]) -> RiskLimits:
    return RiskLimits(
        order_notional_max_usdt=D(1_000_000),
        price_band_bp=D(500),
        slippage_max_bp=D(100),
        venue_share_max=D(1),
        orders_per_minute_max=10**6,
        z_open=D("1.5"),
        shocks={"BTC": D("0.2")},
        exchange_of=dict.fromkeys(operations, "binance"),
        recipients=frozenset(operations),
    )
