"""The one thread that writes: whatever queued up while the disk was busy becomes the next group, with one sync.

The loop's thread adds each row to a deque and rings; the writer takes all there is, makes text of it, numbers and seals
it, commits it with synchronous=FULL and settles the waiting futures through the loop. A row nobody waits for rings more
softly: its group may wait `lazy_s` for company. A failed write is the end: what was queued
and what comes later gets JournalError, and nothing is tried again, because after a failed sync no page of the file can
be trusted to be what was written.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import cast

from basis_daemon.domain.errors import JournalError
from basis_daemon.journal.checkpointer import WAL_BYTES, Checkpointer, checkpoint
from basis_daemon.journal.pruning import Pruner, Retention
from basis_daemon.journal.rows import Head, Value, micros, seal
from basis_daemon.journal.schema import COLUMN_COUNT, COLUMNS, explain, insertion
from basis_daemon.journal.watermark import Watermark
from basis_daemon.ports import Record

_INSERTS = {size * COLUMN_COUNT: insertion(size) for size in (128, 64, 32, 16, 8, 4, 2, 1)}
"""Statement by number of values, longest first. Few statements per group: each one gives the interpreter away."""

_PAYLOAD = COLUMNS.split(", ").index("payload")

_COMMIT_BYTES = 6 * 1024
_ROW_BYTES = 256
"""What a commit and a row add to the WAL on average beside the payload: the estimate that makes a checkpoint due."""

_PRUNING_BYTES = 128 * 1024
"""What a step of the pruner adds: the pages of the rows it looked at, most of which it frees or rewrites."""

_DUE_BYTES = WAL_BYTES * 2 // 3
"""A checkpoint is due well before the space of the WAL is used up: it goes on growing meanwhile."""

_FAILURES = (sqlite3.Error, OSError, ValueError)
"""What a write can die of: the database, the watermark, a value that no text can be made of."""

Waiter = asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Start:
    """Where writing begins: the newest row, and the generation that every new row carries."""

    head: Head
    generation: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the writer. ``size_bytes_max`` caps the file, so that a full disk is met here first.

    Without ``retention`` nothing is ever pruned.
    """

    queue_rows_max: int = 16_384
    group_rows_max: int = 1_024
    lazy_s: float = 0.005
    idle_s: float = 1.0
    pruning_pause_s: float = 0.01
    busy_timeout_s: float = 2.0
    size_bytes_max: int | None = None
    retention: Retention | None = None


class _Ring(Enum):
    """Whether somebody waits for the rows."""

    SOFT = auto()
    LOUD = auto()


