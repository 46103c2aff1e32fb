"""Profit and loss for people: sources largest first, a line for each strategy or period. Figures are rounded here."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.figures import GOOD, HEAD, SOFT, clock, facts, grid, money, ratio
from basis_daemon.demo.units import digits_of
from basis_daemon.domain.pnl import SOURCES

Json = dict[str, Any]
_BAD = "red"
SOURCES_SHOWN_MAX = 6
"""What a line has room for; the rest of them are one figure."""


def pnl(found: Json) -> RenderableType:
    """Each share class by source, then its strategies or its periods."""
    if found["from"] is None:
        return Text("no valuation yet: the first one comes once every venue agrees with the book")
    whole = found.get("classes", {found["numeraire"]: found})
    parts = [part for own in whole.values() for part in _whole(own)]
    if "periods" not in found:
        return Group(*parts, _lines("strategy", list(found["strategies"].items()), is_mixed=len(whole) > 1))
    named = [(row.get("strategy") or _period(row, found["by"]), row) for row in found["periods"]]
    return Group(*parts, _lines(found["by"], named, is_mixed=len(whole) > 1))


def _whole(found: Json) -> list[RenderableType]:
    unit, share = found["numeraire"], found["share_price"]
    places = digits_of(unit)
    head = facts([
        ("from", clock(found["from"])),
        ("to", clock(found["to"])),
        ("equity", f"{money(found['equity_start'], places)} to {money(found['equity_end'], places)} {unit}"),
        ("share price", f"{_price(share['start'])} to {_price(share['end'])}, {money(share['shares'])} shares"),
        ("return", ratio(found["return"], 3)),
        ("largest drawdown", ratio(found["drawdown_max"], 3)),
    ])  # fmt: skip
    return [head, Text(), _sources(found, places + 2), Text()]


def _sources(found: Json, places: int) -> Table:
    sources = sorted(found["by_cause"].items(), key=lambda item: -abs(Decimal(item[1])))
    cells = [(name, _signed(amount, places)) for name, amount in sources if Decimal(amount) or name == "unexplained"]
    cells += [("change", _signed(found["change"], places, style=HEAD))]
    cells += [("not in any source", _signed(found["residual"], places))]
    return grid(("source", found["numeraire"]), cells, right=(1,))


def _lines(what: str, rows: Sequence[tuple[str, Json]], *, is_mixed: bool) -> Table:
    shown, rest = _columns([row for _, row in rows])
    others = ("other",) if rest else ()
    columns = (what, "from", "to", "change", *shown, *others, "return", "drawdown", "share", "unexplained")
    return grid(
        columns, [_line(name, row, shown, rest, is_mixed=is_mixed) for name, row in rows], range(1, len(columns))
    )


def _columns(rows: Sequence[Json]) -> tuple[list[str], list[str]]:
    """The sources that moved most in these lines, and those that moved at all beside them."""
    sizes = {
        source: sum(abs(Decimal(row["by_cause"][source])) for row in rows)
        for source in SOURCES
        if source != "unexplained"
    }
    moved = sorted((source for source, size in sizes.items() if size), key=lambda source: -sizes[source])
    largest = set(moved[:SOURCES_SHOWN_MAX])
    return [source for source in SOURCES if source in largest], moved[SOURCES_SHOWN_MAX:]


def _line(name: str, row: Json, shown: Sequence[str], rest: Sequence[str], *, is_mixed: bool) -> tuple[str | Text, ...]:
    unit, sources = row["numeraire"], row["by_cause"]
    places = digits_of(unit)
    others = [_signed(str(sum(Decimal(sources[source]) for source in rest)), places)] if rest else []
    return (
        f"{name} {unit}" if is_mixed else name, money(row["equity_start"], places), money(row["equity_end"], places),
        _signed(row["change"], places), *(_signed(sources[source], places) for source in shown), *others,
        ratio(row["return"], 3), ratio(row["drawdown_max"], 3), _price(row["share_price"]["end"]),
        sources["unexplained"],
    )  # fmt: skip


def _period(row: Json, by: str) -> str:
    return clock(row["period"])[:10] if by == "day" else clock(row["period"])[:16]


def _price(value: str) -> str:
    return f"{Decimal(value):.6f}"


def _signed(amount: str, places: int, style: str = "") -> Text:
    value = Decimal(amount)
    own = style or (GOOD if value > 0 else _BAD if value < 0 else SOFT)
    return Text(f"{value:+,.{places}f}" if value else "0", style=own)
