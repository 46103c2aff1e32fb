"""A backup is a whole journal taken beside a writing daemon; a restored one goes on and repeats no id."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from basis_daemon.domain.errors import ConfigError, IntegrityError, JournalError, ModeMismatchError
from basis_daemon.journal.backup import GENERATION_ORIGIN, Copy, back_up, restore
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.schema import Mode
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.journal.watermark import load_watermark, watermark_path
from basis_daemon.ports import RecordKind
from tests.journal.builders import IDENTITY, NOON, RUN, StandingClock, a_record, open_journal
from tests.journal.test_integrity import flip, marked, write
from tests.journal.test_migration import of_schema_1

TRADES = frozenset({RecordKind.TRADE})


@pytest.fixture
def backup(path: Path) -> Path:
    return path.with_name("backup.db")


def stands_alone(copy: Copy) -> None:
    """One file and its watermark, for its owner's eyes only."""
    assert load_watermark(copy.path) == copy.head
    assert copy.path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in copy.path.parent.glob("backup.db*")) == ["backup.db", "backup.db.head"]


def verified(path: Path) -> int:
    with JournalReader.open(path) as reader:
        return reader.verify().sequence


@pytest.mark.feature("H06", part="backup")
@pytest.mark.slow
async def test_a_backup_taken_while_the_daemon_writes_is_whole_and_holds_what_was_acknowledged(
    path: Path, backup: Path
) -> None:
    journal = open_journal(path)
    await journal.append_durable([a_record(f'"{n} {"x" * 3000}"') for n in range(3000)])
    acknowledged = 0
    copying = asyncio.get_running_loop().run_in_executor(None, back_up, path, backup)
    while not copying.done():
        await journal.append_durable([a_record('"during"')])
        acknowledged += 1
    copy = await copying
    assert acknowledged > 0
    assert copy.head.sequence >= 3001
    assert verified(backup) == copy.head.sequence
    await journal.append_durable([a_record('"after"')])
    await journal.close()
    assert verified(path) == 3002 + acknowledged
    stands_alone(copy)


def test_a_backup_overwrites_nothing_and_a_damaged_journal_gives_none(path: Path, backup: Path) -> None:
    write(path, *marked(10))
    back_up(path, backup)
    with pytest.raises(ConfigError, match=r"backup\.db, .*backup\.db\.head exists and is not overwritten"):
        back_up(path, backup)
    flip(path, b"row-004")
    with pytest.raises(IntegrityError, match="row 6 was changed"):
        back_up(path, path.with_name("second.db"))
    assert not path.with_name("second.db").exists()


def test_a_copy_that_misses_committed_rows_is_no_backup(path: Path, backup: Path) -> None:
    write(path, *marked(3))
    older = path.read_bytes()
    write(path, *marked(3))
    path.write_bytes(older)
    with pytest.raises(IntegrityError, match=r"row 8 of .* is not in the copy"):
        back_up(path, backup)


@pytest.mark.feature("H06", part="restore")
def test_a_restored_journal_goes_on_where_the_backup_ended_in_a_generation_nobody_had(path: Path, backup: Path) -> None:
    write(path, *marked(3))
    back_up(path, backup)
    for _ in range(5):  # the original lives on: these generations have sent orders
        write(path, a_record('"lost"'))
    place = path.with_name("restored.db")
    now = StandingClock(GENERATION_ORIGIN + timedelta(minutes=500_000))
    copy = restore(backup, place, now, IDENTITY)
    assert copy.generation == 500_001
    journal = SqliteJournal.open(place, IDENTITY, RUN, now)
    rows = journal.read()
    assert journal.generation == rows[-1].generation == 500_001
    assert [row.record.payload for row in rows if row.record.kind is RecordKind.TRADE] == [
        f'{{"mark":"row-{n:03d}"}}' for n in range(3)
    ]
    said = json.loads(rows[-2].record.payload)
    assert (said["backup"], said["rows"], said["lost_since"]) == ("backup.db", 4, NOON.isoformat())
    asyncio.run(journal.close())
    assert verified(place) == 6


def test_two_restores_of_one_backup_never_share_a_generation(path: Path, backup: Path) -> None:
    write(path)
    back_up(path, backup)
    generations = set()
    for minutes in (1, 700, 701):
        place = path.with_name(f"restored-{minutes}.db")
        restore(backup, place, StandingClock(GENERATION_ORIGIN + timedelta(minutes=minutes)))
        journal = open_journal(place)
        generations.add(journal.generation)
        asyncio.run(journal.close())
    assert len(generations) == 3


def test_a_wall_clock_that_was_never_set_cannot_make_generations_fall(path: Path, backup: Path) -> None:
    for _ in range(3):
        write(path)
    back_up(path, backup)
    copy = restore(backup, path.with_name("restored.db"), StandingClock(GENERATION_ORIGIN - timedelta(days=9)))
    assert copy.generation == 4


@pytest.mark.feature("H06", part="restore")
async def test_a_journal_that_is_there_is_never_written_over(path: Path, backup: Path) -> None:
    journal = open_journal(path)
    await journal.append_durable(marked(3))
    back_up(path, backup)
    with pytest.raises(JournalError, match="written by another process"):
        restore(backup, path, StandingClock())
    await journal.close()
    with pytest.raises(ConfigError, match="exists and is not overwritten; move it away"):
        restore(backup, path, StandingClock())
    assert verified(path) == 4


def test_what_is_left_of_a_lost_journal_is_evidence_and_stays(path: Path, backup: Path) -> None:
    write(path, *marked(3))
    back_up(path, backup)
    path.unlink()
    with pytest.raises(ConfigError, match=r"journal\.db\.head.* exists and is not overwritten"):
        restore(backup, path, StandingClock())


def test_the_backup_of_another_book_or_a_damaged_one_is_refused_and_nothing_is_left(path: Path, backup: Path) -> None:
    write(path, *marked(10))
    back_up(path, backup)
    place = path.with_name("restored.db")
    with pytest.raises(ModeMismatchError, match="mode 'sandbox'"):
        restore(backup, place, StandingClock(), replace(IDENTITY, mode=Mode.LIVE))
    flip(backup, b"row-004")
    with pytest.raises(IntegrityError, match="row 6 was changed"):
        restore(backup, place, StandingClock(), IDENTITY)
    assert not place.exists()


def test_a_backup_cut_short_is_told_by_its_watermark(path: Path, backup: Path) -> None:
    write(path, *marked(10))
    older = path.with_name("older.db")
    back_up(path, older)
    write(path, *marked(2))
    back_up(path, backup)
    shutil.copy(older, backup)
    with pytest.raises(IntegrityError, match="ends with row 11, its watermark says 14"):
        restore(backup, path.with_name("restored.db"), StandingClock())
    watermark_path(backup).unlink()
    assert restore(backup, path.with_name("restored.db"), StandingClock()).head.sequence == 12


@pytest.mark.feature("H06", part="restore")
def test_the_backup_that_a_migration_made_restores_into_this_schema(path: Path) -> None:
    of_schema_1(path)
    place = path.with_name("restored.db")
    restore(path, place, StandingClock(), IDENTITY)
    assert verified(place) == 12
    assert not list(path.parent.glob("restored.db.restoring*"))
