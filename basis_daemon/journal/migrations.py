"""From an older schema to this one: a backup first, then a new file built beside the old one and put in its place.

Until the last rename the old file is the journal and is not changed, so that a migration may die at any point and is
taken up where it stood. The old chain is checked to its end while it is read; the new one ends with a row that names
the old head and the backup which still has it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import msgspec

from basis_daemon.domain.errors import IntegrityError, JournalError
from basis_daemon.journal.files import copy_pages, move_into_place, write_watermark
from basis_daemon.journal.migration_note import MigrationNote
from basis_daemon.journal.reader import Progress, ignore_progress
from basis_daemon.journal.rows import Head, digest, instant, link, micros
from basis_daemon.journal.schema import (
    COLUMNS,
    SCHEMA_VERSION,
    Header,
    Identity,
    connect,
    create,
    failed,
    insertion,
    is_blank,
    load_header,
    load_identity,
    load_version,
    refuse_stranger,
)
from basis_daemon.journal.watermark import load_watermark
from basis_daemon.ports import Clock, RecordKind

ROWS_PER_COMMIT = 2_000
_BUSY_TIMEOUT_S = 5.0
_encode = msgspec.msgpack.Encoder().encode

_COPIED = "sequence, generation, kind, wall_time, market_time, causation_id"
"""What a migration leaves as it was."""

OldRow = tuple[int, int, str, int, int, str, str, str, bytes]
"""A row of schema 1: sequence, generation, kind, wall_time, market_time, ids, payload, chain."""

Fields = tuple[int, int, str, int, int, str, str, str]
"""A row without its chain."""


def _link_1(chain: bytes, fields: tuple[int | str, ...]) -> bytes:
    """Of schema 1: over the payload itself, so that no payload could ever be let go."""
    return sha256(chain + _encode(fields)).digest()


def _valuation_of_1(text: str, strategy: str) -> str:
    """Schema 1 knew one strategy, which had all accounts and all capital of its book."""
    said = json.loads(text)
    accounts = {key.partition(":")[0] for part in ("holdings", "marks") for key in said[part]}
    accounts |= {margin["account"] for margin in said["margins"]}
    named = {"strategy": strategy, "accounts": sorted(accounts), "capital_usdt": said["equity_usdt"]}
    return json.dumps(named | said, ensure_ascii=False, separators=(",", ":"))


def _snapshot_of_1(text: str, market_us: int, strategy: str) -> str:
    """Event ids stood bare; now each has a time, after which it may go, and its accounts. Valuations go by strategy."""
    said = json.loads(text)
    at = instant(market_us).isoformat()
    said["ledger"]["seen"] = [[event_id, at, []] for event_id in said["ledger"]["seen"]]
    last = said.pop("last_valuation", "")
    said["last_valuations"] = {strategy: _valuation_of_1(last, strategy)} if last else {}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _fields_of_1(row: OldRow, strategy: str) -> Fields:
    """What the row says now: the seven columns and the payload."""
    kind, market_us, correlation, payload = row[2], row[4], row[5], row[7]
    if kind == RecordKind.SNAPSHOT:
        payload = _snapshot_of_1(payload, market_us, strategy)
    elif kind == RecordKind.VALUATION:
        correlation, payload = strategy, _valuation_of_1(payload, strategy)
    return *row[:5], correlation, row[6], payload


def _strategy_of_1(old: sqlite3.Connection) -> str:
    """The one strategy of the file, as its decisions name it."""
    query = "SELECT json_extract(payload, '$.strategy') FROM record WHERE kind = 'decision' LIMIT 1"
    row = old.execute(query).fetchone()
    return str(row[0]) if row else "btc_basis"


_LINKS: dict[int, Callable[[bytes, tuple[int | str, ...]], bytes]] = {1: _link_1}
_FIELDS: dict[int, Callable[[OldRow, str], Fields]] = {1: _fields_of_1}


def migrate(path: Path, identity: Identity, clock: Clock, progress: Progress = ignore_progress) -> str:
    """Brings a file to SCHEMA_VERSION and says so; the caller holds its lock.

    Raises ModeMismatchError for the journal of another book, IntegrityError when the old chain does not hold,
    JournalError when another program has the file open or the disk fails. Whatever it raises, the old file is still
    the journal.
    """
    scratch = path.with_name(path.name + ".migrating")
    try:
        with closing(connect(path, busy_timeout_s=_BUSY_TIMEOUT_S)) as old:
            version, head, header = load_version(old, path), _old_head(old), _header_of(old)
            refuse_stranger(path, header.identity, identity)
            _check_mark(old, path, head)
            backup = path.with_name(f"{path.name}.schema{version}-{head.sequence}")
            _back_up(path, backup, head)
            note = MigrationNote(version, SCHEMA_VERSION, head, backup.name)
            with closing(_taken_up(scratch, header, old)) as new:
                new_head = _rebuild(old, new, note, clock, progress)
            _let_go(old, path)
        move_into_place(scratch, path)
        write_watermark(path, new_head)
    except sqlite3.Error as error:
        raise failed(path, "migrating failed, the old file is as it was", error) from error
    return f"journal {path}: migrated from schema {version} to {SCHEMA_VERSION}; {backup.name} is the file as it was"


def _check_mark(old: sqlite3.Connection, path: Path, head: Head) -> None:
    mark = load_watermark(path)
    if mark is None or mark.sequence == 0:
        return
    row = old.execute("SELECT chain FROM record WHERE sequence = ?", (mark.sequence,)).fetchone()
    if row != (mark.chain,):
        raise IntegrityError(
            f"journal {path}: row {mark.sequence} was committed and is gone or another one (the file ends with row "
            f"{head.sequence}); nothing was migrated: keep the file and what stands beside it, restore a backup"
        )


def _old_head(old: sqlite3.Connection) -> Head:
    row = old.execute("SELECT sequence, chain FROM record ORDER BY sequence DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, b"")


def _back_up(path: Path, backup: Path, head: Head) -> None:
    if not backup.exists():
        part = backup.with_name(backup.name + ".part")
        copy_pages(path, part)
        move_into_place(part, backup)
        write_watermark(backup, load_watermark(path) or head)


def _rebuild(
    old: sqlite3.Connection, new: sqlite3.Connection, note: MigrationNote, clock: Clock, progress: Progress
) -> Head:
    """The head of the new file, complete under its scratch name."""
    done = new.execute("SELECT sequence, chain FROM record ORDER BY sequence DESC LIMIT 1").fetchone()
    head = Head(*done) if done else _header_of(old).genesis()
    taken_up, generation, market_us, strategy = head.sequence, 0, 0, _strategy_of_1(old)
    batch: list[tuple[int | str | bytes, ...]] = []
    for row in _checked(old, note):
        generation, market_us = row[1], row[4]
        if row[0] <= taken_up:
            continue
        fields = _FIELDS[note.was_schema](row, strategy)
        head = Head(row[0], link(head.chain, fields))
        batch.append((*fields, head.chain))
        if len(batch) == ROWS_PER_COMMIT:
            _commit(new, batch)
            progress(head.sequence)
    last = (head.sequence + 1, generation, RecordKind.MIGRATION.value, micros(clock.wall()), market_us, "", "",
            note.payload())  # fmt: skip
    head = Head(last[0], link(head.chain, last))
    _commit(new, [*batch, (*last, head.chain)])
    return head


def _header_of(old: sqlite3.Connection) -> Header:
    config_hash, created = old.execute("SELECT config_hash, created FROM header").fetchone()
    return Header(SCHEMA_VERSION, load_identity(old), config_hash, instant(created))


def _taken_up(scratch: Path, header: Header, old: sqlite3.Connection) -> sqlite3.Connection:
    """The file that an attempt before left half done with these very rows, or a new one."""
    if scratch.exists() and not _is_ours(scratch, header, old):
        scratch.unlink()
    is_new = not scratch.exists()
    scratch.touch(mode=0o600)
    new = connect(scratch, busy_timeout_s=_BUSY_TIMEOUT_S)
    new.execute("PRAGMA synchronous = FULL")
    if is_new:
        create(new, header)
    return new


def _is_ours(scratch: Path, header: Header, old: sqlite3.Connection) -> bool:
    """True when it holds the first of our rows and nothing else; also lets SQLite take back what was half written."""
    with closing(connect(scratch, busy_timeout_s=_BUSY_TIMEOUT_S)) as new:
        if is_blank(new) or load_header(new, scratch) != header:
            return False
        mine = new.execute(f"SELECT {_COPIED} FROM record ORDER BY sequence DESC LIMIT 1").fetchone()  # noqa: S608 - constants of the schema
        if mine is None:
            return True
        theirs = old.execute(f"SELECT {_COPIED} FROM record WHERE sequence = ?", (mine[0],)).fetchone()  # noqa: S608 - constants of the schema
        return bool(mine == theirs)


def _checked(old: sqlite3.Connection, note: MigrationNote) -> Iterator[OldRow]:
    """The old rows in order, each after it was seen to continue the old chain. Raises IntegrityError."""
    fields = old.execute("SELECT schema_version, book, mode, fingerprint, config_hash, created FROM header").fetchone()
    chain = digest(fields)
    rows = old.execute(f"SELECT {COLUMNS} FROM record ORDER BY sequence")  # noqa: S608 - a constant of the schema
    for sequence, row in enumerate(rows, 1):
        chain = _LINKS[note.was_schema](chain, row[:8])
        if row[0] != sequence or row[8] != chain:
            raise IntegrityError(
                f"row {row[0]} of schema {note.was_schema} does not continue its chain (row {sequence} was expected): "
                "nothing was migrated; restore a backup"
            )
        yield row


def _commit(new: sqlite3.Connection, batch: list[tuple[int | str | bytes, ...]]) -> None:
    new.execute("BEGIN IMMEDIATE")
    new.executemany(insertion(1), batch)
    new.execute("COMMIT")
    batch.clear()


def _let_go(old: sqlite3.Connection, path: Path) -> None:
    """Ends the old file's log: beside the new file it would be taken for its own."""
    (mode,) = old.execute("PRAGMA journal_mode = DELETE").fetchone()
    if mode != "delete":
        raise JournalError(f"journal {path} is open in another program; end it, then start again")
