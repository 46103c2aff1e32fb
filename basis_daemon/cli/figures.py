"""How every table looks: columns, thousands, percent, instants; a dash for what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.table import Table
from rich.text import Text

GOOD, BAD, SOFT, HEAD = "green", "bold red", "dim", "bold"


def grid(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], right: Sequence[int] = ()) -> Table:
    """A plain table; columns named in ``right`` hold figures."""
    drawn = Table(box=None, pad_edge=False, header_style=HEAD, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        drawn.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return drawn


def facts(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Names on the left, values on the right of them."""
    drawn = Table.grid(padding=(0, 3, 0, 0))
    drawn.add_column(style=SOFT)
    drawn.add_column(overflow="fold")
    for name, value in rows:
        drawn.add_row(name, Text(value) if isinstance(value, str) else value)
    return drawn


def money(value: str | None, places: int = 2, *, signed: bool = False) -> str:
    """Thousands apart; a dash for what is not known."""
    if value is None:
        return "-"
    return f"{Decimal(value):+,.{places}f}" if signed else f"{Decimal(value):,.{places}f}"


def brief(value: str) -> str:
    """Eight significant digits; --json has all of them."""
    return f"{Decimal(value):.8g}"


def ratio(value: str | None, places: int = 2) -> str:
    """A fraction as percent; a dash for what is not known."""
    return f"{Decimal(value):.{places}%}" if value is not None else "-"


def clock(value: str | None) -> str:
    """An instant to the second, without its zone: everything is UTC."""
    return value[:19].replace("T", " ") if value else "-"


def short_id(value: str | None) -> str:
    """The first letters of an order id; `why` takes them."""
    return value[:12] if value else "-"
