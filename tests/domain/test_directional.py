"""Directional sizes and liquidations to the golden numbers, linear and inverse."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import MarginState
from basis_daemon.domain.directional import (
    inverse_coins,
    inverse_contracts,
    inverse_delta,
    inverse_fall,
    inverse_pnl,
    linear_target,
)
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import perp_cost_change
from basis_daemon.domain.margin import distance_of, long_distance, short_distance
from tests.builders import D, perp_instrument, signs

CV = D(100)
PRICE = st.decimals(1000, 200_000, places=1)
COINS = st.decimals("-50", 50, places=4)


def test_a_share_of_the_equity_in_base_units() -> None:
    assert signs(D("0.5") * 100_000 / 60_000) == "0.83333333"  # ML1
    assert linear_target(1, D("0.5"), D(100_000), D(60_000), D("0.001")) == D("0.833")
    assert linear_target(-1, D("0.5"), D(100_000), D(60_000), D("0.001")) == D("-0.833")
    assert D("0.833") - D("-0.833") == D("1.666")  # ML3: a reversal sells twice


def test_an_overlay_in_whole_contracts_and_what_it_earns() -> None:
    assert inverse_contracts(D(1), D(60_000), CV) == 600  # ML4
    assert signs(inverse_pnl(D(600), CV, D(60_000), D(57_000))) == "-0.052631579"  # ML5
    assert signs(inverse_pnl(D(600), CV, D(60_000), D(63_000))) == "0.047619048"


def test_a_short_overlay_floors_towards_zero_and_its_account_counts_with_it() -> None:
    n = inverse_contracts(D(-1), D(60_050), CV)
    assert n == -600  # ML9
    assert signs(inverse_delta(D(2), n, D(60_050), CV)) == "1.0008326"


def test_how_far_each_is_from_liquidation() -> None:
    mm = D("0.01")
    assert (inverse_fall(D(1), mm), signs(inverse_fall(D("0.5"), mm) or D(0))) == (D("-0.495"), "-0.66333333")  # ML6
    assert (signs(-long_distance(D("0.5"), mm)), signs(short_distance(D(2), mm))) == ("-0.49494949", "1.970297")  # ML7
    assert inverse_fall(D("-1"), mm) is None


@given(COINS, PRICE)
def test_contracts_never_stand_for_more_than_was_wanted(coins: Decimal, mark: Decimal) -> None:
    n = inverse_contracts(coins, mark, CV)
    assert abs(inverse_coins(n, mark, CV)) <= abs(coins) < abs(inverse_coins(n, mark, CV)) + CV / mark + D("1e-20")
    assert n == n.to_integral_value()
    assert n * coins >= 0


@given(st.decimals("0.05", 3, places=3), st.decimals("0.001", "0.05", places=4), PRICE)
def test_an_inverse_long_is_liquidated_exactly_where_its_equity_is_its_maintenance(
    share: Decimal, mm: Decimal, opened: Decimal
) -> None:
    fall = inverse_fall(share, mm)
    assert fall is not None
    mark, contracts = opened * (1 + fall), share * opened / CV
    equity = 1 + inverse_pnl(contracts, CV, opened, mark)
    assert abs(equity - mm * inverse_coins(contracts, mark, CV)) < D("1e-15")


@given(st.decimals("1.05", 5, places=3), st.decimals("0.001", "0.05", places=4), PRICE)
def test_an_inverse_short_beyond_its_coins_is_liquidated_where_that_says(
    share: Decimal, mm: Decimal, opened: Decimal
) -> None:
    rise = inverse_fall(-share, mm)
    assert rise is not None
    mark, contracts = opened * (1 + rise), -share * opened / CV
    equity = 1 + inverse_pnl(contracts, CV, opened, mark)
    assert abs(equity + mm * inverse_coins(contracts, mark, CV)) < D("1e-15")


def state_of(quantity: str, margin: str, mark: str = "60000") -> MarginState:
    key = PositionKey("binancecoinm:perp:BTCUSD")
    return MarginState("binancecoinm", key, "BTC", D(quantity), D(mark), D(margin), D("0.01"), D(0), D(100))


@pytest.mark.parametrize(
    ("quantity", "margin", "distance"),
    [("600", "1", "0.495"), ("600", "2", "0.66333333333333333333"), ("-600", "1", "10"), ("-600", "2", "10"),
     ("600", "0.01", "0"), ("600", "0.005", "-1"), ("600", "-1", "0"), ("-1200", "1", "0.98")],
)  # fmt: skip
def test_the_distance_of_an_inverse_account_is_that_of_its_coin(quantity: str, margin: str, distance: str) -> None:
    found = distance_of(state_of(quantity, margin))
    assert found < 0 if D(distance) < 0 else abs(found - D(distance)) < D("1e-8")


def test_an_inverse_contract_counts_for_minus_its_coins_so_that_one_arithmetic_of_costs_serves_both_kinds() -> None:
    perp = replace(perp_instrument(PositionKey("binancecoinm:perp:BTCUSD"), "BTC"), quote="USD", contract_value=D(100))
    bought, sold = perp.unit_worth(D(60_000)), perp.unit_worth(D(63_000))
    assert (bought, perp.settle, perp.notional(D(600), D(1))) == (D("-0.001666666666666667"), "BTC", D(60_000))
    cost, _ = perp_cost_change(D(0), D(0), D(600), bought)
    change, realised = perp_cost_change(D(600), cost, D(-600), sold)
    assert cost + change == 0
    assert abs(realised - D("0.047619048")) < D("1e-9")  # ML5
    assert abs(perp.price_of(cost / 600) - 60_000) < D("1e-6")
