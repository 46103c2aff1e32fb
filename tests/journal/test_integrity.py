"""A file that is not this book's, not whole, or not as it was written is found out before anything is built on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from basis_daemon.domain.errors import ConfigError, IntegrityError, JournalError, ModeMismatchError
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.schema import Identity, Mode
from basis_daemon.journal.watermark import watermark_path
from basis_daemon.ports import Record, RecordKind
from tests.journal.builders import IDENTITY, a_record, open_journal


def write(path: Path, *records: Record) -> None:
    """One life of a daemon: open, append, close."""

    async def life() -> None:
        journal = open_journal(path)
        await journal.append_durable(records)
        await journal.close()

    asyncio.run(life())


def marked(count: int) -> list[Record]:
    return [a_record(f'{{"mark":"row-{number:03d}"}}') for number in range(count)]


def flip(file: Path, text: bytes) -> None:
    """Turns one bit of the first place that holds ``text``."""
    content = bytearray(file.read_bytes())
    content[content.index(text)] ^= 1
    file.write_bytes(content)


def damage(path: Path, *statements: str) -> None:
    """What a hand with an SQLite shell does that takes the triggers away first."""
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        for table in ("record", "header"):
            shell.execute(f"DROP TRIGGER {table}_no_update")
            shell.execute(f"DROP TRIGGER {table}_no_delete")
        for statement in statements:
            shell.execute(statement)


def verify(path: Path) -> None:
    with JournalReader.open(path) as reader:
        reader.verify()


@pytest.mark.parametrize("table", ["record", "header"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET rowid = rowid"])
def test_rows_can_neither_be_changed_nor_deleted(path: Path, table: str, statement: str) -> None:
    write(path)
    with (
        closing(sqlite3.connect(path)) as shell,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        shell.execute(statement.format(table))


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE record SET payload = '{}' WHERE sequence = 5", "row 5 was changed"),
        ("UPDATE record SET market_time = market_time + 1 WHERE sequence = 5", "row 5 was changed"),
        ("DELETE FROM record WHERE sequence = 5", "row 6 found where row 5 was expected"),
        ("DELETE FROM record WHERE sequence = 1", "rows 1 to 1 are missing, and no pruning took them"),
        ("UPDATE record SET chain = zeroblob(32) WHERE sequence = 11", "row 11 was changed"),
        ("DELETE FROM record WHERE sequence > 8", "rows 9 to 11 were committed and are gone"),
        ("UPDATE header SET book = 'another'", "row 1 was changed"),
    ],
)
def test_a_change_behind_the_daemons_back_is_found(path: Path, statement: str, finding: str) -> None:
    write(path, *marked(10))
    verify(path)
    damage(path, statement)
    with pytest.raises(IntegrityError, match=rf"journal\.db.*{finding}.*do not start"):
        verify(path)


@pytest.mark.fault("F51")
def test_a_flipped_bit_is_found_by_verify_and_by_the_next_start(path: Path) -> None:
    write(path, *marked(10))
    flip(path, b"row-004")
    with pytest.raises(IntegrityError, match="row 6 was changed"):
        verify(path)
    with pytest.raises(IntegrityError, match="row 6 was changed"):
        open_journal(path)


def test_a_start_checks_from_the_newest_snapshot_on(path: Path) -> None:
    write(path, *marked(10), a_record('{"state":"all of it"}', RecordKind.SNAPSHOT), a_record('{"mark":"tail"}'))
    flip(path, b"row-004")
    write(path, a_record("still opens: what it starts from holds"))
    with pytest.raises(IntegrityError, match="row 6 was changed"):
        verify(path)
    flip(path, b"all of it")
    with pytest.raises(IntegrityError, match="row 12 was changed"):
        open_journal(path)


RUN_TEXT = '{"config_hash":"c0ffee","code_version":"0.1.0"}'


def crashed(path: Path, image: Path, acknowledged: int = 101) -> Path:
    """Files of a writer of 100 rows that never came to close them; the watermark is of row ``acknowledged``."""

    async def life() -> None:
        journal = open_journal(path)
        mark = b""
        for number, record in enumerate(marked(100), 2):
            await journal.append_durable([record])
            if number == acknowledged:
                await journal.flush()  # the watermark of the commit before is written by now
                mark = watermark_path(path).read_bytes()
        await journal.flush()
        shutil.copytree(path.parent, image)
        watermark_path(image / path.name).write_bytes(mark)
        await journal.close()

    asyncio.run(life())
    return image / path.name


@pytest.mark.parametrize("how", ["bit", "cut", "gone"])
@pytest.mark.fault("F51")
def test_committed_rows_that_a_damaged_wal_lost_stop_the_start(
    path: Path, tmp_path_factory: pytest.TempPathFactory, how: str
) -> None:
    image = crashed(path, tmp_path_factory.mktemp("crash") / "image")
    wal = image.with_name("journal.db-wal")
    if how == "bit":
        flip(wal, b"row-050")  # SQLite drops every frame from there on and finds all well
    elif how == "cut":
        os.truncate(wal, wal.read_bytes().index(b"row-050"))
    else:
        wal.unlink()
    found = {file: file.read_bytes() for file in (image, wal) if file.exists()}
    for _ in range(2):
        with pytest.raises(IntegrityError, match="to 101 were committed and are gone"):
            open_journal(image)
    assert {file: file.read_bytes() for file in found} == found  # the evidence is left as it was


@pytest.mark.fault("F51")
def test_an_older_copy_of_the_file_is_not_taken_for_the_journal(path: Path) -> None:
    write(path, *marked(3))
    older = path.read_bytes()
    write(path, *marked(3))
    path.write_bytes(older)
    with pytest.raises(IntegrityError, match="rows 5 to 8 were committed and are gone"):
        open_journal(path)


@pytest.mark.fault("F51")
@pytest.mark.feature("H03", part="watermark")
def test_a_damaged_watermark_stops_the_start_and_so_does_a_missing_one(path: Path) -> None:
    write(path, *marked(3))
    flip(watermark_path(path), b"BDHEAD")
    with pytest.raises(IntegrityError, match=r"journal\.db\.head is damaged"):
        open_journal(path)
    watermark_path(path).unlink()
    for attempt in (open_journal, verify):
        with pytest.raises(IntegrityError, match=r"journal\.db\.head is missing.*restore"):
            attempt(path)


@pytest.mark.fault("F51")
@pytest.mark.feature("H03", part="watermark")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_journal_that_is_gone_or_empty_is_not_begun_anew_over_rows_that_were_committed(
    path: Path, *, is_there: bool
) -> None:
    write(path, *marked(3))
    path.unlink()
    if is_there:
        path.touch()
    for _ in range(2):
        with pytest.raises(
            IntegrityError, match=r"rows 1 to 4 were committed and are gone.*move journal\.db\.head away"
        ):
            open_journal(path)
    watermark_path(path).unlink()
    write(path)


def test_a_first_start_that_died_before_its_watermark_is_made_good(path: Path) -> None:
    write(path)
    watermark_path(path).write_bytes(bytes(56))
    write(path)
    verify(path)


@pytest.mark.feature("H03", part="wal")
def test_a_torn_last_commit_is_cut_off_and_said(path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """F51: the power went while the last commit was on its way to the disk, and nobody had been told of it."""
    image = crashed(path, tmp_path_factory.mktemp("crash") / "image", acknowledged=99)
    flip(image.with_name("journal.db-wal"), b"row-099")
    journal = open_journal(image)
    asyncio.run(journal.close())
    (note,) = journal.notes
    assert "the last commit was torn and is cut off" in note
    with JournalReader.open(image) as reader:
        reader.verify()
        assert [row.record.payload for row in reader.read(98)][:3] == [*(r.payload for r in marked(99)[97:]), RUN_TEXT]
    write(image)
    asyncio.run(open_journal(image).close())


@pytest.mark.feature("H03", part="wal")
def test_commits_behind_a_damaged_place_in_the_log_are_noticed_even_where_the_watermark_lags(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """F51: after a power loss the watermark may be as old as the last checkpoint, and SQLite itself finds all well."""
    image = crashed(path, tmp_path_factory.mktemp("crash") / "image", acknowledged=10)
    flip(image.with_name("journal.db-wal"), b"row-050")
    with pytest.raises(IntegrityError, match=r"50 commits stand behind a damaged place in the log"):
        open_journal(image)


@pytest.mark.parametrize(
    ("identity", "found", "wanted"),
    [
        (replace(IDENTITY, mode=Mode.LIVE), "mode 'sandbox'", "mode 'live'"),
        (replace(IDENTITY, book="eth_staking"), "book 'btc_basis'", "book 'eth_staking'"),
        (replace(IDENTITY, fingerprint="acc1"), "fingerprint 'acc0'", "fingerprint 'acc1'"),
    ],
)
@pytest.mark.fault("F62")
def test_the_journal_of_another_book_is_refused(path: Path, identity: Identity, found: str, wanted: str) -> None:
    write(path)
    with pytest.raises(ModeMismatchError, match=rf"journal\.db belongs to {found}.*is of {wanted}.*of its own"):
        open_journal(path, identity)
    verify(path)
    write(path)  # the right one may still come, and the lock is free


@pytest.mark.fault("F52")
async def test_a_second_writer_is_refused_and_told_who_writes(path: Path) -> None:
    journal = open_journal(path)
    with pytest.raises(JournalError, match=rf"written by another process \(pid {os.getpid()}"):
        open_journal(path)
    await journal.append_durable([a_record()])
    await journal.close()
    again = open_journal(path)
    await again.close()


@pytest.mark.fault("F62")
def test_a_journal_of_a_newer_version_is_refused(path: Path) -> None:
    write(path)
    damage(path, "UPDATE header SET schema_version = 99")
    with pytest.raises(ConfigError, match=r"schema 99.*up to 2.*newer"):
        open_journal(path)


def test_what_is_no_journal_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"journal\.db does not exist"):
        JournalReader.open(path)
    path.write_text(
        "a shopping list, long enough to fill the place where SQLite keeps its header of a hundred bytes" * 9
    )
    for attempt in (open_journal, JournalReader.open):
        with pytest.raises(ConfigError, match="not a journal"):
            attempt(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    for attempt in (open_journal, JournalReader.open):
        with pytest.raises(ConfigError, match="not a journal"):
            attempt(path)
    with pytest.raises(ConfigError, match=r"directory .* does not exist"):
        open_journal(tmp_path / "missing" / "journal.db")


def test_a_start_that_died_while_making_the_file_is_made_good(path: Path) -> None:
    with closing(sqlite3.connect(path)) as half:
        half.execute("PRAGMA journal_mode = WAL")
    write(path, a_record())
    verify(path)


async def test_a_reader_sees_a_living_journal_and_changes_nothing(path: Path) -> None:
    journal = open_journal(path)
    with JournalReader.open(path) as reader:
        assert reader.header.identity == IDENTITY
        for number in range(3):
            await journal.append_durable([a_record(str(number))])
            newest = reader.newest()
            assert newest is not None
            assert newest.record.payload == str(number)
            assert reader.verify().sequence == newest.sequence
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("CREATE TABLE mine (x)")
    await journal.close()


def test_a_row_of_a_kind_from_the_future_is_not_passed_over(path: Path) -> None:
    write(path, *marked(1))
    damage(path, "UPDATE record SET kind = 'teleport' WHERE sequence = 2")
    with JournalReader.open(path) as reader, pytest.raises(JournalError, match="'teleport'"):
        reader.read()


def test_a_long_journal_is_read_page_by_page(path: Path) -> None:
    write(path, *marked(4500))
    with JournalReader.open(path) as reader:
        trades = frozenset({RecordKind.TRADE})
        assert [row.sequence for row in reader.rows(after=10, kinds=trades)] == list(range(11, 4502))
        assert reader.verify().sequence == 4501
