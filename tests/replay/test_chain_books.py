"""The simulated chain's own arithmetic: to the last base unit, rounded against its user, and whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import ExecutionMode, Order, OrderOperation
from basis_daemon.simulation.chain.books import Books
from basis_daemon.simulation.chain.ledger import ChainLedger
from basis_daemon.simulation.chain.liquidation import liquidated
from basis_daemon.simulation.chain.record import ChainRecord, GasRow, ReserveRow, TokenRow, is_current
from basis_daemon.simulation.chain.scene import Delays
from basis_daemon.simulation.chain.world import Nature, World

D = Decimal
AT = datetime(2025, 5, 6, tzinfo=UTC)
K = PositionKey
ETH, WETH, WEETH, USDT = K("wallet:token:ETH"), K("wallet:token:WETH"), K("wallet:lst:weETH"), K("wallet:token:USDT")
A_WETH, A_WEETH, DEBT = K("aave_v3:atoken:WETH"), K("aave_v3:atoken:weETH"), K("aave_v3:vdebt:WETH")
RATE = D("1.066843501")
WEI = D("1e-18")


def reserve(at: datetime, price: str, rate: str | None = None) -> ReserveRow:
    debt, worth = D(1_700_000) if rate is None else D(100), None if rate is None else D(rate)
    return ReserveRow(at, D("1.05"), D("1.07"), D("0.02"), D("0.0265"), D(2_000_000), debt, D(price), worth)


def record(rates: tuple[str, ...] = ("1.066843501", "1.066908")) -> ChainRecord:
    """Midnights, one for each rate; gas at 2 gwei."""
    days = [AT + timedelta(days=n) for n in range(len(rates))]
    tokens = [reserve(at, "2000", rate) for at, rate in zip(days, rates, strict=True)]
    hours = [AT + timedelta(hours=n) for n in range(24 * len(rates))]
    return ChainRecord(
        Path(),
        {"WETH": [reserve(at, "1800") for at in days], "weETH": tokens, "USDT": [reserve(at, "1") for at in days]},
        {"weETH": [TokenRow(at, D("-0.001"), RATE) for at in hours]},
        [GasRow(at, 10**9, 10**9) for at in hours],
    )


def chain(books: Books, rows: ChainRecord | None = None) -> ChainLedger:
    nature = Nature(Delays(timedelta(days=7), timedelta(days=14)), D(1000), D(0))
    world = World(rows or record(), nature, ["weETH"], Books(), BlockRef(1, "0x1", AT - timedelta(seconds=12)))
    found = ChainLedger(world, lambda: AT + timedelta(seconds=12))
    found.reach(AT, None)
    world.books = books
    world.stand()
    return found


def order(operation: OrderOperation, venue: str, key: PositionKey, amount: Any, place: int = 0, **more: Any) -> Order:  # noqa: ANN401 - fields of an order
    return Order.model_validate(
        {
            "order_id": f"{place + 1:032x}",
            "strategy": "test",
            "decision": 1,
            "leg": place,
            "operation": operation,
            "venue": venue,
            "instrument": key,
            "amount": amount,
            "reason": "TEST",
            "created_at": AT,
            "deadline": AT + timedelta(minutes=5),
            "expected_deltas": {key: D(1)},
        }
        | more
    )


def wei(amount: str) -> int:
    return int(D(amount).scaleb(18))


amounts = st.decimals(min_value="0.000000000000001", max_value="100000", places=18)


@given(amounts, st.integers(0, 22), st.integers(60, 3000))
def test_what_is_supplied_comes_back_with_its_interest_and_never_a_unit_more(
    amount: Decimal, hours: int, seconds: int
) -> None:
    ledger = chain(Books(tokens={"ETH": wei("10"), "WETH": wei(str(amount))}))
    ledger.include([order(OrderOperation.SUPPLY, "aave_v3", A_WETH, amount, token_in=WETH)])
    lent = ledger.world.held[A_WETH]
    assert amount - 2 * WEI <= lent <= amount
    ledger.reach(AT + timedelta(hours=hours, seconds=seconds), None)
    grown = ledger.world.held[A_WETH]
    assert lent <= grown <= amount * D("1.001")
    assert grown - amount == sum((flow.amount for flow in ledger.flows if flow.key == A_WETH), D(0))
    ledger.include([order(OrderOperation.WITHDRAW, "aave_v3", A_WETH, "MAX", 1, token_out=WETH)])
    assert ledger.world.held[A_WETH] == 0
    assert ledger.world.held[WETH] == grown


@given(amounts)
def test_a_debt_is_never_less_than_what_was_borrowed_and_repaid_in_full_it_is_gone(amount: Decimal) -> None:
    books = Books(tokens={"ETH": wei("10"), "WETH": wei("1000000")}, collateral={"weETH"}, emode=1)
    books.supplied["weETH"] = wei("1000000")
    ledger = chain(books)
    ledger.include([order(OrderOperation.BORROW, "aave_v3", DEBT, amount, token_out=WETH)])
    owed = ledger.world.held[DEBT]
    assert amount <= owed <= amount + 2 * WEI
    ledger.include([order(OrderOperation.REPAY, "aave_v3", DEBT, "MAX", 1, token_in=WETH)])
    assert ledger.world.held[DEBT] == 0
    assert ledger.world.held[WETH] <= 1_000_000


@given(amounts)
def test_a_stake_brings_its_rate_and_no_wei_more(amount: Decimal) -> None:
    ledger = chain(Books(tokens={"ETH": wei("200000")}))
    least = (amount / RATE * D("0.9999")).quantize(WEI, ROUND_FLOOR)
    made = order(
        OrderOperation.STAKE, "etherfi", WEETH, amount, token_in=ETH, token_out=WEETH, min_out=max(least, D(0))
    )
    receipt = ledger.include([made])
    assert receipt.deltas[ETH] == -amount
    tokens = receipt.deltas.get(WEETH, D(0))
    assert tokens * RATE <= amount < (tokens + WEI) * RATE + WEI


def entry(loan: str, own: str, borrowed: str) -> list[Order]:
    """A levered entry: all that came is supplied."""
    spent = D(loan) + D(own)
    least = (spent / RATE * D("0.9999")).quantize(WEI)
    atomic = {"execution_mode": ExecutionMode.ATOMIC, "group_id": "g"}
    return [
        order(OrderOperation.FLASH_BORROW, "aave_v3", WETH, D(loan), 0, token_out=WETH, **atomic),
        order(OrderOperation.UNWRAP, "wallet", WETH, spent, 1, token_in=WETH, token_out=ETH, **atomic),
        order(OrderOperation.STAKE, "etherfi", WEETH, spent, 2, token_in=ETH, token_out=WEETH, min_out=least, **atomic),
        order(OrderOperation.SUPPLY, "aave_v3", A_WEETH, least, 3, token_in=WEETH, **atomic),
        order(OrderOperation.BORROW, "aave_v3", DEBT, D(borrowed), 4, token_out=WETH, memo="debt_mode", **atomic),
    ]


def test_a_levered_entry_is_one_transaction_whose_loan_becomes_debt() -> None:
    ledger = chain(Books(tokens={"ETH": wei("1"), "WETH": wei("100")}, emode=1))
    receipt = ledger.include(entry("560", "100", "560"))
    assert receipt.gas == D(1_250_000) * D("1.15") * D("2e-9")
    held = ledger.world.held
    assert held[WETH] == held[WEETH] == 0
    assert 0 <= held[DEBT] - 560 <= 2 * WEI
    assert abs(held[A_WEETH] - 660 / RATE) < 3 * WEI
    report = ledger.world.report()
    assert report is not None
    assert report.health_factor is not None
    assert D("1.11") < report.health_factor < D("1.12")


@pytest.mark.parametrize(
    ("loan", "own", "borrowed", "why"),
    [
        ("560", "100", "559.9", "a flash loan of"),  # what is not owed is not paid back
        ("1500", "100", "1500", "expected at most 0.93"),  # more than the e-mode lends
        ("400000", "100", "400000", "idle"),  # more than there is
        ("560", "101", "560", "held"),  # more than we have
    ],
)
def test_a_group_that_cannot_be_done_leaves_everything_as_it_was(loan: str, own: str, borrowed: str, why: str) -> None:
    ledger = chain(Books(tokens={"ETH": wei("1"), "WETH": wei("100")}, emode=1))
    before = dict(ledger.world.held)
    with pytest.raises(OrderRejectedError, match=why):
        ledger.include(entry(loan, own, borrowed))
    assert {key: amount for key, amount in ledger.world.held.items() if amount} == {
        key: amount for key, amount in before.items() if amount
    }
    assert ledger.receipts == {}


def test_what_is_handed_back_waits_in_the_queue_at_the_rate_of_its_day() -> None:
    ledger = chain(Books(tokens={"ETH": wei("1"), "weETH": wei("10")}), record(("1.066843501", *["1.07"] * 9)))
    claim = K("lido:claim:1")
    ledger.include([order(OrderOperation.UNSTAKE, "lido", WEETH, D(10), token_in=WEETH)])
    assert ledger.world.held[claim] == 10 * RATE
    asked = order(OrderOperation.CLAIM, "lido", claim, 10 * RATE, 1, token_out=ETH)
    with pytest.raises(OrderRejectedError, match="not payable"):
        ledger.include([asked])
    ledger.reach(AT + timedelta(days=7, minutes=1), None)
    assert ledger.world.claims()[claim].is_payable
    assert ledger.include([asked]).deltas == {claim: -10 * RATE, ETH: 10 * RATE}


def test_a_sale_costs_the_recorded_discount_and_the_pools_fee_and_nobody_buys_below_the_rate() -> None:
    ledger = chain(Books(tokens={"ETH": wei("1"), "WETH": wei("10"), "weETH": wei("10")}))
    sold = order(OrderOperation.SWAP, "uniswap_v3", WEETH, D(10), token_in=WEETH, token_out=WETH, min_out=D(10))
    assert ledger.include([sold]).deltas[WETH] == (10 * RATE * (1 - D("0.0015"))).quantize(WEI)
    bought = order(OrderOperation.SWAP, "uniswap_v3", WETH, D(10), 1, token_in=WETH, token_out=WEETH, min_out=D(9))
    assert ledger.include([bought]).deltas[WEETH] < 10 / RATE
    dear = order(OrderOperation.SWAP, "uniswap_v3", WEETH, D(1), 2, token_in=WEETH, token_out=WETH, min_out=D("1.0665"))
    with pytest.raises(OrderRejectedError, match=r"expected 1\.0665"):
        ledger.include([dear])


def test_a_borrower_of_size_moves_the_rate_that_he_pays_and_an_old_position_does_not() -> None:
    ledger = chain(Books(tokens={"ETH": wei("1")}, supplied={"weETH": wei("500000")}, collateral={"weETH"}, emode=1))
    weth = ledger.world.reserves["WETH"]
    assert weth.rates == (D("0.0265"), D("0.02"))
    ledger.include([order(OrderOperation.BORROW, "aave_v3", DEBT, D(50_000), token_out=WETH)])
    assert weth.rates[0] > D("0.027")
    assert abs(weth.idle - 250_000) < D("1e-15")
    ledger.reach(AT + timedelta(days=1), None)
    assert weth.debt_index > weth.row.debt_index.scaleb(27)  # the midnight's own index, and ours on top
    standing = chain(Books(supplied={"weETH": wei("500000")}, owed={"WETH": wei("50000")}, emode=1))
    assert standing.world.reserves["WETH"].rates == (D("0.0265"), D("0.02"))


def test_a_fall_of_the_rate_liquidates_half_at_the_bonus_and_all_of_it_when_it_is_deep() -> None:
    for rate, share in (("1.0", D("0.5")), ("0.9", D(1))):
        books = Books(supplied={"weETH": wei("100")}, owed={"WETH": wei("96")}, collateral={"weETH"}, emode=1)
        ledger = chain(books, record(("1.066843501", rate)))
        assert liquidated(ledger.world) == {}
        ledger.reach(AT + timedelta(days=1), None)
        owed = ledger.world.held[DEBT]
        taken = liquidated(ledger.world)
        assert abs(-taken[DEBT] - owed * share) < D("1e-15")
        expected = min(owed * share / D(rate) * D("1.01"), ledger.world.held[A_WEETH] - taken[A_WEETH])
        assert abs(-taken[A_WEETH] - expected) < D("1e-12")


def test_a_midnight_stands_for_its_day_and_no_longer() -> None:
    rows = record()
    known = rows.reserve("WETH", AT + timedelta(hours=23))
    assert known is not None
    assert is_current(known, AT + timedelta(hours=23))
    late = rows.reserve("WETH", AT + timedelta(days=2))
    assert late is not None
    assert not is_current(late, AT + timedelta(days=2))
    assert rows.gas_at(AT + timedelta(days=2, hours=3)) is None
    assert rows.token("weETH", AT - timedelta(hours=1)) is None
