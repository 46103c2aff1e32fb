"""What a book lacks of its venue's record, found while no daemon runs: evidence first, a correction for what is left.

Nothing here changes the book: it is worked out on a copy, and whoever applies it writes the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.breaks import TREATMENTS, Clues, classify
from basis_daemon.domain.errors import ReconciliationError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause, Entry, Posting
from basis_daemon.domain.position import AccountReport, Break, BreakKind, find_breaks
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.codec import TradeRow
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import EPOCH, BookState
from basis_daemon.ports import AccountSource, RecordKind

LOOK_BACK = timedelta(days=1)
"""Market time before an account's last answer, for rows that its venue wrote late."""
CAUSES: Mapping[BreakKind, Cause] = {BreakKind.EXTERNAL: Cause.EXTERNAL, BreakKind.FEE: Cause.FEE}
"""Under which cause a difference without evidence is booked; everything else is a correction."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One difference that no row of the venue explains, and the entry that ends it."""

    found: Break
    entry: Entry


@dataclass(frozen=True, slots=True)
class Repair:
    """Everything that brings a book to its venue's word; empty when the two agree."""

    trades: tuple[Trade, ...] = ()
    flows: tuple[CashFlow, ...] = ()
    corrections: tuple[Correction, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to do."""
        return not (self.trades or self.flows or self.corrections)


async def propose(state: BookState, sources: Sequence[AccountSource]) -> Repair:
    """Ask every adopted account what happened and what it holds. Raises VenueUnreachableError, ReconciliationError.

    ``state`` is left as it is. Orders in doubt are no business of a repair: the next start asks about them, and until
    then a difference may be theirs.
    """
    if doubt := state.in_doubt():
        raise ReconciliationError(f"orders in doubt: {', '.join(doubt)}; expected none: start the daemon, which asks")
    copy = BookState.restore(state.dump())
    copy.instruments = dict(state.instruments)
    trades: list[Trade] = []
    flows: list[CashFlow] = []
    adopted = [source for source in sources if copy.is_adopted(source.account)]
    for source in adopted:
        since = max(state.answered_until(source.account) - LOOK_BACK, EPOCH)
        flows += _new_flows(copy, await source.fetch_cash_flows(since))
        found = [*await source.fetch_trades(since), *await source.fetch_transfers(since)]
        trades += _new_trades(copy, sorted(found, key=lambda trade: (trade.venue_time, trade.trade_id)))
    reports = [await source.fetch_report() for source in adopted]
    corrections = [made for report in reports for made in _corrections(copy, report, reports)]
    return Repair(tuple(trades), tuple(flows), tuple(corrections))


def _new_flows(copy: BookState, rows: Sequence[CashFlow]) -> list[CashFlow]:
    found = []
    for flow in rows:
        if not copy.is_past_flow(flow) and not copy.ledger.has(flow.flow_id):
            copy.cash_flow(flow)
            found.append(flow)
    return found


def _new_trades(copy: BookState, rows: Sequence[Trade]) -> list[Trade]:
    found = []
    for trade in rows:
        is_ours = trade.order_id in copy.orders
        is_old = not is_ours and trade.venue_time < copy.openings.get(trade.account, EPOCH)
        is_old = is_old or copy.is_before_memory(trade)
        if trade.is_fill and not is_old and not copy.ledger.has(trade.trade_id):
            copy.book(TradeRow(trade, copy.entry_of(trade)))
            found.append(trade)
    return found


def _corrections(copy: BookState, report: AccountReport, reports: Sequence[AccountReport]) -> list[Correction]:
    """One per key that is still off, each with the cause that its kind asks for."""
    steps = {key: instrument.quantity_step for key, instrument in copy.instruments.items()}
    held = copy.ledger.holdings()
    others = [b for other in reports if other is not report for b in find_breaks(held, other, steps, {})]
    elsewhere = {b.key: b.difference for b in others}
    found = []
    for item in find_breaks(held, report, steps, {}):
        kind = classify(item, report, Clues(differences=elsewhere))
        found.append(_correction(copy, replace(item, kind=kind), report))
    return found


def _correction(copy: BookState, item: Break, report: AccountReport) -> Correction:
    cause, key = CAUSES.get(item.kind, Cause.CORRECTION), item.key
    asset = f"perp:{key.symbol}" if key.kind is Kind.PERP else key.asset
    lines = [*pair_of(key, asset, item.difference, cause)]
    if key.kind is Kind.PERP and (instrument := copy.instruments.get(key)) is not None:
        cost = report.open_notional.get(key, Decimal(0)) - copy.ledger.open_notional(key, instrument.settle)
        lines += pair_of(key, f"cost:{instrument.settle}", cost, cause)
    event_id = f"repair:{key}:{copy.sequence}:{report.observed_at.isoformat()}"
    return Correction(item, Entry(event_id, report.observed_at, tuple(lines)))


def pair_of(key: PositionKey, asset: str, amount: Decimal, cause: Cause) -> tuple[Posting, ...]:
    """``amount`` into the key, against its nominal account; nothing for nothing."""
    other = Posting(f"nominal:{cause}", asset, -amount, cause)
    return (Posting(key, asset, amount, cause), other) if amount else ()


def apply(repair: Repair, recorder: Recorder, audit: str) -> None:
    """Write the rows, the operator's word first; the journal must be flushed after. The venue is not touched."""
    recorder.note(RecordKind.OPERATOR, audit, "repair")
    for flow in repair.flows:
        recorder.see_time(flow.venue_time)
        recorder.record(flow, flow.flow_id, "repair")
    for trade in repair.trades:
        recorder.see_time(trade.venue_time)
        recorder.trade(TradeRow(trade, recorder.state.entry_of(trade)))
    for correction in repair.corrections:
        recorder.see_time(correction.entry.time)
        recorder.correction(correction.entry)


def document(repair: Repair) -> dict[str, Any]:
    """JSON-ready: the evidence that was never booked, and each difference with its kind, policy and postings."""
    return {
        "trades": [
            {
                "trade_id": t.trade_id, "time": t.venue_time.isoformat(), "instrument": t.instrument,
                "origin": t.origin.value, "order_id": t.order_id,
                "deltas": {key: str(amount) for key, amount in t.deltas.items()},
            }
            for t in repair.trades
        ],
        "flows": [
            {"flow_id": f.flow_id, "time": f.venue_time.isoformat(), "key": f.key, "amount": str(f.amount),
             "cause": f.cause.value}
            for f in repair.flows
        ],
        "breaks": [_break(made) for made in repair.corrections],
    }  # fmt: skip


def _break(made: Correction) -> dict[str, object]:
    item = made.found
    return {
        "key": item.key,
        "kind": item.kind.value,
        "policy": TREATMENTS[item.kind].policy.value,
        "expected": str(item.expected),
        "actual": str(item.actual),
        "difference": str(item.difference),
        "postings": [
            {"account": line.account, "asset": line.asset, "amount": str(line.amount), "cause": line.cause.value}
            for line in made.entry.postings
        ],
    }
