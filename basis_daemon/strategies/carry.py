"""Funding carry of a pair: yearly rates on equity, the entry and exit tests, and their confirmations.

``f_hat`` is the smoothed settled rate per 8 hours (positive: the short receives). Fees and slippage are fractions, the
slippage that of the whole round trip. |f| appears nowhere: a short pays a negative rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.margin import ZERO

SETTLEMENTS_PER_YEAR = Decimal(1095)
SETTLEMENTS_MIN = 21
"""So many settled rates must be known before an entry."""
SETTLEMENT_HOURS = 8
DAYS_PER_YEAR = Decimal(365)
ROTATION_SETTLEMENTS = Decimal(90)
"""A rotation must earn its cost within thirty days."""


@dataclass(frozen=True, slots=True)
class PairCosts:
    """Fractions of the notional: one fill of each leg, and the slippage of a round trip."""

    spot_fee: Decimal
    perp_fee: Decimal
    slippage_round_trip: Decimal

    @property
    def round_trip(self) -> Decimal:
        """Opening and closing both legs."""
        return 2 * (self.spot_fee + self.perp_fee) + self.slippage_round_trip


def eight_hourly(rate: Decimal, interval_hours: int) -> Decimal:
    """The 8-hour equivalent of a rate per interval."""
    return rate * SETTLEMENT_HOURS / interval_hours


def funding_cash(quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """USDT received (+) or paid (-) at a settlement by a signed perp quantity."""
    return -quantity * mark * rate


def gross_apr(f_hat: Decimal, m_star: Decimal) -> Decimal:
    """Funding per year on equity."""
    return f_hat * SETTLEMENTS_PER_YEAR / (1 + m_star)


def cost_apr(costs: PairCosts, m_star: Decimal, hold_days: Decimal) -> Decimal:
    """Round trip per year on equity, spread over the holding period: cost is paid on the notional, not on equity."""
    return costs.round_trip / (1 + m_star) * DAYS_PER_YEAR / hold_days


def net_apr(f_hat: Decimal, m_star: Decimal, costs: PairCosts, hold_days: Decimal) -> Decimal:
    """Left side of the entry gate."""
    return gross_apr(f_hat, m_star) - cost_apr(costs, m_star, hold_days)


def entry_rate_min(entry_net_apr: Decimal, m_star: Decimal, costs: PairCosts, hold_days: Decimal) -> Decimal:
    """Smallest ``f_hat`` that passes the entry gate: comparing against it costs less than the gate itself."""
    return (entry_net_apr + cost_apr(costs, m_star, hold_days)) * (1 + m_star) / SETTLEMENTS_PER_YEAR


def exit_rate(exit_net_apr: Decimal, m_star: Decimal) -> Decimal:
    """``f_hat`` below which the pair leaves."""
    return exit_net_apr * (1 + m_star) / SETTLEMENTS_PER_YEAR


def confirmations_needed(k_confirm: int, interval_hours: int) -> int:
    """Settlements in a row: ``k_confirm`` of 8 hours, more of shorter ones."""
    return max(k_confirm, -(-k_confirm * SETTLEMENT_HOURS // interval_hours))


def holds(
    averages: Sequence[Decimal], needed: int, *, at_least: Decimal | None = None, below: Decimal | None = None
) -> bool:
    """True when the last ``needed`` averages all pass; fewer than that confirm nothing."""
    recent = averages[-needed:]
    return len(recent) == needed and all(
        (at_least is None or value >= at_least) and (below is None or value < below) for value in recent
    )


def rotation_gain(f_to: Decimal, f_from: Decimal) -> Decimal:
    """Fraction of the notional that thirty days at the better venue bring."""
    return (f_to - f_from) * ROTATION_SETTLEMENTS


def short_rotation_cost(perp_fee: Decimal, slip: Decimal, transfer: Decimal = ZERO) -> Decimal:
    """The same where the long leg stays: a short closed here, opened there, and the transfer of its margin."""
    return 2 * (perp_fee + slip) + transfer


def rotation_cost(spot_fee: Decimal, perp_fee: Decimal, slip: Decimal, transfer: Decimal = ZERO) -> Decimal:
    """Fraction of the notional: both legs closed here, opened there, and the transfer. Fees are those of one fill."""
    return short_rotation_cost(perp_fee, slip, transfer) + 2 * (spot_fee + slip)
