"""The report is one page that asks nobody for anything, shows every fill, and hides no failed check."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from basis_daemon.demo.chapters import rows_of
from basis_daemon.demo.charts import timeline, waterfall
from basis_daemon.demo.exchange_report import EXCHANGE
from basis_daemon.demo.report import render, write_report
from basis_daemon.demo.tape import record, seen
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.book_view import BookView
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import RecordKind
from tests.builders import NOW, PERP, D, idle
from tests.demo.story import BOOK, FUNDING, Story, story_on, told, venue_books
from tests.demo.test_outcome import FACTS, judged
from tests.journal.builders import StandingClock

Json = dict[str, Any]


@pytest.fixture
async def story() -> Story:
    return await told()


def page(story: Story, **books: object) -> str:
    outcome = judged(story, venue_books(story.view, **books))
    return render(outcome, story.view, story.journal.read(), EXCHANGE, "/* plotly */")


def traces(story: Story) -> list[Json]:
    figure = timeline(story.view, record(story.journal.read()))
    return list(figure["data"])


async def test_the_page_loads_nothing_from_anywhere(story: Story, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    write_report(file, judged(story), story.view, story.journal.read(), EXCHANGE)
    text = file.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", text)
    assert "Plotly" in text


async def test_every_slot_of_the_page_is_filled(story: Story) -> None:
    assert "{{" not in page(story)


async def test_a_good_run_says_so_and_a_failed_check_stands_out(story: Story) -> None:
    assert "all 12 checks hold" in page(story)
    text = page(story, positions={"BTCUSDT": "-2"})
    assert "1 of 12 checks failed" in text
    assert "expected binanceusdm:perp:BTCUSDT -2" in text


async def test_figures_of_the_run_are_in_the_page(story: Story) -> None:
    text = page(story)
    for words in ("+21.35", "fees paid 106.81", "btc_basis:1:2", "pair of 1.186", "generated market, seed 7", "DONE"):
        assert words in text


async def test_a_recorded_market_names_its_reference_series(story: Story) -> None:
    outcome = judged(story, facts=replace(FACTS, seed=None, history=True, window="2024-03_funding_boom"))
    text = render(outcome, story.view, story.journal.read(), EXCHANGE, "")
    assert "one reference spot series per asset (Bybit spot)" in text
    assert "recorded market 2024-03_funding_boom" in text


async def test_words_of_a_venue_cannot_become_markup(story: Story) -> None:
    story.decide(9, idle(), ("f" * 32,), denied=("</script><script>alert(1)</script>",))
    text = page(story)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


async def test_every_fill_is_marked_on_the_equity_line_with_its_order_price_fee_and_reason(story: Story) -> None:
    marked = [trace for trace in traces(story) if trace.get("mode") == "markers"]
    fills, everything = marked
    assert (len(fills["x"]), len(everything["x"])) == (2, 3)
    for words in (
        story.orders[1].order_id,
        "BUY 1.18719 binance:spot:BTC",
        "price 60,000",
        "fee 0.00118719 BTC",
        "ENTRY",
    ):
        assert words in fills["text"][0]


async def test_buys_stand_below_the_line_and_sells_above(story: Story) -> None:
    fills = next(trace for trace in traces(story) if trace.get("mode") == "markers")
    assert fills["marker"]["symbol"] == ["triangle-up", "triangle-down"]
    assert fills["y"][0] < fills["y"][1]


async def test_the_waterfall_ends_at_the_sum_of_its_causes(story: Story) -> None:
    (bars,) = waterfall(story.view)["data"]
    assert bars["measure"][-1] == "total"
    assert bars["y"][-1] == pytest.approx(sum(bars["y"][:-1]))
    assert {"fees", "funding", "basis"} <= set(bars["x"])


async def test_every_panel_shares_the_axis_of_time(story: Story) -> None:
    figure = timeline(story.view, record(story.journal.read()))
    assert {trace["xaxis"] for trace in figure["data"]} == {"x"}
    domains = [
        axis["domain"] for name, axis in figure["layout"].items() if name.startswith("yaxis") and "domain" in axis
    ]
    assert len(domains) == 8
    assert all(upper[0] > lower[1] for upper, lower in pairwise(domains))
    assert orjson.dumps(figure)


async def test_the_tape_holds_valuations_settlements_and_forecasts(story: Story) -> None:
    tape = record(story.journal.read())
    assert [amount for _, amount in tape.funding] == [FUNDING]
    assert tape.signals["binance"].forecast[0] == D("0.00005") * 1095 * 100
    assert [s.equity for s in tape.samples if s.z is not None]
    assert tape.bounds["delta_soft"] == D("0.010")


async def test_prices_that_a_decision_called_stale_are_not_drawn() -> None:
    fresh, stale = idle(), idle(stale=frozenset({f"mark:{PERP}"}))
    assert seen(fresh.assess()).price == 60_000
    assert seen(stale.assess()).price is None


async def test_equity_between_two_samples_lies_on_the_line_between_them(story: Story) -> None:
    tape = record(story.journal.read())
    first, last = tape.samples[0], tape.samples[-1]
    assert tape.equity_at(first.time) is not None
    assert tape.equity_at(datetime.max.replace(tzinfo=NOW.tzinfo)) == last.equity
    assert tape.equity_at(datetime.min.replace(tzinfo=NOW.tzinfo)) == first.equity
    one, other = (s for s in tape.samples[-2:] if s.equity is not None)
    middle = tape.equity_at(one.time + (other.time - one.time) / 2)
    assert middle is not None
    low, high = sorted(Decimal(s.equity or 0) for s in (one, other))
    assert low <= middle <= high


async def test_a_run_without_a_trade_is_drawn_and_says_why() -> None:
    quiet = story_on(MemoryJournal(StandingClock(NOW)))
    quiet.open()
    quiet.value(NOW, D(60_000), D(60_000))
    quiet.decide(1, idle(rates={"binance": (D("0.00004"),) * 30}))
    books = venue_books(quiet.view, income={})
    text = render(judged(quiet, books), quiet.view, quiet.journal.read(), EXCHANGE, "")
    assert "Nothing was traded. The reason given most often: <b>ENTRY not taken" in text


async def test_an_empty_journal_is_drawn_too() -> None:
    assert timeline(BookView(), record(()))["data"]


async def test_a_file_that_cannot_be_written_is_named(story: Story, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name another file with --report"):
        write_report(tmp_path / "none" / "r.html", judged(story), story.view, story.journal.read(), EXCHANGE)


async def test_a_chapter_holds_the_rows_of_its_strategy_and_of_its_accounts_alone(story: Story) -> None:
    rows = list(story.journal.read())
    own = list(rows_of(rows, BOOK, {"binance", "binanceusdm"}))
    assert own == [row for row in rows if row.record.kind is not RecordKind.SNAPSHOT]
    kinds = {row.record.kind for row in rows_of(rows, "another", {"elsewhere"})}
    assert kinds <= {RecordKind.GENERATION, RecordKind.GUARD, RecordKind.OPERATOR}
    folded = BookView().fold(own)
    assert folded.state.ledger.holdings() == story.view.state.ledger.holdings()
    assert folded.latest == story.view.latest