class GroupWriter:
    """Owns the writing connection, the head and the generation. ``submit`` is for one thread: that of the loop."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        watermark: Watermark,
        start: Start,
        limits: Limits,
        pruner: Pruner,
    ) -> None:
        self._path = path
        self._connection = connection
        self._cursor = connection.cursor()
        self._watermark = watermark
        self._submitted = self._taken = 0  # rows; each is changed by one thread alone, the loop's and the writer's
        self._opened_at = start.head.sequence
        self._head = start.head  # of the row sealed last
        self._generation = start.generation
        self._limits = limits
        self._pruner = pruner
        self._queue_rows_max = limits.queue_rows_max
        self._checkpointer = Checkpointer(path, watermark, limits.busy_timeout_s, self._break)
        self._items: deque[tuple[datetime, Sequence[Record], Waiter | None]] = deque()
        self._waiters: list[Waiter] = []  # of the group being written
        self._bell: SimpleQueue[_Ring] = SimpleQueue()
        self._rung_softly = self._rung_loudly = False
        self._dirty_bytes = 0
        self._closing = False
        self._refusal: str | None = None  # why nothing more is taken
        self._broken: str | None = None  # why what was taken is not written either
        self._thread = Thread(target=self._main, name=f"journal-{path.name}", daemon=True)
        self.commits = self._commits_when_requested = 0

    # ------------------------------------------------------------------------------------------ the loop's thread
    @property
    def refusal(self) -> str | None:
        """Why no row is taken any more; None while all is well."""
        return self._refusal

    def start(self) -> None:
        self._checkpointer.start()
        self._thread.start()

    def submit(self, wall: datetime, records: Sequence[Record], waiter: Waiter | None = None) -> None:
        """Queues rows of this wall time; settles ``waiter`` when they and all before are on disk.

        Raises JournalError, and what a record's ``check`` raises; then nothing was queued.
        """
        for record in records:
            record.check()
        count = len(records)
        waiting = self._submitted - self._taken + count
        if waiting > self._queue_rows_max:
            found = f"{waiting} rows would wait for the disk, at most {self._queue_rows_max} may"
            self._refuse(f"journal {self._path}: {found}; find what slows the disk, then start again")
        self.check()
        self._submitted += count
        self._items.append((wall, records, waiter))
        if waiter is None:
            self._ring_softly()
            return
        if not self._rung_loudly:
            self.wake()
        if self._refusal is not None:
            waiter.cancel()  # the thread may have ended just before the item came: nobody would settle it
            self.check()

    @property
    def queued(self) -> int:
        """Rows that nobody has begun to write."""
        return self._submitted - self._taken

    @property
    def rows(self) -> int:
        """The sequence of the newest row that was taken, written or not."""
        return self._opened_at + self._submitted

    def prune(self) -> None:
        """Begins to take what the newest pruning row seals, between the rows that come."""
        self._pruner.is_busy = True
        self._ring_softly()

    def check(self) -> None:
        """Raises JournalError when no row is taken any more."""
        if self._refusal is not None:
            raise JournalError(self._refusal)

    def close(self) -> None:
        """Takes no more; ``join`` then returns when what is queued is written and the files are closed."""
        self._refuse(f"journal {self._path} is closed; open it again to write")
        self._closing = True
        self.wake()

    def join(self) -> None:
        self._thread.join()

    def wake(self) -> None:
        """Wakes the writer at once, unless it was woken already and has not looked yet. Worth it before ``submit``."""
        if not self._rung_loudly:
            self._rung_loudly = True
            self._bell.put(_Ring.LOUD)

    def _ring_softly(self) -> None:
        if not self._rung_softly:
            self._rung_softly = True
            self._bell.put(_Ring.SOFT)

    # ------------------------------------------------------------------------------------------ any thread
    def _refuse(self, reason: str) -> None:
        if self._refusal is None:
            self._refusal = reason

    def _break(self, reason: str) -> None:
        self._refuse(reason)
        if self._broken is None:
            self._broken = reason

    # ------------------------------------------------------------------------------------------ the writer's thread
    def _main(self) -> None:
        try:
            while self._items or not self._closing:
                self._wait()
                self._rung_softly = self._rung_loudly = False  # before looking: what comes later rings again
                while self._items:
                    self._write_group()
                if self._pruner.is_busy and self._bell.empty() and self._broken is None:
                    self._prune()
        finally:
            self._end()

    def _wait(self) -> None:
        is_pruning = self._pruner.is_busy and self._broken is None
        idle_s = self._limits.idle_s if self._dirty_bytes >= _DUE_BYTES // 8 else None
        try:
            ring = self._bell.get(timeout=self._limits.pruning_pause_s if is_pruning else idle_s)
        except Empty:
            if not is_pruning:
                self._request_checkpoint()
            return
        if ring is _Ring.SOFT:
            with suppress(Empty):
                self._bell.get(timeout=self._limits.lazy_s)

    def _write_group(self) -> None:
        try:
            values, head = self._take()
            if values and self._broken is None:
                self._insert(values)
                self._settle()
                self._watermark.record(head)  # nobody waits for it: it may lag behind
                payloads = cast("list[str]", values[_PAYLOAD::COLUMN_COUNT])
                self._dirty_bytes += _COMMIT_BYTES + _ROW_BYTES * len(payloads) + sum(map(len, payloads))
        except _FAILURES as error:
            self._break(explain(self._path, "writing failed, nothing was tried again", error))
        self._settle()
        if self._checkpointer.done:
            self._catch_up()
        elif self._dirty_bytes >= _DUE_BYTES:
            self._request_checkpoint()

    def _take(self) -> tuple[list[Value], Head]:
        """Moves waiting items into one group: columns of all rows into one list, futures into ``_waiters``."""
        values: list[Value] = []
        rows_max = self._limits.group_rows_max * COLUMN_COUNT
        while self._items and len(values) < rows_max:
            wall, records, waiter = self._items.popleft()
            if waiter is not None:
                self._waiters.append(waiter)
            self._taken += len(records)
            self._head = seal(self._head, self._generation, micros(wall), records, values)
        return values, self._head

    def _insert(self, values: list[Value]) -> None:
        """Commits the group: one sync."""
        execute = self._cursor.execute
        alone = _INSERTS.get(len(values))
        if alone:
            execute(alone, values)
        else:
            execute("BEGIN IMMEDIATE")
            for chunk in _cut(values):
                execute(_INSERTS[len(chunk)], chunk)
            execute("COMMIT")
        self.commits += 1

    def _prune(self) -> None:
        """One small step; rows that came meanwhile are next."""
        try:
            if self._pruner.step(self._connection):
                self._dirty_bytes += _PRUNING_BYTES
                if self._dirty_bytes >= _DUE_BYTES:
                    self._request_checkpoint()
        except (sqlite3.Error, ValueError) as error:
            self._break(explain(self._path, "pruning failed, nothing more is written", error))

    def _settle(self) -> None:
        waiters, self._waiters = self._waiters, []
        if waiters:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                waiters[-1].get_loop().call_soon_threadsafe(_resolve, waiters, self._broken)

    def _request_checkpoint(self) -> None:
        self._dirty_bytes = 0
        self._commits_when_requested = self.commits
        self._checkpointer.request()

    def _catch_up(self) -> None:
        """Moves the little that was added during a checkpoint: under steady load the WAL starts over no other way."""
        self._checkpointer.done = False
        if self.commits <= self._commits_when_requested + 1:
            return  # nothing was added, and this commit has started the WAL over already
        try:
            checkpoint(self._connection)
        except sqlite3.Error as error:
            self._break(explain(self._path, "a checkpoint failed, nothing more is written", error))

    def _end(self) -> None:
        if not self._closing:
            self._break(f"journal {self._path}: the writer ended unexpectedly; see the traceback, then start again")
        for *_, waiter in self._items:
            if waiter is not None:
                self._waiters.append(waiter)
        self._settle()
        self._checkpointer.stop()
        with suppress(OSError):
            self._watermark.sync()
        self._watermark.close()
        self._connection.close()


def _cut(values: list[Value]) -> Iterator[list[Value]]:
    """Chunks of the lengths that have a statement, in order."""
    start = 0
    for length in _INSERTS:
        while len(values) - start >= length:
            yield values[start : start + length]
            start += length


def _resolve(waiters: list[Waiter], broken: str | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue  # cancelled by its caller
        if broken is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(JournalError(broken))
