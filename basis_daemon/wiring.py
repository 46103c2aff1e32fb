"""Settings go in, a running daemon comes out. This file and `wiring_venues.py` alone know every concrete class."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from basis_daemon.clock import SystemClock
from basis_daemon.domain.decision import Exposure
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.capital import Cashier
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.fence import Fence
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
from basis_daemon.engine.state import recover
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.engine.upkeep import Upkeep
from basis_daemon.engine.valuation import Mandate, Valuer, book_drawdown
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import RecordKind, StoredRecord
from basis_daemon.preflight import clear_to_start
from basis_daemon.settings import Settings, config_hash, make_strategies
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.supervisor import Parts, Phase, Rhythm, Supervisor, phase_teller
from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import (
    MemoryWatch,
    Metrics,
    ServiceManager,
    correlated,
    settle_heap,
)
from basis_daemon.telemetry.core_dumps import forbid_core_dumps
from basis_daemon.web.control import ControlServer, Desk
from basis_daemon.wiring_journal import HeldBack, drill, journal_name, make_alarm, open_journal
from basis_daemon.wiring_limits import (
    collars,
    disk_watch,
    fee_coins,
    leg_budget,
    risk_limits,
    usdt_proxies,
    watch_limits,
)
from basis_daemon.wiring_logs import logged
from basis_daemon.wiring_purse import chain_venues, open_purse, wallet_leases
from basis_daemon.wiring_venues import Venue, account_leases, make_venues

if TYPE_CHECKING:
    from basis_daemon.wiring_chain import Purse

VALUATION_STEP = timedelta(hours=1)
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Daemon:
    """A wired daemon: its supervisor, and what the control socket may ask."""

    supervisor: Supervisor
    guard: Guard
    recorder: Recorder
    cashier: Cashier
    venues: Sequence[Venue]
    valuers: Sequence[Valuer]

    def rearm(self, why: str) -> None:
        """Operator only: the guard to ACTIVE, and every strategy that a drawdown latched. Raises as the guard does."""
        self.guard.rearm(why)
        for valuer in self.valuers:
            valuer.rearm(why)


async def run_daemon(settings: Settings, *, arm: bool) -> int:
    """Live until drained; 0 after an orderly end. Raises BasisError for what an operator can mend."""
    forbid_core_dumps()
    clock, service = SystemClock(), ServiceManager.of(os.environ)
    with logged(settings):
        try:
            service.status("preflight")
            await clear_to_start(settings, arm=arm)
            _make_home(settings.data_dir)
            journal = open_journal(settings, clock)
            try:
                with correlated(run_id=f"{settings.book.name}:{journal.generation}", config_hash=config_hash(settings)):
                    await _live(settings, journal, clock, service, arm=arm)
            finally:
                await journal.close()
        finally:
            service.close()
    return 0


async def _live(
    settings: Settings, journal: SqliteJournal, clock: SystemClock, service: ServiceManager, *, arm: bool
) -> None:
    async with TaskTree("daemon") as tree, AsyncExitStack() as stack:
        for lease in (*account_leases(settings), *wallet_leases(settings)):
            stack.enter_context(lease)
        alarm = make_alarm(Metrics())
        purse = await open_purse(settings, clock, tree, alarm)
        daemon = _assemble(settings, journal, clock, service, tree, alarm, purse)
        desk = Desk(
            rows=lambda after: rows_of(settings.journal_file, after),
            begins_at=lambda: _begins_at(settings.journal_file),
            live=lambda: _live_facts(daemon),
            halt=lambda why: daemon.guard.tighten(GuardState.HALTED, why),
            rearm=daemon.rearm,
            withdraw=daemon.cashier.withdraw,
            audit=lambda text: daemon.recorder.note(RecordKind.OPERATOR, text, "operator"),
        )
        await stack.enter_async_context(ControlServer(desk, settings.control_socket))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.supervisor.request_stop)
        await daemon.supervisor.run(tree, arm=arm)


def _halt_for(trade: Trade, guard: Guard) -> None:
    """Another hand was at our account, and the configuration says that nothing new is risked after that."""
    if not trade.is_forced:
        guard.tighten(GuardState.HALTED, f"{trade.trade_id} at {trade.account} was done by another hand")


def _live_facts(daemon: Daemon) -> dict[str, object]:
    """What only the process knows."""
    dead_men = {name: state for venue in daemon.venues for name, state in venue.dead_men().items()}
    return {
        **daemon.supervisor.health(),
        "guard": daemon.guard.state,
        "pid": os.getpid(),
        "dead_man": dead_men,
        "recording": [recording.state() for venue in daemon.venues for recording in venue.recordings],
    }


def _make_home(directory: Path) -> None:
    """The book's own directory, readable by its user alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data_dir {directory}: {error.strerror}; correct the path or its permissions") from error


def _begins_at(path: Path) -> int:
    """The first row that retention has left."""
    with JournalReader.open(path) as reader:
        return reader.seal.through + 1


def rows_of(path: Path, after: int) -> Iterator[StoredRecord]:
    """Journal rows for the control socket, over a connection of their own: it asks from a thread.

    One by one: the first question after months must not hold all of them at once in a daemon that trades.
    """
    with JournalReader.open(path) as reader:
        yield from reader.rows(after)


@dataclass(frozen=True, slots=True)
class _Core:
    """What every strategy's engine shares."""

    settings: Settings
    journal_name: str
    clock: SystemClock
    alarm: Alarm
    recorder: Recorder
    monitor: PositionMonitor
    mailbox: Mailbox
    freshness: Freshness
    guard: Guard
    manager: VenueInterfaceManager
    runner: OrderRunner


