"""What `risk` answers, for people. Figures are rounded here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.figures import BAD, GOOD, clock, facts, grid, money, ratio

Json = dict[str, Any]
STYLES = {"ACTIVE": GOOD, "TOP-UP": "yellow", "REDUCE": "bold yellow", "EMERGENCY": BAD, "UNKNOWN": BAD}
HOURS_IN_DAYS = Decimal(240)


def risk(found: Json) -> RenderableType:
    """The binding constraint, then every position, then the step of every strategy."""
    tables = (
        _threats(found["threats"]),
        _strategies(found["strategies"]),
        _caps(found["caps"]),
        unwind_table(found["unwind"]),
    )
    return Group(facts(head(found)), *(part for each in tables for part in (Text(), each)))


def head(found: Json) -> list[tuple[str, str | Text]]:
    """The one number, and what it belongs to."""
    first = found["binding"]
    state = Text(found["state"], style=STYLES[found["state"]])
    if found["unread"]:
        why = f"never read of {', '.join(found['unread'])}: it comes with the next valuation"
        return [("risk", state), ("nearest liquidation", Text(why, style=BAD))]
    if first is None:
        return [("risk", state), ("nearest liquidation", "nothing that can be liquidated is held")]
    leaving = found["unwind"]
    cost = "unknown" if leaving["cost_usdt"] is None else f"{money(leaving['cost_usdt'])} USDT"
    share = leaving["bp_of_equity"]
    bp = f", {Decimal(share):,.1f} bp of equity" if share is not None else ""
    drain, drift = span(found["hours_drain"]), span(found["hours_drift"])
    return [
        ("risk", state),
        ("nearest liquidation", Text(first["said"], style=STYLES[first["state"]])),
        ("time to liquidation", f"{drift} at the adverse drift, {drain} by funding and interest alone"),
        ("closing everything now", f"{cost}{bp}"),
    ]


def span(hours: str | None) -> str:
    """Hours, days once they are many."""
    if hours is None:
        return "unknown"
    if hours == "never":
        return "never"
    value = Decimal(hours)
    return f"{value:,.1f} h" if value < HOURS_IN_DAYS else f"{value / 24:,.1f} d"


def _threats(rows: Sequence[Json]) -> Table:
    cells = [
        (
            Text(row["state"], style=STYLES[row["state"]]),
            row["strategy"],
            row["site"],
            row["position"],
            row["constraint"],
            row["driver"],
            "-" if row["distance"] is None else f"{'+' if row['direction'] == 'rise' else '-'}{ratio(row['distance'])}",
            "-" if row["z"] is None else f"{Decimal(row['z']):.2f}",
            span(row["hours_drift"]),
            span(row["hours_drain"]),
            ", ".join(row["missing"]),
        )
        for row in rows
    ]
    columns = ("state", "strategy", "site", "position", "constraint", "driver", "distance", "z", "drift", "drain",
               "unknown for lack of")  # fmt: skip
    return grid(columns, cells, right=(6, 7, 8, 9))


def _strategies(rows: Sequence[Json]) -> Table:
    cells = [
        (
            row["name"],
            Text(row["state"], style=STYLES[row["state"]]),
            row["nearest"] or "-",
            money(row["equity_usdt"]),
            clock(row["time"]),
            ", ".join(row["unknown"]),
        )
        for row in rows
    ]
    return grid(("strategy", "ladder", "nearest at", "equity USDT", "as of", "without a price"), cells, right=(3,))


def _caps(rows: Sequence[Json]) -> Table:
    cells = [
        (
            row["dimension"],
            row["name"],
            "unknown" if row["exposure_usdt"] is None else money(row["exposure_usdt"]),
            Text("unknown" if row["share"] is None else ratio(row["share"]), style=BAD if row["is_at_cap"] else ""),
            ratio(row["cap"]),
        )
        for row in rows
    ]
    return grid(("lost with", "name", "USDT", "of equity", "cap"), cells, right=(2, 3, 4))


def unwind_table(found: Json) -> Table:
    """Leg by leg."""
    cells = [
        (
            leg["what"],
            money(leg["value_usdt"]),
            Text("unknown", style=BAD) if leg["cost_usdt"] is None else money(leg["cost_usdt"]),
            "-" if leg["bp"] is None else f"{Decimal(leg['bp']):,.1f}",
            money(leg["beyond_quotes_usdt"]),
            leg["missing"],
        )
        for leg in found["legs"]
    ]
    return grid(("to close now", "USDT", "cost", "bp", "beyond the quotes", "for lack of"), cells, right=(1, 2, 3, 4))


def plan(found: Json) -> RenderableType:
    """What the ladders would draw, threat by threat."""
    if not found["needs"]:
        return Text("nothing is short: no account is below its top-up level, no debt is to be repaid", style=GOOD)
    return Group(*(part for strategy in found["strategies"] for part in _of_strategy(strategy)))


def _of_strategy(strategy: Json) -> Iterator[RenderableType]:
    coming = ", ".join(f"{money(amount)} to {key}" for key, amount in strategy["in_transit"].items())
    yield facts([("strategy", strategy["name"]), ("in transit", coming or "nothing")])
    for repair in strategy["repairs"]:
        yield Text()
        yield Text(f"{repair['threat']['state']}: {repair['threat']['said']}", style=STYLES[repair["threat"]["state"]])
        places = 2 if repair["unit"] == "USDT" else 6
        said = [(name, f"{money(repair[name], places)} {repair['unit']}") for name in ("needed", "coming", "lacking")]
        yield facts([*said, *([("then", repair["note"])] if repair["note"] else [])])
        cells = [
            (move["from"], move["to"], money(move["amount"], places), money(move["fee"]), span(move["eta_h"]))
            for move in repair["moves"]
        ]
        if cells:
            yield grid(("from", "to", repair["unit"], "fee", "arrives in"), cells, right=(2, 3, 4))
