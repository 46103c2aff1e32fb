"""The judgement on a run at an exchange and on a chain: the daemon's journal against what each of the two says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from basis_daemon.demo.chain_outcome import (
    ChainFacts,
    chain_checks,
    chain_counts,
    debt_checks,
)
from basis_daemon.demo.outcome import (
    common_checks,
    end_of,
    exchange_checks,
    money_of,
    never_denied,
    part_of,
    risk_of,
    run_of,
    same_positions,
    same_set,
    sent_ids,
    venue_word,
)
from basis_daemon.domain.transfer import TransferStep
from basis_daemon.engine.book_view import BookView, plain
from basis_daemon.engine.judgement import Check, Outcome, judged
from basis_daemon.venues.chain.tokens import WALLET
from basis_daemon.venues.chain.transactions import TxRow

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Books:
    """What the control ports of both say at the end."""

    exchange: Json
    chain: Json


def judge_linked(
    view: BookView,
    signed: Sequence[TxRow],
    books: Books,
    facts: ChainFacts,
    accounts: Mapping[str, Mapping[str, str]],
) -> Outcome:
    """The run's figures, and what must hold between the journal, the exchange and the chain.

    ``accounts`` are our names of the wallets of each of the exchange's API keys, by market.
    """
    venue = venue_word(books.exchange, accounts)
    withdrawn = _withdrawn(books.exchange)
    fills = _fills(view, {name for wallets in accounts.values() for name in wallets.values()})
    counts = _counts(view, chain_counts(view, signed, books.chain), venue, withdrawn, fills)
    part = part_of(view, facts.strategy, trades=counts["trades"], orders_sent=counts["orders_sent"])
    document = run_of(facts.strategy, facts.seed, facts.clock) | {"window": None}
    document |= counts | money_of(view) | risk_of(view) | end_of(view, (facts.strategy,), facts.report)
    document |= {
        "venue_positions": dict(sorted((venue["positions"] | books.chain["balances"]).items())),
        "effective_speed": str(facts.clock["effective_speed"]),
        "faults_injected": {},
        "strategies": {facts.strategy: part},
        "min_health_factor": None if facts.health_factor is None else plain(facts.health_factor),
        "story": list(facts.story),
        "transfers": _transfers(view),
    }
    checks = _checks(document, view, signed, books, facts, venue, withdrawn, fills)
    return judged(document, checks)


def _asked(view: BookView) -> set[str]:
    """Client ids of every withdrawal but those that the exchange is known not to have taken."""
    rows = view.state.transfers.values()
    return {row.order_id for row in rows if row.source != WALLET and row.step is not TransferStep.FAILED}


def _withdrawn(books: Json) -> list[str]:
    """Client ids of every withdrawal that the exchange took, in its order."""
    rows = (row for book in books["accounts"].values() for row in book["capital"])
    return [str(row["client_id"]) for row in rows if row["kind"] == "withdrawal"]


def _fills(view: BookView, accounts: set[str]) -> int:
    """Fills that were booked at the exchange."""
    trades = (seen.row.trade for seen in view.history.trades.values())
    return sum(1 for trade in trades if trade.is_fill and trade.qty_base and trade.account in accounts)


def _counts(view: BookView, chain: Json, venue: Json, withdrawn: Sequence[str], fills: int) -> Json:
    """Of both together: an order is a trade, a withdrawal, or what a transaction carries out."""
    trades, ids = sent_ids(view, venue["refused"]), venue["ids"]
    sent = {order_id for order_id in _asked(view) if view.history.lives[order_id].was_sent}
    duplicates = len(ids) - len(set(ids)) + len(withdrawn) - len(set(withdrawn))
    return chain | {
        "trades": fills + chain["trades"],
        "orders_sent": len(trades) + len(sent) + chain["orders_sent"],
        "venue_orders": len(set(ids)) + len(set(withdrawn)) + chain["venue_orders"],
        "foreign_orders": venue["foreign"] + chain["foreign_orders"],
        "forced_reductions": venue["forced"],
        "duplicate_orders": duplicates + chain["duplicate_orders"],
    }


def _transfers(view: BookView) -> list[Json]:
    """Every one between the exchange and the wallet, in the order in which they left."""
    rows = sorted(view.state.transfers.values(), key=lambda row: row.at)
    return [
        {
            "from": row.source,
            "to": row.target,
            "coin": row.coin,
            "amount": plain(row.amount),
            "fee": plain(row.fee),
            "step": row.step.value,
        }
        for row in rows
    ]


def _checks(
    document: Json,
    view: BookView,
    signed: Sequence[TxRow],
    books: Books,
    facts: ChainFacts,
    venue: Json,
    withdrawn: Sequence[str],
    fills: int,
) -> Iterable[Check]:
    yield from common_checks(document, facts.daemon_exit_code)
    yield from exchange_checks(document, view, venue, fills)
    yield from chain_checks(view, signed, books.chain)
    rows = view.state.transfers.values()
    yield same_set("withdrawals", _asked(view), set(withdrawn), "the exchange sent exactly what was asked for, once")
    came = sorted(_deposits(books.exchange))
    booked = sorted(row.amount for row in rows if row.source == WALLET and row.step is TransferStep.DONE)
    yield Check("deposits", _told(booked), _told(came), "what left the wallet came to the exchange, once")
    travelling = [row.order_id for row in rows if row.is_open]
    yield Check("in_transit", f"{len(travelling)}", "0", "every transfer has arrived")
    yield same_positions(document["positions"], document["venue_positions"])
    yield never_denied(document, view)
    yield from debt_checks(document, view, facts)


def _deposits(books: Json) -> Iterable[Decimal]:
    for book in books["accounts"].values():
        yield from (Decimal(row["amount"]) for row in book["capital"] if row["kind"] == "deposit")


def _told(amounts: Sequence[Decimal]) -> str:
    return f"{len(amounts)}: {plain(sum(amounts, Decimal(0)))}"
