"""One process at a time writes a journal: a lock file beside it, which the kernel lets go when its holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from basis_daemon.domain.errors import JournalError
from basis_daemon.journal.schema import failed


def acquire(path: Path) -> FileLock:
    """The lock of this journal, held. Raises JournalError naming the process that holds it."""
    lock = FileLock(f"{path}.lock", thread_local=False, mode=0o600)
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
    return lock


@contextmanager
def acquired(path: Path) -> Iterator[None]:
    """Holds the lock of this journal; raises JournalError like ``acquire``."""
    lock = acquire(path)
    try:
        yield
    finally:
        lock.release()
