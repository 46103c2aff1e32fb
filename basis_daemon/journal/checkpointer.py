"""Moves committed pages from the WAL into the file, in a thread and connection of its own.

A passive checkpoint makes no writer wait. Once it has caught up, the next commit starts the WAL over and writes into
space that the file already has, which spares every sync the bookkeeping of a growing file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from basis_daemon.journal.schema import connect, explain
from basis_daemon.journal.watermark import Watermark

WAL_BYTES = 4_000_000
"""What the WAL is blown up to at opening."""


def checkpoint(connection: sqlite3.Connection) -> None:
    """Moves what can be moved without making anybody wait; raises sqlite3.Error."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def preallocate(connection: sqlite3.Connection) -> None:
    """Blows up the WAL with a transaction that spills out of the cache and is then taken back; raises sqlite3.Error."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.execute("PRAGMA cache_size = 16")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE blown_up (content BLOB)")
    connection.execute("INSERT INTO blown_up VALUES (zeroblob(?))", (WAL_BYTES,))
    connection.execute("ROLLBACK")
    connection.execute("PRAGMA cache_size = -2000")


class _Ask(Enum):
    CHECKPOINT = auto()
    STOP = auto()


class Checkpointer:
    """``done`` tells the writer that what is left is little: what was committed while the checkpoint ran."""

    def __init__(
        self, path: Path, watermark: Watermark, busy_timeout_s: float, on_failure: Callable[[str], None]
    ) -> None:
        self._path = path
        self._watermark = watermark
        self._on_failure = on_failure
        self._connection = connect(path, busy_timeout_s=busy_timeout_s)
        self._requests: SimpleQueue[_Ask] = SimpleQueue()
        self._thread = Thread(target=self._main, name=f"checkpoint-{path.name}", daemon=True)
        self.done = False

    def start(self) -> None:
        self._thread.start()

    def request(self) -> None:
        """Never blocks."""
        self._requests.put(_Ask.CHECKPOINT)

    def stop(self) -> None:
        """Returns when the checkpoint that runs, if one does, is done and the connection closed."""
        self._requests.put(_Ask.STOP)
        self._thread.join()

    def _main(self) -> None:
        try:
            while self._requests.get() is _Ask.CHECKPOINT:
                checkpoint(self._connection)
                self._watermark.sync()
                self.done = True
        except (sqlite3.Error, OSError) as error:
            self._on_failure(explain(self._path, "a checkpoint failed, nothing more is written", error))
        finally:
            self._connection.close()
