"""Liquid staking in numbers: how much to hold, what it earns, where to buy it and the cheaper way out.

``rate`` is ETH per token at the issuer; costs, discounts and yields are fractions, yields per year of 365 days.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

ZERO, ONE = Decimal(0), Decimal(1)
DAYS_PER_YEAR = Decimal(365)
WEEKS_PER_YEAR = Decimal(52)

ORDINARY, PRESSED, DISTRESSED = ZERO, Decimal("0.01"), Decimal("0.05")
"""What leaving at once is worth: to an ordinary exit nothing, to a drawdown or deadline 1 %, in issuer distress 5 %."""


class ExitPath(StrEnum):
    """How a token becomes ETH: sold now, or handed back to the issuer and claimed later."""

    SWAP = "swap"
    QUEUE = "queue"


def stake_target(equity: Decimal, sleeve: Decimal, reserve: Decimal) -> Decimal:
    """ETH of ``equity`` that belongs into the token: a share ``sleeve`` is restaked, ``reserve`` kept for gas."""
    return (ONE - sleeve) * equity - reserve


def stake_quantity(equity: Decimal, sleeve: Decimal, reserve: Decimal, rate: Decimal) -> Decimal:
    """The same in tokens."""
    return stake_target(equity, sleeve, reserve) / rate


def growth_apr(now: Decimal, before: Decimal, days: Decimal) -> Decimal:
    """``y_base``: growth of the rate over ``days``, per year, not compounded."""
    return (now / before - ONE) * DAYS_PER_YEAR / days


def reward_apr(per_week: Decimal, price_eth: Decimal) -> Decimal:
    """``y_rew``: reward tokens per ETH and week, at their own price."""
    return per_week * WEEKS_PER_YEAR * price_eth


def effective_yield(base: Decimal, rewards: Decimal, haircut: Decimal) -> Decimal:
    """``y_eff``. The base is already inside the rate: it is never counted again as a reward."""
    return base + haircut * rewards


def buy_limit(rate: Decimal, cost: Decimal) -> Decimal:
    """Price below which buying beats staking; ``cost`` is whatever the price does not contain yet."""
    return rate * (ONE - cost)


def discount(price: Decimal, rate: Decimal) -> Decimal:
    """Fraction by which a price lies below the rate; negative for a premium."""
    return ONE - price / rate


def waiting_cost(wait_days: Decimal, apr: Decimal) -> Decimal:
    """Yield that a queued amount forgoes: it is fixed when it is asked for."""
    return wait_days / DAYS_PER_YEAR * apr


def days_equal(cost: Decimal, apr: Decimal) -> Decimal:
    """Length of a queue that costs as much as leaving at ``cost``."""
    return cost * DAYS_PER_YEAR / apr


def exit_path(sale_cost: Decimal, gas_share: Decimal, waiting: Decimal, urgency: Decimal, limit: Decimal) -> ExitPath:
    """The cheaper way out; a sale that costs more than ``limit`` (discount, fee and impact) is none."""
    is_cheaper = sale_cost + gas_share < waiting + urgency
    return ExitPath.SWAP if is_cheaper and sale_cost <= limit else ExitPath.QUEUE
