"""Views for people: what `book` answers, as tables. Figures are rounded here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.figures import BAD, GOOD, HEAD, SOFT, brief, clock, facts, grid, money, ratio, short_id
from basis_daemon.cli.risk_tables import head as risk_head

Json = dict[str, Any]
_GUARD_STYLE = {"ACTIVE": GOOD, "REDUCING": "yellow", "HALTED": BAD}


def dead_man(accounts: Json) -> list[tuple[str, str]]:
    """One line per account: armed where and since when, or that its venue has no such switch."""
    lines = []
    for account, said in accounts.items():
        armed = ", ".join(f"{key} (renewed {clock(at)})" for key, at in said.get("armed", {}).items())
        withheld = ", ".join(said.get("withheld", ()))
        words = [armed or "idle: nothing rests", f"withheld for stops on {withheld}" if withheld else ""]
        lines.append((f"dead man {account}", "; ".join(filter(None, words)) if said["exists"] else said["why"]))
    return lines


def _flattening(said: Json) -> list[tuple[str, str | Text]]:
    """One line while the book is being closed, with what is left of it."""
    if not said.get("is_on"):
        return []
    left = "; ".join(said["remains"])
    return [("flattening", Text(left or "flat until rearmed", style=BAD if left else GOOD))]


def status(found: Json) -> RenderableType:
    """The state of a book on one screen."""
    guard, live = found["guard"], found.get("live", {})
    rows: list[tuple[str, str | Text]] = [("phase", str(live["phase"]))] if "phase" in live else []
    rows += dead_man(live.get("dead_man", {}))
    rows += [
        ("guard", Text(f"{guard['state']} {guard['why']}".strip(), style=_GUARD_STYLE.get(guard["state"], BAD))),
        *_flattening(live.get("flatten", {"is_on": guard["is_flattening"], "remains": ["see its daemon"]})),
        ("market time", clock(found["market_time"])),
        *risk_head(found["risk"]),
        ("equity", f"{money(found['equity_usdt'])} {found['numeraire']}"),
        ("drawdown", ratio(found["drawdown"], 3)),
        ("net delta", ", ".join(f"{a} {Decimal(q):+.6f}" for a, q in found["net_delta"].items()) or "-"),
        ("in doubt", _alarming(len(found["in_doubt"]), ", ".join(short_id(i) for i in found["in_doubt"]))),
        ("breaks", _alarming(len(found["breaks"]), _breaks(found["breaks"]))),
        ("undeclared", _undeclared(found["strategies"])),
        ("withdrawals", _withdrawals(found["withdrawals"])),
        ("orders", f"{found['orders']}, {found['open_orders']} open"),
        ("trades", f"{found['trades']}"),
        ("leg risk", _leg_risk(found["leg_risk"])),
        ("journal", f"row {found['sequence']} of generation {found['generation']}, config {found['config_hash'][:12]}"),
    ]
    return Group(facts(rows), Text(), _margins(found["margins"]), Text(), _strategies(found["strategies"]))


def _leg_risk(said: Json) -> str:
    """The worst of all groups so far."""
    worst, stood = money(said["worst_naked_usdt"]), Decimal(said["worst_naked_s"])
    return f"{money(said['worst_leg_risk_usdt_s'])} USDT s at worst, {worst} USDT naked at most, {stood:,.2f} s at most"


def _alarming(count: int, words: str) -> Text:
    return Text(f"{count}  {words}".strip(), style=BAD if count else GOOD)


def _withdrawals(rows: Sequence[Json]) -> str:
    pending = [row for row in rows if Decimal(row["pending_usdt"])]
    return "; ".join(f"{row['id']} {money(row['pending_usdt'])} USDT reserved" for row in pending) or "none pending"


def _undeclared(rows: Sequence[Json]) -> Text:
    """Balances that nobody declared: they count in nothing until somebody does."""
    found = [f"{key} {quantity}" for row in rows for key, quantity in row["undeclared"].items()]
    return Text("; ".join(found) or "none", style=BAD if found else GOOD)


def _breaks(breaks: Sequence[Json]) -> str:
    return "; ".join(f"{b['key']} book {b['expected']} venue {b['actual']}" for b in breaks)


def _margins(rows: Sequence[Json]) -> Table:
    cells = [
        (m["account"], money(m["margin"]), money(m["notional"]), ratio(m["ratio"]), ratio(m["distance"]),
         f"{Decimal(m['z']):.2f}" if m["z"] is not None else "-", str(m["level"]))
        for m in rows
    ]  # fmt: skip
    return grid(("account", "margin", "notional", "m", "distance", "z", "level"), cells, right=range(1, 7))


def _strategies(rows: Sequence[Json]) -> Table:
    cells = [
        (
            s["name"],
            money(s["equity_usdt"]),
            Text(ratio(s["drawdown"], 3), style=BAD if s["latched"] else ""),
            clock(s["time"]),
            s["reason"],
            s["latched"] or "; ".join(s["denied"]) or s["note"],
            f"{sum(s['decisions'].values())}",
        )
        for s in rows
    ]
    columns = ("strategy", "equity", "drawdown", "last decision", "reason", "why", "decisions")
    return grid(columns, cells, right=(1, 2, 6))


def positions(found: Json) -> RenderableType:
    """Holdings with their value."""
    cells = [
        (p["strategy"] or "-", p["key"], p["quantity"], money(p["price"]), money(p["value"]),
         money(p.get("entry_price")), money(p.get("unrealised"), signed=True) if p.get("unrealised") else "")
        for p in found["positions"]
    ]  # fmt: skip
    columns = ("strategy", "key", "quantity", "price", f"value {found['numeraire']}", "entry", "unrealised")
    held = grid(columns, cells, right=range(2, 7))
    return Group(
        held,
        Text(),
        Text(f"equity {money(found['equity_usdt'])} {found['numeraire']} at {clock(found['as_of'])}", style=SOFT),
    )


def orders(found: Json) -> RenderableType:
    """One line per order."""
    cells = [
        (short_id(o["order_id"]), clock(o["time"]), o["operation"], o["instrument"], o["side"] or "", o["amount"],
         o["filled"], money(o["average_price"]), o["state"], o["reason"], o["why"])
        for o in found["orders"]
    ]  # fmt: skip
    columns = ("order", "market time", "operation", "instrument", "side", "amount", "filled", "average", "state",
               "reason", "said")  # fmt: skip
    return Group(grid(columns, cells, right=(5, 6, 7)), _shown(len(cells), found["total"]))


def trades(found: Json) -> RenderableType:
    """One line per fill or transfer."""
    cells = [
        (short_id(t["order_id"]), clock(t["time"]), t["instrument"], t["side"] or t["operation"] or "", _moved(t),
         money(t["price"]), ", ".join(f"{q} {a}" for a, q in t["fees"].items()), t["reason"], t["trade_id"])
        for t in found["trades"]
    ]  # fmt: skip
    columns = ("order", "market time", "instrument", "side", "quantity", "price", "fees", "reason", "trade")
    return Group(grid(columns, cells, right=(4, 5, 6)), _shown(len(cells), found["total"]))


def _moved(trade: Json) -> str:
    """Base quantity of a fill; of a transfer what its instrument lost or got."""
    return str(trade["quantity"] if trade["price"] else trade["deltas"].get(trade["instrument"], "-"))


def _shown(count: int, total: int) -> Text:
    return Text(f"\n{count} of {total}", style=SOFT)


def why(found: Json) -> RenderableType:
    """The thing asked for, then the decision behind it."""
    parts: list[RenderableType] = []
    if order := found.get("order"):
        parts += [Text("order", style=HEAD), facts(_texts(order)), Text()]
        parts += [grid(("state", "market time", "said"), _steps(found["steps"])), Text()]
    if trade := found.get("trade"):
        parts += [Text("trade", style=HEAD), facts(_texts(trade)), Text()]
    if plan := found.get("plan"):
        parts += [Text(f"plan {plan['plan_id']} {plan['state']}", style=HEAD)]
        parts += [grid(("state", "market time", "said"), _steps(plan["steps"])), Text()]
    parts.append(_decision(found.get("decision")))
    return Group(*parts)


def _steps(steps: Sequence[Json]) -> list[tuple[str, str, str]]:
    return [(step["state"], clock(step["market_time"]), step["why"]) for step in steps]


def _texts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), str(value)) for name, value in row.items() if value not in (None, "", {}, [])]


def _decision(said: Json | None) -> RenderableType:
    if said is None:
        return Text("no decision of ours is behind it")
    head = [("taken", f"{clock(said['time'])}, decision {said['decision']} of generation {said['generation']}"),
            ("woken by", said["trigger"]), ("note", said["note"])]  # fmt: skip
    head += [("denied", "; ".join(said["denied"]))] if said["denied"] else []
    head += [("config", said["config_hash"][:12])] if said["config_hash"] else []
    inputs = [(name, brief(i["value"]), f"{Decimal(i['age_s']):.2f} s") for name, i in said["inputs"].items()]
    parts: list[RenderableType] = [Text(f"decision {said['reason']}", style=HEAD), facts(head), Text()]
    parts += [grid(("input", "value", "age"), inputs, right=(1, 2)), Text()]
    parts += [grid(("threshold", "value"), [(n, brief(v)) for n, v in said["thresholds"].items()], right=(1,)), Text()]
    if said["targets"]:
        cells = [(t["key"], t["wanted"], t["held"], t["difference"]) for t in said["targets"]]
        parts += [grid(("target", "wanted", "held", "difference"), cells, right=(1, 2, 3)), Text()]
    parts.append(grid(("rule not taken", "because"), [(r["rule"], r["why"]) for r in said["rejected"]]))
    return Group(*parts)


def command(found: Json) -> RenderableType:
    """What an operator's command did."""
    live = found["live"]
    said = f"{found['command']}: guard is {live.get('guard', 'as asked')}; reason kept: {found['reason']}"
    if live.get("flatten", {}).get("is_on"):
        said += f"; flattening, left to do: {'; '.join(live['flatten']['remains']) or 'nothing, the book is flat'}"
    return Text(said)


def withdrawal(found: Json) -> RenderableType:
    """What is reserved, and how much of it is still to leave."""
    return Text(
        f"withdrawal {found['id']} of {found['strategy']}: {money(found['amount_usdt'])} USDT reserved, "
        f"{money(found['pending_usdt'])} of them still to leave; `basis-daemon status` shows when they are free"
    )
