"""A book is assembled from settings and the ground it stands on: the same parts for a machine and for a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from basis_daemon.domain.trade import Trade
from basis_daemon.domain.transfer import RouteBook
from basis_daemon.engine.audit import Audit
from basis_daemon.engine.bracket_keeper import BracketKeeper
from basis_daemon.engine.bracket_orders import BracketOrders
from basis_daemon.engine.capital import Cashier
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.fence import Fence
from basis_daemon.engine.flatten import FlattenDesk
from basis_daemon.engine.follower import Follower
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.gate import Permissions, RiskDesk
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.guard_watch import GuardWatch, Sight
from basis_daemon.engine.last_hop import LastHop
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.picture import PictureMaker, accounts_of
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import Alarm, PositionUpdateHandler
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.risk_watch import RiskWatch
from basis_daemon.engine.state import recover
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.engine.transfer_desk import TransferDesk
from basis_daemon.engine.upkeep import DiskWatch, Prunable, Upkeep
from basis_daemon.engine.valuation import Mandate, Valuer, book_drawdown
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.ports import (
    AccountSource,
    Clock,
    ExecutionInterface,
    Feed,
    GroupExecution,
    Journal,
    Probe,
    TaskScope,
    TradeSink,
    pass_by,
)
from basis_daemon.rare_paths import Rarely, never
from basis_daemon.research.recording import RecordingFeed
from basis_daemon.settings import Settings
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.supervisor import Parts, Phase, Rhythm, Supervisor
from basis_daemon.venues.signals.feed import SignalFeed
from basis_daemon.venues.transfers.bridge import Bridge
from basis_daemon.venues.transfers.ends import ChainEnd, ExchangeEnd
from basis_daemon.wiring_limits import (
    collars,
    fee_coins,
    leg_budget,
    risk_limits,
    usdt_proxies,
    watch_limits,
)
from basis_daemon.wiring_risk import risk_watch

VALUATION_STEP = timedelta(hours=1)
_NS = 1_000_000_000

Routes = Sequence[tuple[str, ExecutionInterface]]


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange or chain as the engine needs it: who speaks for its accounts, who takes orders, what it tells.

    ``groups`` takes atomic groups, over everything that is routed to the chain named ``chain``. ``custody`` is the end
    of transfers at its spot account, given who knows our own transfers; ``wallet`` is the end at the wallet.
    ``needed_from`` is the sequence of the oldest journal row that it may still ask for, None for none.
    """

    sources: Sequence[AccountSource]
    routes: Callable[[TradeSink], Routes]
    feed: Callable[[TaskScope], Feed]
    dead_men: Callable[[], Mapping[str, Mapping[str, object]]]
    recordings: list[RecordingFeed] = field(default_factory=list)
    groups: GroupExecution | None = None
    chain: str = ""
    custody: Callable[[Callable[[str, str], bool]], ExchangeEnd] | None = None
    wallet: ChainEnd | None = None
    needed_from: Callable[[], int | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Daemon:
    """A wired daemon: its supervisor, and what the control socket may ask."""

    supervisor: Supervisor
    guard: Guard
    recorder: Recorder
    cashier: Cashier
    venues: Sequence[Venue]
    valuers: Sequence[Valuer]
    signals: Sequence[SignalFeed]
    transfers: TransferDesk
    risk: RiskWatch
    flattening: FlattenDesk

    def rearm(self, why: str, *, unfinished: bool = False) -> None:
        """Operator only: the guard to ACTIVE, and every strategy that a drawdown latched. Raises as the guard does.

        A book that is being flattened is not rearmed before it is flat, unless that is said.
        """
        if not unfinished:
            self.flattening.check_rearm()
        self.guard.rearm(why)
        for valuer in self.valuers:
            valuer.rearm(why)


def no_bridge(_venues: Sequence[Venue], _recorder: Recorder) -> None:
    """Money stays where it is."""


def no_signals(_engines: Sequence[EventDrivenStrategyEngine], _mailbox: Mailbox) -> Sequence[SignalFeed]:
    """No model speaks."""
    return ()


@dataclass(frozen=True, slots=True)
class Ground:
    """What a book stands on: a machine with its clocks, disk and venues, or a replay. Nothing behind it knows which.

    ``journal_name`` is what order ids are made of; ``kept`` gives what may be pruned, ``disk`` who watches its room,
    ``bridge`` who carries money between the venues, ``signals`` the models that speak to strategies. ``terms`` is the
    configuration as decisions keep it, ``rows`` how many the journal was given, None where nobody counts.
    """

    clock: Clock
    journal: Journal
    journal_name: str
    scope: TaskScope
    alarm: Alarm
    venues: Callable[[list[BookStrategy], Recorder], list[Venue]]
    on_phase: Callable[[Phase], None]
    on_beat: Callable[[], None]
    kept: Callable[[Sequence[Venue]], Prunable | None]
    disk: Callable[[Guard], DiskWatch | None]
    memory_share: Callable[[], float]
    probe: Probe = pass_by
    rarely: Rarely = never
    bridge: Callable[[Sequence[Venue], Recorder], Bridge | None] = no_bridge
    signals: Callable[[Sequence[EventDrivenStrategyEngine], Mailbox], Sequence[SignalFeed]] = no_signals
    terms: str = ""
    rows: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class _Core:
    """What every strategy's engine shares."""

    settings: Settings
    journal_name: str
    terms: str
    clock: Clock
    alarm: Alarm
    recorder: Recorder
    monitor: PositionMonitor
    mailbox: Mailbox
    freshness: Freshness
    guard: Guard
    manager: VenueInterfaceManager
    runner: OrderRunner
    rarely: Rarely


def assemble(settings: Settings, strategies: list[BookStrategy], ground: Ground) -> Daemon:
    """The daemon of these strategies, not yet alive."""
    clock, alarm, name, probe, rarely = ground.clock, ground.alarm, ground.journal_name, ground.probe, ground.rarely
    recorder = Recorder(recover(ground.journal), ground.journal, rarely)
    monitor, mailbox = PositionMonitor(), Mailbox()
    handler = PositionUpdateHandler(recorder, monitor, alarm)
    freshness = Freshness(mailbox, FreshnessLimits(settings.freshness.quote_s, settings.freshness.account_s))
    venues = ground.venues(strategies, recorder)
    guard = Guard(recorder, alarm)
    last_hop = LastHop(recorder, guard, clock, alarm, collars(settings), mailbox)
    bridge = ground.bridge(venues, recorder)
    manager = _routes(venues, handler, strategies, last_hop, bridge)
    runner = OrderRunner(recorder, handler, manager, clock, alarm, probe, rarely)
    if bridge is not None:
        ground.scope.spawn("transfers", Follower(recorder, runner, clock).run())
    transfers = TransferDesk(recorder, handler, clock, bridge.book if bridge is not None else RouteBook("", ()))
    fence = Fence(recorder, guard, name)
    handler.on_foreign = fence.meet
    if settings.reconcile.foreign == "halt":
        handler.on_foreign_fill.append(lambda trade: _halt_for(trade, guard))
    core = _Core(
        settings, name, ground.terms, clock, alarm, recorder, monitor, mailbox, freshness, guard, manager, runner,
        rarely,
    )  # fmt: skip
    sources = [source for venue in venues for source in venue.sources]
    reconcilers = [Reconciler(source, recorder, handler, freshness, clock, alarm, probe, rarely) for source in sources]
    desks = [_risk_desk(core, strategy, lambda: supervisor.phase is Phase.ARMED) for strategy in strategies]
    pictures = [_picture_maker(core, *each) for each in zip(strategies, desks, strict=True)]
    valuers = [_valuer(core, *each, reconcilers) for each in zip(strategies, pictures, strict=True)]
    handler.on_capital = partial(_fall_due, valuers)
    for desk, valuer in zip(desks, valuers, strict=True):
        desk.valuer = valuer
    engines = [_engine(core, *each) for each in zip(strategies, desks, pictures, strict=True)]
    handler.on_fill.extend(engine.on_fill for engine in engines)
    signals = ground.signals(engines, mailbox)
    risk = risk_watch(settings, strategies, pictures, desks, valuers, recorder)
    watched = ground.kept(venues), ground.disk(guard), probe, Audit(recorder, guard, ground.rows), rarely
    upkeep = Upkeep(recorder, alarm, settings.journal.snapshot_rows, *watched)
    parts = Parts(
        feeds=[*(venue.feed(ground.scope) for venue in venues), *signals],
        reconcilers=reconcilers,
        engines=engines,
        recorder=recorder,
        handler=handler,
        runner=runner,
        mailbox=mailbox,
        freshness=freshness,
        fence=fence,
        guard_watch=_guard_watch(core, strategies, risk, valuers),
        upkeep=upkeep,
        valuers=valuers,
        memory_share=ground.memory_share,
    )
    rhythm = Rhythm(settings.reconcile.interval_s, settings.shutdown.drain_s)
    supervisor = Supervisor(parts, rhythm, clock, alarm, ground.on_phase, ground.on_beat)
    wallets = {strategy.name: strategy.charter.cash for strategy in strategies}
    own_valuers = {s.name: valuer for s, valuer in zip(strategies, valuers, strict=True)}
    cashier = Cashier(recorder, own_valuers, wallets)
    flattening = FlattenDesk(guard, engines, recorder, risk.books)
    return Daemon(supervisor, guard, recorder, cashier, venues, valuers, signals, transfers, risk, flattening)


def _guard_watch(core: _Core, strategies: list[BookStrategy], risk: RiskWatch, valuers: Sequence[Valuer]) -> GuardWatch:
    """What the guard sees of all books."""
    sight = Sight(risk.exposures, lambda: book_drawdown(valuers), risk.loans)
    limits = watch_limits(core.settings, strategies)
    return GuardWatch(core.guard, core.recorder, core.freshness, core.clock, core.alarm, sight, limits, core.rarely)


def _fall_due(valuers: Sequence[Valuer]) -> None:
    """Capital came or went: everybody's share price is taken at once."""
    for valuer in valuers:
        valuer.due.set()


def _risk_desk(core: _Core, strategy: BookStrategy, is_armed: Callable[[], bool]) -> RiskDesk:
    return RiskDesk(
        limits=risk_limits(core.settings, strategy, core.manager.operations),
        ladder=strategy.charter.ladder,
        permissions=Permissions(core.manager.operations, strategy.declared_keys, is_armed),
        recorder=core.recorder,
        guard=core.guard,
        clock=core.clock,
    )


def _picture_maker(core: _Core, strategy: BookStrategy, desk: RiskDesk) -> PictureMaker:
    return PictureMaker(
        mailbox=core.mailbox,
        monitor=core.monitor,
        recorder=core.recorder,
        freshness=core.freshness,
        clock=core.clock,
        grace_ns=int(core.settings.freshness.grace_s * _NS),
        risk_of=desk.view,
        budget_usdt=core.settings.strategies[strategy.name].budget_usdt,
        coins=frozenset([*fee_coins(core.settings), *usdt_proxies(core.settings)]),
    )


def _valuer(core: _Core, strategy: BookStrategy, pictures: PictureMaker, reconcilers: Sequence[Reconciler]) -> Valuer:
    budget = core.settings.strategies[strategy.name].budget_usdt
    own = accounts_of(strategy)
    return Valuer(
        mandate=Mandate(strategy.name, strategy.charter.max_drawdown, budget, strategy.charter.numeraire),
        recorder=core.recorder,
        reconcilers=[reconciler for reconciler in reconcilers if reconciler.account in own],
        survey=partial(pictures.survey, strategy),
        alarm=core.alarm,
        step=VALUATION_STEP,
        rarely=core.rarely,
    )


def _engine(core: _Core, strategy: BookStrategy, desk: RiskDesk, pictures: PictureMaker) -> EventDrivenStrategyEngine:
    prices = core.mailbox.books, core.mailbox.marks
    slip = strategy.charter.slip_emergency_bp
    brackets = BracketKeeper(
        orders=BracketOrders(strategy.name, core.journal_name, core.recorder, slip, prices),
        recorder=core.recorder,
        runner=core.runner,
        interfaces=core.manager,
        clock=core.clock,
        alarm=core.alarm,
        is_armed=desk.is_armed,
    )
    execution = VenueManager(
        recorder=core.recorder,
        runner=core.runner,
        interfaces=core.manager,
        clock=core.clock,
        budget=leg_budget(core.settings, strategy),
        book=core.journal_name,
        quotes=core.mailbox.books,
        is_halted=core.guard.forbids,
        brackets=brackets,
    )
    return EventDrivenStrategyEngine(
        strategy=strategy,
        pictures=pictures,
        recorder=core.recorder,
        venue_manager=execution,
        gate=desk.gate,
        clock=core.clock,
        alarm=core.alarm,
        book=core.journal_name,
        terms=core.terms,
    )


# ------------------------------------------------------------------------------------------------------- the venues
def _routes(
    venues: Sequence[Venue],
    handler: PositionUpdateHandler,
    strategies: list[BookStrategy],
    last_hop: LastHop,
    bridge: Bridge | None,
) -> VenueInterfaceManager:
    """The routing table, complete for what the strategies need."""

    def on_trade(trade: Trade) -> None:
        handler.process_trades([trade])

    made = [(venue, venue.routes(on_trade)) for venue in venues]
    everything = [route for _, routes in made for route in routes]
    return VenueInterfaceManager(
        (),
        {route for strategy in strategies for route in strategy.charter.needed},
        everything if bridge is None else bridge.joined(everything, on_trade),
        let_out=last_hop.let_out,
        groups=next((venue.groups for venue in venues if venue.groups is not None), None),
        chain_by_venue={at: venue.chain for venue, routes in made if venue.chain for at, _ in routes},
    )


def _halt_for(trade: Trade, guard: Guard) -> None:
    """Another hand was at our account, and the configuration says that nothing new is risked after that."""
    if not trade.is_forced:
        guard.tighten(GuardState.HALTED, f"{trade.trade_id} at {trade.account} was done by another hand")
