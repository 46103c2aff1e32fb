"""A run on the chain is judged by what the chain says of the address: its transactions, its balances, its gas."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from basis_daemon.demo.chain_outcome import ChainFacts, Loan, judge_chain, transactions_of
from basis_daemon.domain.order import ExecutionMode
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.judgement import Outcome
from basis_daemon.venues.chain.transactions import Attempt
from tests.builders import NOW
from tests.demo.chain_run import BEFORE, BOOK, ChainRun, begun, borrowing, supplying

Json = dict[str, Any]
CLOCK = {"start": "2026-11-22T00:00:00Z", "market_time": "2026-11-24T00:00:00Z", "effective_speed": "9000.1"}
STORY = ({"time": "2026-11-23T00:00:00Z", "action": "rates", "says": "a rush"},)
FACTS = ChainFacts(strategy=BOOK, seed=7, clock=CLOCK, daemon_exit_code=0, story=STORY)


@pytest.fixture
async def run() -> ChainRun:
    found = begun()
    await found.supply(supplying())
    return found


def judged(run: ChainRun, facts: ChainFacts = FACTS, **books: object) -> Outcome:
    return judge_chain(run.view, transactions_of(run.journal.read()), run.books(**books), facts)


def failed(outcome: Outcome) -> list[str]:
    return [check.name for check in outcome.failed]


async def test_a_run_that_the_chain_confirms_is_good(run: ChainRun) -> None:
    outcome = judged(run)
    assert failed(outcome) == []
    said = outcome.document
    assert (said["trades"], said["orders_sent"], said["venue_orders"], said["transactions"]) == (1, 1, 1, 2)
    assert (said["duplicate_orders"], said["in_doubt"], said["group_transactions"]) == (0, 0, 0)
    assert (said["gas_eth"], said["min_health_factor"], said["days"], said["window"]) == ("0.0002", None, 2, None)
    assert said["positions"] == said["venue_positions"]
    assert said["story"] == list(STORY)


async def test_a_transaction_of_another_hand_is_named(run: ChainRun) -> None:
    foreign = {"hash": "0xf0", "nonce": 9, "gas_eth": "0"}
    outcome = judged(run, transactions=[*run.sent, foreign])
    assert failed(outcome) == ["transactions", "booked"]
    assert "not ours: 0xf0" in outcome.failed[0].found
    assert outcome.document["foreign_orders"] == 1


async def test_a_transaction_that_only_the_journal_knows_is_named(run: ChainRun) -> None:
    outcome = judged(run, transactions=run.sent[:1])
    assert failed(outcome) == ["transactions", "gas"]
    assert f"unknown to the venue: {run.sent[1]['hash']}" in outcome.failed[0].found


async def test_a_transaction_that_was_never_booked_stands_out() -> None:
    run = begun()
    await run.supply(supplying(), is_booked=False)
    assert failed(judged(run)) == ["in_doubt", "booked", "gas"]


async def test_an_order_that_the_chain_carried_out_twice_stands_out(run: ChainRun) -> None:
    run.mine(supplying().order_id, Attempt.REPLACEMENT)
    outcome = judged(run)
    assert outcome.document["duplicate_orders"] == 1
    assert {"duplicate_orders", "booked", "gas"} == set(failed(outcome))


async def test_a_cancel_is_a_transaction_and_no_order(run: ChainRun) -> None:
    run.mine(supplying().order_id, Attempt.CANCEL)
    said = judged(run).document
    assert (said["transactions"], said["orders_sent"], said["duplicate_orders"]) == (3, 1, 0)


@pytest.mark.parametrize(("state", "sent"), [(OrderState.DROPPED, 1), (OrderState.BROADCAST, 2)])
async def test_what_every_node_refused_was_not_sent_and_what_a_pool_may_hold_was(
    run: ChainRun, state: OrderState, sent: int
) -> None:
    wish = supplying(2)
    await run.recorder.intents([wish])
    run.sign(wish.order_id, OrderState.SIGNED, state)
    said = judged(run).document
    assert (said["orders_sent"], said["venue_orders"], said["transactions"]) == (sent, 1, 2)


async def test_balances_and_gas_that_differ_in_the_last_wei_stand_out(run: ChainRun) -> None:
    balances = run.books()["balances"] | {"aave_v3:atoken:USDT": "980000.000001"}
    dearer = [run.sent[0], run.sent[1] | {"gas_eth": "0.000100000000000001"}]
    outcome = judged(run, balances=balances, transactions=dearer)
    assert failed(outcome) == ["positions", "gas"]


async def test_a_booking_that_a_reorganisation_took_back_counts_where_it_landed(run: ChainRun) -> None:
    trade = next(reversed(run.view.history.trades.values())).row.trade
    run.take_back(trade)
    assert failed(judged(run)) == []


async def test_a_group_is_one_transaction_and_all_its_orders() -> None:
    run, group = begun(), {"group_id": "g", "execution_mode": ExecutionMode.ATOMIC}
    await run.supply(*(supplying(n, sequence_in_group=n - 1, **group) for n in (1, 2, 3)))
    said = judged(run).document
    assert (said["transactions"], said["group_transactions"]) == (2, 1)
    assert (said["orders_sent"], said["venue_orders"], said["duplicate_orders"]) == (3, 3, 0)


@pytest.mark.parametrize(("least", "is_good"), [("1.0400000001", True), ("1.04", True), ("1.0399999999", False)])
async def test_a_health_factor_below_the_emergency_floor_fails_the_run(
    run: ChainRun, least: str, *, is_good: bool
) -> None:
    floor = Decimal("1.04")
    loans = tuple(Loan(NOW, Decimal(found), Decimal("0.85")) for found in ("1.2", least, "1.1"))
    outcome = judged(run, replace(FACTS, loans=loans, health_factor_floor=floor))
    assert (failed(outcome) == []) is is_good
    assert Decimal(outcome.document["min_health_factor"]) == Decimal(least)


async def test_what_was_sent_before_the_first_start_is_in_the_opening_and_booked_by_nobody(run: ChainRun) -> None:
    row = run.mine("deploy:0xRECEIVER", before_s=1)
    outcome = judged(run)
    assert failed(outcome) == []
    assert (outcome.document["transactions"], outcome.document["orders_sent"]) == (3, 1)
    run.sent[row.nonce]["gas_eth"] = "5"
    assert failed(judged(run)) == []


@pytest.mark.parametrize(("shown", "is_good"), [("0.8500", True), ("0.8499", True), ("0.8498", False)])
async def test_a_group_that_borrows_lands_within_a_basis_point_of_its_target(shown: str, *, is_good: bool) -> None:
    run, group = begun(), {"group_id": "g", "execution_mode": ExecutionMode.ATOMIC}
    orders = (supplying(1, sequence_in_group=0, **group), borrowing(2, sequence_in_group=1, **group))
    run.decide(orders, {"lambda_target": Decimal("0.85")})
    await run.supply(*orders)
    early, late = (Loan(at, Decimal("1.1"), Decimal(found)) for at, found in ((BEFORE, "0.2"), (NOW, shown)))
    outcome = judged(run, replace(FACTS, loans=(early, late)))
    assert ("target_ltv" in failed(outcome)) is not is_good
    assert "target_ltv" in outcome.document["checks"]
