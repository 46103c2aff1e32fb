"""The commands about a book: of a journal at rest without a daemon, of a daemon through its socket, never both."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from basis_daemon.cli import app, tables_of_profit
from basis_daemon.cli.answers import ExitCode
from basis_daemon.engine.attribution import Asked, By
from basis_daemon.engine.profit import pnl
from tests.demo.story import BOOK, PLAN, story_on
from tests.journal.builders import open_journal
from tests.tearsheet.test_sheet import two_classes

EVERY = (
    ("status",),
    ("positions",),
    ("orders",),
    ("trades",),
    ("pnl",),
    ("risk",),
    ("risk", "--stress"),
    ("risk", "--plan"),
    ("why", BOOK),
    ("why", PLAN),
    ("transfers", "list"),
)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"BASIS_DAEMON_CONFIG": ""})


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("book") / "journal.sqlite"

    async def write() -> None:
        story = story_on(open_journal(path))
        await story.tell()
        await story.journal.close()  # type: ignore[attr-defined]  # the port has no end, the file does

    asyncio.run(write())
    return str(path)


@pytest.mark.feature("U01", part="book")
@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_question_is_answered_from_a_journal_for_people_and_for_machines(
    words: tuple[str, ...], journal: str
) -> None:
    told, document = run(*words, "--journal", journal), run(*words, "--journal", journal, "--json")
    assert (told.exit_code, document.exit_code) == (ExitCode.OK, ExitCode.OK)
    assert told.stdout.strip()
    assert isinstance(json.loads(document.stdout), dict)


def test_people_see_rounded_figures_and_machines_all_digits(journal: str) -> None:
    assert "100,000.00 to" in run("pnl", "--journal", journal).stdout
    found = json.loads(run("pnl", "--journal", journal, "--json").stdout)
    assert found["by_cause"]["fees"] == "-106.8114"


@pytest.mark.feature("P04", part="command")
def test_profit_and_loss_shows_the_share_price_and_a_line_for_each_period(journal: str) -> None:
    shown = run("pnl", "--journal", journal, "--by", "hour").stdout
    assert "share price" in shown
    document = json.loads(run("pnl", "--journal", journal, "--by", "hour", "--json").stdout)
    assert [row["period"][11:16] for row in document["periods"]] == ["01:00", "08:00"]
    share = document["share_price"]
    assert Decimal(share["end"]) * Decimal(share["shares"]) == Decimal(document["equity_end"])
    part = json.loads(run("pnl", "--journal", journal, "--to", document["periods"][0]["to"], "--json").stdout)
    assert part["equity_end"] == document["periods"][1]["equity_start"]


def test_share_classes_stand_apart_in_the_table_too_each_with_its_own_digits() -> None:
    shown = Console(width=200, record=True, file=StringIO())
    shown.print(tables_of_profit.pnl(pnl(two_classes(), Asked(by=By.DAY))))
    text = shown.export_text()
    for words in ("10.0000 to 10.0600 ETH", "1,800.00 to", "2024-03-04 ETH", "2024-03-04 USDT", "staking", "funding"):
        assert words in text


def test_a_part_of_the_books_life_that_holds_nothing_is_refused_with_what_there_is(journal: str) -> None:
    for words in (("--from", "2031-01-01"), ("--strategy", "sol_basis"), ("--to", "yesterday")):
        result = run("pnl", "--journal", journal, *words, "--json")
        assert result.exit_code == ExitCode.FAILED_CHECK
        assert json.loads(result.stdout)["error"]["message"]


def test_why_shows_inputs_thresholds_and_the_rules_that_were_not_taken(journal: str) -> None:
    text = run("why", PLAN, "--journal", journal).stdout
    for words in ("decision ENTRY", "f_hat:binance", "m_star:binance", "rule not taken", "no pair stands"):
        assert words in text


def test_only_the_last_orders_when_asked_for(journal: str) -> None:
    found = json.loads(run("orders", "-n", "1", "--journal", journal, "--json").stdout)
    assert (len(found["orders"]), found["total"]) == (1, 3)
    assert "1 of 3" in run("orders", "-n", "1", "--journal", journal).stdout
    assert json.loads(run("orders", "--open", "--journal", journal, "--json").stdout)["orders"] == []


@pytest.mark.feature("U01", part="book")
def test_an_unknown_id_fails_with_one_and_says_what_would_be_known(journal: str) -> None:
    result = run("why", "nonsense", "--journal", journal, "--json")
    assert result.exit_code == ExitCode.FAILED_CHECK
    assert "expected an order id of 32 hex digits" in json.loads(result.stdout)["error"]["message"]


def test_a_journal_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run("status", "--journal", str(tmp_path / "none.sqlite"))
    assert result.exit_code == ExitCode.FAILED_CHECK
    assert "none.sqlite" in result.stderr


@pytest.mark.feature("U01", part="book")
def test_without_a_daemon_the_commands_say_how_to_start_one(tmp_path: Path) -> None:
    for words in (("status",), ("halt", "--reason", "drill"), ("rearm", "--reason", "drill")):
        result = run(*words, "--socket", str(tmp_path / "control.sock"), "--json")
        assert result.exit_code == ExitCode.FAILED_CHECK
        message = json.loads(result.stdout)["error"]["message"]
        assert message.startswith(f"no daemon listens at {tmp_path / 'control.sock'}: start one with `basis-daemon run")


def test_whose_book_must_be_said_and_only_once(journal: str, tmp_path: Path) -> None:
    nobody = run("status", "--json")
    assert nobody.exit_code == ExitCode.FAILED_CHECK
    assert "--journal FILE" in json.loads(nobody.stdout)["error"]["message"]
    both = run("status", "--journal", journal, "--socket", str(tmp_path / "control.sock"))
    assert both.exit_code == ExitCode.USAGE


def test_an_operator_has_to_give_a_reason(tmp_path: Path) -> None:
    assert run("halt", "--socket", str(tmp_path / "control.sock")).exit_code == ExitCode.USAGE
