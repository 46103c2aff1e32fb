"""Reading and verifying a journal, also while a daemon writes it; changes nothing in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from basis_daemon.domain.errors import ConfigError, IntegrityError, JournalError
from basis_daemon.journal.rows import Head, Row, follow, stored
from basis_daemon.journal.schema import (
    COLUMNS,
    FREQUENT,
    INDEXED,
    Header,
    check_place,
    connect,
    failed,
    load_header,
)
from basis_daemon.journal.watermark import load_watermark
from basis_daemon.ports import RecordKind, StoredRecord

_PAGE_ROWS = 2000
"""Rows per query of a scan: no read transaction lasts longer, or the WAL could not be reused meanwhile."""

_BUSY_TIMEOUT_S = 2.0
_SELECT = f"SELECT {COLUMNS} FROM record"  # noqa: S608 - a constant of the schema
_QUARANTINE = (
    "do not start from it: keep the file and what stands beside it, restore a backup, reconcile with the venues"
)


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
        """What ``read`` gives, in constant memory."""
        with self._reading():
            yield from map(stored, self._scan(after, kinds))

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

    def verify(self) -> Head:
        """The head, after every row was checked. Raises IntegrityError naming what does not hold."""
        with self._verifying():
            (finding,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if finding != "ok":
                raise IntegrityError(str(finding))
            return self._verify_after(self.header.genesis())

    def verify_tail(self) -> Head:
        """The head, after the newest snapshot and every row after it were checked: what a restart is built on."""
        with self._verifying():
            snapshot = self._latest(RecordKind.SNAPSHOT)
            return self._verify_after(self._head_before(snapshot[0] if snapshot else 1))

    def _head_before(self, sequence: int) -> Head:
        if sequence == 1:
            return self.header.genesis()
        row = self._one("WHERE sequence = ?", sequence - 1)
        if row is None:
            raise IntegrityError(f"row {sequence - 1} is missing")
        return Head(row[0], row[8])

    def _verify_after(self, head: Head) -> Head:
        mark = load_watermark(self._path)  # before the rows: a living daemon moves both
        head = follow(head, self._scan(head.sequence, None))
        if mark is None or mark.sequence == 0:
            return head
        if mark.sequence > head.sequence:
            raise IntegrityError(
                f"rows {head.sequence + 1} to {mark.sequence} were committed and are gone "
                "(a damaged or deleted WAL, or an older copy of the file)"
            )
        row = self._one("WHERE sequence = ?", mark.sequence)
        if row is None or row[8] != mark.chain:
            raise IntegrityError(
                f"row {mark.sequence} is not the one that was committed: its chain is not the watermark's"
            )
        return head

    def _scan(self, after: int, kinds: frozenset[RecordKind] | None) -> Iterator[Row]:
        names = sorted(kind.value for kind in kinds) if kinds is not None else []
        only = f"AND +kind IN ({', '.join('?' * len(names))})" if kinds is not None else ""  # +: in order, so no index
        query = f"{_SELECT} WHERE sequence > ? {only} ORDER BY sequence LIMIT {_PAGE_ROWS}"
        while page := self._connection.execute(query, (after, *names)).fetchall():
            yield from page
            after = page[-1][0]

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
        except (IntegrityError, sqlite3.Error) as error:
            raise IntegrityError(f"journal {self._path}: {error}; {_QUARANTINE}") from error
