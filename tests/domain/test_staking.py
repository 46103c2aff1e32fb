"""Golden numbers of staking to eight significant digits, and the choice between a sale and the issuer's queue."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.staking import (
    DISTRESSED,
    ORDINARY,
    PRESSED,
    ExitPath,
    buy_limit,
    days_equal,
    discount,
    effective_yield,
    exit_path,
    growth_apr,
    reward_apr,
    stake_quantity,
    waiting_cost,
)
from tests.builders import D, signs

RATE, LATER = D("1.066843501"), D("1.067261845")
HELD = stake_quantity(D(100), D(0), D("0.1"), RATE)
SLIP = D("0.0030")
SALE = D("0.0007") + D("0.0005")
DEEP = D("0.00516979") + D("0.0005")
GAS = D("0.0002")
WEEK = waiting_cost(D(7), D("0.03"))


@pytest.mark.parametrize(
    ("golden", "found", "expected"),
    [
        ("ST1", HELD, "93.640726"),
        ("ST2 value", HELD * LATER, "99.939174"),
        ("ST2 gain", HELD * LATER - D("99.9"), "0.039174036"),
        ("ST2 apr", growth_apr(LATER, RATE, D(6)), "0.023854727"),
        ("ST3", buy_limit(D("1.044650881"), D("0.0008")), "1.0438152"),
        ("ST4 fast", SALE + GAS, "0.0014"),
        ("ST4 slow", WEEK, "0.00057534247"),
        ("ST5 fast", DEEP + GAS, "0.00586979"),
        ("ST5 days", days_equal(DEEP + GAS, D("0.03")), "71.415778"),
        ("ST6", reward_apr(D("0.190"), D("0.00053")), "0.0052364"),
        ("ST6 counted", effective_yield(D(0), reward_apr(D("0.190"), D("0.00053")), D("0.5")), "0.0026182"),
    ],
)
def test_a_golden_number(golden: str, found: Decimal, expected: str) -> None:
    assert signs(found) == expected, golden


@pytest.mark.parametrize(
    ("sale", "waiting", "urgency", "path"),
    [
        (SALE, WEEK, ORDINARY, ExitPath.QUEUE),  # ST4
        (DEEP, WEEK, ORDINARY, ExitPath.QUEUE),  # ST5
        (D(0), WEEK, ORDINARY, ExitPath.SWAP),
        (SALE, WEEK, PRESSED, ExitPath.SWAP),
        (DEEP, waiting_cost(D(365), D("0.03")), ORDINARY, ExitPath.QUEUE),  # cheaper, but beyond slip_dex
        (D("-0.001"), D(0), ORDINARY, ExitPath.SWAP),  # a premium is always taken
    ],
)
def test_an_exit_is_sold_only_where_that_is_cheaper_and_inside_its_bound(
    sale: Decimal, waiting: Decimal, urgency: Decimal, path: ExitPath
) -> None:
    assert exit_path(sale, GAS, waiting, urgency, SLIP) is path


def test_distress_pays_up_to_its_own_bound() -> None:
    assert exit_path(DEEP, GAS, WEEK, DISTRESSED, D("0.0100")) is ExitPath.SWAP
    assert exit_path(D("0.011"), GAS, WEEK, DISTRESSED, D("0.0100")) is ExitPath.QUEUE


def test_a_discount_is_counted_against_the_rate() -> None:
    assert discount(D("1.0393"), D("1.0393") / (1 - D("0.0051"))) == D("0.0051")
    assert discount(D("1.05"), D("1.044650881")) < 0


@given(
    equity=st.decimals("1", "1e6", places=6),
    sleeve=st.decimals(0, "0.25", places=4),
    rate=st.decimals("0.9", "1.5", places=9),
)
def test_what_is_held_with_its_reserve_and_sleeve_is_the_equity(
    equity: Decimal, sleeve: Decimal, rate: Decimal
) -> None:
    held = stake_quantity(equity, sleeve, D("0.05"), rate)
    assert abs(held * rate + sleeve * equity + D("0.05") - equity) < D("1e-20")
