"""The journal on disk: an append-only SQLite file in WAL mode that one process at a time may write.

Beside `<file>` stand SQLite's own `-wal` and `-shm`, the lock (`.lock`, naming the writer's process) and the watermark
(`.head`). They belong together: copy a journal with `VACUUM INTO`, or all of them while no daemon runs.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Self

import msgspec
from filelock import FileLock, Timeout

from basis_daemon.domain.errors import JournalError
from basis_daemon.journal.checkpointer import preallocate
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
    refuse_stranger,
)
from basis_daemon.journal.watermark import Watermark
from basis_daemon.journal.writer import GroupWriter, Limits, Start
from basis_daemon.ports import Clock, Record, RecordKind, StoredRecord

_DEFAULT_LIMITS = Limits()


class SqliteJournal:
    """The port on disk. Made by ``open``; its methods belong to the event loop's thread."""

    def __init__(
        self, reader: JournalReader, writer: GroupWriter, lock: FileLock, clock: Clock, generation: int
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = lock
        self._clock = clock
        self._generation = generation

    @classmethod
    def open(cls, path: Path, identity: Identity, run: Run, clock: Clock, limits: Limits = _DEFAULT_LIMITS) -> Self:
        """Makes the file or continues it with a new generation; syncs, so call it before trading begins.

        Raises ModeMismatchError for the journal of another book, ConfigError for a wrong path or a newer schema,
        IntegrityError when the newest snapshot or a row after it does not hold (the file is left as it is), and
        JournalError when another process writes it or the disk fails.
        """
        check_place(path, must_exist=False)
        lock = FileLock(f"{path}.lock", thread_local=False)
        with ExitStack() as undo:
            _acquire(lock, path)
            undo.callback(lock.release)
            try:
                start = _adopt(path, identity)
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
                writer = GroupWriter(path, connection, watermark, start, limits)
            except (sqlite3.Error, OSError) as error:
                raise failed(path, "opening for writing failed", error) from error
            undo.pop_all()
        writer.start()
        return cls(reader, writer, lock, clock, start.generation)

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

    async def close(self) -> None:
        """Writes what is queued, checkpoints and lets the file go; never raises for a journal that failed before."""
        self._writer.close()
        self._reader.close()
        await asyncio.to_thread(self._writer.join)
        self._lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = Path(lock.lock_file).read_text(encoding="utf-8").strip() or "unknown"
        raise JournalError(
            f"journal {path} is written by another process (pid {holder}, this one is {os.getpid()}); "
            "stop that daemon first: two on one account would trade against each other"
        ) from error
    except OSError as error:
        raise failed(path, "locking failed", error) from error
    Path(lock.lock_file).write_text(f"{os.getpid()}\n", encoding="utf-8")


def _adopt(path: Path, identity: Identity) -> Start | None:
    """What an existing file ends with, checked through a connection that cannot change it; None for a new file."""
    if not path.exists():
        path.touch(mode=0o600)
    blank = connect(path, busy_timeout_s=0, read_only=True)
    try:
        if is_blank(blank):
            return None
    finally:
        blank.close()
    with JournalReader.open(path) as reader:
        refuse_stranger(path, reader.header.identity, identity)
        head = reader.verify_tail()
        newest = reader.newest()
        return Start(head, newest.generation if newest else 0)


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
