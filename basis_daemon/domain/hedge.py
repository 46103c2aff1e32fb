"""A staked hedge in numbers: staked ETH against a short of the same ETH, the rest of the equity as its margin.

Equity and margin are USDT, everything else ETH. Yields, funding and borrow rates are fractions per year; ``share`` is
the part of the equity that is staked, ``lam`` the sleeve's debt over its collateral.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.lending import DAYS_PER_YEAR, ONE


def staked_share(m_star: Decimal) -> Decimal:
    """``a``: what is staked when the rest is ``m*`` of the short."""
    return ONE / (ONE + m_star)


@dataclass(frozen=True, slots=True)
class HedgeTarget:
    """``staked`` ETH of which ``tokens`` are what the gas reserve leaves, a negative ``short``, ``margin`` in USDT."""

    staked: Decimal
    tokens: Decimal
    short: Decimal
    margin: Decimal


def hedge_target(equity: Decimal, price: Decimal, m_star: Decimal, rate: Decimal, reserve: Decimal) -> HedgeTarget:
    """What a book of this equity holds. The gas reserve is part of the staked ETH: it is hedged too."""
    staked = staked_share(m_star) * equity / price
    return HedgeTarget(staked, (staked - reserve) / rate, -staked, (ONE - staked_share(m_star)) * equity)


@dataclass(frozen=True, slots=True)
class Sleeve:
    """Staked ETH at Aave: ``collateral`` less ``debt`` is what was there before, whatever lambda is."""

    collateral: Decimal
    debt: Decimal


def levered_sleeve(net: Decimal, lam: Decimal) -> Sleeve:
    """``net`` ETH (without the gas reserve) at ``lam``, frictionless. The short knows nothing of it."""
    collateral = net / (ONE - lam)
    return Sleeve(collateral, lam * collateral)


def carry_apr(share: Decimal, staking: Decimal, funding: Decimal) -> Decimal:
    """What a book earns on its equity: both the sleeve's yield and funding come on the staked share alone."""
    return share * (staking + funding)


def sleeve_exit_cost(c_exit: Decimal, lam: Decimal) -> Decimal:
    """Cost of leaving per unit of the sleeve's equity: the whole collateral is sold."""
    return c_exit / (ONE - lam)


def cost_apr(share: Decimal, round_trip: Decimal, exit_cost: Decimal, hold_days: Decimal) -> Decimal:
    """Entering and leaving per year on equity, spread over the holding period; costs are fractions of the notional."""
    return share * (round_trip + exit_cost) * DAYS_PER_YEAR / hold_days


def funding_for(apr: Decimal, share: Decimal, staking: Decimal) -> Decimal:
    """The funding a year at which the carry is ``apr``: comparing against it costs less than the carry itself."""
    return apr / share - staking
