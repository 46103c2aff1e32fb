"""The journal on disk: an append-only SQLite file in WAL mode that one process at a time may write.

Beside `<file>` stand SQLite's own `-wal` and `-shm`, the lock (`.lock`, naming the writer's process) and the watermark
(`.head`). They belong together: copy a journal with `basis-daemon journal backup`, or all of them while no daemon runs.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
from filelock import FileLock

from basis_daemon.journal.checkpointer import preallocate
from basis_daemon.journal.lock import acquire
from basis_daemon.journal.migrations import migrate
from basis_daemon.journal.pruning import Pruner, Retention
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.rows import EPOCH, Head, link, micros
from basis_daemon.journal.schema import (
    SCHEMA_VERSION,
    Header,
    Identity,
    Run,
    check_place,
    connect,
    create,
    failed,
    insertion,
    is_blank,
    load_header,
    load_version,
    refuse_stranger,
)
from basis_daemon.journal.wal import torn_tail
from basis_daemon.journal.watermark import Watermark, refuse_lost
from basis_daemon.journal.writer import GroupWriter, Limits, Start
from basis_daemon.ports import Clock, Probe, Record, RecordKind, StoredRecord, pass_by

_DEFAULT_LIMITS = Limits()


class SqliteJournal:
    """The port on disk. Made by ``open``; its methods belong to the event loop's thread."""

    def __init__(
        self,
        reader: JournalReader,
        writer: GroupWriter,
        lock: FileLock,
        clock: Clock,
        generation: int,
        retention: Retention | None,
        notes: tuple[str, ...],
    ) -> None:
        self._retention = retention
        self.notes = notes
        """What an operator should know of the opening: a tail that was cut, a migration."""
        self._reader = reader
        self._writer = writer
        self._lock = lock
        self._clock = clock
        self._generation = generation

    @classmethod
    def open(
        cls,
        path: Path,
        identity: Identity,
        run: Run,
        clock: Clock,
        limits: Limits = _DEFAULT_LIMITS,
        probe: Probe = pass_by,
    ) -> Self:
        """Makes the file or continues it with a new generation; syncs, so call it before trading begins.

        A file of an older schema is migrated first, behind a backup of it.

        Raises ModeMismatchError for the journal of another book, ConfigError for a wrong path or a newer schema,
        IntegrityError when the newest snapshot or a row after it does not hold (the file is left as it is), and
        JournalError when another process writes it or the disk fails.
        """
        check_place(path, must_exist=False)
        with ExitStack() as undo:
            lock = acquire(path)
            undo.callback(lock.release)
            try:
                start, notes = _adopt(path, identity, clock)
                connection = connect(path, busy_timeout_s=limits.busy_timeout_s)
                undo.callback(connection.close)
                _prepare(connection, Header(SCHEMA_VERSION, identity, run.config_hash, clock.wall()))
                watermark = Watermark.open(path)
                undo.callback(watermark.close)
                start = _begin_generation(path, connection, start, run, clock)
                watermark.record(start.head)
                watermark.sync()
                _limit_size(connection, limits.size_bytes_max)
                reader = JournalReader.open(path)
                undo.callback(reader.close)
                writer = GroupWriter(path, connection, watermark, start, limits, Pruner(probe))
            except (sqlite3.Error, OSError) as error:
                raise failed(path, "opening for writing failed", error) from error
            undo.pop_all()
        writer.start()
        return cls(reader, writer, lock, clock, start.generation, limits.retention, notes)

    @property
    def rows(self) -> int:
        """The sequence of the newest row that was taken, written or not."""
        return self._writer.rows

    @property
    def queued(self) -> int:
        """Rows that wait for the disk."""
        return self._writer.queued

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def created(self) -> datetime:
        """When the file was made, to the microsecond; copies keep it."""
        return self._reader.header.created

    @property
    def failure(self) -> str | None:
        """Why no row is taken any more (a failed write, an overflow, closed); None while all is well."""
        return self._writer.refusal

    @property
    def commits(self) -> int:
        """Groups committed since opening: the number of syncs that callers waited for."""
        return self._writer.commits

    def append(self, record: Record) -> None:
        self._writer.submit(self._clock.wall(), (record,))

    async def append_durable(self, records: Sequence[Record]) -> None:
        self._writer.wake()  # takes about as long as what comes now
        waiter = asyncio.get_running_loop().create_future()
        self._writer.submit(self._clock.wall(), records, waiter)
        await waiter

    async def flush(self) -> None:
        await self.append_durable(())

    def read(self, after: int = 0, kinds: frozenset[RecordKind] | None = None) -> Sequence[StoredRecord]:
        self._writer.check()
        return self._reader.read(after, kinds)

    def latest(self, kind: RecordKind) -> StoredRecord | None:
        self._writer.check()
        return self._reader.latest(kind)

    def life(self, order_id: str) -> StoredRecord | None:
        self._writer.check()
        return self._reader.life(order_id)

    def pruning_due(self) -> str | None:
        """Payload of the pruning row that should be recorded now, or None; once it is recorded, call ``prune``."""
        self._writer.check()
        seal = self._retention.seal(self._reader, self._clock.wall()) if self._retention else None
        return seal.payload() if seal else None

    def prune(self) -> None:
        """Begins to take what the newest pruning row seals; never blocks."""
        self._writer.prune()

    async def close(self) -> None:
        """Writes what is queued, checkpoints and lets the file go; never raises for a journal that failed before."""
        self._reader.close()  # first: of two connections that close at once none is the last, and the WAL would stay
        self._writer.close()
        await asyncio.to_thread(self._writer.join)
        self._lock.release()


