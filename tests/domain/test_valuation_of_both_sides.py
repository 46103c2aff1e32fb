"""Books at an exchange and on a chain, valued in either class: the worked examples, through the valuation itself."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.valuation import Posted, Valuation, attribute, unpriced
from tests.builders import NOW, D, signs

K = PositionKey
PERP, MARGIN = K("binanceusdm:perp:ETHUSDT"), K("binanceusdm:spot:USDT")
TOKEN, DEBT, CORE = K("wallet:lst:weETH"), K("aave_v3:vdebt:WETH"), K("aave_v3:atoken:WETH")
BASES = {PERP: "ETH"}


def cut(value: Decimal) -> Decimal:
    """As prices of a class are."""
    return value.quantize(D("1e-18"))


def hedged(price: Decimal, mark: Decimal, rate: Decimal, index: Decimal, earned: Decimal, *posted: Posted) -> Valuation:
    """100 weETH, a scaled debt of 50 WETH and 56 ETH short, opened at 2001."""
    holdings = {TOKEN: D(100), DEBT: 50 * index, PERP: D(-56), MARGIN: 100_000 + earned}
    prices = {"USDT": D(1), "ETH": price, "WETH": price, "weETH": rate * price}
    return Valuation(NOW, holdings, {PERP: D(-56) * 2001}, prices, {PERP: mark}, BASES, posted)


def test_a_staked_hedge_is_split_into_price_yield_interest_and_basis() -> None:
    funding, fee, interest = D("11.7544"), D(-12), D("0.01")
    opening = hedged(D(2000), D(2001), D("1.0660"), D("1.05"), D(0))
    posted = (
        Posted(Cause.FUNDING, MARGIN, "USDT", funding),
        Posted(Cause.FEE, MARGIN, "USDT", fee),
        Posted(Cause.INTEREST, DEBT, "WETH", interest),
    )
    closing = hedged(D(2100), D(2099), D("1.0662"), D("1.0502"), funding + fee, *posted)
    parts = attribute(opening, closing)
    assert {name: signs(value) for name, value in parts.items() if value} == {
        "delta": "-190", "staking": "42", "borrow": "-21", "basis": "112", "funding": "11.7544", "fees": "-12",
    }  # fmt: skip
    assert signs(closing.equity - opening.equity) == "-57.2456"  # PA1
    assert parts["unexplained"] == 0


def test_what_was_held_before_or_moved_since_needs_a_price_though_nothing_of_it_is_left() -> None:
    opening = hedged(D(2000), D(2001), D("1.0660"), D("1.05"), D(0))
    sold = Posted(Cause.TRADE, K("wallet:token:EIGEN"), "EIGEN", D(0)), Posted(Cause.FEE, MARGIN, "USDT", D(-12))
    moved = Posted(Cause.TRADE, K("wallet:token:KING"), "KING", D(-3))
    closed = Valuation(NOW, {MARGIN: D(100)}, {}, {"USDT": D(1), "ETH": D(2000)}, {}, BASES, (*sold, moved))
    assert unpriced(opening, closed) == (DEBT, PERP, TOKEN, "wallet:token:KING")
    seen = replace(closed, prices={**opening.prices, "KING": D(1)}, marks=opening.marks)
    assert unpriced(opening, seen) == ()


def in_ether(price: Decimal, mark: Decimal, earned: Decimal, *posted: Posted) -> Valuation:
    """125 ETH, 60,000 USDT owed net of margin, and 25 ETH short, opened at 2502."""
    holdings = {CORE: D(125), PERP: D(-25), MARGIN: D(-60_000) + earned}
    prices = {"USDT": cut(1 / price), "ETH": D(1), "WETH": D(1)}
    return Valuation(NOW, holdings, {PERP: D(-25) * 2502}, prices, {PERP: mark}, BASES, posted, "ETH")


def test_a_class_of_ether_counts_its_perps_in_ether() -> None:
    funding, fee = D(25) * 2601 * D("0.0001"), D(-13)
    posted = (Posted(Cause.FUNDING, MARGIN, "USDT", funding), Posted(Cause.FEE, MARGIN, "USDT", fee))
    opening, closing = in_ether(D(2500), D(2502), D(0)), in_ether(D(2600), D(2601), funding + fee, *posted)
    parts = attribute(opening, closing)
    assert opening.equity == 101
    assert {name: signs(value) for name, value in parts.items() if value} == {
        "delta": "-0.038461538", "basis": "0.0096153846", "funding": "0.0025009615", "fees": "-0.005",
    }  # fmt: skip
    assert signs(closing.equity - opening.equity) == "-0.031345192"  # PA2
    assert parts["unexplained"] == 0


amounts = st.decimals(min_value=500, max_value=9000, places=2, allow_nan=False)


@given(amounts, amounts, amounts, amounts)
def test_whatever_prices_do_nothing_is_left_over_in_a_class_of_ether(
    price0: Decimal, mark0: Decimal, price1: Decimal, mark1: Decimal
) -> None:
    parts = attribute(in_ether(price0, mark0, D(0)), in_ether(price1, mark1, D(0)))
    assert parts["unexplained"] == 0
