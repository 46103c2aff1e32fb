"""A directional position in numbers: its size, and how near liquidation it opens, on linear and inverse contracts.

Signed quantities: long above zero. ``size`` is the share of equity, ``mm`` the maintenance rate, ``cv`` the USD that
one inverse contract stands for; an inverse account counts in coin.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from basis_daemon.domain.instrument import round_down

ONE = Decimal(1)


def linear_target(side: int, size: Decimal, equity: Decimal, price: Decimal, step: Decimal) -> Decimal:
    """Base units for a share of the equity in USDT, floored to the step."""
    return side * round_down(size * equity / price, step)


def inverse_contracts(coins: Decimal, mark: Decimal, cv: Decimal) -> Decimal:
    """Whole contracts that an overlay of so many coins is, towards zero."""
    whole = (abs(coins) * mark / cv).to_integral_value(ROUND_FLOOR)
    return whole if coins > 0 else -whole


def inverse_coins(contracts: Decimal, mark: Decimal, cv: Decimal) -> Decimal:
    """Coins that a position stands for at this mark."""
    return contracts * cv / mark


def inverse_delta(equity: Decimal, contracts: Decimal, mark: Decimal, cv: Decimal) -> Decimal:
    """Delta in coins of an account: its equity with unrealised P&L, and the position beside it."""
    return equity + inverse_coins(contracts, mark, cv)


def inverse_pnl(contracts: Decimal, cv: Decimal, opened: Decimal, mark: Decimal) -> Decimal:
    """Coins earned since the position was opened."""
    return contracts * cv * (ONE / opened - ONE / mark)


def inverse_fall(share: Decimal, mm: Decimal) -> Decimal | None:
    """Signed move that liquidates an inverse position of ``share`` coins per coin of equity.

    A short of at most the equity cannot be liquidated by price: None.
    """
    if share >= 0:
        return share * (ONE + mm) / (ONE + share) - ONE
    return None if share >= -ONE else -share * (ONE - mm) / (-share - ONE) - ONE
