"""What `basis-daemon risk` answers: the nearest liquidation and the step of the ladder. Pure, of positions as read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.caps import exposures
from basis_daemon.domain.risk_book import RiskBook
from basis_daemon.domain.threats import (
    NEVER,
    LadderState,
    Threat,
    ladder_state,
    least_hours,
    nearest_threats,
    threats_of,
)
from basis_daemon.engine.book_view import BookView, Json, plain

GRAIN, BP = Decimal("1e-10"), Decimal("1e-4")


def journal_risk(view: BookView) -> Json:
    """The newest positions that the journal holds, judged at its newest market time.

    A strategy that decided and was never read so, as in a journal of an earlier version, is unknown.
    """
    unread = sorted({*view.state.last_decision, *view.latest_of} - view.risks.keys())
    return risk(list(view.risks.values()), view.state.market_time, unread)


def risk(books: Sequence[RiskBook], now: datetime, unread: Sequence[str] = ()) -> Json:
    """One view over all strategies: the binding constraint first, then every other position that can be liquidated."""
    each = {book.strategy: threats_of(book, now) for book in books}
    threats = nearest_threats(threat for own in each.values() for threat in own)
    first = threats[0] if threats else None
    return {
        "as_of": min((book.time for book in books), default=now).isoformat(),
        "market_time": now.isoformat(),
        "state": _state(threats, unread).value,
        "unread": list(unread),
        "binding": threat_row(first) if first is not None else None,
        "z": figure(first.z) if first is not None else None,
        "hours_drain": hours(least_hours(threat.hours_drain for threat in threats)),
        "hours_drift": hours(least_hours(threat.hours_drift for threat in threats)),
        "threats": [threat_row(threat) for threat in threats],
        "unwind": unwind(books),
        "caps": caps(books),
        "strategies": [_strategy(book, each[book.strategy]) for book in books],
    }


def unwind(books: Sequence[RiskBook]) -> Json:
    """What closing everything now would cost; null as soon as the cost of one leg is not known."""
    legs = [leg for book in books for leg in book.unwind]
    costs = [leg.cost for leg in legs if leg.cost is not None]
    cost = sum(costs, Decimal(0)) if len(costs) == len(legs) else None
    known = [book.equity_usdt for book in books if book.equity_usdt is not None]
    equity = sum(known, Decimal(0)) if len(known) == len(books) else None
    share = cost / equity if cost is not None and equity else None
    return {
        "cost_usdt": figure(cost),
        "bp_of_equity": figure(share / BP) if share is not None else None,
        "beyond_quotes_usdt": figure(sum((leg.beyond for leg in legs), Decimal(0))),
        "unknown": [leg.missing for leg in legs if leg.missing],
        "legs": [
            {
                "what": leg.what,
                "value_usdt": figure(leg.value),
                "cost_usdt": figure(leg.cost),
                "bp": figure(leg.cost / leg.value / BP) if leg.cost is not None and leg.value else None,
                "beyond_quotes_usdt": figure(leg.beyond),
                "missing": leg.missing,
            }
            for leg in legs
        ],
    }


def caps(books: Sequence[RiskBook]) -> list[Json]:
    """Every name that money stands with, over all strategies, the nearest to its cap first; null is unknown."""
    if not books:
        return []
    terms = books[0].terms.caps
    known = [book.equity_usdt for book in books if book.equity_usdt is not None]
    equity = sum(known, Decimal(0)) if len(known) == len(books) else None
    rows = []
    for bucket, found in exposures((book.held for book in books), terms).items():
        cap = terms.share(bucket)
        share = found / equity if found is not None and equity is not None and equity > 0 else None
        used = Decimal(0) if cap is None else Decimal("Infinity") if share is None or not cap else share / cap
        rows.append((used, bucket, found, share, cap))
    rows.sort(key=lambda row: (-row[0], row[1]))
    return [
        {
            "dimension": bucket[0].value,
            "name": bucket[1],
            "exposure_usdt": figure(found),
            "share": figure(share),
            "cap": figure(cap),
            "is_at_cap": cap is not None and (share is None or share >= cap),
        }
        for _, bucket, found, share, cap in rows
    ]


def _state(threats: Sequence[Threat], unread: Sequence[str]) -> LadderState:
    found = ladder_state(threats)
    return LadderState.UNKNOWN if unread and found is LadderState.ACTIVE else found


def _strategy(book: RiskBook, threats: Iterable[Threat]) -> Json:
    own = nearest_threats(threats)
    return {
        "name": book.strategy,
        "time": book.time.isoformat(),
        "state": ladder_state(own).value,
        "nearest": own[0].site if own else None,
        "equity_usdt": plain(book.equity_usdt) if book.equity_usdt is not None else None,
        "unknown": list(book.unknown),
        "drift_shocks_per_day": plain(book.terms.drift),
    }


def threat_row(threat: Threat) -> Json:
    """One position: null where it is not known."""
    return {
        "strategy": threat.strategy,
        "site": threat.site,
        "position": threat.position,
        "constraint": threat.constraint.value,
        "driver": threat.driver,
        "direction": "rise" if threat.is_rise else "fall",
        "figure": figure(threat.figure),
        "distance": figure(threat.distance),
        "z": figure(threat.z),
        "level": threat.level,
        "state": threat.state.value,
        "hours_drain": hours(threat.hours_drain),
        "hours_drift": hours(threat.hours_drift),
        "missing": list(threat.missing),
        "said": str(threat),
    }


def figure(value: Decimal | None) -> str | None:
    """A ratio, cut; null for what is not known."""
    return None if value is None else plain(value.quantize(GRAIN))


def hours(value: Decimal | None) -> str | None:
    """Hours, ``never``, or null for what is not known."""
    return "never" if value == NEVER else figure(value)
