"""How a share price fared: returns, risk, drawdowns. Statistics, in floats: no order and no ledger depends on them.

A day's return is from the last price before it to the last price of it, in UTC; a day without a price returned nothing.
A year is 365 days, the rate that a risk is compared with is zero, and what cannot be known of so few days is None.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

YEAR_DAYS = 365
DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
DAYS_MIN = 3
"""Fewer daily returns say nothing of their spread."""

Prices = Sequence[tuple[datetime, float]]
Returns = Sequence[tuple[date, float]]


@dataclass(frozen=True, slots=True)
class Fall:
    """A drawdown from its high: ``depth`` is the lost fraction, ``recovered`` None while it lasts."""

    begun: datetime
    deepest: datetime
    recovered: datetime | None
    depth: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Fractions and ratios; ``annual`` compounds, ``volatility`` is of daily returns, both a year."""

    total: float
    annual: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    drawdown: float
    best_day: float | None
    worst_day: float | None
    days_up: float | None
    """Share of the days that gained."""


def figures(prices: Prices) -> Figures:
    """Of at least one price, oldest first."""
    returns = [gained for _, gained in daily_returns(prices)]
    total, years = _growth(prices), (prices[-1][0] - prices[0][0]) / DAY / YEAR_DAYS
    annual = (1 + total) ** (1 / years) - 1 if years > 0 and total > -1 else None
    worst = max((fall.depth for fall in falls(prices)), default=0.0)
    is_told = len(returns) >= DAYS_MIN
    return Figures(
        total=total,
        annual=annual,
        volatility=statistics.stdev(returns) * math.sqrt(YEAR_DAYS) if is_told else None,
        sharpe=_ratio(returns, statistics.stdev(returns)) if is_told else None,
        sortino=_ratio(returns, _downside(returns)) if is_told else None,
        calmar=annual / worst if annual is not None and worst else None,
        drawdown=worst,
        best_day=max(returns, default=None),
        worst_day=min(returns, default=None),
        days_up=sum(gained > 0 for gained in returns) / len(returns) if returns else None,
    )


def _growth(prices: Prices) -> float:
    first = prices[0][1]
    return prices[-1][1] / first - 1 if first else 0.0


def _ratio(returns: Sequence[float], spread: float) -> float | None:
    return statistics.fmean(returns) / spread * math.sqrt(YEAR_DAYS) if spread else None


def _downside(returns: Sequence[float]) -> float:
    """Root mean square of the losing days, over all days."""
    return math.sqrt(math.fsum(min(gained, 0.0) ** 2 for gained in returns) / len(returns))


def daily_returns(prices: Prices) -> list[tuple[date, float]]:
    """One for each day from the first price to the last; a price at midnight is the last of the day before."""
    last: dict[date, float] = {}
    for time, price in prices:
        last[_day(time)] = price
    day, end, before = _day(prices[0][0] + _INSTANT), _day(prices[-1][0]), prices[0][1]
    found = []
    while day <= end:
        price = last.get(day, before)
        found.append((day, price / before - 1 if before else 0.0))
        day, before = day + DAY, price
    return found


def _day(time: datetime) -> date:
    return (time.astimezone(UTC) - _INSTANT).date()


def monthly_returns(returns: Returns) -> dict[tuple[int, int], float]:
    """Compounded, by year and month; the first and the last month may be parts of one."""
    found: dict[tuple[int, int], float] = {}
    for day, gained in returns:
        month = day.year, day.month
        found[month] = (1 + found.get(month, 0.0)) * (1 + gained) - 1
    return found


def underwater(prices: Prices) -> list[float]:
    """At each price the fraction that it lies below its highest so far, as a number that is not positive."""
    high, found = 0.0, []
    for _, price in prices:
        high = max(high, price)
        found.append(price / high - 1 if high else 0.0)
    return found


def falls(prices: Prices) -> list[Fall]:
    """Every drawdown, oldest first."""
    found: list[Fall] = []
    high_at, high = prices[0]
    low_at, low = prices[0]
    for time, price in prices:
        if price >= high:
            if low < high:
                found.append(Fall(high_at, low_at, time, 1 - low / high))
            high_at, high, low_at, low = time, price, time, price
        elif price < low:
            low_at, low = time, price
    if low < high:
        found.append(Fall(high_at, low_at, None, 1 - low / high))
    return found
