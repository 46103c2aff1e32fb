"""The carry of a pair: golden numbers, confirmations, and what recorded funding made of them."""

from __future__ import annotations

import csv
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from basis_daemon.domain.margin import ewma, ewma_weight
from basis_daemon.domain.pnl import basis, basis_pnl
from basis_daemon.strategies.carry import (
    PairCosts,
    confirmations_needed,
    cost_apr,
    eight_hourly,
    entry_rate_min,
    exit_rate,
    funding_cash,
    gross_apr,
    holds,
    net_apr,
    rotation_cost,
    rotation_gain,
)
from tests.builders import D, signs

M, COSTS, DAYS = D("0.4"), PairCosts(D("0.0010"), D("0.0005"), D("0.0006")), D(30)
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
WINDOWS = {
    "EW3": ("2024-03_funding_boom", "2024-03-01"),
    "EW8": ("2024-08_crash_depeg", "2024-08-01"),
    "EW5": ("2025-05_eth_squeeze", "2025-05-06"),
}

recorded = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded history at {DATA}")


@cache
def rates(window: str, venue: str, symbol: str) -> tuple[tuple[str, Decimal], ...]:
    with (DATA / window / "funding.csv").open(encoding="utf-8") as file:
        return tuple(
            (row["timestamp"], D(row["funding_rate"]))
            for row in csv.DictReader(file)
            if (row["venue"], row["symbol"]) == (venue, symbol)
        )


def average_before(tag: str, venue: str, symbol: str) -> Decimal:
    window, start = WINDOWS[tag]
    average: Decimal | None = None
    for stamp, rate in rates(window, venue, symbol):
        if stamp < start:
            average = ewma(average, rate, ewma_weight(D(8), D(72)))
    assert average is not None
    return average


@pytest.mark.feature("S03")
def test_costs_are_paid_on_the_notional_and_earnings_told_on_equity() -> None:
    assert signs(gross_apr(D("0.0003"), M)) == "0.23464286"  # BB3
    assert signs(cost_apr(COSTS, M, DAYS)) == "0.031285714"
    assert signs(net_apr(D("0.0003"), M, COSTS, DAYS)) == "0.20335714"
    assert signs(net_apr(D("0.0001"), M, COSTS, DAYS)) == "0.046928571"  # BB4


@pytest.mark.feature("S03")
def test_the_smallest_rate_that_enters_is_exactly_at_the_hurdle() -> None:
    least = entry_rate_min(D("0.04"), M, COSTS, DAYS)
    assert signs(least) == "0.000091141553"  # BB5
    assert abs(net_apr(least, M, COSTS, DAYS) - D("0.04")) < D("1e-40")


def test_a_short_receives_positive_funding_and_pays_negative_funding() -> None:
    assert signs(funding_cash(D("-1.2"), D(61_000), D("0.0003"))) == "21.96"  # BB6
    assert signs(funding_cash(D("-1.2"), D(61_000), D("-0.00006859"))) == "-5.020788"


def test_basis_and_its_pnl() -> None:
    assert (basis(D(2505), D(2500)), basis(D(2498), D(2500))) == (D("0.002"), D("-0.0008"))  # BS1
    assert basis_pnl(D(-40), D(2505), D(2500), D(2498), D(2500)) == 280


def test_shorter_intervals_need_more_confirmations_and_count_as_eight_hourly() -> None:
    assert [confirmations_needed(3, hours) for hours in (8, 4, 1)] == [3, 6, 24]
    assert confirmations_needed(1, 3) == 3
    assert eight_hourly(D("0.0001"), 4) == D("0.0002")


def test_a_confirmation_needs_every_settlement_of_the_row() -> None:
    assert holds([D(1), D(2), D(3)], 3, at_least=D(1))
    assert not holds([D(1), D(2)], 3, at_least=D(1))
    assert not holds([D(3), D("0.9"), D(3)], 3, at_least=D(1))
    assert holds([D(9), D(1), D(1), D(1)], 3, below=D(2))
    assert not holds([D(2), D(1), D(1)], 3, below=D(2))


@recorded
@pytest.mark.parametrize(
    ("tag", "venue", "average", "net"),
    [
        ("EW3", "binance", "0.00032643598", "0.22403385"),
        ("EW3", "bybit", "0.00029730921", "0.20125256"),
        ("EW8", "binance", "0.000059752852", "0.015449552"),
        ("EW8", "bybit", "0.000072606456", "0.025502907"),
        ("EW5", "binance", "-0.0000082357878", "-0.037727277"),
        ("EW5", "bybit", "0.0000040803896", "-0.028094267"),
    ],
)
def test_recorded_btc_funding_averages_to_the_golden_rate(tag: str, venue: str, average: str, net: str) -> None:
    found = average_before(tag, venue, "BTCUSDT")
    assert signs(found) == average
    assert signs(net_apr(found, M, COSTS, DAYS)) == net


def first_time(tag: str, venue: str, *, at_least: Decimal | None = None, below: Decimal | None = None) -> str:
    window, start = WINDOWS[tag]
    averages: list[Decimal] = []
    for stamp, rate in rates(window, venue, "BTCUSDT"):
        averages.append(ewma(averages[-1] if averages else None, rate, ewma_weight(D(8), D(72))))
        if stamp >= start and holds(averages, 3, at_least=at_least, below=below):
            return stamp
    return "never"


@recorded
@pytest.mark.feature("S03")
@pytest.mark.parametrize("venue", ["binance", "bybit"])
@pytest.mark.parametrize(
    ("tag", "enters", "leaves"),
    [
        ("EW3", {"2024-03-01T00:00:00Z"}, {"never"}),  # FX3
        ("EW8", {"never"}, {"never"}),  # FX8
        ("EW5", {"never"}, {"2025-05-06T00:00:00Z"}),  # FX5
    ],
)
def test_recorded_btc_funding_enters_and_leaves_when_it_should(
    tag: str, venue: str, enters: set[str], leaves: set[str]
) -> None:
    assert first_time(tag, venue, at_least=entry_rate_min(D("0.04"), M, COSTS, DAYS)) in enters
    assert first_time(tag, venue, below=exit_rate(D("0.005"), M)) in leaves


@recorded
def test_a_btc_pair_does_not_rotate_for_the_recorded_difference() -> None:
    gain = rotation_gain(average_before("EW3", "binance", "BTCUSDT"), average_before("EW3", "bybit", "BTCUSDT"))
    eth = rotation_gain(average_before("EW3", "binance", "ETHUSDT"), average_before("EW3", "bybit", "ETHUSDT"))
    cost = rotation_cost(D("0.0010"), D("0.0005"), D("0.0010"), D(5) / 25_000)
    assert (signs(gain), signs(eth), signs(cost)) == ("0.0026214087", "0.011061271", "0.0072")  # RT1
    assert gain < cost < eth
