"""Lots of whole books: every coin is where the ledger has it, and what counts as a sale is what was one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause, Entry, Ledger, Posting
from basis_daemon.engine.lots import Pools, Valued, pools_of
from tests.builders import NOW, D

Lines = dict[str, tuple[Decimal, Cause]]
USDT_BOOK = Valued("hedged", ("wallet", "aave_v3", "binance", "binanceusdm"), "USDT", {"USDT": D(1), "ETH": D(2_000)})
ETH_BOOK = Valued("levered", ("wallet", "aave_v3"), "ETH", {"ETH": D(1), "WETH": D(1), "USDT": D("0.0005")})
CASH, COIN = "binance:spot:USDT", "binance:spot:ETH"
ETHER, WRAPPED, STAKED = "wallet:token:ETH", "wallet:token:WETH", "wallet:lst:weETH"
OWED, OWED_USDT, USDT = "aave_v3:vdebt:WETH", "aave_v3:vdebt:USDT", "wallet:token:USDT"


def entry(number: int, *lines: tuple[str, Decimal, Cause]) -> Entry:
    """Real postings, each with its nominal side."""
    postings: list[Posting] = []
    for account, amount, cause in lines:
        asset = PositionKey(account).asset
        postings += Posting(account, asset, amount, cause), Posting(f"nominal:{cause}", asset, -amount, cause)
    return Entry(f"e{number}", NOW + timedelta(minutes=number), tuple(postings))


def lots(book: Valued, *entries: Entry) -> Pools:
    (pools,) = pools_of([book, *entries])
    return pools


T, FEE, GAS = Cause.TRADE, Cause.FEE, Cause.GAS


def test_fees_in_money_and_in_the_coin_itself_belong_to_its_cost() -> None:
    pools = lots(USDT_BOOK, entry(1, (CASH, D(-4_000), T), (COIN, D(2), T), (COIN, D("-0.5"), FEE), (CASH, D(-8), FEE)))
    ((lot,),) = (list(pools.open()),)
    assert (lot.quantity, lot.cost) == (D("1.5"), D(4_008))


def test_a_fee_in_a_third_coin_is_a_disposal_of_it_for_nothing() -> None:
    pools = lots(
        USDT_BOOK,
        entry(1, (ETHER, D(1), Cause.OPENING)),
        entry(2, (USDT, D(-5), Cause.TRANSFER), (CASH, D(5), Cause.TRANSFER), (ETHER, D("-0.1"), GAS)),
    )
    (part,) = pools.closed()
    assert (part.lot.item, part.lot.quantity, part.gain, part.closed.why) == ("ETH", D("0.1"), D(-200), "fee")


def test_moving_supplying_and_borrowing_close_nothing() -> None:
    pools = lots(
        USDT_BOOK,
        entry(1, (CASH, D(-4_000), T), (COIN, D(2), T)),
        entry(2, (COIN, D(-2), Cause.TRANSFER), ("binance:transit:ETH", D(2), Cause.TRANSFER)),
        entry(3, ("binance:transit:ETH", D(-2), Cause.TRANSFER), (ETHER, D(2), Cause.TRANSFER)),
        entry(4, (OWED, D(1), T), (WRAPPED, D(1), T)),
    )
    assert list(pools.closed()) == []
    assert pools.held() == {"ETH": D(2)}


def test_staking_carries_the_cost_over_and_a_sale_of_what_was_staked_realises_it() -> None:
    pools = lots(
        USDT_BOOK,
        entry(1, (CASH, D(-4_000), T), (COIN, D(2), T)),
        entry(2, (COIN, D(-2), Cause.TRANSFER), (ETHER, D(2), Cause.TRANSFER)),
        entry(3, (ETHER, D(-2), T), (STAKED, D("1.9"), T)),
        entry(4, (STAKED, D("-1.9"), T), (USDT, D(4_500), T)),
    )
    stake, sale = pools.closed()
    assert (stake.closed.why, stake.gain) == ("conversion", D(0))
    assert (sale.lot.item, sale.lot.cost, sale.gain) == ("weETH", D(4_000), D(500))


def test_in_an_eth_class_ether_is_the_measure_wrapped_or_not_and_owed_coin_that_was_sold_is_short() -> None:
    pools = lots(
        ETH_BOOK,
        entry(1, (ETHER, D(10), Cause.OPENING)),
        entry(2, (WRAPPED, D("-10.5"), T), (STAKED, D(10), T)),
        entry(3, (OWED_USDT, D(2_000), T), (USDT, D(2_000), T)),
        entry(4, (USDT, D(-2_000), T), (ETHER, D(1), T)),
        entry(5, (ETHER, D("-0.8"), T), (USDT, D(2_000), T)),
        entry(6, (OWED_USDT, D(-2_000), T), (USDT, D(-2_000), T)),
    )
    (covered,) = pools.closed()
    assert (covered.lot.item, covered.lot.measure, covered.gain) == ("USDT", "ETH", D("0.2"))
    assert pools.held() == {"weETH": D(10)}


def test_what_comes_for_nothing_costs_its_price_and_what_is_withdrawn_leaves_at_its_cost() -> None:
    pools = lots(
        USDT_BOOK,
        entry(1, (COIN, D(3), Cause.OPENING)),
        entry(2, (COIN, D(-1), Cause.EXTERNAL)),
        entry(3, ("wallet:token:EIGEN", D(5), Cause.REWARD)),
    )
    assert [(part.gain, part.closed.why) for part in pools.closed()] == [(D(0), "external")]
    assert [(lot.item, lot.cost) for lot in pools.open()] == [("ETH", D(4_000)), ("EIGEN", None)]


def test_two_coins_sold_for_one_sum_have_no_known_gain() -> None:
    pools = lots(
        USDT_BOOK,
        entry(1, (COIN, D(1), Cause.OPENING), (STAKED, D(1), Cause.OPENING)),
        entry(2, (COIN, D(-1), T), (STAKED, D(-1), T), (CASH, D(4_000), T)),
    )
    assert [part.gain for part in pools.closed()] == [None, None]


def test_an_account_that_a_strategy_was_given_later_is_its_own_from_the_beginning() -> None:
    later = Valued("hedged", (*USDT_BOOK.accounts, "bybit"), "USDT", USDT_BOOK.prices)
    bought = entry(1, ("bybit:spot:USDT", D(-10), T), ("bybit:spot:ETH", D("0.005"), T))
    (pools,) = pools_of([USDT_BOOK, bought, later])
    assert (pools.strategy, pools.held()) == ("hedged", {"ETH": D("0.005")})


def test_what_nobody_declared_is_nobodys_lot_for_it_is_in_no_equity() -> None:
    strange = replace(USDT_BOOK, undeclared=frozenset({ETHER}))
    own, nobodys = pools_of([
        entry(1, (ETHER, D(1), Cause.OPENING)),
        strange,
        entry(2, (CASH, D(-4_000), T), (COIN, D(2), T), (ETHER, D("-0.1"), GAS)),
    ])  # fmt: skip
    assert (own.strategy, own.held(), list(own.closed())) == ("hedged", {"ETH": D(2)}, [])
    assert (nobodys.strategy, nobodys.held()) == ("", {"ETH": D("0.9")})
    assert [(part.closed.why, part.gain) for part in nobodys.closed()] == [("fee", D(-200))]


accounts = st.sampled_from([CASH, COIN, ETHER, WRAPPED, STAKED, OWED, USDT])
lines = st.tuples(
    accounts, st.decimals(min_value=D(-9), max_value=D(9), places=6), st.sampled_from(sorted(set(Cause) - {"realised"}))
)


@given(st.lists(st.lists(lines, min_size=1, max_size=4), max_size=20))
@pytest.mark.slow
def test_whatever_is_booked_the_lots_hold_what_the_ledger_holds(told: list[list[tuple[str, Decimal, Cause]]]) -> None:
    entries = [entry(number, *own) for number, own in enumerate(told)]
    ledger = Ledger()
    for each in entries:
        ledger.apply(each)
    net: dict[str, Decimal] = {}
    for key, amount in ledger.holdings().items():
        if key.asset != "USDT":
            net[key.asset] = net.get(key.asset, D(0)) + key.sign * amount
    pools = lots(USDT_BOOK, *entries)
    assert {item: amount for item, amount in pools.held().items() if amount} == {k: v for k, v in net.items() if v}
