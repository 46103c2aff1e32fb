"""Backup while a daemon writes, and restore into a file that is not there yet.

A restored journal lacks what came after its backup: intents, fills, decisions. Fills and funding since then are fetched
from the venues at the next start and booked as external; ids of lost orders must not come again, so the next generation
is put beyond any that the lost file can have reached.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from basis_daemon.domain.errors import IntegrityError, JournalError
from basis_daemon.journal.files import (
    PagesProgress,
    copy_pages,
    ignore_pages,
    move_into_place,
    refuse_existing,
    write_watermark,
)
from basis_daemon.journal.lock import acquired
from basis_daemon.journal.migrations import migrate
from basis_daemon.journal.reader import JournalReader, Progress, ignore_progress
from basis_daemon.journal.rows import Head, link, micros
from basis_daemon.journal.schema import (
    SCHEMA_VERSION,
    Identity,
    check_place,
    connect,
    failed,
    insertion,
    load_owner,
    refuse_stranger,
)
from basis_daemon.journal.watermark import load_watermark
from basis_daemon.ports import Clock, RecordKind, StoredRecord

GENERATION_ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""Restored journals go on with at least as many generations as minutes have passed since: a daemon begins one with each
start, and would have to be started every minute of its life to come that far by counting."""

_BUSY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Copy:
    """A journal that was copied and then verified; ``last`` is the newest row that came from the original."""

    path: Path
    head: Head
    last: StoredRecord | None
    generation: int


def back_up(path: Path, to: Path, pages: PagesProgress = ignore_pages, rows: Progress = ignore_progress) -> Copy:
    """Writes a verified copy of a journal, also of one that a daemon writes.

    Raises ConfigError when ``to`` exists, IntegrityError when the copy does not hold, JournalError when a disk fails.
    """
    check_place(path, must_exist=True)
    refuse_existing(to)
    scratch = to.with_name(to.name + ".part")
    mark = load_watermark(path)  # before the copy: what is committed by now has to be in it
    copy_pages(path, scratch, pages)
    with JournalReader.open(scratch) as copy:
        head, last = copy.verify(rows, needs_watermark=False), copy.newest()
        if (
            mark is not None
            and mark.sequence
            and (mark.sequence > head.sequence or copy.chain_of(mark.sequence) != mark.chain)
        ):
            raise IntegrityError(f"{scratch}: row {mark.sequence} of {path} is not in the copy; verify the journal")
    move_into_place(scratch, to)
    write_watermark(to, head)
    return Copy(to, head, last, last.generation if last else 0)


def restore(
    backup: Path,
    to: Path,
    clock: Clock,
    identity: Identity | None = None,
    pages: PagesProgress = ignore_pages,
    rows: Progress = ignore_progress,
) -> Copy:
    """Makes the journal ``to`` from a backup, which is verified and left as it is; ``identity`` must be its own.

    Raises ConfigError when ``to`` exists, ModeMismatchError for the backup of another book, IntegrityError when it does
    not hold, JournalError when a daemon holds the place or a disk fails.
    """
    check_place(backup, must_exist=True)
    check_place(to, must_exist=False)
    with acquired(to):
        refuse_existing(to)
        scratch = to.with_name(to.name + ".restoring")
        _of_this_schema(backup, scratch, clock, identity, pages)
        with JournalReader.open(scratch) as copy:
            head, last = copy.verify(rows, needs_watermark=False), copy.newest()
        if last is None:
            raise JournalError(f"backup {backup} holds no rows; nothing to restore")
        _check_mark(backup, head)
        generation = max(last.generation, (clock.wall() - GENERATION_ORIGIN) // timedelta(minutes=1))
        head = _seal(scratch, backup, head, last, generation, clock)
        move_into_place(scratch, to)
        write_watermark(to, head)
        return Copy(to, head, last, generation + 1)


def _of_this_schema(backup: Path, scratch: Path, clock: Clock, identity: Identity | None, pages: PagesProgress) -> None:
    version, owner = load_owner(backup)
    if identity is not None:
        refuse_stranger(backup, owner, identity)
    copy_pages(backup, scratch, pages)
    if version < SCHEMA_VERSION:
        migrate(scratch, owner, clock)
        for beside in scratch.parent.glob(f"{scratch.name}.*"):  # its own backup and watermark: the original is there
            beside.unlink()


def _check_mark(backup: Path, head: Head) -> None:
    """A backup made by `back_up` ends exactly where its watermark says."""
    mark = load_watermark(backup)
    if mark is not None and mark.sequence > head.sequence:
        raise IntegrityError(
            f"backup {backup} ends with row {head.sequence}, its watermark says {mark.sequence}; take another backup"
        )


def _seal(scratch: Path, backup: Path, head: Head, last: StoredRecord, generation: int, clock: Clock) -> Head:
    """Appends the row that says where this journal comes from; all later ids are of later generations."""
    said = {
        "backup": backup.name,
        "rows": head.sequence,
        "chain": head.chain.hex(),
        "lost_since": last.wall_time.isoformat(),
    }
    fields = (
        head.sequence + 1, generation, RecordKind.RESTORE.value, micros(clock.wall()), micros(last.record.market_time),
        "", "", msgspec.json.encode(said).decode(),
    )  # fmt: skip
    chain = link(head.chain, fields)
    try:
        with closing(connect(scratch, busy_timeout_s=_BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(insertion(1), (*fields, chain))
    except sqlite3.Error as error:
        raise failed(scratch, "writing the restored file failed", error) from error
    return Head(head.sequence + 1, chain)
