"""What `basis-daemon risk --plan` answers: what each threat needs, which cash would cover it, and what is left open."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from basis_daemon.domain.margin_plan import Move, Repair, plan_of
from basis_daemon.domain.risk_book import RiskBook
from basis_daemon.engine.book_view import BookView, Json, plain
from basis_daemon.engine.risk_views import figure, hours, threat_row


def journal_plan(view: BookView) -> Json:
    """Of the newest positions that the journal holds."""
    return plan_view(list(view.risks.values()))


def plan_view(books: Sequence[RiskBook]) -> Json:
    """By strategy, most severe threat first: each pays for itself alone. Nothing of it is sent from here."""
    plans = [(book, plan_of(book)) for book in books]
    return {
        "as_of": min((book.time.isoformat() for book in books), default=None),
        "needs": sum(len(repairs) for _, repairs in plans),
        "strategies": [
            {
                "name": book.strategy,
                "in_transit": {str(key): plain(amount) for key, amount in sorted(book.coming.items())},
                "repairs": [_repair(repair) for repair in repairs],
            }
            for book, repairs in plans
        ],
    }


def _repair(repair: Repair) -> Json:
    return {
        "threat": threat_row(repair.threat),
        "unit": repair.unit,
        "needed": figure(repair.needed),
        "coming": plain(repair.coming),
        "covered": figure(sum((move.amount for move in repair.moves), Decimal(0))),
        "lacking": figure(repair.lacking),
        "sold": figure(repair.sold),
        "moves": [_move(move) for move in repair.moves],
        "note": repair.note,
    }


def _move(move: Move) -> Json:
    return {
        "from": str(move.source),
        "to": str(move.target),
        "amount": figure(move.amount),
        "fee": plain(move.fee),
        "eta_h": hours(move.eta_h),
    }
