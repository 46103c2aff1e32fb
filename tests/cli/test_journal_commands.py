"""The book of record as a file: verified, read out, backed up and restored from the command line."""

from __future__ import annotations

import asyncio
import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from basis_daemon.cli.app import app
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.settings import load_settings
from basis_daemon.wiring_journal import journal_identity
from tests.builders import NOW
from tests.demo.story import story_on
from tests.journal.builders import RUN, StandingClock
from tests.journal.test_integrity import damage

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with the journal of a day, at rest."""
    file = tmp_path / "daemon.yaml"
    file.write_text(written_over(SANDBOX_CONFIG, {"data_dir": str(tmp_path / "book")}), encoding="utf-8")
    settings = load_settings(file, {}).settings
    settings.data_dir.mkdir()

    async def day() -> None:
        journal = SqliteJournal.open(settings.journal_file, journal_identity(settings), RUN, StandingClock(NOW))
        await story_on(journal).tell()
        await journal.close()

    asyncio.run(day())
    return file


@pytest.fixture
def journal(config: Path) -> Path:
    return config.parent / "book" / "journal.sqlite"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["journal", *map(str, words)])


def told(*words: str | Path) -> dict[str, object]:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


@pytest.mark.feature("H03", part="command")
def test_verify_tells_what_the_journal_holds_and_that_it_holds(config: Path, journal: Path) -> None:
    said = told("verify", "-c", config)
    assert (said["result"], said["journal"], said["book"]) == ("whole", str(journal), "btc_basis_sandbox")
    assert (said["first"], said["generations"], said["pruned_through"]) == (1, 1, 0)
    assert said["rows"] == said["last"]
    assert "whole" in run("verify", "--journal", journal).stdout


@pytest.mark.feature("H03", part="command")
def test_verify_of_a_damaged_journal_ends_with_one_and_names_the_row_and_the_remedy(journal: Path) -> None:
    damage(journal, "UPDATE record SET payload = '{}' WHERE kind = 'cash_flow'")
    result = run("verify", "--journal", journal, "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)["error"]
    assert error["kind"] == "IntegrityError"
    assert "was changed after it was written" in error["message"]
    assert "basis-daemon journal restore" in error["message"]


def test_an_export_holds_every_row_as_one_line_of_json(journal: Path, tmp_path: Path) -> None:
    said = told("export", "--journal", journal, "--to", tmp_path / "rows.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert said["written"] == len(lines)
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert next(line["payload"]["amount"] for line in lines if line["kind"] == "cash_flow") == "21.35"
    assert run("export", "--journal", journal, "--to", tmp_path / "rows.jsonl").exit_code == 1


def test_trades_and_postings_are_exported_as_tables_whose_postings_balance(journal: Path, tmp_path: Path) -> None:
    told("export", "--journal", journal, "--what", "trades", "--to", tmp_path / "trades.csv")
    told("export", "--journal", journal, "--what", "postings", "--to", tmp_path / "postings.csv")
    with (tmp_path / "trades.csv").open(encoding="utf-8") as file:
        trades = list(csv.DictReader(file))
    with (tmp_path / "postings.csv").open(encoding="utf-8") as file:
        postings = list(csv.DictReader(file))
    assert {trade["plan_id"] for trade in trades} == {trade["order_id"] for trade in trades}  # as the story writes them
    assert {row["cause"] for row in postings} >= {"opening", "trade", "fee", "funding"}
    sums: dict[tuple[str, str], Decimal] = {}
    for row in postings:
        at = (row["event_id"], row["asset"])
        sums[at] = sums.get(at, Decimal(0)) + Decimal(row["amount"])
    assert set(sums.values()) == {Decimal(0)}


@pytest.mark.feature("H06", part="command")
def test_a_lost_journal_is_restored_from_its_backup_and_never_over_a_living_one(config: Path, journal: Path) -> None:
    copy = config.parent / "backup.sqlite"
    said = told("backup", "-c", config, "--to", copy)
    assert (said["result"], said["backup"]) == ("whole", str(copy))
    assert run("restore", copy, "-c", config).exit_code == 1
    for file in journal.parent.iterdir():
        file.rename(file.with_name(f"lost-{file.name}"))
    back = told("restore", copy, "-c", config)
    assert back["refetched_since"] == said_until(journal)
    assert isinstance(back["next_generation"], int)
    assert back["next_generation"] > 100_000
    assert told("verify", "-c", config)["result"] == "whole"


def said_until(journal: Path) -> object:
    """Market time of the newest row that came from the backup."""
    rows = journal.with_name("rows.jsonl")
    told("export", "--journal", journal, "--to", rows)
    return json.loads(rows.read_text(encoding="utf-8").splitlines()[-2])["market_time"]


def test_the_backup_of_another_book_is_refused_with_its_own_code(config: Path) -> None:
    copy = config.parent / "backup.sqlite"
    told("backup", "-c", config, "--to", copy)
    other = config.with_name("other.yaml")
    changes = {"book.name": "another", "data_dir": str(config.parent / "other")}
    other.write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
    result = run("restore", copy, "-c", other, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["kind"] == "ModeMismatchError"


@pytest.mark.parametrize("words", [("verify",), ("backup", "--to", "x"), ("export", "--to", "x"), ("restore", "x")])
def test_a_command_that_knows_no_journal_asks_for_one(words: tuple[str, ...]) -> None:
    result = run(*words, "--json")
    assert result.exit_code == 1
    assert "--config FILE" in json.loads(result.stdout)["error"]["message"]


@pytest.mark.parametrize("command", ["verify", "export", "backup", "restore"])
def test_every_command_teaches_itself(command: str) -> None:
    assert "basis-daemon journal" in run(command, "--help").stdout
