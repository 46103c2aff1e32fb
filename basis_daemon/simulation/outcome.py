"""What a replay gave, as one JSON object, and the checks that hold in every run whatever the market did."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.trade import Origin
from basis_daemon.engine.book_view import ZERO, BookView, plain
from basis_daemon.engine.judgement import Check, Outcome, judged
from basis_daemon.engine.sight import stream_digest
from basis_daemon.engine.views import equity_between, totals_by_cause
from basis_daemon.engine.why import blocking_sentence
from basis_daemon.simulation.run import Played, Span

Json = dict[str, Any]
YEAR = timedelta(days=365)
BP = Decimal(10_000)
_RATIO, _SHARE, _BP = Decimal("1e-8"), Decimal("1e-6"), Decimal("0.01")


def judge(played: Played, view: BookView, strategy: str, window: str) -> Outcome:
    """One window's outcome. Money is in the book's numeraire, distances are fractions, z is in shocks."""
    document: Json = {
        "strategy": strategy,
        "window": window,
        "market_start": played.span.start.isoformat(),
        "market_end": played.last.isoformat(),
        **_money(played, view),
        **_risk(played, view),
        **_deeds(played, view, strategy),
        "decision_stream_sha256": stream_digest(played.rows),
    }
    return judged(document, _checks(document))


def held(
    strategy: str,
    window: str,
    span: Span,
    reasons: Mapping[str, int],
    missing: Sequence[str],
    why: str | None,
    decision_stream_sha256: str,
) -> Outcome:
    """One window in which there was nothing to see: nothing was owned, risked or earned in it."""
    days = Decimal((span.end - span.start) // timedelta(minutes=1)) / 1440
    nothing = dict.fromkeys(
        ("result_bp", "net_apr", "funding", "funding_bp", "fees", "slippage", "cost_bp", "gas", "gas_bp",
         "max_drawdown", "unexplained", "max_abs_delta", "max_abs_delta_settled", "delta_breach_seconds"), "0",
    )  # fmt: skip
    none = dict.fromkeys(("liquidations", "breaks", "denied", "fills", "in_doubt", "frozen"), 0)
    document: Json = {
        "strategy": strategy,
        "window": window,
        "market_start": span.start.isoformat(),
        "market_end": span.end.isoformat(),
        "days": plain(days.quantize(_SHARE)),
        **nothing,
        **none,
        **dict.fromkeys(("equity_start", "equity_end", "min_distance", "min_z", "min_health_factor")),
        **{name: {} for name in ("pnl", "actions", "alarms", "positions", "venue_positions")},
        "acts": [],
        "first_alarms": [],
        "decisions": dict(reasons),
        "guard": "ACTIVE",
        "missing": list(missing),
        "why": why,
        "decision_stream_sha256": decision_stream_sha256,
    }
    return judged(document, _checks(document))


def together(strategy: str, outcomes: Sequence[Outcome]) -> Outcome:
    """Several windows as one: sums of what adds up, the worst of what does not, and every window's own answer."""
    parts = [outcome.document for outcome in outcomes]
    first = parts[0] if len(parts) == 1 else {}
    digests = "".join(part["decision_stream_sha256"] for part in parts)
    document: Json = {
        **first,
        "strategy": strategy,
        "liquidations": sum(part["liquidations"] for part in parts),
        "unexplained": plain(sum((Decimal(part["unexplained"]) for part in parts), ZERO)),
        "breaks": sum(part["breaks"] for part in parts),
        "delta_breach_seconds": plain(sum((Decimal(part["delta_breach_seconds"]) for part in parts), ZERO)),
        "net_apr": plain(_mean_apr(parts)),
        "max_drawdown": plain(max(Decimal(part["max_drawdown"]) for part in parts)),
        "min_distance": _least(part["min_distance"] for part in parts),
        "min_z": _least(part["min_z"] for part in parts),
        "actions": _added(part["actions"] for part in parts),
        "decisions": _added(part["decisions"] for part in parts),
        "decision_stream_sha256": digests if len(parts) == 1 else hashlib.sha256(digests.encode()).hexdigest(),
        "ok": all(part["ok"] for part in parts),
        "windows": [dict(part) for part in parts],
    }
    return Outcome(document, tuple(check for outcome in outcomes for check in outcome.checks))


def _mean_apr(parts: Sequence[Json]) -> Decimal:
    """Weighted by the time that each window ran."""
    days = [Decimal(part["days"]) for part in parts]
    total = sum(days, ZERO)
    weighed = (Decimal(part["net_apr"]) * own for part, own in zip(parts, days, strict=True))
    return (sum(weighed, ZERO) / total).quantize(_SHARE) if total else ZERO


