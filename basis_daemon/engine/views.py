"""What an operator asks a book: status, positions, orders, trades. Pure functions of a `BookView`."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey, unit_worth
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.attribution import courses_of, summed
from basis_daemon.engine.book_view import QUOTE, ZERO, BookView, Json, Seen, plain, underlying
from basis_daemon.engine.codec import TradeRow
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.risk_views import journal_risk

CENT, MILLI = Decimal("0.01"), Decimal("0.001")
GRAIN = Decimal("1e-10")
"""What ratios are cut to; money and quantities are never cut."""


def status(view: BookView) -> Json:
    """How the book stands, in all and by strategy: equity, doubt, breaks, guard, nearest liquidation, last decision."""
    state, latest = view.state, view.latest
    runs = view.history.generations
    return {
        "generation": view.last.generation if view.last else 0,
        "sequence": state.sequence,
        "market_time": state.market_time.isoformat(),
        "wall_time": view.last.wall_time.isoformat() if view.last else None,
        "config_hash": runs[max(runs)].get("config_hash", "") if runs else "",
        "code_version": runs[max(runs)].get("code_version", "") if runs else "",
        "guard": {
            "state": state.guard.state.value,
            "why": state.guard.why,
            "is_flattening": state.guard.is_flattening,
        },
        "halted": {str(key): why for key, why in sorted(state.halts.items())},
        "equity_usdt": latest.get("equity_usdt"),
        "numeraire": latest.get("numeraire", QUOTE),
        "net_delta": latest.get("net_delta", {}),
        "margins": latest.get("margins", []),
        "risk": journal_risk(view),
        "drawdown": max(
            (found for row in view.latest_of.values() if (found := _drawdown(row))), key=Decimal, default=None
        ),
        "in_doubt": list(state.in_doubt()),
        "breaks": [
            {
                "key": found.key,
                "kind": found.kind.value,
                "expected": plain(found.expected),
                "actual": plain(found.actual),
                "difference": plain(found.difference),
                "tolerance": plain(found.tolerance),
            }
            for found in state.breaks.values()
        ],
        "breaks_opened": state.breaks_opened,
        "foreign_orders": [
            {"account": row.account, "order_id": row.order_id, "owner": row.owner}
            for row in state.foreign_orders.values()
        ],
        "withdrawals": [
            {
                "id": row.wish_id,
                "strategy": row.strategy,
                "amount_usdt": plain(row.amount_usdt),
                "pending_usdt": plain(row.pending_usdt),
            }
            for row in state.withdrawals.values()
        ],
        "open_orders": len(state.open_orders()),
        "orders": len(view.history.lives),
        "trades": state.trade_count,
        "leg_risk": leg_risk(view),
        "plans_running": [plan.plan_id for plan in state.running_plans()],
        "strategies": [_strategy(view, name) for name in sorted(state.last_decision)],
    }


def leg_risk(view: BookView) -> Json:
    """The worst that any group of two legs ran: unhedged notional, seconds of process time, and their product."""
    groups = [seen.row for seen in view.history.groups]
    return {
        "groups": len(groups),
        "worst_naked_usdt": plain(max((g.naked_notional_max for g in groups), default=ZERO).quantize(CENT)),
        "worst_naked_s": plain(max((g.naked_s_max for g in groups), default=ZERO).quantize(MILLI)),
        "worst_leg_risk_usdt_s": plain(max((g.legging_usdt_s for g in groups), default=ZERO).quantize(CENT)),
    }


def _strategy(view: BookView, name: str) -> Json:
    row, valued = view.state.last_decision[name], view.latest_of.get(name, {})
    said, accounts = row.assessment, valued.get("accounts", [])
    return {
        "name": name,
        "accounts": accounts,
        "valued_at": valued.get("time"),
        "equity_usdt": valued.get("equity_usdt"),
        "numeraire": valued.get("numeraire", QUOTE),
        "capital_usdt": valued.get("capital_usdt"),
        "net_delta": valued.get("net_delta", {}),
        "drawdown": _drawdown(valued),
        "latched": valued.get("latched", ""),
        "undeclared": valued.get("undeclared", {}),
        "in_doubt": sum(1 for life in view.state.open_orders() if life.is_in_doubt and life.order.strategy == name),
        "breaks": sum(1 for key in view.state.breaks if key.venue in accounts),
        "decision": row.decision,
        "time": said.time.isoformat(),
        "trigger": said.trigger,
        "reason": said.reason.value,
        "note": said.note,
        "denied": list(row.denied),
        "decisions": {reason: n for (who, reason), n in sorted(view.history.reasons.items()) if who == name},
    }


def _drawdown(latest: Json) -> str | None:
    high = Decimal(latest.get("unit_value_high") or 0)
    return plain((1 - Decimal(latest["unit_value"]) / high).quantize(GRAIN)) if high > 0 else None


def positions(view: BookView) -> Json:
    """Every holding that is not zero, valued at the newest valuation; a key without a price has no value, not zero."""
    latest, costs = view.latest, view.state.ledger.open_notionals()
    held = {key: amount for key, amount in sorted(view.state.ledger.holdings().items()) if amount}
    return {
        "as_of": latest.get("time"),
        "equity_usdt": latest.get("equity_usdt"),
        "numeraire": latest.get("numeraire", QUOTE),
        "net_delta": latest.get("net_delta", {}),
        "margins": latest.get("margins", []),
        "positions": [
            {"strategy": _owner(view, key)} | _position(key, amount, costs.get(key, ZERO), latest)
            for key, amount in held.items()
        ],
    }


def _owner(view: BookView, key: PositionKey) -> str | None:
    """The strategy that the account belongs to; None before its first valuation."""
    return next((name for name, row in view.latest_of.items() if key.venue in row["accounts"]), None)


def _position(key: PositionKey, quantity: Decimal, cost: Decimal, latest: Json) -> Json:
    price, inverse = _price(key, latest), latest.get("contract_values", {}).get(key)
    contract_value = Decimal(inverse) if inverse is not None else None
    worth = unit_worth(price, contract_value) if price is not None else None
    row: Json = {
        "key": key,
        "underlying": underlying(key, latest.get("bases", {})),
        "quantity": plain(quantity),
        "price": plain(price) if price is not None else None,
        "value": plain(quantity * worth) if worth is not None else None,
    }
    if key.kind is Kind.PERP:
        entry = cost / quantity if contract_value is None else -contract_value * quantity / cost
        row |= {"entry_price": plain(entry.quantize(GRAIN)), "open_notional": plain(cost)}
        row["unrealised"] = plain(quantity * worth - cost) if worth is not None else None
    return row


def _price(key: PositionKey, latest: Json) -> Decimal | None:
    if key.kind is Kind.PERP:
        found = latest.get("marks", {}).get(key)
    else:
        found = "1" if key.symbol == QUOTE else latest.get("prices", {}).get(key.asset)
    return Decimal(found) if found is not None else None


def orders(view: BookView, *, only_open: bool = False, last: int | None = None) -> Json:
    """Orders from intent to end, oldest first."""
    lives = [life for life in view.history.lives.values() if life.is_open or not only_open]
    fills = _fills_by_order(view.history.trades.values())
    chosen = lives if last is None else lives[-last:] if last else []
    return {"total": len(lives), "orders": [order_row(view, life, fills) for life in chosen]}


Fills = dict[str, tuple[Decimal, Decimal]]
"""(base quantity, quote quantity) by order id."""


def _fills_by_order(seen: Iterable[Seen[TradeRow]]) -> Fills:
    found: Fills = {}
    for trade in (item.row.trade for item in seen):
        if trade.price is not None and trade.qty_base:
            base, quote = found.get(trade.order_id, (ZERO, ZERO))
            found[trade.order_id] = base + trade.qty_base, quote + trade.qty_base * trade.price
    return found


def variance(life: OrderLife) -> dict[PositionKey, Decimal]:
    """What was booked less what the order expected, per key it touched; empty until something was booked."""
    expected, booked = life.order.expected_deltas, life.deltas
    return {key: booked.get(key, ZERO) - expected.get(key, ZERO) for key in {**expected, **booked}} if booked else {}


def order_row(view: BookView, life: OrderLife, fills: Fills | None = None) -> Json:
    """One order: what was asked, what came of it."""
    order, history = life.order, view.history
    base, quote = (fills if fills is not None else _fills_by_order(history.trades.values())).get(
        order.order_id, (ZERO, ZERO)
    )
    asked_at = history.intents.get(order.order_id)
    steps = history.order_steps.get(order.order_id, [])
    return {
        "order_id": order.order_id,
        "plan_id": history.plan_of_order.get(order.order_id),
        "parent_id": order.parent_id,
        "strategy": order.strategy,
        "time": asked_at.record.market_time.isoformat() if asked_at else None,
        "sent_at": life.sent_at.isoformat() if life.sent_at else None,
        "operation": order.operation.value,
        "instrument": order.instrument,
        "side": order.side.value if order.side else None,
        "amount": order.amount if order.amount == "MAX" else plain(order.amount),
        "filled": plain(life.cum_filled),
        "expected": {str(key): plain(amount) for key, amount in order.expected_deltas.items()},
        "booked": {str(key): plain(amount) for key, amount in life.deltas.items()},
        "variance": {str(key): plain(amount) for key, amount in variance(life).items()},
        "average_price": plain((quote / base).quantize(GRAIN)) if base else None,
        "reduce_only": order.reduce_only,
        "state": life.state.value,
        "reason": order.reason,
        "why": next((step.row.why for step in reversed(steps) if step.row.why), ""),
    }


def trades(view: BookView, *, last: int | None = None) -> Json:
    """Money that moved by orders, oldest first: fills and transfers."""
    rows = [trade_row(view, seen) for seen in view.history.trades.values()]
    return {
        "total": len(rows),
        "fills": view.state.trade_count,
        "trades": rows if last is None else rows[-last:] if last else [],
    }


def trade_row(view: BookView, seen: Seen[TradeRow]) -> Json:
    """One trade with the order and the reason behind it, or whose it was."""
    trade, life = seen.row.trade, view.history.lives.get(seen.row.trade.order_id)
    side = life.order.side if life else None
    return {
        "trade_id": trade.trade_id,
        "order_id": trade.order_id,
        "plan_id": view.history.plan_of_order.get(trade.order_id),
        "time": trade.venue_time.isoformat(),
        "instrument": trade.instrument,
        "operation": life.order.operation.value if life else None,
        "side": side.value if side else None,
        "quantity": plain(trade.qty_base),
        "price": plain(trade.price) if trade.price is not None else None,
        "liquidity": trade.liquidity,
        "fees": {fee.asset: plain(fee.quantity) for fee in trade.fees},
        "realised_pnl": plain(trade.realised_pnl) if trade.realised_pnl is not None else None,
        "deltas": {str(key): plain(amount) for key, amount in trade.deltas.items()},
        "origin": trade.origin.value,
        "reason": life.order.reason if life else _whose(trade),
    }


def _whose(trade: Trade) -> str:
    """Why a trade exists that no order of ours asked for."""
    return f"{trade.origin}: the venue reduced the position" if trade.is_forced else "an order of another hand"


def by_strategy(rows: Iterable[Json]) -> dict[str, list[Json]]:
    """Valuations of each strategy, oldest first."""
    found: dict[str, list[Json]] = {}
    for row in rows:
        found.setdefault(row["strategy"], []).append(row)
    return found


def equity_between(rows: Iterable[Json]) -> tuple[Decimal, Decimal]:
    """Equity of all strategies together, at the first valuation of each and at its last."""
    series = by_strategy(rows).values()
    first, last = (sum((Decimal(own[at]["equity_usdt"]) for own in series), ZERO) for at in (0, -1))
    return first, last


def totals_by_cause(rows: Iterable[Json]) -> dict[str, Decimal]:
    """Sources of all intervals added; what a strategy's first valuation says leads up to it and is left out."""
    return summed(step for course in courses_of(rows).values() for step in course.intervals)
