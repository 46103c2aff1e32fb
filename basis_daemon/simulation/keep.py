"""A replay's journal on disk, row by row with its virtual stamps: every command that reads a journal reads it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from basis_daemon import __version__
from basis_daemon.domain.errors import ConfigError
from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import RecordKind, StoredRecord

FILE = "journal.sqlite"


@dataclass(slots=True)
class _Stamp:
    """Honours ``ports.Clock`` as far as a journal asks: the wall time of the row that is being copied."""

    now: datetime

    def wall(self) -> datetime:
        return self.now

    def monotonic_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None: ...


def keep(directory: Path, book: str, config_hash: str, rows: Sequence[StoredRecord]) -> Path:
    """Writes the journal of one window there; raises ConfigError for a directory that holds one already."""
    file = directory / FILE
    if file.exists():
        raise ConfigError(f"--keep {directory}: found a journal there; expected a new directory; name another one")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--keep {directory}: {error.strerror}; name a directory that can be written") from error
    asyncio.run(_copied(file, book, config_hash, rows))
    return file


async def _copied(file: Path, book: str, config_hash: str, rows: Sequence[StoredRecord]) -> None:
    clock = _Stamp(rows[0].wall_time)
    identity = Identity(book, Mode.PAPER, hashlib.sha256(b"replay").hexdigest())
    journal = SqliteJournal.open(file, identity, Run(config_hash, __version__), clock)
    try:
        for row in rows:
            if row.record.kind is not RecordKind.GENERATION:  # the file begins with its own
                clock.now = row.wall_time
                journal.append(row.record)
        await journal.flush()
    finally:
        await journal.close()
