"""Returns and risk of a share price, against the figures of other programs and against what they must be."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.research.performance import (
    DAY,
    daily_returns,
    falls,
    figures,
    monthly_returns,
    underwater,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
DAILY = [((number * 7919) % 101 - 48) / 10_000 for number in range(1, 91)]


def grown(returns: list[float]) -> list[tuple[datetime, float]]:
    """A price at the start, and one at the end of each day."""
    found = [(START, 1.0)]
    for number, gained in enumerate(returns, 1):
        found.append((START + number * DAY, found[-1][1] * (1 + gained)))
    return found


@pytest.mark.feature("P05", part="figures")
def test_ratios_are_those_of_quantstats_and_of_empyrical_for_the_same_ninety_days() -> None:
    """Quantstats 0.0.86 with periods=365 and empyrical-reloaded 0.7.1 with annualization=365; Calmar by the latter."""
    found = figures(grown(DAILY))
    assert found.total == pytest.approx(0.015442468207280013, rel=1e-9)
    assert found.annual == pytest.approx(0.06412104148549003, rel=1e-9)
    assert found.volatility == pytest.approx(0.055409648706590486, rel=1e-9)
    assert found.sharpe == pytest.approx(1.1491179552388853, rel=1e-9)
    assert found.sortino == pytest.approx(1.7252247825990445, rel=1e-9)
    assert found.drawdown == pytest.approx(0.009510645574872911, rel=1e-9)
    assert found.calmar == pytest.approx(6.742028286165748, rel=1e-9)
    assert (found.best_day, found.worst_day) == pytest.approx((0.0052, -0.0047))
    months = monthly_returns(daily_returns(grown(DAILY)))
    assert [months[2024, month] for month in (1, 2, 3)] == pytest.approx([0.006095, 0.0074, 0.001877], abs=5e-7)


def test_a_day_without_a_price_returned_nothing_and_the_next_one_makes_up_for_it() -> None:
    prices = [(START, 100.0), (START + timedelta(hours=30), 110.0), (START + timedelta(days=3, hours=1), 99.0)]
    assert [(day, round(gained, 9)) for day, gained in daily_returns(prices)] == [
        (date(2024, 1, 1), 0.0), (date(2024, 1, 2), 0.1), (date(2024, 1, 3), 0.0), (date(2024, 1, 4), -0.1),
    ]  # fmt: skip


def test_a_price_at_midnight_ends_the_day_before() -> None:
    assert [day.day for day, _ in daily_returns([(START, 1.0), (START + DAY, 1.1)])] == [1]


def test_too_few_days_say_nothing_of_risk_and_a_price_that_never_fell_has_no_calmar() -> None:
    young = figures(grown([0.01, -0.01]))
    assert (young.volatility, young.sharpe, young.sortino) == (None, None, None)
    steady = figures(grown([0.01] * 5))
    assert (steady.calmar, steady.sortino, steady.drawdown) == (None, None, 0.0)
    alone = figures([(START, 1.0)])
    assert (alone.total, alone.annual, alone.best_day, alone.days_up) == (0.0, None, None, None)


def test_a_loss_of_everything_has_figures_too() -> None:
    lost = figures(grown([0.1, -1.0, 0.0, 0.0]))
    assert (lost.total, lost.annual, lost.drawdown) == (-1.0, None, 1.0)


def test_every_fall_is_told_with_its_depth_its_lowest_and_its_recovery() -> None:
    first, last = falls(grown([0.1, -0.2, -0.1, 0.5, -0.05]))
    assert (first.begun, first.deepest, first.recovered) == (START + DAY, START + 3 * DAY, START + 4 * DAY)
    assert (round(first.depth, 9), round(last.depth, 9), last.recovered) == (0.28, 0.05, None)


returns = st.lists(st.floats(min_value=-0.5, max_value=0.5), min_size=1, max_size=40)


@pytest.mark.feature("P05", part="figures")
@given(returns)
def test_days_and_months_compound_to_the_total_and_the_deepest_fall_is_the_drawdown(gained: list[float]) -> None:
    prices = grown(gained)
    found, days = figures(prices), daily_returns(prices)
    assert math.prod(1 + one for _, one in days) == pytest.approx(1 + found.total)
    assert math.prod(1 + one for one in monthly_returns(days).values()) == pytest.approx(1 + found.total)
    assert max((fall.depth for fall in falls(prices)), default=0.0) == pytest.approx(-min(underwater(prices)))
    assert found.drawdown == pytest.approx(-min(underwater(prices)))
