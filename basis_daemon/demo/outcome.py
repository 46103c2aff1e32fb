"""The judgement on a run: one JSON object, and checks that hold the daemon's journal against the venue's own books."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import CEX_TRADES, PROTECTIVE
from basis_daemon.domain.trade import FORCED, OrderState
from basis_daemon.engine.book_view import QUOTE, ZERO, BookView, numeraire_of, plain
from basis_daemon.engine.judgement import Check, Outcome, judged
from basis_daemon.engine.views import equity_between, totals_by_cause
from basis_daemon.engine.why import blocking_sentence
from basis_daemon.venues.cex.binance_forced import origin_of

Json = dict[str, Any]
T = TypeVar("T", int, Decimal)
COIN = "BTC"
"""What the inverse contracts of the sandbox settle in."""
DELTA_HARD = Decimal("0.030")
"""Of equity (strategies.md 1.4): outside clips no book may stand beyond it."""

TIME_STAMP = -1021
"""Refused before anything else was looked at: the same id goes once more, with a corrected stamp."""

MARKETS = ("spot", "usdm", "coinm")
SUFFIX = "_PERP"
"""With which the symbols of inverse contracts end at the venue, and not in keys."""
_LIQUIDATIONS = ("LIQUIDATION", "INSURANCE_CLEAR")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What was played: ``clock`` is the sandbox's last word on market time.

    ``strategy`` names one, or several with commas between; ``accounts`` are our names of the wallets of each of the
    sandbox's API keys, by market.
    """

    strategy: str
    seed: int | None
    history: bool
    window: str | None
    clock: Json
    daemon_exit_code: int
    accounts: Mapping[str, Mapping[str, str]]
    report: str | None = None

    @property
    def strategies(self) -> tuple[str, ...]:
        """One name each."""
        return tuple(self.strategy.split(","))


def judge(view: BookView, books: Json, facts: RunFacts) -> Outcome:
    """The run's figures, from the journal and from the venue's books, and what must hold between them."""
    venue = venue_word(books, facts.accounts)
    document = run_of(facts.strategy, facts.seed, facts.clock) | {"window": facts.window}
    document |= _counts(view, venue) | money_of(view) | risk_of(view)
    document |= end_of(view, facts.strategies, facts.report) | {
        "venue_positions": venue["positions"],
        "effective_speed": str(facts.clock["effective_speed"]),
        "faults_injected": dict(sorted(facts.clock.get("faults_injected", {}).items())),
        "strategies": {name: _part(view, name) for name in facts.strategies},
    }
    return judged(document, _checks(document, view, venue, facts))


def run_of(strategy: str, seed: int | None, clock: Json) -> Json:
    """What was played, and how much market time of it."""
    start, end = clock["start"], clock["market_time"]
    gone = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return {
        "strategy": strategy,
        "seed": seed,
        "days": round(gone.total_seconds() / 86_400),
        "market_start": start,
        "market_end": end,
    }


def end_of(view: BookView, strategies: Sequence[str], report: str | None) -> Json:
    """What the book holds at the end, and what its strategies said until then."""
    return {
        "positions": held_by(view),
        "decisions": added(decisions_of(view, name) for name in strategies),
        "why": "; ".join(why for name in strategies if (why := blocking_sentence(view, name))) or None,
        "report": report,
    }


def venue_word(books: Json, accounts: Mapping[str, Mapping[str, str]]) -> Json:
    """What the sandbox holds of all its accounts: client ids in order of arrival, fills, positions by our keys.

    Orders of another hand are counted apart: their fills are booked, but nobody here sent them.
    """
    all_books = books["accounts"].values()
    everything = [row for book in all_books for market in MARKETS for row in book["orders"][market]]
    rows = _heard([row for row in everything if not row.get("foreign")])
    forced = [row for row in everything if origin_of(row["clientOrderId"]) in FORCED]
    taken = {row["clientOrderId"] for row in rows if row.get("status") != "REJECTED"}
    ids = [row["clientOrderId"] for row in rows]
    held = [row["clientOrderId"] for book in all_books for row in book.get("conditional", ())]
    ids += [held_id for held_id in held if held_id not in set(ids)]  # one that fired is an ordinary order of its id
    taken |= set(held)
    positions: dict[str, str] = {}
    for key, wallets in accounts.items():
        positions |= _positions_of(books["accounts"][key], wallets)
    incomes = {coin: added(_amounts(book) for book in books) for coin, books in _by_coin(all_books).items()}
    return {
        "ids": ids,
        "refused": set(ids) - taken,
        "foreign": sum(1 for row in everything if row.get("foreign")),
        "forced": len(forced),
        "fills": sum(len(book["fills"][market]) for book in all_books for market in MARKETS),
        "positions": {key: amount for key, amount in sorted(positions.items()) if amount != "0"},
        "funding": {coin: income.get("FUNDING_FEE", ZERO) for coin, income in incomes.items()},
        "liquidations": sum(1 for income in incomes.values() for kind in _LIQUIDATIONS if income.get(kind)),
    }


