"""The journal's line of the preflight: the whole record for whoever asks, at a start what the start is built on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from basis_daemon.domain.check import Light
from basis_daemon.ports import RecordKind
from basis_daemon.preflight import journal
from tests.journal.builders import IDENTITY, a_record, open_journal
from tests.journal.test_integrity import damage
from tests.journal.test_migration import of_schema_1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def written(file: Path) -> None:
    """The generation, a trade, a snapshot, another trade."""

    async def life() -> None:
        book = open_journal(file)
        kinds = [RecordKind.TRADE, RecordKind.SNAPSHOT, RecordKind.TRADE]
        await book.append_durable([a_record('{"n":1}', kind) for kind in kinds])
        await book.close()

    asyncio.run(life())


@pytest.mark.feature("U02")
@pytest.mark.parametrize("is_start", [False, True])
def test_a_journal_of_an_older_schema_does_not_keep_an_upgraded_daemon_from_arming(file: Path, is_start: bool) -> None:
    of_schema_1(file)
    line = journal(file, IDENTITY, is_start=is_start)
    assert (line.light, line.found, line.expected) == (Light.YELLOW, "schema 1", "schema 2")
    assert "a start makes a backup" in line.remedy


def test_a_start_looks_at_what_it_is_built_on_and_not_at_months(file: Path) -> None:
    """So that it takes no longer with every row; the whole stays the affair of `doctor` and `journal verify`."""
    written(file)
    assert journal(file, IDENTITY, is_start=True).found == "4 rows, unbroken since the newest snapshot"
    damage(file, """UPDATE record SET payload = '{"n":2}' WHERE sequence = 2""")
    assert journal(file, IDENTITY, is_start=True).light is Light.GREEN
    assert "row 2 was changed" in journal(file, IDENTITY, is_start=False).found


def test_a_start_sees_damage_behind_the_newest_snapshot(file: Path) -> None:
    written(file)
    damage(file, """UPDATE record SET payload = '{"n":2}' WHERE sequence = 4""")
    line = journal(file, IDENTITY, is_start=True)
    assert line.light is Light.RED
    assert "row 4 was changed" in line.found
    assert "restore a backup" in line.remedy


def test_a_header_that_says_nonsense_is_a_red_line_and_no_traceback(file: Path) -> None:
    written(file)
    damage(file, "UPDATE header SET mode = 'lived'")
    line = journal(file, IDENTITY, is_start=True)
    assert line.light is Light.RED
    assert "header is damaged" in line.found
