"""A journal read out for other programs: rows as JSON lines, and tables whose columns know what they hold.

Money and quantities stay Decimal, instants aware UTC; how a file writes them is the writer's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TextIO

import orjson

from basis_daemon.domain.ledger import CashFlow, Cause, Entry, Posting, entry_of_cash_flow
from basis_daemon.domain.lots import Closed, Lot
from basis_daemon.domain.order import AmountUnit, Order
from basis_daemon.domain.pnl import SOURCES, slippage_of
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.attribution import QUOTE, Course, courses_of
from basis_daemon.engine.book_view import Json
from basis_daemon.engine.codec import TradeRow, load
from basis_daemon.engine.lots import Pools, Valued, pools_of
from basis_daemon.engine.state import BookState
from basis_daemon.ports import RecordKind, StoredRecord

Cell = str | Decimal | datetime | None
Cells = tuple[Cell, ...]


class Holds(StrEnum):
    """What the cells of a column are, where they are not empty."""

    TEXT = "text"
    DECIMAL = "decimal"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Table:
    """``columns`` by name; every row has a cell for each. An empty cell is what nobody knows."""

    name: str
    columns: Mapping[str, Holds]
    rows: Callable[[], Iterable[Cells]]


def _columns(**kinds: str) -> Mapping[str, Holds]:
    """Names by what they hold, in the order given."""
    return {name: Holds(kind) for name, kind in kinds.items()}


TRADES = _columns(
    trade_id="text", order_id="text", plan_id="text", venue_time="time", account="text", instrument="text",
    price="decimal", quantity="decimal", fees="text", liquidity="text", strategy="text", operation="text",
    origin="text", reason="text",
)  # fmt: skip
FILLS = _columns(
    trade_id="text", venue_time="time", strategy="text", account="text", instrument="text", side="text",
    quantity="decimal", price="decimal", notional="decimal", arrival="decimal", slippage="decimal", fee_asset="text",
    fee="decimal", realised="decimal", liquidity="text", order_id="text", reason="text",
)  # fmt: skip
POSTINGS = _columns(event_id="text", time="time", account="text", asset="text", amount="decimal", cause="text")
LOTS = _columns(
    strategy="text", item="text", side="text", quantity="decimal", measure="text", opened="time", opened_by="text",
    opened_as="text", cost="decimal", closed="time", closed_by="text", closed_as="text", proceeds="decimal",
    gain="decimal",
)  # fmt: skip
VALUATIONS = _columns(
    time="time", strategy="text", numeraire="text", equity="decimal", capital="decimal", shares="decimal",
    share_price="decimal", share_price_high="decimal", net_delta="text", prices="text", latched="text",
)  # fmt: skip
ATTRIBUTION: Mapping[str, Holds] = {
    **_columns(strategy="text", numeraire="text", opened="time", closed="time", equity_start="decimal",
               equity_end="decimal", change="decimal"),
    **dict.fromkeys(SOURCES, Holds.DECIMAL),
}  # fmt: skip


def tables_of(rows: Sequence[StoredRecord]) -> dict[str, Table]:
    """Every table of these journal rows, which begin with the journal's first, by name; made when it is read."""
    return {
        "trades": Table("trades", TRADES, lambda: _trade_rows(rows)),
        "fills": Table("fills", FILLS, lambda: _fill_rows(rows)),
        "lots": Table("lots", LOTS, lambda: _lot_rows(lots_of(rows))),
        "postings": Table("postings", POSTINGS, lambda: _posting_rows(rows)),
        "valuations": Table("valuations", VALUATIONS, lambda: map(_valuation_row, _valuations(rows))),
        "attribution": Table("attribution", ATTRIBUTION, lambda: _attribution_rows(courses_of(_valuations(rows)))),
    }


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


# ------------------------------------------------------------------------------------------------------------ trades
def _trade_rows(rows: Iterable[StoredRecord]) -> Iterator[Cells]:
    """Money that moved by orders: quantities in base units, prices in quote, fees as `asset quantity`."""
    for row, trade, order in _trades(rows):
        fees = "; ".join(f"{fee.asset} {fee.quantity:f}" for fee in trade.fees)
        quantity = trade.deltas.get(trade.instrument, trade.qty_base)
        yield (
            trade.trade_id, trade.order_id, row.record.correlation_id, trade.venue_time, trade.account,
            trade.instrument, trade.price, quantity, fees, trade.liquidity or "", order.strategy if order else "",
            order.operation.value if order else "", trade.origin.value, order.reason if order else "",
        )  # fmt: skip


def _fill_rows(rows: Iterable[StoredRecord]) -> Iterator[Cells]:
    """What was executed; ``slippage`` is against the arrival mid, negative for a loss, in the coin of P&L.

    A transaction that turned one coin into another has no side: its quantity is what was given, its price what came
    back for each unit of that.
    """
    for _, trade, order in _trades(rows):
        if trade.price is None or not trade.qty_base:
            continue
        (fee, *more) = trade.fees or (None,)
        is_one = fee is not None and not more
        arrival, value = order.ref_price if order else None, _contract_value(trade, order)
        yield (
            trade.trade_id, trade.venue_time, order.strategy if order else "", trade.account, trade.instrument,
            _side(trade), trade.qty_base, trade.price, trade.qty_base * (value or trade.price), arrival,
            slippage_of(trade, arrival, value) if arrival is not None else None,
            fee.asset if is_one and fee else "; ".join(f"{f.asset} {f.quantity:f}" for f in trade.fees),
            fee.quantity if is_one and fee else None, trade.realised_pnl, trade.liquidity or "", trade.order_id,
            order.reason if order else "",
        )  # fmt: skip