def _heard(rows: Sequence[Json]) -> list[Json]:
    """One row of what the venue refused for its stamp each time it came, and none where it went on to judge the id."""
    judged = [row for row in rows if row.get("code") != TIME_STAMP]
    ids = {row["clientOrderId"] for row in judged}
    unjudged = {row["clientOrderId"]: row for row in rows if row["clientOrderId"] not in ids}
    return [*judged, *unjudged.values()]


def _by_coin(books: Iterable[Json]) -> Mapping[str, Sequence[Json]]:
    """The futures wallets of all accounts by what they are counted in."""
    known = list(books)
    return {QUOTE: known, COIN: [book["coinm"] for book in known]}


def _amounts(wallet: Json) -> dict[str, Decimal]:
    return {kind: Decimal(amount) for kind, amount in wallet["income"].items()}


def added(parts: Iterable[Mapping[str, T]]) -> dict[str, T]:
    """Amounts of the same name added; names in the order in which they first come."""
    found: dict[str, T] = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = found[name] + amount if name in found else amount
    return found


def _positions_of(book: Json, wallets: Mapping[str, str]) -> dict[str, str]:
    """Balances and positions of one account by our keys."""
    found = {
        f"{wallet}:spot:{asset}": plain(Decimal(amount))
        for market, wallet in wallets.items()
        for asset, amount in book["balances"][market].items()
    }
    linear = {f"{wallets['usdm']}:perp:{s}": q for s, q in book["positions"].items()} if "usdm" in wallets else {}
    held = book["coinm"]["positions"] if "coinm" in wallets else {}
    inverse = {f"{wallets['coinm']}:perp:{symbol.removesuffix(SUFFIX)}": q for symbol, q in held.items()}
    return found | {key: plain(Decimal(quantity)) for key, quantity in (linear | inverse).items()}


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
        "foreign_orders": venue["foreign"],
        "forced_reductions": venue["forced"],
        "duplicate_orders": len(ids) - len(set(ids)),
        "in_doubt": len(view.state.in_doubt()),
        "breaks": len(view.state.breaks),
        "breaks_opened": view.state.breaks_opened,
    }


def money_of(view: BookView, strategy: str | None = None) -> Json:
    """Of all valuations, or of those of one strategy; ``funding`` is positive when received, ``fees`` when paid."""
    rows = [valued.row for valued in view.history.valuations if strategy in {None, valued.row["strategy"]}]
    causes = totals_by_cause(rows)
    start, end = equity_between(rows)
    unexplained = sum((abs(Decimal(row["components"].get("unexplained", 0))) for row in rows), ZERO)
    return {
        "numeraire": numeraire_of(rows),
        "equity_start": plain(start) if rows else None,
        "equity_end": plain(end) if rows else None,
        "funding": plain(causes.get("funding", ZERO)),
        "fees": plain(-causes.get("fees", ZERO)),
        "unexplained": plain(unexplained),
        "pnl": {cause: plain(amount) for cause, amount in causes.items()},
    }


def risk_of(view: BookView, strategy: str | None = None) -> Json:
    """The worst of all strategies, or of one."""
    history = view.history
    groups = [seen.row for seen in history.groups if strategy in {None, seen.row.strategy}]
    deltas = [delta for name, own in history.deltas.items() if strategy in {None, name} for delta in own]
    nearest = min((z for name, z in history.z_min.items() if strategy in {None, name}), default=None)
    return {
        "max_abs_delta_frac": plain(max(deltas, default=ZERO).quantize(Decimal("1e-8"))),
        "max_naked_seconds": plain(max((g.naked_s_max for g in groups), default=ZERO).quantize(Decimal("1e-3"))),
        "max_naked_notional": plain(
            max((g.naked_notional_max for g in groups), default=ZERO).quantize(Decimal("1e-2"))
        ),
        "worst_leg_risk_usdt_s": plain(max((g.legging_usdt_s for g in groups), default=ZERO).quantize(Decimal("1e-2"))),
        "min_z": plain(nearest.quantize(Decimal("1e-4"))) if nearest is not None else None,
    }


