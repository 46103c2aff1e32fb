"""Reading and verifying a journal, also while a daemon writes it; changes nothing in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from basis_daemon.domain.errors import ConfigError, IntegrityError, JournalError
from basis_daemon.journal.migration_note import MigrationNote
from basis_daemon.journal.rows import NOTHING_SEALED, Head, Row, Seal, follow, read_seal, stored
from basis_daemon.journal.schema import (
    FREQUENT,
    INDEXED,
    READ_COLUMNS,
    Header,
    check_place,
    connect,
    failed,
    load_header,
)
from basis_daemon.journal.watermark import load_watermark, watermark_path
from basis_daemon.ports import RecordKind, StoredRecord

_PAGE_ROWS = 2000
"""Rows per query of a scan: no read transaction lasts longer, or the WAL could not be reused meanwhile."""

_BUSY_TIMEOUT_S = 2.0
_SELECT = f"SELECT {READ_COLUMNS} FROM record"  # noqa: S608 - a constant of the schema
_QUARANTINE = (
    "do not start from it: keep the file and what stands beside it, restore a backup (`basis-daemon journal restore`); "
    "what came after the backup is fetched from the venues at the next start"
)

Progress = Callable[[int], None]
"""Called with the sequence that a long scan has reached."""


def ignore_progress(sequence: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a journal holds. ``sealed_through`` is the last row that retention may have taken, 0 for none."""

    rows: int
    first: StoredRecord | None
    last: StoredRecord | None
    generations: int
    emptied: int
    sealed_through: int