def _adopt(path: Path, identity: Identity, clock: Clock) -> tuple[Start | None, tuple[str, ...]]:
    """What an existing file ends with, checked through a connection that cannot change it (None for a new file); notes.

    An older schema is the one thing that changes the file before that, and then only whole.
    """
    if not path.exists():
        refuse_lost(path)
        path.touch(mode=0o600)
    with closing(connect(path, busy_timeout_s=0, read_only=True)) as first:
        if is_blank(first):
            refuse_lost(path)
            return None, ()
        version = load_version(first, path)
    notes = [] if version == SCHEMA_VERSION else [migrate(path, identity, clock)]
    with JournalReader.open(path) as reader:
        refuse_stranger(path, reader.header.identity, identity)
        head = reader.verify_tail()
        newest = reader.newest()
        if (torn := torn_tail(path)) is not None:
            notes.append(str(torn))
        return Start(head, newest.generation if newest else 0), tuple(notes)


def _prepare(connection: sqlite3.Connection, header: Header) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    if is_blank(connection):
        create(connection, header)
    preallocate(connection)


def _begin_generation(path: Path, connection: sqlite3.Connection, last: Start | None, run: Run, clock: Clock) -> Start:
    """Commits the row that starts a generation. Its market time is that of the row before: it is no market event."""
    if last is None:
        last = Start(load_header(connection, path).genesis(), 0)
    query = "SELECT market_time FROM record ORDER BY sequence DESC LIMIT 1"
    market_us = (connection.execute(query).fetchone() or (micros(EPOCH),))[0]
    payload = msgspec.json.encode(run).decode()
    generation = last.generation + 1
    content = (RecordKind.GENERATION.value, micros(clock.wall()), market_us, "", "", payload)
    sequence = last.head.sequence + 1
    chain = link(last.head.chain, (sequence, generation, *content))
    connection.execute(insertion(1), (sequence, generation, *content, chain))
    return Start(Head(sequence, chain), generation)


def _limit_size(connection: sqlite3.Connection, size_bytes_max: int | None) -> None:
    if size_bytes_max is not None:
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {size_bytes_max // page_bytes}")