def _least(values: Iterable[str | None]) -> str | None:
    known = [Decimal(value) for value in values if value is not None]
    return plain(min(known)) if known else None


def _added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return dict(sorted(found.items()))


def _money(played: Played, view: BookView) -> Json:
    rows = [valued.row for valued in view.history.valuations]
    start, end = equity_between(rows)
    causes = totals_by_cause(rows)
    change = (end - start) / start if start else ZERO
    funding, fees = causes.get("funding", ZERO), -causes.get("fees", ZERO)
    cost, gas = fees + played.gauge.slippage, -causes.get("gas", ZERO)
    gone = played.last - played.span.start
    days = Decimal(gone // timedelta(minutes=1)) / 1440
    unexplained = sum((abs(Decimal(row["components"].get("unexplained", 0))) for row in rows), ZERO)
    peak = max((1 - Decimal(row["unit_value"]) / Decimal(row["unit_value_high"]) for row in rows), default=ZERO)

    def bp(amount: Decimal) -> str:
        return plain((amount / start * BP).quantize(_BP)) if start else "0"

    return {
        "days": plain(days.quantize(_SHARE)),
        "equity_start": plain(start),
        "equity_end": plain(end),
        "result_bp": bp(end - start),
        "net_apr": plain(_apr(change, gone)),
        "funding": plain(funding),
        "funding_bp": bp(funding),
        "fees": plain(fees),
        "slippage": plain(played.gauge.slippage),
        "cost_bp": bp(cost),
        "gas": plain(gas),
        "gas_bp": bp(gas),
        "max_drawdown": plain(peak.quantize(_RATIO)),
        "unexplained": plain(unexplained),
        "pnl": {cause: plain(amount) for cause, amount in causes.items() if amount},
    }


def _apr(change: Decimal, gone: timedelta) -> Decimal:
    """Simple, per year of 365 days."""
    return (change * (YEAR // timedelta(minutes=1)) / max(gone // timedelta(minutes=1), 1)).quantize(_SHARE)


def _risk(played: Played, view: BookView) -> Json:
    gauge, history = played.gauge, view.history
    forced = [s for s in history.trades.values() if s.row.trade.origin is Origin.LIQUIDATION]
    distance, z = gauge.distance_min, gauge.z_min
    return {
        "liquidations": len(forced),
        "breaks": view.state.breaks_opened,
        "min_distance": None if distance is None else plain(distance.quantize(_RATIO)),
        "min_z": None if z is None else plain(z.quantize(_RATIO)),
        "min_health_factor": None if gauge.health_min is None else plain(gauge.health_min.quantize(_RATIO)),
        "max_abs_delta": plain(gauge.delta_max.quantize(_RATIO)),
        "max_abs_delta_settled": plain(gauge.settled_delta_max.quantize(_RATIO)),
        "delta_breach_seconds": plain(gauge.breach_s),
    }


def _deeds(played: Played, view: BookView, strategy: str) -> Json:
    """What was decided and done, and what the history lacked for it."""
    seen = list(view.history.acted.values())
    done = [one.row for one in seen if not one.row.denied]
    positions = sorted(view.state.ledger.holdings().items())
    theirs = sorted(played.gauge.holdings().items())
    return {
        "actions": dict(sorted(Counter(row.assessment.reason.value for row in done).items())),
        "acts": [
            {"at": r.assessment.time.isoformat(), "reason": r.assessment.reason.value, "why": r.assessment.note}
            for r in done
        ],
        "denied": len(seen) - len(done),
        "decisions": dict(sorted({reason: n for (_, reason), n in view.history.reasons.items()}.items())),
        "fills": played.gauge.fills,
        "in_doubt": len(view.state.in_doubt()),
        "guard": view.state.guard.state.value,
        "frozen": played.alarms.times["strategy frozen"],
        "alarms": dict(sorted(played.alarms.times.items())),
        "first_alarms": played.alarms.first,
        "positions": {str(key): plain(amount) for key, amount in positions if amount},
        "venue_positions": {str(key): plain(amount) for key, amount in theirs if amount},
        "missing": [str(name) for name in played.missing],
        "why": blocking_sentence(view, strategy),
    }


def _checks(document: Json) -> Iterable[Check]:
    for name, means in (
        ("liquidations", "the venue liquidated nothing"),
        ("unexplained", "every change of equity has its cause, to the last digit"),
        ("breaks", "book and venue never disagreed"),
        ("in_doubt", "the outcome of every order is known"),
        ("frozen", "the strategy raised no error"),
    ):
        yield Check(name, str(document[name]), "0", means)
    is_equal = document["positions"] == document["venue_positions"]
    found = "equal" if is_equal else f"book {document['positions']}, venue {document['venue_positions']}"
    yield Check("positions", found, "equal", "what the book holds is what the venue holds")
