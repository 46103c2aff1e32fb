"""An account at Aave V3 out of balances and ticks, in the protocol's own integer arithmetic, to its last unit.

The base currency has eight digits, rates four (basis points), the health factor eighteen. What the protocol rounds down
for the account (collateral), up (debt) or to the nearest (the health factor's quotient) is rounded here alike, so that
a figure of ours that differs from the pool's is a fault and not a matter of precision.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal

from basis_daemon.domain.chain import EModeTick, LendingReport, ReserveTick

BASE_UNIT, BPS, WAD = Decimal("1e-8"), Decimal("1e-4"), Decimal("1e-18")
_WIDE = Context(prec=110)
"""Wider than the widest product of three uint128, so that nothing is rounded but where the protocol rounds."""


def lending_report(
    account: str,
    supplied: Mapping[str, Decimal],
    borrowed: Mapping[str, Decimal],
    collaterals: Collection[str],
    reserves: Mapping[str, ReserveTick],
    emode: EModeTick | None,
) -> LendingReport:
    """The account by symbol: what it ``supplied`` and ``borrowed``, and which of it ``collaterals`` stand for debt.

    Raises KeyError for a symbol without a reserve.
    """
    collateral = weighted_ltv = weighted_threshold = Decimal(0)
    for symbol in sorted(collaterals):
        reserve = reserves[symbol]
        value = _rounded(_WIDE.multiply(supplied.get(symbol, Decimal(0)), reserve.price), BASE_UNIT, ROUND_FLOOR)
        terms = emode if emode is not None and symbol in emode.collaterals else reserve
        collateral += value
        weighted_ltv = _WIDE.add(weighted_ltv, _WIDE.multiply(value, terms.ltv))
        weighted_threshold = _WIDE.add(weighted_threshold, _WIDE.multiply(value, terms.liquidation_threshold))
    debt = sum((debt_value(owed, reserves[symbol]) for symbol, owed in borrowed.items()), Decimal(0))
    return LendingReport(
        account=account,
        collateral=collateral,
        debt=debt,
        ltv=_share(weighted_ltv, collateral),
        liquidation_threshold=_share(weighted_threshold, collateral),
        health_factor=health_factor(weighted_threshold, debt) if debt else None,
        emode=emode.category if emode is not None else 0,
    )


def debt_value(owed: Decimal, reserve: ReserveTick) -> Decimal:
    """What a debt counts for, in the oracle's currency: rounded up."""
    return _rounded(_WIDE.multiply(owed, reserve.price), BASE_UNIT, ROUND_CEILING)


def health_factor(weighted_threshold: Decimal, debt: Decimal) -> Decimal:
    """Sum of collateral times threshold over debt; liquidatable below 1. ``debt`` must not be zero.

    The pool divides basis-point-weighted sums to the nearest wad and cuts the four digits off afterwards.
    """
    in_bps = _WIDE.divide(_WIDE.multiply(weighted_threshold, Decimal(10_000)), debt)
    return _rounded(_WIDE.divide(_rounded(in_bps, WAD, ROUND_HALF_UP), Decimal(10_000)), WAD, ROUND_FLOOR)


def _share(weighted: Decimal, whole: Decimal) -> Decimal:
    return _rounded(_WIDE.divide(weighted, whole), BPS, ROUND_FLOOR) if whole else Decimal(0)


def _rounded(value: Decimal, unit: Decimal, rounding: str) -> Decimal:
    return value.quantize(unit, rounding, _WIDE)
