"""The generated market is repeatable and sane for any seed, and seed 7 over ten days tells the demo's story."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.sandbox.exchange.generated import GeneratedPath
from basis_daemon.sandbox.exchange.instruments import Key
from basis_daemon.sandbox.exchange.path import DAY_MS, HOUR_MS
from tests.sandbox.builders import PERP, SPOT, START_MS


def hourly(path: GeneratedPath, key: Key) -> list[float]:
    prices = [path.price_e8(key, at) for at in range(path.start_ms, path.end_ms + 1, HOUR_MS)]
    return [price / 1e8 for price in prices if price is not None]


def averages(path: GeneratedPath, halflife_h: float = 72.0) -> dict[int, float]:
    """EWMA of BTC funding after each settlement, by market time."""
    weight, average, found = 1 - 0.5 ** (8 / halflife_h), None, {}
    for rate in path.rates("BTCUSDT"):
        average = float(rate.rate) if average is None else average + weight * (float(rate.rate) - average)
        found[rate.at_ms] = average
    return found


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from([1, 3, 10]))
def test_prices_and_funding_stay_sane_for_any_seed(seed: int, days: int) -> None:
    path = GeneratedPath(START_MS, days, seed)
    for key in path.keys:
        prices = hourly(path, key)
        assert len(prices) == days * 24 + 1
        assert 0.6 < min(prices) / prices[0] < max(prices) / prices[0] < 1.6
        assert all(abs(math.log(b / a)) < 0.05 for a, b in pairwise(prices))
    for spot, perp in zip(hourly(path, SPOT), hourly(path, PERP), strict=True):
        assert abs(perp / spot - 1) < 0.0025
    assert all(abs(rate.rate) < 0.001 for rate in path.rates("BTCUSDT"))


def test_two_weeks_of_settled_funding_precede_the_start() -> None:
    path = GeneratedPath(START_MS, 3, 7)
    stamps = [rate.at_ms for rate in path.rates("BTCUSDT")]
    assert sum(stamp <= START_MS for stamp in stamps) >= 42
    assert {b - a for a, b in pairwise(stamps)} == {8 * HOUR_MS}
    assert stamps[-1] == path.end_ms


def test_equal_seeds_give_equal_markets() -> None:
    one, two, other = (GeneratedPath(START_MS, 2, seed) for seed in (7, 7, 8))
    assert hourly(one, PERP) == hourly(two, PERP) != hourly(other, PERP)
    assert list(one.rates("ETHUSDT")) == list(two.rates("ETHUSDT"))


def test_seed_7_tells_of_a_boom_a_squeeze_and_a_flip() -> None:
    path = GeneratedPath(START_MS, 10, 7)
    perp = hourly(path, PERP)
    top = max(perp[: 5 * 24]) / perp[0]
    assert 1.20 < top < 1.27
    assert (1.4 - top) / top < 0.21  # a short opened with 40 % margin is drawn below 21 %
    rates = [float(rate.rate) for rate in path.rates("BTCUSDT") if rate.at_ms > START_MS]
    assert 3e-4 < sum(rates[:12]) / 12 < 6e-4
    assert -2.5e-4 < sum(rates[-12:]) / 12 < -1e-4
    low = [at for at, average in averages(path).items() if at > START_MS and average < 6e-6]
    assert 8.5 <= (low[0] - START_MS) / DAY_MS <= 9.34  # three settlements below the exit level fit before the end
    assert all(average > 6e-6 for at, average in averages(path).items() if at <= START_MS + 5 * DAY_MS)


@pytest.mark.parametrize("days", [3, 10, 30])
def test_seed_7_pays_a_short_from_the_start_whatever_the_length(days: int) -> None:
    path = GeneratedPath(START_MS, days, 7)
    before = [average for at, average in averages(path).items() if at <= START_MS]
    assert before[-1] > 2e-4
    assert all(float(rate.rate) > 0 for rate in path.rates("BTCUSDT") if rate.at_ms <= START_MS + days * DAY_MS // 3)


def test_prices_run_straight_between_minutes() -> None:
    path = GeneratedPath(START_MS, 1, 7)
    here, there = (path.price_e8(SPOT, START_MS + minute * 60_000) for minute in (10, 11))
    half = path.price_e8(SPOT, START_MS + 630_000)
    assert here is not None
    assert there is not None
    assert half == here + (there - here) // 2
    assert path.price_e8(SPOT, path.end_ms + 1) is None


@pytest.mark.parametrize(("start", "days", "message"), [(START_MS + 1, 1, "midnight"), (START_MS, 0, "one day")])
def test_nonsense_is_refused(start: int, days: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneratedPath(start, days, 7)
