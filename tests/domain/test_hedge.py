"""The staked hedge in numbers, to the golden ones: targets, drift, carry, gate, what a squeeze does to its margin."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.hedge import (
    carry_apr,
    cost_apr,
    funding_for,
    hedge_target,
    levered_sleeve,
    sleeve_exit_cost,
    staked_share,
)
from basis_daemon.domain.lending import health_of, interest
from basis_daemon.domain.levered import cash_out, lever, levered_apr
from basis_daemon.domain.margin import ratio_after_move, short_distance, top_up_from_long
from basis_daemon.domain.staking import growth_apr
from tests.builders import D, signs
from tests.strategies.recorded import rows
from tests.strategies.test_carry import average_before, recorded

M = D("0.5")
MONEY = st.decimals(min_value=1000, max_value=10**9, places=2)
PRICE = st.decimals(min_value=100, max_value=100_000, places=2)
RATIO = st.decimals(min_value="0.25", max_value=1, places=4)


def test_the_book_of_the_specification() -> None:
    found = hedge_target(D(300_000), D(2500), M, D("1.0668"), D("0.2"))
    assert signs(staked_share(M)) == "0.66666667"  # MN1
    assert (signs(found.staked), signs(found.tokens), signs(found.short), signs(found.margin)) == (
        "80", "74.80315", "-80", "100000",
    )  # fmt: skip
    assert (signs(found.short * D("0.3")), signs(found.margin * D("0.3"))) == ("-24", "30000")


def test_leverage_changes_the_collateral_and_not_the_short() -> None:
    found = levered_sleeve(D(80), D("0.65"))
    assert (signs(found.collateral), signs(found.debt)) == ("228.57143", "148.57143")  # MN2
    assert signs(found.collateral / D("1.0668")) == "214.25893"
    assert signs(health_of(found.collateral, found.debt, D("0.95")) or D(0)) == "1.4615385"
    flash = lever(D(100), D(0), D(0), D("0.65"))
    assert (signs(flash.flash), signs(flash.collateral)) == ("185.71429", "285.71429")  # LV4


def test_a_month_of_yield_lengthens_the_book_by_less_than_the_soft_limit() -> None:
    drift = interest(D(80), D("0.03"), D(30))
    assert (signs(drift), signs(drift / 80 * staked_share(M))) == ("0.19726027", "0.0016438356")  # MN3


def test_yield_and_funding_come_on_the_staked_share() -> None:
    assert signs(carry_apr(staked_share(M), D("0.030"), D("0.0888"))) == "0.0792"  # MN4
    levered = levered_apr(D("0.030"), D("0.0255"), D("0.65"))
    assert signs(carry_apr(staked_share(M), levered, D("0.0888"))) == "0.084771429"


def test_a_squeeze_that_nobody_attends_liquidates() -> None:
    m = ratio_after_move(M, D("2624.59") / D("1750.67") - 1)
    assert (signs(m), signs(short_distance(m, D("0.01")))) == ("0.00053913183", "-0.0093671962")  # MN5


def test_what_the_sleeve_releases_brings_the_margin_back_to_its_target() -> None:
    rise = D("0.24661386711884048")
    notional, margin = 200_000 * (1 + rise), 100_000 - 200_000 * rise
    x = top_up_from_long(M, notional, margin)
    eth = x / (2500 * (1 + rise))
    assert (signs(margin / notional), signs(x), signs(eth)) == ("0.20325952", "49322.773", "15.826159")  # MN6
    assert (signs(notional - x), signs((margin + x) / (notional - x))) == ("200000", "0.5")
    freed = cash_out(eth, D("0.65"), D("0.001"))
    assert not isinstance(freed, str)
    assert (signs(freed.repaid), signs(freed.sold + freed.left)) == ("29.475654", "45.347161")  # MN7


def test_ten_ether_at_constant_lambda() -> None:
    freed = cash_out(D(10), D("0.65"), D("0.001"))
    assert not isinstance(freed, str)
    assert (signs(freed.repaid), signs(freed.withdrawn)) == ("18.624642", "28.653295")  # CO1


def test_leaving_a_levered_sleeve_sells_all_of_its_collateral() -> None:
    levered = sleeve_exit_cost(D("0.0012"), D("0.65"))
    assert signs(levered) == "0.0034285714"  # MN8
    more = cost_apr(staked_share(M), D(0), levered - D("0.0012"), D(30))
    assert signs(more) == "0.01807619"


@recorded
@pytest.mark.parametrize(("venue", "net"), [("bybit", "0.039648786"), ("binance", "0.041595796")])
def test_the_gate_of_the_first_of_august(venue: str, net: str) -> None:
    rates = {row["timestamp"]: D(row["rate_vs_weth"]) for row in rows("2024-08_crash_depeg", "aave_daily.csv")
             if row["asset"] == "weETH"}  # fmt: skip
    y = growth_apr(rates["2024-08-01T00:00:00Z"], rates["2024-07-25T00:00:00Z"], D(7))
    assert signs(y) == "0.029712533"  # MN9
    funding, share = average_before("EW8", venue, "ETHUSDT") * 1095, staked_share(M)
    assert signs(carry_apr(share, y, funding) - cost_apr(share, D("0.0036"), D("0.0012"), D(30))) == net


@given(MONEY, PRICE, RATIO, st.decimals(min_value=1, max_value="1.5", places=6))
def test_margin_and_stake_are_all_of_the_equity(equity: Decimal, price: Decimal, m: Decimal, rate: Decimal) -> None:
    found = hedge_target(equity, price, m, rate, D("0.01"))
    assert abs(found.staked * price + found.margin - equity) < D("1e-15") * equity
    assert abs(found.margin - m * found.staked * price) < D("1e-15") * equity
    assert found.short == -found.staked
    assert abs(found.tokens * rate + D("0.01") - found.staked) < D("1e-15") * equity


@given(RATIO, st.decimals(min_value="-0.1", max_value="0.2", places=6), st.decimals("-0.1", "0.5", places=6))
def test_the_hurdle_is_where_the_carry_is_what_was_asked_for(m: Decimal, staking: Decimal, apr: Decimal) -> None:
    share = staked_share(m)
    assert abs(carry_apr(share, staking, funding_for(apr, share, staking)) - apr) < D("1e-20")


@given(st.decimals(min_value="0.01", max_value=10_000, places=6), st.decimals(min_value=0, max_value="0.8", places=4))
def test_what_is_levered_is_worth_what_it_was(net: Decimal, lam: Decimal) -> None:
    found = levered_sleeve(net, lam)
    assert abs(found.collateral - found.debt - net) < D("1e-20") * net
