"""How money is written: in what a book counts it, and with how many digits of that."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.engine.book_view import QUOTE, BookView

_DIGITS = {"ETH": 4, "BTC": 6}
CENTS = 2


def unit_of(view: BookView) -> str:
    """USDT before the first valuation."""
    return str(view.latest.get("numeraire", QUOTE))


def digits_of(unit: str) -> int:
    """After the point."""
    return _DIGITS.get(unit, CENTS)


def least_shown(unit: str) -> Decimal:
    """Half of the last digit: less would be written as zero."""
    return Decimal(5).scaleb(-digits_of(unit) - 1)


def axis_format(unit: str) -> str:
    """Of a chart's scale: whole units of a small coin, parts of a large one."""
    return ",.0f" if digits_of(unit) == CENTS else ",.3~f"


def hover(unit: str) -> str:
    """A figure with its unit, as a chart writes it where the pointer is."""
    return f"%{{y:,.{digits_of(unit)}f}} {unit}"