class JournalReader:
    """Read-only view of one journal file. Raises JournalError when a read fails."""

    def __init__(self, path: Path, connection: sqlite3.Connection, header: Header) -> None:
        self._path = path
        self._connection = connection
        self.header = header

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises ConfigError when the file is missing, newer than this code, or not a journal."""
        check_place(path, must_exist=True)
        try:
            connection = connect(path, busy_timeout_s=_BUSY_TIMEOUT_S, read_only=True)
            try:
                return cls(path, connection, load_header(connection, path))
            except (sqlite3.Error, ConfigError, ValueError, TypeError):
                connection.close()
                raise
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"journal {path}: its header is damaged: {error}; {_QUARANTINE}") from error
        except sqlite3.Error as error:
            raise failed(path, "opening failed", error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def read(self, after: int = 0, kinds: frozenset[RecordKind] | None = None) -> Sequence[StoredRecord]:
        """Committed rows with a sequence above ``after``, oldest first."""
        return list(self.rows(after, kinds))

    def rows(self, after: int = 0, kinds: frozenset[RecordKind] | None = None) -> Iterator[StoredRecord]:
        """What ``read`` gives, in constant memory. A pruned journal begins with a snapshot; no emptied row is given."""
        with self._reading():
            yield from map(stored, self._scan(max(after, self._seal().through), kinds, only_whole=True))

    def latest(self, kind: RecordKind) -> StoredRecord | None:
        """The newest committed row of one kind."""
        with self._reading():
            row = self._latest(kind)
            return stored(row) if row else None

    def newest(self) -> StoredRecord | None:
        """The newest committed row of all."""
        with self._reading():
            row = self._one("ORDER BY sequence DESC LIMIT 1")
            return stored(row) if row else None

    def life(self, order_id: str) -> StoredRecord | None:
        """The newest row of kind LIFE caused by this order."""
        with self._reading():
            row = self._one("WHERE kind = 'life' AND causation_id = ? ORDER BY sequence DESC LIMIT 1", order_id)
            return stored(row) if row else None

    def snapshot_before(self, wall_us: int, sequence_max: int) -> int:
        """Sequence of the newest snapshot written by ``wall_us`` and standing no later than ``sequence_max``; or 0."""
        condition = f"kind = 'snapshot' AND {INDEXED} AND wall_time <= ? AND sequence <= ?"
        query = f"SELECT coalesce(max(sequence), 0) FROM record WHERE {condition}"  # noqa: S608 - a constant of the schema
        with self._reading():
            return int(self._connection.execute(query, (wall_us, sequence_max)).fetchone()[0])

    def snapshot_from_end(self, count: int) -> int:
        """Sequence of the ``count``-th newest snapshot, 1 being the newest; 0 when there are fewer."""
        condition = f"WHERE kind = 'snapshot' AND {INDEXED} ORDER BY sequence DESC LIMIT 1 OFFSET ?"
        with self._reading():
            row = self._one(condition, count - 1)
            return row[0] if row else 0

    def chain_of(self, sequence: int) -> bytes:
        """The chain value of one row. Raises JournalError when it is not there."""
        with self._reading():
            row = self._one("WHERE sequence = ?", sequence)
            if row is None:
                raise ValueError(f"row {sequence} is missing")
            return row[8]

    @property
    def seal(self) -> Seal:
        """What retention may have taken."""
        with self._reading():
            return self._seal()

    def extent(self) -> Extent:
        """How much the file holds."""
        with self._reading():
            query = "SELECT count(*), count(DISTINCT generation), count(digest) FROM record"
            rows, generations, emptied = self._connection.execute(query).fetchone()
            first, last = self._one("ORDER BY sequence LIMIT 1"), self._one("ORDER BY sequence DESC LIMIT 1")
            found = stored(first) if first else None, stored(last) if last else None
            return Extent(rows, *found, generations, emptied, self._seal().through)

    def verify(self, progress: Progress = ignore_progress, *, needs_watermark: bool = True) -> Head:
        """The head, after every row was checked. Raises IntegrityError naming what does not hold."""
        with self._verifying():
            (finding,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if finding != "ok":
                raise IntegrityError(str(finding))
            return self._verify_after(self._beginning(), progress, needs_watermark=needs_watermark)

    def verify_tail(self) -> Head:
        """The head, after the newest snapshot and every row after it were checked: what a restart is built on."""
        with self._verifying():
            snapshot = self._latest(RecordKind.SNAPSHOT)
            return self._verify_after(self._head_before(snapshot[0]) if snapshot else self._beginning())

    def _beginning(self) -> Head:
        """What the first row that is left continues: the header, or what a pruning has sealed."""
        seal, first = self._seal(), self._one("ORDER BY sequence LIMIT 1")
        if first is None or first[0] == 1:
            return self.header.genesis()
        if first[0] == seal.through + 1:
            return Head(seal.through, seal.chain)
        if first[0] <= seal.through:
            return Head(first[0], first[8])  # a pruning half done: all that follows must lead to what it sealed
        raise IntegrityError(f"rows {seal.through + 1} to {first[0] - 1} are missing, and no pruning took them")

    def _head_before(self, sequence: int) -> Head:
        seal, row = self._seal(), self._one("WHERE sequence = ?", sequence - 1)
        if row is not None:
            return Head(row[0], row[8])
        if sequence == seal.through + 1:
            return Head(seal.through, seal.chain)
        if sequence == 1:
            return self.header.genesis()
        raise IntegrityError(f"row {sequence - 1} is missing")

    def _seal(self) -> Seal:
        row = self._latest(RecordKind.PRUNING)
        return read_seal(row[7]) if row else NOTHING_SEALED

    def _verify_after(self, head: Head, progress: Progress = ignore_progress, *, needs_watermark: bool = True) -> Head:
        mark = load_watermark(self._path)  # before the rows: a living daemon moves both
        head = follow(head, self._scan(head.sequence, None, progress=progress), self._seal())
        if mark is None or mark.sequence == 0:
            if needs_watermark and head.sequence > 1:
                raise IntegrityError(
                    f"its watermark {watermark_path(self._path).name} is missing: rows may have been cut off its end"
                )
            return head
        if mark.sequence > head.sequence:
            raise IntegrityError(
                f"rows {head.sequence + 1} to {mark.sequence} were committed and are gone "
                "(a damaged or deleted WAL, or an older copy of the file)"
            )
        row = self._one("WHERE sequence = ?", mark.sequence)
        if row is None or (row[8] != mark.chain and not self._is_of_before_migration(mark)):
            raise IntegrityError(
                f"row {mark.sequence} is not the one that was committed: its chain is not the watermark's"
            )
        return head

    def _is_of_before_migration(self, mark: Head) -> bool:
        """True for the watermark of the file that was migrated: the process died before it could write a new one."""
        row = self._latest(RecordKind.MIGRATION)
        return row is not None and MigrationNote.of(row[7]).was_head == mark

    def _scan(
        self,
        after: int,
        kinds: frozenset[RecordKind] | None,
        progress: Progress = ignore_progress,
        *,
        only_whole: bool = False,
    ) -> Iterator[Row]:
        names = sorted(kind.value for kind in kinds) if kinds is not None else []
        only = f"AND +kind IN ({', '.join('?' * len(names))})" if kinds is not None else ""  # +: in order, so no index
        whole = "AND digest IS NULL" if only_whole else ""
        query = f"{_SELECT} WHERE sequence > ? {only} {whole} ORDER BY sequence LIMIT {_PAGE_ROWS}"
        while page := self._connection.execute(query, (after, *names)).fetchall():
            yield from page
            after = page[-1][0]
            progress(after)

    def _latest(self, kind: RecordKind) -> Row | None:
        indexed = "" if kind.value in FREQUENT else f"AND {INDEXED}"
        return self._one(f"WHERE kind = ? {indexed} ORDER BY sequence DESC LIMIT 1", kind.value)

    def _one(self, condition: str, *values: str | int) -> Row | None:
        row: Row | None = self._connection.execute(f"{_SELECT} {condition}", values).fetchone()
        return row

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise failed(self._path, "reading failed", error) from error
        except (ValueError, TypeError, OverflowError) as error:
            advice = "verify the file, or start the version that wrote it"
            raise JournalError(f"journal {self._path}: reading failed: {error}; {advice}") from error

    @contextmanager
    def _verifying(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, sqlite3.Error, ValueError) as error:
            raise IntegrityError(f"journal {self._path}: {error}; {_QUARANTINE}") from error
