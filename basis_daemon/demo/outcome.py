"""The judgement on a run: one JSON object, and checks that hold the daemon's journal against the venue's own books."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import CEX_TRADES, PROTECTIVE
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.book_view import QUOTE, ZERO, BookView, plain
from basis_daemon.engine.views import totals_by_cause
from basis_daemon.engine.why import blocking_sentence

Json = dict[str, Any]
DELTA_HARD = Decimal("0.030")
"""Of equity (strategies.md 1.4): outside clips no book may stand beyond it."""

TIME_STAMP = -1021
"""Refused before anything else was looked at: the same id goes once more, with a corrected stamp."""

_LIQUIDATIONS = ("LIQUIDATION", "INSURANCE_CLEAR")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What was played: ``clock`` is the sandbox's last word on market time, ``accounts`` its wallets by market."""

    strategy: str
    seed: int | None
    history: bool
    window: str | None
    clock: Json
    daemon_exit_code: int
    accounts: Mapping[str, str]
    report: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, as found and as expected."""

    name: str
    found: str
    expected: str
    means: str

    @property
    def is_good(self) -> bool:
        """True when found is as expected."""
        return self.found == self.expected


@dataclass(frozen=True, slots=True)
class Outcome:
    """``document`` is the JSON object of the contract; ``directory`` is set when the run was kept."""

    document: Json
    checks: tuple[Check, ...]
    directory: str | None = None

    @property
    def is_good(self) -> bool:
        """True when every check holds."""
        return all(check.is_good for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that do not hold."""
        return tuple(check for check in self.checks if not check.is_good)


def judge(view: BookView, books: Json, facts: RunFacts) -> Outcome:
    """The run's figures, from the journal and from the venue's books, and what must hold between them."""
    venue = _venue_word(books, facts.accounts)
    document = _run(facts) | _counts(view, venue) | _money(view) | _risk(view)
    document |= {
        "positions": _held(view),
        "venue_positions": venue["positions"],
        "effective_speed": str(facts.clock["effective_speed"]),
        "decisions": _decisions(view, facts.strategy),
        "why": blocking_sentence(view, facts.strategy),
        "report": facts.report,
    }
    checks = tuple(_checks(document, view, venue, facts))
    document["ok"] = all(check.is_good for check in checks)
    document["checks"] = {check.name: check.is_good for check in checks}
    return Outcome(document, checks)


def _run(facts: RunFacts) -> Json:
    start, end = facts.clock["start"], facts.clock["market_time"]
    gone = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return {
        "strategy": facts.strategy,
        "seed": facts.seed,
        "window": facts.window,
        "days": round(gone.total_seconds() / 86_400),
        "market_start": start,
        "market_end": end,
    }


def _venue_word(books: Json, accounts: Mapping[str, str]) -> Json:
    """What the sandbox holds of its one account: client ids in order of arrival, fills, positions by our keys."""
    (book,) = books["accounts"].values()
    rows = [row for market in ("spot", "usdm") for row in book["orders"][market] if row.get("code") != TIME_STAMP]
    taken = {row["clientOrderId"] for row in rows if row.get("status") != "REJECTED"}
    ids = [row["clientOrderId"] for row in rows]
    positions: dict[str, str] = {}
    for market, wallet in accounts.items():
        for asset, amount in book["balances"][market].items():
            positions[f"{wallet}:spot:{asset}"] = plain(Decimal(amount))
    for symbol, quantity in book["positions"].items():
        positions[f"{accounts['usdm']}:perp:{symbol}"] = plain(Decimal(quantity))
    income = {kind: Decimal(amount) for kind, amount in book["income"].items()}
    return {
        "ids": ids,
        "refused": set(ids) - taken,
        "fills": sum(len(book["fills"][market]) for market in ("spot", "usdm")),
        "positions": {key: amount for key, amount in sorted(positions.items()) if amount != "0"},
        "funding": income.get("FUNDING_FEE", ZERO),
        "liquidations": sum(1 for kind in _LIQUIDATIONS if income.get(kind)),
    }


def sent_ids(view: BookView, refused: Container[str] = ()) -> set[str]:
    """Client ids of trade orders that were sent and that the venue was not proven never to have taken.

    Of those never taken it may have heard all the same: ``refused`` are the ids that it says it turned away.
    """
    tradeable = CEX_TRADES | PROTECTIVE
    return {
        order_id
        for order_id, life in view.history.lives.items()
        if (life.was_sent or (life.state is OrderState.NEVER_ACCEPTED and order_id in refused))
        and life.order.operation in tradeable
    }


