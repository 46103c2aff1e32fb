"""Copies of a journal that are whole or not there: made under another name, synced, checked, and only then renamed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from basis_daemon.domain.errors import ConfigError
from basis_daemon.journal.rows import Head
from basis_daemon.journal.schema import connect, failed
from basis_daemon.journal.watermark import Watermark, watermark_path

PAGES_PER_STEP = 1_000
_BUSY_TIMEOUT_S = 5.0

PagesProgress = Callable[[int, int], None]
"""Called with the pages that are done and those of the whole."""


def ignore_pages(done: int, total: int) -> None:
    """Nobody watches."""


def sync_file(path: Path) -> None:
    """Returns once the file's content is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_into_place(scratch: Path, path: Path) -> None:
    """Replaces ``path`` by ``scratch``, content and name on disk: after a crash one of the two is there, whole."""
    sync_file(scratch)
    scratch.replace(path)
    sync_file(path.parent)


def refuse_existing(path: Path) -> None:
    """Raises ConfigError when something stands where a copy is to be made, or nowhere could."""
    beside = [path, watermark_path(path), *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    if found := [file for file in beside if file.exists()]:
        names = ", ".join(str(file) for file in found)
        raise ConfigError(f"{names} exists and is not overwritten; move it away, or name another file")
    if not path.parent.is_dir():
        raise ConfigError(f"directory {path.parent} does not exist; make it, or name another file")


def copy_pages(source: Path, scratch: Path, progress: PagesProgress = ignore_pages) -> None:
    """One consistent picture of a journal, also while a daemon writes it, as a single file of mode 0600.

    The read transaction holds the picture still, so that the copy need not begin again with every commit; the writer
    goes on meanwhile. Raises JournalError or ConfigError.
    """
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    try:
        with (
            closing(connect(source, busy_timeout_s=_BUSY_TIMEOUT_S, read_only=True)) as giving,
            closing(connect(scratch, busy_timeout_s=_BUSY_TIMEOUT_S)) as taking,
        ):
            giving.execute("BEGIN")
            giving.execute("SELECT count(*) FROM header").fetchone()

            def tell(_: int, remaining: int, total: int) -> None:
                progress(total - remaining, total)

            giving.backup(taking, pages=PAGES_PER_STEP, progress=tell, sleep=0)
            taking.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        scratch.unlink(missing_ok=True)
        raise failed(source, f"copying to {scratch} failed", error) from error


def write_watermark(path: Path, head: Head) -> None:
    """Makes or moves the watermark of a file that nobody writes; on disk when it returns."""
    mark = Watermark.open(path)
    try:
        mark.record(head)
        mark.sync()
    finally:
        mark.close()
    sync_file(path.parent)
