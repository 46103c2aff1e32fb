"""A funding carry on borrowed money in numbers: the ETH core stays at Aave, USDT borrowed against it pays for a pair.

``lam`` is the debt over the collateral's worth, money is USDT, rates are fractions per year, APRs count on equity.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.lending import DAYS_PER_YEAR, ONE, ZERO


@dataclass(frozen=True, slots=True)
class OverlayTarget:
    """``borrowed`` USDT make a pair of ``notional`` and its margin; both legs are ``quantity`` of the coin."""

    borrowed: Decimal
    notional: Decimal
    quantity: Decimal
    margin: Decimal


def overlay_target(collateral: Decimal, price: Decimal, lam: Decimal, m_star: Decimal) -> OverlayTarget:
    """What a core of so much coin carries; its net delta stays that of the core."""
    borrowed = lam * collateral * price
    notional = borrowed / (ONE + m_star)
    return OverlayTarget(borrowed, notional, notional / price, m_star * notional)


def overlay_apr(lam: Decimal, funding: Decimal, borrow_rate: Decimal, m_star: Decimal) -> Decimal:
    """Funding comes on the notional, interest is paid on all that is borrowed."""
    return lam * (funding / (ONE + m_star) - borrow_rate)


def overlay_cost_apr(lam: Decimal, m_star: Decimal, round_trip: Decimal, hold_days: Decimal) -> Decimal:
    """Entering and leaving a year, spread over the holding period."""
    return lam / (ONE + m_star) * round_trip * DAYS_PER_YEAR / hold_days


def overlay_funding_for(apr: Decimal, lam: Decimal, borrow_rate: Decimal, m_star: Decimal) -> Decimal:
    """The funding a year at which the overlay earns ``apr``."""
    return (apr / lam + borrow_rate) * (ONE + m_star)


def idle_margin(margin: Decimal, notional: Decimal, m_star: Decimal) -> Decimal:
    """USDT in a short's margin beyond its target after a fall: repaid, it restores lambda with the pair as it is."""
    return max(margin - m_star * notional, ZERO)