def _assemble(
    settings: Settings,
    journal: SqliteJournal,
    clock: SystemClock,
    service: ServiceManager,
    tree: TaskTree,
    alarm: Alarm,
    purse: Purse | None,
) -> Daemon:
    recorder = Recorder(recover(journal), journal)
    monitor, mailbox, strategies = PositionMonitor(), Mailbox(), make_strategies(settings)
    handler = PositionUpdateHandler(recorder, monitor, alarm)
    freshness = Freshness(mailbox, FreshnessLimits(settings.freshness.quote_s, settings.freshness.account_s))
    probe = drill(settings)
    venues = make_venues(settings, strategies, recorder.state, clock, alarm, probe)
    venues += chain_venues(purse, strategies, recorder, journal, clock, tree, alarm, probe)
    kept = HeldBack(journal, [venue.needed_from for venue in venues])
    guard = Guard(recorder, alarm)
    last_hop = LastHop(recorder, guard, clock, alarm, collars(settings), mailbox)
    manager = _routes(venues, handler, strategies, last_hop)
    runner = OrderRunner(recorder, handler, manager, clock, alarm, probe)
    name = journal_name(settings, journal)
    fence = Fence(recorder, guard, name)
    handler.on_foreign = fence.meet
    if settings.reconcile.foreign == "halt":
        handler.on_foreign_fill.append(lambda trade: _halt_for(trade, guard))
    core = _Core(settings, name, clock, alarm, recorder, monitor, mailbox, freshness, guard, manager, runner)
    sources = [source for venue in venues for source in venue.sources]
    reconcilers = [Reconciler(source, recorder, handler, freshness, clock, alarm, probe) for source in sources]
    desks = [_risk_desk(core, strategy, lambda: supervisor.phase is Phase.ARMED) for strategy in strategies]
    pictures = [_picture_maker(core, *each) for each in zip(strategies, desks, strict=True)]
    valuers = [_valuer(core, *each, reconcilers) for each in zip(strategies, pictures, strict=True)]
    handler.on_capital = partial(_fall_due, valuers)
    for desk, valuer in zip(desks, valuers, strict=True):
        desk.valuer = valuer
    parts = Parts(
        feeds=[venue.feed(tree) for venue in venues],
        reconcilers=reconcilers,
        engines=[_engine(core, *each) for each in zip(strategies, desks, pictures, strict=True)],
        recorder=recorder,
        handler=handler,
        runner=runner,
        mailbox=mailbox,
        freshness=freshness,
        fence=fence,
        guard_watch=_guard_watch(core, strategies, pictures, valuers),
        upkeep=Upkeep(recorder, alarm, settings.journal.snapshot_rows, kept, disk_watch(settings, guard), probe),
        valuers=valuers,
        memory_share=MemoryWatch().share,
    )
    rhythm = Rhythm(settings.reconcile.interval_s, settings.shutdown.drain_s)
    tell = phase_teller(service, f"{settings.book.name}, mode {settings.mode}")
    supervisor = Supervisor(parts, rhythm, clock, alarm, _settling(tell), service.alive)
    wallets = {strategy.name: strategy.charter.cash for strategy in strategies}
    own_valuers = {s.name: valuer for s, valuer in zip(strategies, valuers, strict=True)}
    return Daemon(supervisor, guard, recorder, Cashier(recorder, own_valuers, wallets), venues, valuers)


def _guard_watch(
    core: _Core, strategies: list[BookStrategy], pictures: Sequence[PictureMaker], valuers: Sequence[Valuer]
) -> GuardWatch:
    """What the guard sees of all books."""

    def exposures() -> list[Exposure]:
        return [of_one.survey(own)[1] for own, of_one in zip(strategies, pictures, strict=True)]

    sight, limits = Sight(exposures, lambda: book_drawdown(valuers)), watch_limits(core.settings, strategies)
    return GuardWatch(core.guard, core.recorder, core.freshness, core.clock, core.alarm, sight, limits)


def _settling(tell: Callable[[Phase], None]) -> Callable[[Phase], None]:
    """``tell``; and what the start-up has built is out of the garbage collector's sight before the first decision."""

    def settle(phase: Phase) -> None:
        if phase in {Phase.ARMED, Phase.DISARMED}:
            settle_heap()
        tell(phase)

    return settle


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
    )


def _engine(core: _Core, strategy: BookStrategy, desk: RiskDesk, pictures: PictureMaker) -> EventDrivenStrategyEngine:
    execution = VenueManager(
        recorder=core.recorder,
        runner=core.runner,
        interfaces=core.manager,
        clock=core.clock,
        budget=leg_budget(core.settings, strategy),
        book=core.journal_name,
        quotes=core.mailbox.books,
        is_halted=core.guard.forbids,
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
    )


# ------------------------------------------------------------------------------------------------------- the venues
def _routes(
    venues: Sequence[Venue], handler: PositionUpdateHandler, strategies: list[BookStrategy], last_hop: LastHop
) -> VenueInterfaceManager:
    """The routing table, complete for what the strategies need."""

    def on_trade(trade: Trade) -> None:
        handler.process_trades([trade])

    made = [(venue, venue.routes(on_trade)) for venue in venues]
    return VenueInterfaceManager(
        (),
        {route for strategy in strategies for route in strategy.charter.needed},
        [route for _, routes in made for route in routes],
        let_out=last_hop.let_out,
        groups=next((venue.groups for venue in venues if venue.groups is not None), None),
        chain_by_venue={at: venue.chain for venue, routes in made if venue.chain for at, _ in routes},
    )
