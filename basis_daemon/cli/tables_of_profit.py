"""Profit and loss for people: sources largest first, a line for each strategy or period. Figures are rounded here."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.figures import GOOD, HEAD, SOFT, clock, facts, grid, money, ratio

Json = dict[str, Any]
_BAD = "red"
_COLUMNS = ("equity at start", "at end", "change", "funding", "costs", "return", "drawdown", "share", "unexplained")
_COSTS = ("fees", "slippage", "gas", "flash_fee", "transfer")


def pnl(found: Json) -> RenderableType:
    """Each share class by source, then its strategies or its periods."""
    if found["from"] is None:
        return Text("no valuation yet: the first one comes once every venue agrees with the book")
    parts = [part for whole in found.get("classes", {found["numeraire"]: found}).values() for part in _whole(whole)]
    if "periods" not in found:
        return Group(*parts, grid(("strategy", *_COLUMNS), _lines(found["strategies"].items()), right=range(1, 10)))
    named = [(row.get("strategy") or _period(row, found["by"]), row) for row in found["periods"]]
    return Group(*parts, grid((found["by"], *_COLUMNS), _lines(named), right=range(1, 10)))


def _whole(found: Json) -> list[RenderableType]:
    unit, share = found["numeraire"], found["share_price"]
    head = facts([
        ("from", clock(found["from"])),
        ("to", clock(found["to"])),
        ("equity", f"{money(found['equity_start'])} to {money(found['equity_end'])} {unit}"),
        ("share price", f"{_price(share['start'])} to {_price(share['end'])}, {money(share['shares'])} shares"),
        ("return", ratio(found["return"], 3)),
        ("largest drawdown", ratio(found["drawdown_max"], 3)),
    ])  # fmt: skip
    return [head, Text(), _sources(found), Text()]


def _sources(found: Json) -> Table:
    sources = sorted(found["by_cause"].items(), key=lambda item: -abs(Decimal(item[1])))
    cells = [(source, _signed(amount)) for source, amount in sources if Decimal(amount) or source == "unexplained"]
    cells += [("change", _signed(found["change"], style=HEAD)), ("not in any source", _signed(found["residual"]))]
    return grid(("source", found["numeraire"]), cells, right=(1,))


def _lines(rows: Iterable[tuple[str, Json]]) -> list[tuple[str | Text, ...]]:
    return [
        (
            name, money(row["equity_start"]), money(row["equity_end"]), _signed(row["change"], 2),
            _signed(row["by_cause"]["funding"], 2),
            _signed(str(sum(Decimal(row["by_cause"][cost]) for cost in _COSTS)), 2), ratio(row["return"], 3),
            ratio(row["drawdown_max"], 3), _price(row["share_price"]["end"]), row["by_cause"]["unexplained"],
        )
        for name, row in rows
    ]  # fmt: skip


def _period(row: Json, by: str) -> str:
    return clock(row["period"])[:10] if by == "day" else clock(row["period"])[:16]


def _price(value: str) -> str:
    return f"{Decimal(value):.6f}"


def _signed(amount: str, places: int = 4, style: str = "") -> Text:
    value = Decimal(amount)
    own = style or (GOOD if value > 0 else _BAD if value < 0 else SOFT)
    return Text(f"{value:+,.{places}f}" if value else "0", style=own)
