"""A journal read out for other programs: rows as JSON lines, trades and postings as flat rows for CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import TextIO

import orjson

from basis_daemon.domain.ledger import CashFlow, Entry, entry_of_cash_flow
from basis_daemon.engine.codec import TradeRow, load
from basis_daemon.ports import RecordKind, StoredRecord

Flat = dict[str, str]


def write_lines(rows: Iterable[StoredRecord], sink: TextIO) -> int:
    """One JSON object per row, its payload as an object; returns how many."""
    count = 0
    for row in rows:
        record = row.record
        line = {
            "sequence": row.sequence,
            "generation": row.generation,
            "kind": record.kind.value,
            "wall_time": row.wall_time.isoformat(),
            "market_time": record.market_time.isoformat(),
            "correlation_id": record.correlation_id,
            "causation_id": record.causation_id,
            "payload": orjson.Fragment(record.payload),
        }
        sink.write(orjson.dumps(line).decode() + "\n")
        count += 1
    return count


def write_csv(rows: Iterable[Flat], sink: TextIO) -> int:
    """A header and the rows, all with the same keys; returns how many. Nothing for no rows."""
    writer: csv.DictWriter[str] | None = None
    count = 0
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(sink, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
        count += 1
    return count


def trade_rows(rows: Iterable[StoredRecord]) -> Iterator[Flat]:
    """Money that moved by orders: quantities in base units, prices in quote, fees as `asset quantity`."""
    for row in rows:
        if row.record.kind is not RecordKind.TRADE:
            continue
        told = load(TradeRow, row.record.payload)
        if told.entry is None:
            continue
        trade = told.trade
        yield {
            "trade_id": trade.trade_id,
            "order_id": trade.order_id,
            "plan_id": row.record.correlation_id,
            "venue_time": trade.venue_time.isoformat(),
            "account": trade.account,
            "instrument": trade.instrument,
            "price": "" if trade.price is None else f"{trade.price:f}",
            "quantity": f"{trade.deltas.get(trade.instrument, trade.qty_base):f}",
            "fees": "; ".join(f"{fee.asset} {fee.quantity:f}" for fee in trade.fees),
            "liquidity": trade.liquidity or "",
        }


def posting_rows(rows: Iterable[StoredRecord]) -> Iterator[Flat]:
    """Every line of the ledger with its cause; the lines of one event sum to zero per asset."""
    for row in rows:
        if (entry := _entry_of(row)) is not None:
            for line in entry.postings:
                yield {
                    "event_id": entry.event_id,
                    "time": entry.time.isoformat(),
                    "account": line.account,
                    "asset": line.asset,
                    "amount": f"{line.amount:f}",
                    "cause": line.cause.value,
                }


def _entry_of(row: StoredRecord) -> Entry | None:
    payload = row.record.payload
    match row.record.kind:
        case RecordKind.TRADE:
            return load(TradeRow, payload).entry
        case RecordKind.CASH_FLOW:
            return entry_of_cash_flow(load(CashFlow, payload))
        case RecordKind.OPENING | RecordKind.CORRECTION:
            return load(Entry, payload)
    return None
