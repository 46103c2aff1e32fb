"""A run is judged by the venue's own books: what the daemon says of itself is never enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from basis_daemon.demo.outcome import TIME_STAMP, RunFacts, judge
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.judgement import Outcome
from basis_daemon.journal.memory import MemoryJournal
from tests.builders import NOW, POOR, D, idle
from tests.demo.story import BOOK, FUNDING, Story, story_on, told, venue_books
from tests.journal.builders import StandingClock

CLOCK = {"start": "2024-03-01T00:00:00Z", "market_time": "2024-03-04T00:00:00Z", "effective_speed": 8000.5}
FACTS = RunFacts(
    strategy=BOOK,
    seed=7,
    history=False,
    window=None,
    clock=CLOCK,
    daemon_exit_code=0,
    accounts={"sandbox-key": {"spot": "binance", "usdm": "binanceusdm"}},
    report="report.html",
)
Books = dict[str, Any]


@pytest.fixture
async def story() -> Story:
    return await told()


def judged(story: Story, books: Books | None = None, facts: RunFacts = FACTS) -> Outcome:
    return judge(story.view, books if books is not None else venue_books(story.view), facts)


async def test_a_run_that_its_venue_confirms_is_good(story: Story) -> None:
    outcome = judged(story)
    assert outcome.failed == ()
    said = outcome.document
    assert (said["orders_sent"], said["venue_orders"], said["trades"]) == (2, 2, 2)
    assert said["positions"] == said["venue_positions"]
    assert (said["duplicate_orders"], said["in_doubt"], said["breaks"], said["unexplained"]) == (0, 0, 0, "0")


async def test_counts_are_ints_and_money_is_decimal_text(story: Story) -> None:
    said = judged(story).document
    counts = (
        "trades",
        "orders_sent",
        "venue_orders",
        "duplicate_orders",
        "in_doubt",
        "breaks",
        "breaks_opened",
        "days",
    )
    assert {name: type(said[name]) for name in counts} == dict.fromkeys(counts, int)
    figures = ("unexplained", "funding", "fees", "equity_start", "equity_end", "max_abs_delta_frac",
               "max_naked_seconds", "effective_speed")  # fmt: skip
    assert all(isinstance(said[name], str) and Decimal(said[name]).is_finite() for name in figures)


async def test_funding_is_positive_when_received_and_fees_when_paid(story: Story) -> None:
    said = judged(story).document
    assert Decimal(said["funding"]) == FUNDING
    assert Decimal(said["fees"]) == D("106.8114")
    change = Decimal(said["equity_end"]) - Decimal(said["equity_start"])
    assert sum(Decimal(amount) for amount in said["pnl"].values()) == change


async def test_leg_risk_and_delta_are_reported(story: Story) -> None:
    said = judged(story).document
    assert (said["max_naked_seconds"], said["max_naked_notional"]) == ("0.25", "24990")
    assert said["worst_leg_risk_usdt_s"] == "6247.5"
    assert Decimal(said["max_abs_delta_frac"]) < D("0.0001")


async def test_what_was_played_is_named(story: Story) -> None:
    said = judged(story).document
    named = ("strategy", "seed", "window", "days", "market_start", "market_end", "report")
    assert [said[name] for name in named] == [
        BOOK, 7, None, 3, "2024-03-01T00:00:00Z", "2024-03-04T00:00:00Z", "report.html",
    ]  # fmt: skip
    assert said["decisions"] == {"HOLD": 2, "ENTRY": 1}


def _twice(book: Books) -> None:
    book["orders"]["spot"].append(book["orders"]["spot"][0])


def _foreign(book: Books) -> None:
    book["orders"]["usdm"].append({"clientOrderId": "web_1"})


def _lost(book: Books) -> None:
    book["fills"]["usdm"].append({"orderId": "unseen"})


def _moved(book: Books) -> None:
    book["balances"]["usdm"]["USDT"] = "1"


def _unpaid(book: Books) -> None:
    book["income"]["FUNDING_FEE"] = "21.34"


def _liquidated(book: Books) -> None:
    book["income"]["INSURANCE_CLEAR"] = "-3"


@pytest.mark.parametrize(
    ("tamper", "failed"),
    [
        (_twice, {"duplicate_orders"}),
        (_foreign, {"orders"}),
        (_lost, {"fills"}),
        (_moved, {"positions"}),
        (_unpaid, {"funding"}),
        (_liquidated, {"liquidations"}),
    ],
)
async def test_each_way_in_which_the_venue_contradicts_the_book_fails_its_own_check(
    tamper: Callable[[Books], None], failed: set[str], story: Story
) -> None:
    books = venue_books(story.view)
    tamper(books["accounts"]["sandbox-key"])
    outcome = judged(story, books)
    assert {check.name for check in outcome.failed} == failed
    assert outcome.document["ok"] is False


async def test_a_failed_check_shows_what_was_found_and_what_was_expected(story: Story) -> None:
    books = venue_books(story.view)
    _moved(books["accounts"]["sandbox-key"])
    (check,) = judged(story, books).failed
    assert check.found.startswith("binanceusdm:spot:USDT 28")
    assert check.expected == "binanceusdm:spot:USDT 1"


async def test_a_daemon_that_did_not_leave_in_order_fails(story: Story) -> None:
    outcome = judged(story, facts=replace(FACTS, daemon_exit_code=-9))
    assert {check.name for check in outcome.failed} == {"daemon_exit"}


async def test_an_order_that_the_venue_never_took_is_not_counted_as_sent(story: Story) -> None:
    stray = story.orders[1].model_copy(update={"order_id": "b" * 32})
    await story.recorder.intents([stray])
    story.recorder.move(stray, OrderState.SUBMITTED)
    books = venue_books(story.view)
    books["accounts"]["sandbox-key"]["orders"]["spot"].pop()
    books["accounts"]["sandbox-key"]["fills"]["spot"].pop()
    assert {check.name for check in judged(story, books).failed} == {"in_doubt", "orders"}
    story.recorder.move(stray, OrderState.NEVER_ACCEPTED, why="the venue proves it")
    assert judged(story, books).failed == ()


async def test_an_order_refused_for_its_stamp_each_time_was_sent_and_heard_once(story: Story) -> None:
    """A clock leaps while it is sent, and again before it is sent once more."""
    books, late = venue_books(story.view), {"status": "REJECTED", "code": TIME_STAMP}
    orders = books["accounts"]["sandbox-key"]["orders"]["spot"]
    stray = story.orders[1].model_copy(update={"order_id": "b" * 32})
    await story.recorder.intents([stray])
    story.recorder.move(stray, OrderState.SUBMITTED)
    story.recorder.move(stray, OrderState.REJECTED, why="outside of the receive window")
    assert {check.name for check in judged(story, books).failed} == {"orders"}
    orders += [{"clientOrderId": stray.order_id, **late}] * 2
    orders.insert(0, {"clientOrderId": orders[0]["clientOrderId"], **late})
    outcome = judged(story, books)
    assert outcome.failed == ()
    assert (outcome.document["orders_sent"], outcome.document["venue_orders"]) == (3, 3)


async def test_a_market_in_which_the_gate_never_opens_is_good_and_says_why() -> None:
    quiet = story_on(MemoryJournal(StandingClock(NOW)))
    quiet.open()
    quiet.value(NOW, D(60_000), D(60_000))
    quiet.decide(1, idle(rates={"binance": (POOR,) * 30}))
    books = venue_books(quiet.view)
    books["accounts"]["sandbox-key"]["income"] = {}
    outcome = judged(quiet, books)
    assert outcome.failed == ()
    assert outcome.document["trades"] == 0
    assert outcome.document["why"].startswith("ENTRY not taken: binance: f_hat 0.00005 < ")


async def test_a_book_that_stayed_flat_because_the_risk_gate_denied_its_entry_is_not_good() -> None:
    quiet = story_on(MemoryJournal(StandingClock(NOW)))
    quiet.open()
    quiet.value(NOW, D(60_000), D(60_000))
    quiet.decide(1, idle(), ("f" * 32,), denied=("notional_cap: 71287, limit 50000 USDT",))
    books = venue_books(quiet.view)
    books["accounts"]["sandbox-key"]["income"] = {}
    outcome = judged(quiet, books)
    assert {check.name for check in outcome.failed} == {"denied"}
    assert outcome.document["why"] == "denied by the risk gate: notional_cap: 71287, limit 50000 USDT"