def _part(view: BookView, strategy: str) -> Json:
    """One strategy's share of the run."""
    lives = view.history.lives
    fills = [seen.row.trade for seen in view.history.trades.values() if seen.row.trade.qty_base]
    own = [fill for fill in fills if fill.order_id in lives and lives[fill.order_id].order.strategy == strategy]
    sent = [order_id for order_id in sent_ids(view) if lives[order_id].order.strategy == strategy]
    return part_of(view, strategy, trades=len(own), orders_sent=len(sent))


def part_of(view: BookView, strategy: str, *, trades: int, orders_sent: int) -> Json:
    """What a share of a run holds wherever it was played."""
    valued = view.latest_of.get(strategy, {})
    accounts = valued.get("accounts", [])
    return {
        "accounts": accounts,
        "trades": trades,
        "orders_sent": orders_sent,
        **money_of(view, strategy),
        **risk_of(view, strategy),
        "latched": valued.get("latched", ""),
        "positions": {key: amount for key, amount in held_by(view).items() if key.partition(":")[0] in accounts},
        "decisions": decisions_of(view, strategy),
        "why": blocking_sentence(view, strategy),
    }


def held_by(view: BookView) -> dict[str, str]:
    held = sorted(view.state.ledger.holdings().items())
    return {str(key): plain(amount) for key, amount in held if amount}


def decisions_of(view: BookView, strategy: str) -> dict[str, int]:
    return {reason: n for (who, reason), n in view.history.reasons.most_common() if who == strategy}


def _checks(document: Json, view: BookView, venue: Json, facts: RunFacts) -> Iterable[Check]:
    yield from common_checks(document, facts.daemon_exit_code)
    yield from exchange_checks(document, view, venue, document["trades"])
    yield same_positions(document["positions"], document["venue_positions"])
    yield never_denied(document, view)


def exchange_checks(document: Json, view: BookView, venue: Json, fills: int) -> Iterable[Check]:
    """The book's orders, fills and funding against those of the exchange, and what a hedged book must never show."""
    sent, theirs = sent_ids(view, venue["refused"]), set(venue["ids"])
    yield same_set("orders", sent, theirs, "the venue took exactly the orders that were sent")
    yield Check("fills", str(fills), str(venue["fills"]), "every fill of the venue is booked, once")
    booked = {coin: view.state.ledger.total(Cause.FUNDING, coin) for coin in venue["funding"]}
    means = "funding as booked is funding as the venue paid it"
    yield Check("funding", _told(booked), _told(venue["funding"]), means)
    yield Check("liquidations", str(venue["liquidations"]), "0", "the venue liquidated nothing")
    is_within = Decimal(document["max_abs_delta_frac"]) <= DELTA_HARD
    found = f"<= {DELTA_HARD}" if is_within else document["max_abs_delta_frac"]
    yield Check("delta", found, f"<= {DELTA_HARD}", "net delta as a fraction of equity, outside clips")


def _told(amounts: Mapping[str, Decimal]) -> str:
    """Amounts with their coins; those of nothing are left out."""
    return ", ".join(f"{plain(amount)} {coin}" for coin, amount in amounts.items() if amount) or "0"


def common_checks(document: Json, daemon_exit_code: int) -> Iterable[Check]:
    """What must hold wherever a run was played."""
    yield Check("daemon_exit", str(daemon_exit_code), "0", "the daemon drained and left in order")
    for name, means in (
        ("duplicate_orders", "no client id reached the venue twice"),
        ("in_doubt", "the outcome of every order is known"),
        ("breaks", "book and venue agree at the end"),
        ("unexplained", "every change of equity has its cause, to the last digit"),
    ):
        yield Check(name, str(document[name]), "0", means)


def never_denied(document: Json, view: BookView) -> Check:
    """A book that traded nothing may have had no reason to, and no gate that kept it from it."""
    denied = 0 if document["trades"] else sum(1 for seen in view.history.acted.values() if seen.row.denied)
    return Check("denied", str(denied), "0", "nothing stayed untraded because the risk gate denied it")


def same_set(name: str, ours: set[str], theirs: set[str], means: str) -> Check:
    found = f"{len(ours)} sent"
    if ours - theirs:
        found += f", unknown to the venue: {', '.join(sorted(ours - theirs)[:3])}"
    if theirs - ours:
        found += f", not ours: {', '.join(sorted(theirs - ours)[:3])}"
    return Check(name, found, f"{len(theirs)} sent", means)


def same_positions(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Check:
    off = {key for key in ours.keys() | theirs.keys() if ours.get(key, "0") != theirs.get(key, "0")}
    found = "; ".join(f"{key} {ours.get(key, '0')}" for key in sorted(off)) or "equal"
    expected = "; ".join(f"{key} {theirs.get(key, '0')}" for key in sorted(off)) or "equal"
    return Check("positions", found, expected, "what the book holds is what the venue holds")
