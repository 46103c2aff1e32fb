"""Whose book a configuration holds: its journal's identity and opening, its alarm, and the drill that kills it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from basis_daemon import __version__
from basis_daemon.clock import SystemClock
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.upkeep import Prunable
from basis_daemon.journal.pruning import Retention
from basis_daemon.journal.rows import read_seal
from basis_daemon.journal.schema import Identity, Run
from basis_daemon.journal.schema import Mode as JournalMode
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.journal.writer import Limits
from basis_daemon.ports import KillPoint, Probe, pass_by
from basis_daemon.settings import Mode, Settings, config_hash
from basis_daemon.telemetry import Metrics, get_logger
from basis_daemon.wiring_purse import wallet_address


def journal_identity(settings: Settings) -> Identity:
    """Whose book a journal of these settings is."""
    accounts = sorted(
        f"{venue.exchange}:{account}"
        for venue in settings.enabled_venues.values()
        for account in {venue.accounts.spot, venue.accounts.derivatives}
    )
    if (address := wallet_address(settings)) is not None:
        accounts.append(f"chain:{address}")
    fingerprint = hashlib.sha256(json.dumps(accounts).encode()).hexdigest()
    return Identity(settings.book.name, JournalMode(settings.mode.value), fingerprint)


def journal_name(settings: Settings, journal: SqliteJournal) -> str:
    """What order ids are made of: two journals of one book, on two machines or after a loss, have two names."""
    return f"{settings.book.name}@{journal.created.isoformat()}"


def _run(settings: Settings) -> Run:
    return Run(config_hash(settings), __version__)


def make_alarm(metrics: Metrics) -> Alarm:
    """Counts and logs what an operator must see."""
    log = get_logger("alarm")

    def alarm(what: str, facts: Mapping[str, str]) -> None:
        metrics.count("alarms_total")
        log.warning(what, **facts)

    return alarm


def drill(settings: Settings) -> Probe:
    """In a sandbox drill: SIGKILL at the n-th passing of a named point, or a loop that stands. Elsewhere: nothing."""
    drill = settings.sandbox.kill_at if settings.mode is Mode.SANDBOX else None
    if drill is None:
        return pass_by
    name, *words = drill.split(":")
    is_to_hang = "hang" in words
    left = next((int(word) for word in words if word != "hang"), 1)

    def probe(point: KillPoint) -> None:
        nonlocal left
        if point == name:
            left -= 1
            while left == 0 and is_to_hang:
                pass
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return probe


def open_journal(settings: Settings, clock: SystemClock) -> SqliteJournal:
    """Open for writing, and say what was found: a tail that was cut, a migration."""
    kept = settings.journal
    retention = Retention(_days(kept.keep_days), _days(kept.keep_decisions_days), kept.keep_snapshots)
    journal = SqliteJournal.open(
        settings.journal_file, journal_identity(settings), _run(settings), clock, Limits(retention=retention),
        drill(settings),
    )  # fmt: skip
    for note in journal.notes:
        get_logger("journal").warning(note)
    return journal


class HeldBack:
    """Honours upkeep.Prunable: of a journal, as long as nothing would go that somebody may still ask for."""

    def __init__(self, journal: Prunable, needs: Sequence[Callable[[], int | None]]) -> None:
        """``needs`` tell the sequence of the oldest row that is needed, None for none."""
        self._journal, self._needs = journal, needs

    def pruning_due(self) -> str | None:
        """As the port says; what is held back now goes behind a later snapshot."""
        seal = self._journal.pruning_due()
        if seal is None:
            return None
        through = read_seal(seal).through
        oldest = [sequence for need in self._needs if (sequence := need()) is not None]
        return None if min(oldest, default=through + 1) <= through else seal

    def prune(self) -> None:
        self._journal.prune()


def _days(days: Decimal) -> timedelta:
    return timedelta(days=float(days))
