"""The journal port without a disk, for replay, paper and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from basis_daemon.domain.errors import JournalError
from basis_daemon.journal.rows import EPOCH
from basis_daemon.ports import Clock, Record, RecordKind, StoredRecord


class MemoryJournal:
    """Keeps rows as long as the object lives; ``after_crash`` is the restart of a process that was killed."""

    def __init__(self, clock: Clock, rows: Sequence[StoredRecord] = ()) -> None:
        self._clock = clock
        self._rows = list(rows)
        self._latest = {row.record.kind: row for row in self._rows}
        self._durable = 0
        self._closed = False
        self._generation = self._rows[-1].generation + 1 if self._rows else 1
        newest = self._rows[-1].record.market_time if self._rows else EPOCH
        self._add([Record(RecordKind.GENERATION, newest, "", "", "{}")])
        self._durable = len(self._rows)

    @property
    def generation(self) -> int:
        return self._generation

    def append(self, record: Record) -> None:
        self._add((record,))

    async def append_durable(self, records: Sequence[Record]) -> None:
        self._add(records)
        self._durable = len(self._rows)

    async def flush(self) -> None:
        self._add([])
        self._durable = len(self._rows)

    def read(self, after: int = 0, kinds: frozenset[RecordKind] | None = None) -> Sequence[StoredRecord]:
        rows = self._rows[max(after, 0) :]
        return rows if kinds is None else [row for row in rows if row.record.kind in kinds]

    def __len__(self) -> int:
        return len(self._rows)

    def latest(self, kind: RecordKind) -> StoredRecord | None:
        return self._latest.get(kind)

    def life(self, order_id: str) -> StoredRecord | None:
        lives = (row for row in reversed(self._rows) if row.record.kind is RecordKind.LIFE)
        return next((row for row in lives if row.record.causation_id == order_id), None)

    async def close(self) -> None:
        """Makes everything durable and refuses what comes later."""
        self._durable = len(self._rows)
        self._closed = True

    def after_crash(self) -> Self:
        """A new generation over what was durable: rows appended lazily since then are lost, as on a disk."""
        return type(self)(self._clock, self._rows[: self._durable])

    def _add(self, records: Sequence[Record]) -> None:
        if self._closed:
            raise JournalError("the journal in memory is closed; open another one")
        wall = self._clock.wall()
        for record in records:
            record.check()  # the same refusals as on a disk
        for record in records:
            row = StoredRecord(len(self._rows) + 1, self._generation, wall, record)
            self._rows.append(row)
            self._latest[record.kind] = row
