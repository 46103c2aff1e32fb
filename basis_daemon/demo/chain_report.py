"""The report of a run on the sandbox chain: its story, its transactions, and what the chain took for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from basis_daemon.demo.chain_charts import timeline
from basis_daemon.demo.report import (
    Look,
    Tile,
    drawdown_tile,
    earned,
    growth_tiles,
    money,
    pill,
    table,
    unexplained_tile,
)
from basis_daemon.domain.order import ExecutionMode
from basis_daemon.domain.trade import Trade, TradeStatus
from basis_daemon.engine.book_view import BookView, Json, plain
from basis_daemon.ports import StoredRecord

GWEI = Decimal(10) ** 9
HASH_CHARS = 14


def _figures(view: BookView, rows: Sequence[StoredRecord], said: Json) -> dict[str, Json]:
    return {f"timeline-{said['strategy']}": timeline(view, rows, said["story"])}


def _market(said: Json) -> str:
    return f"sandbox chain, {len(said['story'])} things happened to it"


def _lead(said: Json, view: BookView) -> str:
    """What happened, in two sentences."""
    return (
        f"{earned(said, view)} It carried out {said['trades']} orders in {said['transactions']} transactions, which "
        f"are all that the chain knows of the address; {said['in_doubt'] or 'none'} are in doubt, gas was "
        f"{escape(said['gas_eth'])} ETH, and {escape(said['unexplained'])} {said['numeraire']} are unexplained."
    )


def _tiles(said: Json, view: BookView) -> Iterable[Tile]:
    yield from growth_tiles(said)
    pnl, unit = said["pnl"], said["numeraire"]
    earned_by = {name: Decimal(pnl.get(name, 0)) for name in ("lending", "staking", "rewards")}
    owed = f"paid on debt {money(-Decimal(pnl.get('borrow', 0)), unit)}"
    yield "Interest and staking", money(sum(earned_by.values(), Decimal(0)), unit, signed=True), owed
    yield "Gas", money(pnl.get("gas", 0), unit, signed=True), f"{Decimal(said['gas_eth']):.6f} ETH"
    groups = said["group_transactions"]
    yield "Transactions", str(said["transactions"]), f"{said['trades']} orders, {groups or 'no'} groups"
    least = said["min_health_factor"]
    yield "Least health factor", f"{Decimal(least):.4f}" if least else "-", "at any block" if least else "no debt"
    yield drawdown_tile(view)
    yield unexplained_tile(said)


def _sections(said: Json, view: BookView) -> str:
    parts = (("What happened on the chain", _story(said)), ("Transactions of the address", _transactions(view)))
    return "".join(f'<section><h2>{title}</h2><div class="scroll">{part}</div></section>' for title, part in parts)


def _story(said: Json) -> str:
    rows = [
        (str(number), _time(scene["time"]), escape(scene["says"]), f"<code>{escape(_asked(scene))}</code>")
        for number, scene in enumerate(said["story"], 1)
    ]
    return table(("", "market time", "what happened", "asked of the sandbox"), rows, ("num", "keep", "", ""))


def _asked(scene: Json) -> str:
    body = (f"{name} {value}" for name, value in scene.items() if name not in {"time", "action", "says"})
    return f"{scene['action']} {' '.join(body)}"


def _time(text: str) -> str:
    return text[:16].replace("T", " ")


def _transactions(view: BookView) -> str:
    mined = [seen.row.trade for seen in view.history.trades.values() if seen.row.trade.tx is not None]
    columns = ("block", "market time", "operation", "moved", "gas", "gwei", "ETH", "", "transaction")
    return table(columns, [_cells(view, trade) for trade in mined], ("num", "keep", "keep", "", "num", "num", "num"))


def _cells(view: BookView, trade: Trade) -> tuple[str, ...]:
    tx = trade.tx
    if tx is None:
        return ()
    gas = sum((fee.quantity for fee in trade.fees), Decimal(0))
    moved = {key: amount for key, amount in trade.deltas.items() if abs(amount) != gas}
    return (
        f"{tx.block:,}",
        _time(trade.venue_time.isoformat()),
        _operation(view, trade),
        "<br>".join(f"<code>{escape(key)}</code> {escape(plain(amount))}" for key, amount in moved.items())
        or "nothing",
        f"{tx.gas_used:,}",
        f"{Decimal(tx.gas_price) / GWEI:.3f}",
        escape(plain(gas)),
        pill(is_good=trade.error is None, good="done", bad=trade.error.code if trade.error else ""),
        f"<code>{escape(tx.hash[:HASH_CHARS])}</code>",
    )


def _operation(view: BookView, trade: Trade) -> str:
    """What the transaction was for, all of it for a group; one that is not its order's own gave the allowance."""
    lives = view.history.lives
    if trade.order_id not in lives:
        return "of another hand"
    order = lives[trade.order_id].order
    if order.execution_mode is ExecutionMode.ATOMIC and trade.status is not TradeStatus.PENDING:
        group = [life.order.operation.value for life in lives.values() if life.order.group_id == order.group_id]
        return "<br>".join(("<b>group</b>", *map(escape, group)))
    return "allowance" if trade.status is TradeStatus.PENDING else escape(order.operation.value)


def _footer(said: Json) -> list[str]:
    del said
    prices = "money at the lender's oracle, staking tokens at their issuer's rate, balances as the contracts tell them"
    return ["all times UTC, of blocks", prices]


CHAIN = Look(
    venue="the chain",
    figures=_figures,
    market=_market,
    lead=_lead,
    tiles=_tiles,
    sections=_sections,
    hint="Drag to zoom in time, double-click to see all of it. Hover over a transaction for what it moved and cost.",
    footer=_footer,
)
