"""The tear sheet: one page that asks nobody for anything, and whose every figure is the journal's."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from basis_daemon.cli.app import app
from basis_daemon.domain.pnl import SOURCES
from basis_daemon.engine.attribution import Asked
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.profit import pnl
from basis_daemon.journal.schema import SCHEMA_VERSION
from basis_daemon.research.performance import figures
from basis_daemon.tearsheet.charts import course
from basis_daemon.tearsheet.content import Sheet, document, sheets
from basis_daemon.tearsheet.page import Source, render
from tests.builders import D
from tests.demo.story import BOOK, FUNDING, Story, story_on, told
from tests.engine.test_attribution import Books, hours
from tests.journal.builders import open_journal

Json = dict[str, Any]
SOURCE = Source("journal.sqlite", "a <book>", "paper")


def two_classes() -> BookView:
    """Ten days of three strategies in two share classes; one is paid into on the fourth day."""
    books = Books()
    for day in range(11):
        at, is_first = hours(24 * day), day == 0
        earned = {"funding": D(3 + day % 3), "basis": D((-1) ** day * 2), "fees": D(-1), "gas": D(0)}
        books.value("btc_basis", at, {"flows": D(1_000)} if is_first else earned)
        paid_in = {"flows": D(500)} if day == 4 else {}
        books.value("eth_basis", at, {"flows": D(800)} if is_first else {"funding": D(2), "delta": D(-1), **paid_in})
        staked = {"staking": D("0.01"), "borrow": D("-0.004")}
        books.value("eth_leveraged", at, {"flows": D(10)} if is_first else staked, "ETH")
    for row in books.rows:
        row |= {"prices": {}, "marks": {}, "holdings": {}, "net_delta": {}, "margins": []}
        if row["numeraire"] == "ETH":
            row |= {"prices": {"WETH": "1"}, "holdings": {"aave_v3:vdebt:WETH": "40"}}
    return books.view


def page(view: BookView) -> str:
    return render(sheets(view, Asked()), SOURCE, "/* plotly */")


def traces(sheet: Sheet) -> list[Json]:
    return list(course(sheet)["data"])


# -------------------------------------------------------------------------------------------------------------- page
@pytest.mark.feature("P05")
async def test_the_page_loads_nothing_from_anywhere_and_every_slot_is_filled() -> None:
    text = page((await told()).view)
    assert "default-src 'none'" in text
    assert "{{" not in text
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)
    assert not re.search(r"https?://", text)


async def test_what_comes_from_outside_cannot_write_the_page() -> None:
    text = page((await told()).view)
    assert "a <book>" not in text
    assert "a &lt;book&gt;" in text
    (script,) = re.findall(r"const figures = (.*);\n", text)
    assert "<" not in script
    assert set(orjson.loads(script)) == {"course-USDT", "waterfall-USDT", "histogram-USDT"}


@pytest.mark.feature("P05")
def test_each_share_class_has_its_own_figures_and_every_strategy_its_line() -> None:
    text = page(two_classes())
    for words in ("Share class ETH", "Share class USDT", "btc_basis", "eth_basis", "eth_leveraged", "all of them",
                  "Sharpe", "Sortino", "Calmar", "Returns by month", "Deepest drawdowns",
                  "every digit explained"):  # fmt: skip
        assert words in text


@pytest.mark.feature("P05")
def test_the_charts_are_the_journals_own_figures() -> None:
    (_, usdt) = sheets(two_classes(), Asked())
    by_name = {trace["hovertemplate"].split("<br>")[-1].split(" ")[0]: trace for trace in traces(usdt)}
    assert by_name["equity"]["y"][0] == 1_800
    assert by_name["equity"]["y"][-1] == float(usdt.whole.points[-1].equity)
    assert by_name["earned"]["y"][-1] == float(usdt.whole.earned)
    bars = [trace for trace in traces(usdt) if trace["type"] == "bar" and "funding" in trace["hovertemplate"]]
    assert sum(bars[0]["y"]) == float(usdt.whole.sources["funding"])
    assert course(usdt)["layout"]["barmode"] == "relative"


def test_bars_are_hours_of_a_short_book_and_days_of_a_longer_one() -> None:
    (_, usdt) = sheets(two_classes(), Asked())
    (_, day) = sheets(two_classes(), Asked(end=hours(24)))
    assert (len(usdt.whole.buckets()), len(day.whole.buckets())) == (10, 1)
    assert next(iter(day.whole.buckets())) == hours(23)


def test_what_a_book_never_had_has_no_panel_and_a_debt_has_a_line() -> None:
    (ether, usdt) = sheets(two_classes(), Asked())
    titles = [note["text"] for note in course(ether)["layout"]["annotations"]]
    assert not [title for title in titles if "Funding" in title or "Distance" in title]
    assert [title for title in titles if "Exposure" in title and "owed" in title]
    assert [note["text"] for note in course(usdt)["layout"]["annotations"] if "Funding" in note["text"]]


def test_what_single_intervals_left_open_does_not_cancel_out() -> None:
    view = two_classes()
    for valued, amount in zip(view.history.valuations[3:9:3], (D("0.5"), D("-0.5")), strict=True):
        valued.row["components"]["unexplained"] = str(amount)
        valued.row["components"]["funding"] = str(D(valued.row["components"]["funding"]) - amount)
    assert "unexplained: 1.0 USDT" in page(view)


# ----------------------------------------------------------------------------------------------------------- figures
@pytest.mark.feature("P05")
def test_the_document_says_what_pnl_says() -> None:
    view = two_classes()
    said, whole = document(sheets(view, Asked()))["classes"]["USDT"], pnl(view)["classes"]["USDT"]
    assert {source: D(said["by_cause"][source]) for source in SOURCES} == {
        source: D(whole["by_cause"][source]) for source in SOURCES
    }
    assert D(said["earned"]) + D(said["flows"]) == D(whole["change"])
    assert D(said["share_price_end"]).quantize(D("1e-10")) == D(whole["share_price"]["end"])
    assert said["total"] == pytest.approx(float(whole["return"]))
    assert sum(D(part["earned"]) for part in said["strategies"].values()) == D(said["earned"])


def test_ratios_are_of_the_share_price_so_that_a_deposit_is_no_gain() -> None:
    (_, usdt) = sheets(two_classes(), Asked())
    (part,) = [part for part in usdt.strategies if part.name == "eth_basis"]
    assert max(gained for gained in (part.figures.best_day or 0, part.figures.total)) < 0.02
    assert part.sources["flows"] == 500
    assert figures(part.prices) == part.figures


def test_only_the_part_asked_for_counts() -> None:
    (usdt,) = sheets(two_classes(), Asked(hours(48), hours(96), strategy="btc_basis"))
    assert [part.name for part in usdt.strategies] == ["btc_basis"]
    assert len(usdt.whole.steps) == 2


# ----------------------------------------------------------------------------------------------------------- command
def report(*words: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, words)], env={"BASIS_DAEMON_CONFIG": ""})


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "journal.sqlite"

    async def day() -> None:
        story = story_on(open_journal(path))
        await story.tell()
        await closed(story)

    asyncio.run(day())
    return path


async def closed(story: Story) -> None:
    await story.journal.close()  # type: ignore[attr-defined]  # the port has no end, the file does


@pytest.mark.feature("P05")
def test_the_command_writes_the_page_and_answers_with_its_figures(journal: Path, tmp_path: Path) -> None:
    file = tmp_path / "tearsheet.html"
    result = report("--journal", journal, "--output", file, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert D(said["classes"]["USDT"]["by_cause"]["funding"]) == FUNDING
    assert said["classes"]["USDT"]["strategies"][BOOK]["fills"] == 2
    text = file.read_text(encoding="utf-8")
    assert "Plotly" in text
    assert "every digit explained" in text
    assert report("--journal", journal, "--output", file).exit_code == 0, "what is there is replaced"


def complaint(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return str(json.loads(result.stdout)["error"]["message"])


def test_a_journal_that_cannot_be_told_of_is_named_with_what_to_do(journal: Path, tmp_path: Path) -> None:
    out = ("--output", tmp_path / "x.html", "--json")
    empty, newer, young = (tmp_path / f"{name}.sqlite" for name in ("empty", "newer", "young"))
    empty.touch()
    newer.write_bytes(journal.read_bytes())
    with sqlite3.connect(newer) as connection:
        connection.execute("DROP TRIGGER header_no_update")
        connection.execute("UPDATE header SET schema_version = ?", (SCHEMA_VERSION + 1,))
    connection.close()

    async def opened() -> None:
        story = story_on(open_journal(young))
        story.open()
        await story.recorder.flush()
        await closed(story)

    asyncio.run(opened())
    assert "empty.sqlite is not a journal" in complaint(report("--journal", empty, *out))
    assert f"has schema {SCHEMA_VERSION + 1}" in complaint(report("--journal", newer, *out))
    assert "does not exist" in complaint(report("--journal", tmp_path / "none", *out))
    assert "run the daemon until `basis-daemon status` shows its equity" in complaint(report("--journal", young, *out))
    assert "name it with --journal" in complaint(report(*out))
    assert "ask for a part of that" in complaint(report("--journal", journal, "--from", "2031-01-01", *out))
    assert "expected one of: btc_basis" in complaint(report("--journal", journal, "--strategy", "x", *out))
    assert list(tmp_path.glob("*.html")) == []
    where = ("--output", tmp_path / "no" / "x.html", "--json")
    assert "name another file with --output" in complaint(report("--journal", journal, *where))


def test_a_living_daemons_journal_is_told_of_too(tmp_path: Path) -> None:
    path = tmp_path / "living.sqlite"

    async def living() -> Result:
        story = story_on(open_journal(path))
        await story.tell()
        try:
            return await asyncio.to_thread(report, "--journal", path, "--output", tmp_path / "x.html", "--json")
        finally:
            await closed(story)

    assert asyncio.run(living()).exit_code == 0


def test_the_help_teaches_what_the_figures_are() -> None:
    said = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", report("--help").stdout).replace("│", " ").split())
    for word in ("--journal", "--output", "--from", "--strategy", "asks no other host", "365 days", "Sortino"):
        assert word in said
