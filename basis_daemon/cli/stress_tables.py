"""The stress grid for people: price against peg at the worst of the other axes, who fails, and who falls first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.figures import BAD, GOOD, facts, grid, money

Json = dict[str, Any]
SHOCKS = ("price", "basis", "peg", "borrow", "funding")


def stress(found: Json) -> RenderableType:
    """Figures of all cells are in --json."""
    calm = [cell for cell in found["cells"] if cell["outage"] is None]
    failing = [cell for cell in found["cells"] if cell["outage"] is not None]
    parts: list[RenderableType] = [facts(_head(found)), Text(), _moves(calm, found["equity_usdt"])]
    if failing:
        parts += [Text(), _outages(failing, found["equity_usdt"])]
    return Group(*parts)


def _head(found: Json) -> list[tuple[str, str | Text]]:
    cells, fallen = len(found["cells"]), found["mildest_with_casualty"]
    first = "; ".join(f"{site} in {count}" for site, count in found["first_casualties"].items())
    worst = found["worst"]
    return [
        (
            "equity now",
            f"{money(found['equity_usdt'])} USDT; nobody acts while shocks of {found['horizon_days']} d come",
        ),
        ("without a casualty", f"{found['cells_without_casualty']} of {cells} cells"),
        ("first to fall", Text(first or "nobody", style=BAD if first else GOOD)),
        ("mildest with a casualty", "none" if fallen is None else f"{_named(fallen)}: {_fall(fallen)}"),
        ("least equity", "unknown" if worst is None else f"{money(worst['equity_usdt'])} USDT at {_named(worst)}"),
    ]


def _named(cell: Json) -> str:
    moved = [f"{name} {Decimal(cell[name]):+.2%}" for name in SHOCKS if Decimal(cell[name])]
    return ", ".join([*moved, *([f"{cell['outage']} fails"] if cell["outage"] else [])]) or "no shock"


def _fall(cell: Json) -> str:
    first = cell["first_casualty"]
    return f"{first['site']} {first['how']} at {Decimal(first['at']):.0%} of the way"


def _moves(cells: Sequence[Json], equity: str | None) -> Table:
    """By price and peg, the least equity over the other axes, and the first casualty there."""
    pegs = _ordered(cell["peg"] for cell in cells)
    rows: list[list[str | Text]] = []
    for price in _ordered(cell["price"] for cell in cells):
        own = [cell for cell in cells if cell["price"] == price]
        cells_of = [[cell for cell in own if cell["peg"] == peg] for peg in pegs]
        rows.append([f"{Decimal(price):+.1%}", *(_worst(each, equity) for each in cells_of)])
    if all(len(set(map(str, row[1:]))) == 1 for row in rows):  # nothing staked is held
        return grid(("price", "any peg"), [row[:2] for row in rows], right=(0,))
    return grid(("price", *(f"peg {Decimal(peg):+.1%}" for peg in pegs)), rows, right=(0,))


def _ordered(values: Iterable[str]) -> list[str]:
    return sorted(set(values), key=Decimal, reverse=True)


def _worst(cells: Sequence[Json], equity: str | None) -> Text:
    """Change of equity, and who falls."""
    if any(cell["equity_usdt"] is None for cell in cells) or equity is None:
        return Text("unknown", style=BAD)
    least = min(cells, key=lambda cell: (Decimal(cell["equity_usdt"]), not cell["casualties"]))
    change = Decimal(least["equity_usdt"]) - Decimal(equity)
    share = f"{change / Decimal(equity):+.2%}" if Decimal(equity) else f"{change:+,.2f}"
    fallen = dict.fromkeys(f"{each['site']} {each['how']}" for cell in cells for each in cell["casualties"])
    return Text(f"{share}  {', '.join(fallen)}".rstrip(), style=BAD if fallen else "")


def _outages(cells: Sequence[Json], equity: str | None) -> Table:
    rows = []
    for name in dict.fromkeys(cell["outage"] for cell in cells):
        alone = [cell for cell in cells if cell["outage"] == name and not any(Decimal(cell[shock]) for shock in SHOCKS)]
        rows.append((name, _worst(alone or [cell for cell in cells if cell["outage"] == name], equity)))
    return grid(("fails", "equity"), rows)
