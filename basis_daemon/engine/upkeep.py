"""What a daemon does for its own long life, once a second: snapshots, forgetting, pruning, and an eye on the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from basis_daemon.engine.audit import Audit
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import ENDED_MAX
from basis_daemon.ports import KillPoint, Probe, RecordKind, pass_by
from basis_daemon.rare_paths import Rarely, RarePath, never

FORGET_MAX = 100
"""Orders that leave memory in one look: faster than the risk gate lets new ones come."""

ENDED_FEW = 10
"""Ended orders that stay when memory is said to be full."""

ALARM_EVERY = 60
"""Looks between two alarms of a disk that stays full."""


class Prunable(Protocol):
    """A journal whose old rows may go."""

    def pruning_due(self) -> str | None:
        """Payload of the pruning row to record now, or None when nothing more may go."""
        ...

    def prune(self) -> None:
        """Begin to take what the newest pruning row seals; never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class DiskWatch:
    """Free space of the journal's disk and what is done about it, in MB.

    Below ``soft_mb`` the guard allows nothing that adds risk; below ``hard_mb`` no order but defence is intended any
    more, while what is left of the disk still takes the fills of what is open.
    """

    free_mb: Callable[[], int]
    soft_mb: int
    hard_mb: int
    tighten: Callable[[GuardState, str], None]

    def look(self) -> str | None:
        """What is wrong, after the guard was told; None while there is room."""
        free = self.free_mb()
        if free >= self.soft_mb:
            return None
        state, limit = GuardState.REDUCING, self.soft_mb
        if free < self.hard_mb:
            state, limit = GuardState.HALTED, self.hard_mb
        why = f"disk of the journal: {free} MB free, expected {limit} MB; free space, then rearm"
        self.tighten(state, why)
        return why


class Upkeep:
    """Owns no task: whoever ticks calls ``look``. ``journal`` is None where nothing is ever pruned."""

    def __init__(
        self,
        recorder: Recorder,
        alarm: Alarm,
        snapshot_rows: int,
        journal: Prunable | None = None,
        disk: DiskWatch | None = None,
        probe: Probe = pass_by,
        audit: Audit | None = None,
        rarely: Rarely = never,
    ) -> None:
        self._recorder = recorder
        self._alarm = alarm
        self._snapshot_rows = snapshot_rows
        self._journal = journal
        self._disk = disk
        self._probe = probe
        self._audit = audit
        self._rarely = rarely
        self._full_looks = 0

    def look(self) -> None:
        """Everything that is due now; a little at a time. Raises JournalError."""
        self._watch_disk()
        if self._audit is not None:
            self._audit.look()
        is_full = len(self._recorder.state.orders) > ENDED_FEW and self._rarely(RarePath.MEMORY_IS_FULL)
        self._recorder.forget(FORGET_MAX, ENDED_FEW if is_full else ENDED_MAX)
        is_due = self._recorder.rows_since_snapshot >= self._snapshot_rows
        if is_due or self._rarely(RarePath.SNAPSHOT_FALLS_DUE):
            self._recorder.snapshot()
            self._probe(KillPoint.DURING_SNAPSHOT)
            self._prune()

    def _prune(self) -> None:
        """What may go is found out behind each new snapshot, sealed by a row, and goes between others."""
        if self._journal is not None and (seal := self._journal.pruning_due()) is not None:
            self._recorder.note(RecordKind.PRUNING, seal, "pruning")
            self._journal.prune()

    def _watch_disk(self) -> None:
        why = self._disk.look() if self._disk is not None else None
        if why is not None and self._full_looks % ALARM_EVERY == 0:
            self._alarm("disk nearly full", {"why": why})
        self._full_looks = 0 if why is None else self._full_looks + 1