def _side(trade: Trade) -> str:
    if trade.tx is not None:
        return ""
    return "BUY" if trade.deltas.get(trade.instrument, Decimal(0)) > 0 else "SELL"


def _contract_value(trade: Trade, order: Order | None) -> Decimal | None:
    """What one inverse contract stands for; None for what is ordered in base units."""
    is_inverse = order is not None and order.amount_unit is AmountUnit.CONTRACTS
    return trade.qty_quote / trade.qty_base if is_inverse else None


def _trades(rows: Iterable[StoredRecord]) -> Iterator[tuple[StoredRecord, Trade, Order | None]]:
    """Trades that moved money, each with the order behind it where the journal still has it."""
    orders: dict[str, Order] = {}
    for row in rows:
        if row.record.kind is RecordKind.INTENT:
            order = load(Order, row.record.payload)
            orders[order.order_id] = order
        elif row.record.kind is RecordKind.TRADE:
            told = load(TradeRow, row.record.payload)
            if told.entry is not None:
                yield row, told.trade, orders.get(told.trade.order_id)


# ------------------------------------------------------------------------------------------------------------ ledger
def entries_of(rows: Iterable[StoredRecord]) -> Iterator[Entry]:
    """Every entry of the ledger; of a pruned journal what its first snapshot holds is the opening."""
    for place, row in enumerate(rows):
        entry = _opening_of(row) if place == 0 and row.record.kind is RecordKind.SNAPSHOT else _entry_of(row)
        if entry is not None:
            yield entry


def _posting_rows(rows: Iterable[StoredRecord]) -> Iterator[Cells]:
    """Every line of the ledger with its cause; the lines of one event sum to zero per asset."""
    for entry in entries_of(rows):
        for line in entry.postings:
            yield entry.event_id, entry.time, line.account, line.asset, line.amount, line.cause.value


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


def _opening_of(row: StoredRecord) -> Entry:
    lines: list[Posting] = []
    for account, asset, amount in BookState.restore(row.record.payload).ledger.lines():
        lines += (
            Posting(account, asset, amount, Cause.OPENING),
            Posting(f"nominal:{Cause.OPENING}", asset, -amount, Cause.OPENING),
        )
    return Entry(f"snapshot:{row.sequence}", row.record.market_time, tuple(lines))


# -------------------------------------------------------------------------------------------------------------- lots
def lots_of(rows: Sequence[StoredRecord]) -> list[Pools]:
    """First in, first out; how each event counts stands in ``engine.lots``."""
    events: list[Entry | Valued] = []
    for place, row in enumerate(rows):
        if row.record.kind is RecordKind.VALUATION:
            events.append(_valued(orjson.loads(row.record.payload)))
        elif place == 0 and row.record.kind is RecordKind.SNAPSHOT:
            events.append(_opening_of(row))
        elif (entry := _entry_of(row)) is not None:
            events.append(entry)
    return pools_of(events)


def _valued(row: Json) -> Valued:
    prices = {asset: Decimal(price) for asset, price in row["prices"].items()}
    undeclared = frozenset(row.get("undeclared", ()))
    return Valued(row["strategy"], tuple(row["accounts"]), row.get("numeraire", QUOTE), prices, undeclared)


def _lot_rows(pools: Iterable[Pools]) -> Iterator[Cells]:
    """Closed parts first, then what is still held; ``quantity`` is positive, ``side`` says which way."""
    for pool in pools:
        for part in pool.closed():
            yield (*_opened(pool.strategy, part.lot), *_ended(part))
        for lot in pool.open():
            yield (*_opened(pool.strategy, lot), None, "", "", None, None)


def _opened(strategy: str, lot: Lot) -> Cells:
    side, opened = "long" if lot.quantity > 0 else "short", lot.opened
    return (
        strategy, lot.item, side, abs(lot.quantity), lot.measure, opened.time, opened.event_id, opened.why, lot.cost,
    )  # fmt: skip


def _ended(part: Closed) -> Cells:
    return part.closed.time, part.closed.event_id, part.closed.why, part.proceeds, part.gain


# -------------------------------------------------------------------------------------------------------- valuations
def _valuations(rows: Iterable[StoredRecord]) -> list[Json]:
    return [orjson.loads(row.record.payload) for row in rows if row.record.kind is RecordKind.VALUATION]


def _valuation_row(row: Json) -> Cells:
    return (
        datetime.fromisoformat(row["time"]), row["strategy"], row.get("numeraire", QUOTE), Decimal(row["equity_usdt"]),
        Decimal(row["capital_usdt"]), Decimal(row["units"]), Decimal(row["unit_value"]),
        Decimal(row["unit_value_high"]), _pairs(row["net_delta"]), _pairs(row["prices"]), row.get("latched", ""),
    )  # fmt: skip


def _pairs(amounts: Mapping[str, str]) -> str:
    return "; ".join(f"{asset} {amount}" for asset, amount in amounts.items())


def _attribution_rows(courses: Mapping[str, Course]) -> Iterator[Cells]:
    """One line for each interval; the sources of a line sum to its change, to the last digit."""
    for name, course in courses.items():
        for step in course.intervals:
            yield (
                name, step.closing.numeraire, step.opening.time, step.closing.time, step.opening.equity,
                step.closing.equity, step.change, *(step.sources[source] for source in SOURCES),
            )  # fmt: skip


KINDS = frozenset(
    {
        RecordKind.CASH_FLOW, RecordKind.CORRECTION, RecordKind.INTENT, RecordKind.OPENING, RecordKind.SNAPSHOT,
        RecordKind.TRADE, RecordKind.VALUATION,
    }
)  # fmt: skip
"""All that tables are made of."""
