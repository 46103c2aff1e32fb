"""A journal as tables and accounts: nothing rounded, nothing lost, and other programs agree with what they read."""

from __future__ import annotations

import asyncio
import csv
import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from beancount import loader
from beancount.core import data
from pyarrow import parquet
from typer.testing import CliRunner, Result

from basis_daemon.cli.app import app
from basis_daemon.cli.exports import rows_of
from basis_daemon.domain.pnl import SOURCES
from basis_daemon.engine.export import entries_of, lots_of, tables_of
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.schema import SCHEMA_VERSION
from basis_daemon.ports import RecordKind, StoredRecord
from tests.builders import NOW, D
from tests.demo.story import CLOSING_PRICE, FUNDING, Story, story_on, told
from tests.journal.builders import open_journal

TABLES = ("trades", "fills", "lots", "postings", "valuations", "attribution")


def written(path: Path, *, is_valued: bool = True) -> Path:
    """The journal of a day, at rest."""

    async def day() -> None:
        story = story_on(open_journal(path))
        if is_valued:
            await story.tell()
        else:
            story.open()
            await story.recorder.flush()
        await story.journal.close()  # type: ignore[attr-defined]  # the port has no end, the file does

    asyncio.run(day())
    return path


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("book") / "journal.sqlite")


def export(journal: Path, to: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["journal", "export", "--journal", str(journal), "--to", str(to), *words])


def csv_rows(journal: Path, to: Path, what: str) -> list[dict[str, str]]:
    result = export(journal, to, "--what", what)
    assert result.exit_code == 0, result.output
    with to.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.feature("P06")
@pytest.mark.parametrize("what", TABLES)
def test_csv_and_parquet_hold_the_same_rows_to_the_last_digit(what: str, journal: Path, tmp_path: Path) -> None:
    rows = csv_rows(journal, tmp_path / f"{what}.csv", what)
    assert export(journal, tmp_path / f"{what}.parquet", "--what", what).exit_code == 0
    table = parquet.read_table(tmp_path / f"{what}.parquet")
    assert rows
    assert [{name: _text(cell) for name, cell in row.items()} for row in table.to_pylist()] == rows


def _text(cell: object) -> str:
    return cell.isoformat() if isinstance(cell, datetime) else "" if cell is None else str(cell)


@pytest.mark.feature("P06")
def test_a_schema_says_where_a_number_is_text_and_instants_are_utc(journal: Path, tmp_path: Path) -> None:
    assert export(journal, tmp_path / "fills.parquet", "--what", "fills").exit_code == 0
    schema = parquet.read_schema(tmp_path / "fills.parquet")
    assert b"decimal number as text, exact" in schema.metadata[b"decimals"]
    assert b"decimal number as text, exact" in schema.field("price").metadata[b"holds"]
    assert str(schema.field("venue_time").type) == "timestamp[us, tz=UTC]"
    (first, _) = csv_rows(journal, tmp_path / "fills.csv", "fills")
    assert datetime.fromisoformat(first["venue_time"]) == NOW
    assert first["venue_time"].endswith("+00:00")


@pytest.mark.feature("P06")
def test_fills_say_what_was_paid_against_the_arrival(journal: Path, tmp_path: Path) -> None:
    bought, sold = csv_rows(journal, tmp_path / "fills.csv", "fills")
    assert (bought["side"], sold["side"]) == ("BUY", "SELL")
    assert D(bought["notional"]) == D(bought["quantity"]) * D(bought["price"])
    assert (D(bought["slippage"]), bought["fee_asset"], sold["fee_asset"]) == (D(0), "BTC", "USDT")
    assert bought["reason"] == "ENTRY"


@pytest.mark.feature("P06")
def test_gains_what_is_held_and_funding_are_the_change_of_equity(journal: Path, tmp_path: Path) -> None:
    rows = csv_rows(journal, tmp_path / "lots.csv", "lots")
    marks = {"BTC": CLOSING_PRICE, "binanceusdm:perp:BTCUSDT": CLOSING_PRICE + 12}
    unrealised = sum(
        D(row["quantity"]) * (1 if row["side"] == "long" else -1) * marks[row["item"]] - D(row["cost"])
        for row in rows
        if not row["closed"]
    )
    gains = sum(D(row["gain"]) for row in rows if row["closed"])
    (*_, last) = csv_rows(journal, tmp_path / "valuations.csv", "valuations")
    assert gains + unrealised + FUNDING == D(last["equity"]) - 100_000


