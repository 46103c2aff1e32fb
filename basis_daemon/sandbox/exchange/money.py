"""Decimals as the venue keeps them: eight places, truncated toward zero, printed in full."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal

ZERO = Decimal(0)
ONE = Decimal(1)
UNIT = Decimal("0.00000001")
E8 = 100_000_000


def truncate8(value: Decimal) -> Decimal:
    """`value` cut to eight places toward zero: fees, funding, realised profit."""
    return value.quantize(UNIT, rounding=ROUND_DOWN)


def raise8(value: Decimal) -> Decimal:
    """`value` moved to eight places away from zero: what is locked or required must cover what is owed."""
    return value.quantize(UNIT, rounding=ROUND_UP)


def nearest8(value: Decimal) -> Decimal:
    return value.quantize(UNIT, rounding=ROUND_HALF_EVEN)


def text8(value: Decimal) -> str:
    return f"{nearest8(value):f}"


def plain(value: Decimal) -> str:
    """`value` without exponent and without trailing zeros: the venue's short form ("0", "0.015")."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def places_of(unit: Decimal) -> int:
    """Decimal places of a tick or step: 0.10 has one, 0.00001 five."""
    return len(f"{unit.normalize():f}".partition(".")[2])


def from_e8(value: int) -> Decimal:
    return Decimal(value).scaleb(-8)
