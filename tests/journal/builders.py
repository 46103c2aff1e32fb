"""Records, clocks and openings that the journal's tests share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.journal.writer import Limits
from basis_daemon.ports import Record, RecordKind

NOON = datetime(2026, 5, 9, 12, tzinfo=UTC)
IDENTITY = Identity("btc_basis", Mode.SANDBOX, "acc0")
RUN = Run("c0ffee", "0.1.0")


class StandingClock:
    """Shows what it is set to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def wall(self) -> datetime:
        return self.now

    def monotonic_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def a_record(
    payload: str | Callable[[], str] = "{}", kind: RecordKind = RecordKind.TRADE, market_time: datetime = NOON
) -> Record:
    return Record(kind, market_time, "intent-1", "cause-1", payload)


def open_journal(path: Path, identity: Identity = IDENTITY, limits: Limits | None = None) -> SqliteJournal:
    return SqliteJournal.open(path, identity, RUN, StandingClock(), limits or Limits())
