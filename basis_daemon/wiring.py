"""Settings go in, a running daemon comes out. It, `wiring_book.py` and `wiring_venues.py` know every concrete class."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from basis_daemon.clock import SystemClock
from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import RecordKind, StoredRecord
from basis_daemon.preflight import clear_to_start
from basis_daemon.settings import Settings, config_hash, kept_text, make_strategies
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.supervisor import Phase, phase_teller
from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import LoopWatchdog, MemoryWatch, Metrics, ServiceManager, correlated, settle_heap
from basis_daemon.telemetry.core_dumps import forbid_core_dumps
from basis_daemon.web.control import ControlServer, Desk, KillSwitch
from basis_daemon.wiring_book import Daemon, Ground, Venue, assemble
from basis_daemon.wiring_journal import HeldBack, drill, journal_name, make_alarm, open_journal
from basis_daemon.wiring_limits import disk_watch
from basis_daemon.wiring_logs import logged
from basis_daemon.wiring_purse import chain_venues, open_purse, wallet_leases
from basis_daemon.wiring_risk import gauges
from basis_daemon.wiring_signals import signal_feeds
from basis_daemon.wiring_transfers import make_bridge
from basis_daemon.wiring_venues import account_leases, make_venues
from basis_daemon.wiring_vitals import Vitals

if TYPE_CHECKING:
    from basis_daemon.wiring_chain import Purse


STACKS = "stacks.txt"
"""In the data directory: every thread's stack when the event loop stood still."""


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
        metrics = Metrics()
        alarm = make_alarm(metrics)
        purse = await open_purse(settings, clock, tree, alarm)
        ground = _machine(settings, journal, clock, service, tree, alarm, metrics, purse)
        daemon = assemble(settings, make_strategies(settings), ground)
        daemon.risk.on_look = gauges(metrics)
        vitals = Vitals(metrics, tree, {"journal": lambda: journal.queued, "plans": lambda: _plans(daemon)})
        watchdog = stack.enter_context(LoopWatchdog(settings.data_dir / STACKS, clock, vitals.pulse))
        tree.spawn("watchdog", watchdog.keep())
        desk = Desk(
            rows=lambda after: rows_of(settings.journal_file, after),
            begins_at=lambda: _begins_at(settings.journal_file),
            live=lambda: _live_facts(daemon) | {"vitals": vitals.state()},
            kill_switch=_kill_switch(daemon),
            withdraw=daemon.cashier.withdraw,
            approve=daemon.transfers.approve,
            close=daemon.transfers.close,
            risk=daemon.risk.books,
            grid=settings.risk.stress.grid(),
            audit=lambda text: daemon.recorder.note(RecordKind.OPERATOR, text, "operator"),
        )
        await stack.enter_async_context(ControlServer(desk, settings.control_socket))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.supervisor.request_stop)
        await daemon.supervisor.run(tree, arm=arm)


def _kill_switch(daemon: Daemon) -> KillSwitch:
    return KillSwitch(
        halt=daemon.flattening.halt,
        reduce=lambda why: daemon.guard.tighten(GuardState.REDUCING, why),
        flatten=daemon.flattening.begin,
        plan=daemon.flattening.plan,
        rearm=lambda why, is_unfinished: daemon.rearm(why, unfinished=is_unfinished),
        settle=daemon.recorder.flush,
    )


def _plans(daemon: Daemon) -> int:
    return sum(engine.plans_in_flight for engine in daemon.supervisor.engines)


def _live_facts(daemon: Daemon) -> dict[str, object]:
    """What only the process knows."""
    dead_men = {name: state for venue in daemon.venues for name, state in venue.dead_men().items()}
    return {
        **daemon.supervisor.health(),
        "guard": daemon.guard.state,
        "flatten": daemon.flattening.state(),
        "troubles": _troubles(daemon),
        "pid": os.getpid(),
        "dead_man": dead_men,
        "signals": {feed.source.strategy: feed.source.state() for feed in daemon.signals},
        "recording": [recording.state() for venue in daemon.venues for recording in venue.recordings],
    }


def _troubles(daemon: Daemon) -> dict[str, list[str]]:
    """What keeps a daemon that is alive and ready from trading as it should, by kind; all empty while nothing does."""
    state = daemon.recorder.state
    stale = [name for name, row in state.last_decision.items() if row.assessment.reason is ReasonCode.STALE]
    return {
        "in_doubt": list(state.in_doubt()),
        "breaks": [str(key) for key in state.breaks],
        "halted": [str(key) for key in state.halts],
        "stale": sorted(stale),
        "frozen": [engine.strategy.name for engine in daemon.supervisor.engines if engine.is_frozen],
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


def _machine(
    settings: Settings,
    journal: SqliteJournal,
    clock: SystemClock,
    service: ServiceManager,
    tree: TaskTree,
    alarm: Alarm,
    metrics: Metrics,
    purse: Purse | None,
) -> Ground:
    """This machine and the venues of the configuration."""
    probe = drill(settings)

    def venues(strategies: list[BookStrategy], recorder: Recorder) -> list[Venue]:
        found = make_venues(settings, strategies, recorder.state, clock, alarm, probe)
        return found + chain_venues(purse, strategies, recorder, journal, clock, tree, alarm, probe)

    return Ground(
        clock=clock,
        journal=journal,
        journal_name=journal_name(settings, journal),
        scope=tree,
        alarm=alarm,
        venues=venues,
        on_phase=_settling(phase_teller(service, f"{settings.book.name}, mode {settings.mode}")),
        on_beat=service.alive,
        kept=lambda found: HeldBack(journal, [venue.needed_from for venue in found]),
        disk=partial(disk_watch, settings),
        memory_share=MemoryWatch().share,
        probe=probe,
        bridge=lambda found, recorder: make_bridge(settings, found, recorder, clock, alarm, probe),
        signals=lambda engines, mailbox: signal_feeds(settings, engines, mailbox, clock, alarm, metrics),
        terms=kept_text(settings),
        rows=lambda: journal.rows,
    )


def _settling(tell: Callable[[Phase], None]) -> Callable[[Phase], None]:
    """``tell``; and what the start-up has built is out of the garbage collector's sight before the first decision."""

    def settle(phase: Phase) -> None:
        if phase in {Phase.ARMED, Phase.DISARMED}:
            settle_heap()
        tell(phase)

    return settle