@pytest.mark.feature("P06")
def test_every_interval_is_told_with_sources_that_sum_to_its_change(journal: Path, tmp_path: Path) -> None:
    rows = csv_rows(journal, tmp_path / "attribution.csv", "attribution")
    assert len(rows) == 2
    for row in rows:
        assert sum(D(row[source]) for source in SOURCES) == D(row["change"])
        assert D(row["equity_end"]) - D(row["equity_start"]) == D(row["change"])
        assert D(row["unexplained"]) == 0


@pytest.mark.feature("P04", part="export")
def test_valuations_are_exported_with_shares_and_share_price(journal: Path, tmp_path: Path) -> None:
    for row in csv_rows(journal, tmp_path / "valuations.csv", "valuations"):
        assert D(row["shares"]) * D(row["share_price"]) == D(row["capital"])


# ---------------------------------------------------------------------------------------------------------- accounts
@pytest.mark.feature("P06")
def test_beancount_finds_every_transaction_balanced_and_holds_what_the_book_holds(
    journal: Path, tmp_path: Path
) -> None:
    """The reader is not ours: it parses the file and weighs every transaction in every commodity."""
    file = tmp_path / "book.beancount"
    assert export(journal, file, "--what", "postings").exit_code == 0
    entries, errors, _ = loader.load_file(str(file))
    assert errors == []
    balances: dict[tuple[str, str], Decimal] = {}
    for found in entries:
        for line in found.postings if isinstance(found, data.Transaction) else ():
            assert line.units is not None
            assert line.units.number is not None
            at = (line.account, line.units.currency)
            balances[at] = balances.get(at, D(0)) + line.units.number
    with JournalReader.open(journal) as reader:
        last = json.loads(reader.read(kinds=frozenset({RecordKind.VALUATION}))[-1].record.payload)
    held_there = {key: D(amount) for key, amount in last["holdings"].items()}
    assert balances["Assets:Binance:Spot:BTC", "BTC"] == held_there["binance:spot:BTC"]
    assert balances["Assets:Binanceusdm:Spot:USDT", "USDT"] == held_there["binanceusdm:spot:USDT"]
    assert balances["Assets:Binanceusdm:Perp:BTCUSDT", "PERP.BTCUSDT"] == D("-1.186")
    assert balances["Income:Funding", "USDT"] == -FUNDING
    for coin in {currency for _, currency in balances}:
        assert sum(amount for (_, currency), amount in balances.items() if currency == coin) == 0


# ------------------------------------------------------------------------------------------------------------- whole
@pytest.mark.feature("P06")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_everything_at_once_goes_into_a_new_directory(ending: str, journal: Path, tmp_path: Path) -> None:
    result = export(journal, tmp_path / "out", "--what", "all", "--format", ending, "--json")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        *(f"{name}.{ending}" for name in TABLES), "book.beancount",
    }  # fmt: skip
    assert json.loads(result.stdout)["written"]["fills"] == 2
    assert export(journal, tmp_path / "out", "--what", "all").exit_code == 1


async def test_of_a_pruned_journal_what_the_snapshot_holds_is_the_opening_of_ledger_and_lots() -> None:
    story = await told()
    story.recorder.snapshot()
    await story.recorder.flush()
    rows = story.journal.read()
    (snapshot,) = [row for row in rows if row.record.kind is RecordKind.SNAPSHOT]
    ledger = story.recorder.state.ledger
    (opening,) = list(entries_of([snapshot]))
    assert {(line.account, line.amount) for line in opening.postings if not line.account.startswith("nominal")} >= {
        (str(key), amount) for key, amount in ledger.holdings().items() if amount
    }
    later = replayed_later(snapshot, story)
    (pools,) = lots_of([snapshot, later])
    perp, coin = "binanceusdm:perp:BTCUSDT", "BTC"
    assert {item: amount for item, amount in pools.held().items() if amount} == {
        perp: D("-1.186"), coin: ledger.holdings()[_key("binance:spot:BTC", ledger.holdings())],
    }  # fmt: skip
    assert list(tables_of([snapshot, later])["postings"].rows())


