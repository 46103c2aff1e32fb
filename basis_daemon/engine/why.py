"""The decision behind an order, a trade, a plan or a hold: inputs, thresholds, rejected alternatives, denials."""

from __future__ import annotations

from basis_daemon.domain.errors import BasisError
from basis_daemon.engine.book_view import BookView, Json, Seen, plain
from basis_daemon.engine.codec import DecisionRow
from basis_daemon.engine.views import order_row, trade_row

PREFIX_MIN = 6
"""So many characters of an order id are enough when they are unique."""


class UnknownIdError(BasisError):
    """Nothing in the journal goes by this name; the message says what would."""


def why(view: BookView, asked: str) -> Json:
    """The reasons behind ``asked``: an order id (or its first letters), trade id, plan id, or a strategy's name.

    A strategy's name asks for its last decision that traded nothing. Raises UnknownIdError.
    """
    history = view.history
    if asked in history.trades:
        seen = history.trades[asked]
        return {"asked": asked, "kind": "trade", "trade": trade_row(view, seen)} | _order(view, seen.row.trade.order_id)
    if asked in history.plan_steps or asked in history.acted:
        return {"asked": asked, "kind": "plan"} | _plan(view, asked)
    if asked in view.state.last_decision:
        return {"asked": asked, "kind": "no_trade"} | _idle(view, asked)
    if (order_id := _order_id(view, asked)) is not None:
        return {"asked": asked, "kind": "order"} | _order(view, order_id)
    strategies = ", ".join(sorted(view.state.last_decision)) or "none has decided yet"
    raise UnknownIdError(
        f"{asked!r} is no order, trade, plan or strategy of this journal: expected an order id of 32 hex digits (or "
        f"its first {PREFIX_MIN} or more), a trade id, a plan id like btc_basis:1:42, or a strategy ({strategies})"
    )


def _order_id(view: BookView, asked: str) -> str | None:
    known = view.history.plan_of_order
    if asked in known:
        return asked
    found = [order_id for order_id in known if len(asked) >= PREFIX_MIN and order_id.startswith(asked)]
    if len(found) > 1:
        raise UnknownIdError(f"{asked!r} begins {len(found)} order ids, expected one: {', '.join(found[:5])}")
    return found[0] if found else None


def _order(view: BookView, order_id: str) -> Json:
    """The order, its life, its trades, and the decision behind it; nothing of this for an order that is not ours."""
    found: Json = {"order": None, "steps": [], "trades": []}
    if (life := view.history.lives.get(order_id)) is not None:
        found["order"] = order_row(view, life)
        found["steps"] = [
            {
                "state": s.row.state.value,
                "market_time": s.time,
                "wall_time": s.at.wall_time.isoformat(),
                "why": s.row.why,
            }
            for s in view.history.order_steps.get(order_id, [])
        ]
        mine = [seen for seen in view.history.trades.values() if seen.row.trade.order_id == order_id]
        found["trades"] = [trade_row(view, seen) for seen in mine]
    plan_id = view.history.plan_of_order.get(order_id)
    return found | (_plan(view, plan_id) if plan_id else {"plan": None, "decision": None})


def _plan(view: BookView, plan_id: str) -> Json:
    steps = view.history.plan_steps.get(plan_id, [])
    children = [order_id for order_id, plan in view.history.plan_of_order.items() if plan == plan_id]
    plan = {
        "plan_id": plan_id,
        "state": steps[-1].row.state.value if steps else "REFUSED",
        "steps": [{"state": s.row.state.value, "market_time": s.time, "why": s.row.why} for s in steps],
        "orders": [order_id for order_id in children if order_id in view.history.lives],
    }
    return {"plan": plan, "decision": decision(view, view.history.acted.get(plan_id))}


def _idle(view: BookView, strategy: str) -> Json:
    """The newest decision without orders, and how often each reason was given."""
    idle = [seen for (who, _), seen in view.history.idle.items() if who == strategy]
    denied = [seen for seen in view.history.acted.values() if seen.row.strategy == strategy and seen.row.denied]
    newest = max((*idle, *denied), key=lambda seen: seen.at.sequence, default=None)
    counts = {reason: n for (who, reason), n in view.history.reasons.most_common() if who == strategy}
    return {"decision": decision(view, newest), "decisions": counts}


def blocking_sentence(view: BookView, strategy: str) -> str | None:
    """Why it traded nothing when it traded nothing: the commonest reason, in its newest words; None without any.

    A HOLD is explained by the last rule that was looked at and did not act, which is the entry.
    """
    common = [(key, n) for key, n in view.history.blocked.items() if key[0] == strategy]
    if not common:
        return None
    key, _ = max(common, key=lambda item: item[1])
    return view.history.sentences[key]


def decision(view: BookView, seen: Seen[DecisionRow] | None) -> Json | None:
    """Everything that was stored with a decision, and which run and configuration took it."""
    if seen is None:
        return None
    row, said = seen.row, seen.row.assessment
    run = view.history.generations.get(seen.at.generation, {})
    return {
        "strategy": row.strategy,
        "decision": row.decision,
        "generation": seen.at.generation,
        "config_hash": run.get("config_hash", ""),
        "code_version": run.get("code_version", ""),
        "time": said.time.isoformat(),
        "trigger": said.trigger,
        "reason": said.reason.value,
        "note": said.note,
        "urgency": said.urgency,
        "inputs": {name: {"value": plain(i.value), "age_s": plain(i.age_s)} for name, i in said.inputs.items()},
        "thresholds": {name: plain(value) for name, value in said.thresholds.items()},
        "rejected": [{"rule": item.rule.value, "why": item.why} for item in said.rejected],
        "targets": [
            {"key": t.key, "wanted": plain(t.wanted), "held": plain(t.held), "difference": plain(t.difference)}
            for t in said.targets
        ],
        "denied": list(row.denied),
        "orders": list(row.order_ids),
    }
