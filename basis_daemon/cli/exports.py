"""Files of ``journal export``: which writer each takes, and that none is left half written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.export import KINDS, Table, entries_of, tables_of, write_lines
from basis_daemon.journal.reader import JournalReader
from basis_daemon.ports import RecordKind, StoredRecord
from basis_daemon.research.accounts import write_accounts
from basis_daemon.research.tables import write_csv, write_parquet

ALL = "all"
ACCOUNTS = "postings"
_NEED_VALUATIONS = ("valuations", "attribution")


class Format(StrEnum):
    """How a table is written."""

    CSV = "csv"
    PARQUET = "parquet"
    BEANCOUNT = "beancount"
    JSONL = "jsonl"


def export_rows(reader: JournalReader, to: Path, after: int, as_: Format | None) -> int:
    """Every row behind ``after`` as a line of JSON; returns how many. Raises ConfigError, OSError."""
    if as_ not in {None, Format.JSONL}:
        raise ConfigError(f"--what rows --format {as_}: rows are lines of JSON; name jsonl, or a table with --what")
    with _new(to), to.open("x", encoding="utf-8", newline="") as sink:
        return write_lines(reader.rows(after), sink)


def export_tables(
    reader: JournalReader, journal: Path, what: str, to: Path, as_: Format | None
) -> int | dict[str, int]:
    """One table into a file, or every one into a new directory; returns how many rows. Raises ConfigError, OSError."""
    rows = rows_of(reader)
    tables = tables_of(rows)
    if what == ALL:
        return _all(reader, rows, to, as_ or Format.CSV)
    if what in _NEED_VALUATIONS and not any(row.record.kind is RecordKind.VALUATION for row in rows):
        raise ConfigError(nothing_valued(journal))
    return _write(reader, rows, tables[what], to, as_ or _by_ending(to))


def rows_of(reader: JournalReader) -> list[StoredRecord]:
    """The rows that tables are made of; of snapshots the one that a pruned journal begins with."""
    found = enumerate(reader.rows(kinds=KINDS))
    return [row for place, row in found if place == 0 or row.record.kind is not RecordKind.SNAPSHOT]


def nothing_valued(journal: Path) -> str:
    """What is missing, and what to do."""
    return (
        f"journal {journal} holds no valuation, expected one or more: the first comes once every venue agrees with the "
        "book; run the daemon until `basis-daemon status` shows its equity, or name another journal"
    )


def _by_ending(to: Path) -> Format:
    ending = to.suffix.removeprefix(".").lower()
    return Format(ending) if ending in set(Format) else Format.CSV


def _all(reader: JournalReader, rows: Sequence[StoredRecord], to: Path, as_: Format) -> dict[str, int]:
    if as_ not in {Format.CSV, Format.PARQUET}:
        raise ConfigError(f"--what all --format {as_}: expected csv or parquet; the accounts are written beside them")
    to.mkdir(parents=True)
    written = {name: _write(reader, rows, table, to / f"{name}.{as_}", as_) for name, table in tables_of(rows).items()}
    accounts = _write(reader, rows, tables_of(rows)[ACCOUNTS], to / "book.beancount", Format.BEANCOUNT)
    return written | {"book.beancount": accounts}


def _write(reader: JournalReader, rows: Sequence[StoredRecord], table: Table, to: Path, as_: Format) -> int:
    match as_:
        case Format.PARQUET:
            with _new(to):
                return write_parquet(table, to)
        case Format.CSV:
            with _new(to), to.open("x", encoding="utf-8", newline="") as sink:
                return write_csv(table, sink)
        case Format.BEANCOUNT if table.name == ACCOUNTS:
            with _new(to), to.open("x", encoding="utf-8", newline="") as sink:
                return write_accounts(entries_of(rows), reader.header.identity.book, sink)
    fit = "`--what postings` is what accounts are made of" if as_ is Format.BEANCOUNT else "only `--what rows` is lines"
    raise ConfigError(f"--what {table.name} --format {as_}: {fit}; name csv or parquet")


@contextmanager
def _new(to: Path) -> Iterator[None]:
    """A file that appears whole or not at all. Raises FileExistsError, and never touches what is there."""
    if to.exists():
        raise FileExistsError(to)
    is_whole = False
    try:
        yield
        is_whole = True
    finally:
        if not is_whole:
            to.unlink(missing_ok=True)