def _key(name: str, holdings: Mapping[Any, Decimal]) -> Any:  # noqa: ANN401 - a position key by its text
    return next(key for key in holdings if key == name)


def replayed_later(snapshot: StoredRecord, story: Story) -> StoredRecord:
    """The story's last valuation, journalled behind the snapshot."""
    row = next(row for row in reversed(story.journal.read()) if row.record.kind is RecordKind.VALUATION)
    return StoredRecord(snapshot.sequence + 1, 1, row.wall_time, row.record)


# ------------------------------------------------------------------------------------------------------------ faults
def complaint(result: Result) -> str:
    assert result.exit_code == 1
    return str(json.loads(result.stdout)["error"]["message"])


def test_a_journal_without_a_valuation_names_itself_and_the_remedy(tmp_path: Path) -> None:
    path = written(tmp_path / "young.sqlite", is_valued=False)
    for what in ("valuations", "attribution"):
        said = complaint(export(path, tmp_path / "x.csv", "--what", what, "--json"))
        assert "young.sqlite" in said
        assert "run the daemon until" in said
        assert not (tmp_path / "x.csv").exists()
    assert csv_rows(path, tmp_path / "lots.csv", "lots") == []


def test_an_empty_file_a_newer_journal_and_no_journal_are_refused_by_name(tmp_path: Path) -> None:
    empty, newer = tmp_path / "empty.sqlite", written(tmp_path / "newer.sqlite")
    empty.touch()
    with sqlite3.connect(newer) as connection:
        connection.execute("DROP TRIGGER header_no_update")
        connection.execute("UPDATE header SET schema_version = ?", (SCHEMA_VERSION + 1,))
    connection.close()
    assert "empty.sqlite is not a journal" in complaint(export(empty, tmp_path / "x", "--json"))
    assert f"has schema {SCHEMA_VERSION + 1}" in complaint(export(newer, tmp_path / "x", "--what", "lots", "--json"))
    assert "does not exist" in complaint(export(tmp_path / "none.sqlite", tmp_path / "x", "--json"))


def test_a_format_that_does_not_fit_is_refused_and_nothing_is_left_behind(journal: Path, tmp_path: Path) -> None:
    for what, as_, fits in (
        ("fills", "beancount", "`--what postings`"), ("fills", "jsonl", "name csv or parquet"),
        ("rows", "csv", "lines of JSON"), ("all", "jsonl", "csv or parquet"),
    ):  # fmt: skip
        assert fits in complaint(export(journal, tmp_path / "x", "--what", what, "--format", as_, "--json"))
    assert list(tmp_path.iterdir()) == []
    said = complaint(export(journal, tmp_path / "no" / "x.csv", "--what", "fills", "--json"))
    assert "name a file that can be written" in said


def test_the_journal_of_a_running_daemon_is_exported_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "living.sqlite"

    async def living() -> int:
        story = story_on(open_journal(path))
        await story.tell()
        try:
            with JournalReader.open(path) as reader:
                return len(list(tables_of(rows_of(reader))["fills"].rows()))
        finally:
            await story.journal.close()  # type: ignore[attr-defined]  # the port has no end, the file does

    assert asyncio.run(living()) == 2


def test_the_help_teaches_every_table() -> None:
    said = " ".join(CliRunner().invoke(app, ["journal", "export", "--help"]).stdout.replace("│", " ").split())
    for word in (*TABLES, "beancount", "parquet", "first in first out", "never zero"):
        assert word in said


@pytest.mark.feature("P06")
def test_the_page_on_profit_and_loss_names_every_source_and_table() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "profit_and_loss.md").read_text(encoding="utf-8")
    for name in (*SOURCES, *TABLES, "conversion", "closed_as", "gain"):
        assert f"`{name}`" in page, name