def _counts(view: BookView, venue: Json) -> Json:
    ids: list[str] = venue["ids"]
    return {
        "trades": view.state.trade_count,
        "orders_sent": len(sent_ids(view, venue["refused"])),
        "venue_orders": len(set(ids)),
        "duplicate_orders": len(ids) - len(set(ids)),
        "in_doubt": len(view.state.in_doubt()),
        "breaks": len(view.state.breaks),
        "breaks_opened": view.state.breaks_opened,
    }


def _money(view: BookView) -> Json:
    """Of all valuations; ``funding`` is positive when received, ``fees`` when paid."""
    rows = [valued.row for valued in view.history.valuations]
    causes = totals_by_cause(rows)
    unexplained = sum((abs(Decimal(row["components"].get("unexplained", 0))) for row in rows[1:]), ZERO)
    return {
        "equity_start": plain(Decimal(rows[0]["equity_usdt"])) if rows else None,
        "equity_end": plain(Decimal(rows[-1]["equity_usdt"])) if rows else None,
        "funding": plain(causes.get("funding", ZERO)),
        "fees": plain(-causes.get("fees", ZERO)),
        "unexplained": plain(unexplained),
        "pnl": {cause: plain(amount) for cause, amount in causes.items()},
    }


def _risk(view: BookView) -> Json:
    groups = [seen.row for seen in view.history.groups]
    nearest = view.history.z_min
    return {
        "max_abs_delta_frac": plain(max(view.history.deltas, default=ZERO).quantize(Decimal("1e-8"))),
        "max_naked_seconds": plain(max((g.naked_s_max for g in groups), default=ZERO).quantize(Decimal("1e-3"))),
        "max_naked_notional": plain(
            max((g.naked_notional_max for g in groups), default=ZERO).quantize(Decimal("1e-2"))
        ),
        "min_z": plain(nearest.quantize(Decimal("1e-4"))) if nearest is not None else None,
    }


def _held(view: BookView) -> dict[str, str]:
    held = sorted(view.state.ledger.holdings().items())
    return {str(key): plain(amount) for key, amount in held if amount}


def _decisions(view: BookView, strategy: str) -> dict[str, int]:
    return {reason: n for (who, reason), n in view.history.reasons.most_common() if who == strategy}


def _checks(document: Json, view: BookView, venue: Json, facts: RunFacts) -> Iterable[Check]:
    yield Check("daemon_exit", str(facts.daemon_exit_code), "0", "the daemon drained and left in order")
    for name, means in (
        ("duplicate_orders", "no client id reached the venue twice"),
        ("in_doubt", "the outcome of every order is known"),
        ("breaks", "book and venue agree at the end"),
        ("unexplained", "every change of equity has its cause, to the last digit"),
    ):
        yield Check(name, str(document[name]), "0", means)
    sent, theirs = sent_ids(view, venue["refused"]), set(venue["ids"])
    yield _same_set("orders", sent, theirs, "the venue took exactly the orders that were sent")
    yield Check("fills", str(document["trades"]), str(venue["fills"]), "every fill of the venue is booked, once")
    yield _same_positions(document["positions"], document["venue_positions"])
    booked = plain(view.state.ledger.total(Cause.FUNDING, QUOTE))
    yield Check("funding", booked, plain(venue["funding"]), "funding as booked is funding as the venue paid it")
    yield Check("liquidations", str(venue["liquidations"]), "0", "the venue liquidated nothing")
    denied = 0 if document["trades"] else sum(1 for seen in view.history.acted.values() if seen.row.denied)
    yield Check("denied", str(denied), "0", "nothing stayed untraded because the risk gate denied it")
    is_within = Decimal(document["max_abs_delta_frac"]) <= DELTA_HARD
    found = f"<= {DELTA_HARD}" if is_within else document["max_abs_delta_frac"]
    yield Check("delta", found, f"<= {DELTA_HARD}", "net delta as a fraction of equity, outside clips")


def _same_set(name: str, ours: set[str], theirs: set[str], means: str) -> Check:
    found = f"{len(ours)} sent"
    if ours - theirs:
        found += f", unknown to the venue: {', '.join(sorted(ours - theirs)[:3])}"
    if theirs - ours:
        found += f", not ours: {', '.join(sorted(theirs - ours)[:3])}"
    return Check(name, found, f"{len(theirs)} sent", means)


def _same_positions(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Check:
    off = {key for key in ours.keys() | theirs.keys() if ours.get(key, "0") != theirs.get(key, "0")}
    found = "; ".join(f"{key} {ours.get(key, '0')}" for key in sorted(off)) or "equal"
    expected = "; ".join(f"{key} {theirs.get(key, '0')}" for key in sorted(off)) or "equal"
    return Check("positions", found, expected, "what the book holds is what the venue holds")
