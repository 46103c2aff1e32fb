"""Readers of ccxt's unified structures (with ``number=str``): orders and fills without loss of a digit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.cex.fills import Listing
from basis_daemon.venues.cex.frames import Fill, OrderView, Row, exact, instant, positive
from basis_daemon.venues.cex.quirks import AccountQuirks

ZERO = Decimal(0)
_STATES = {
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}


def order_view(row: Any, listing: Listing, quirks: AccountQuirks) -> OrderView:  # noqa: ANN401 - ccxt has no types
    """A unified order. Raises ValueError when it bears no id or no status: then nothing is known."""
    if not isinstance(row, dict) or not row.get("id") or not row.get("status"):
        raise ValueError(f"{listing.key}: answer without order id or status, expected both")
    ordered, executed = exact(row["amount"]), exact(row["filled"])
    time = instant(row.get("lastUpdateTimestamp") or row.get("timestamp") or 0)
    known = {"order": row["id"], "side": row["side"]}  # fills inside an answer leave out what the answer says
    fills = tuple(fill_row(fill | known, listing, quirks, time) for fill in row.get("trades") or ())
    return OrderView(
        symbol_id=listing.symbol_id,
        order_no=str(row["id"]),
        client_id=row.get("clientOrderId") or "",
        state=_state(row["status"], executed),
        ordered=ordered,
        executed=executed,
        time=time,
        fills=fills,
    )


def _state(status: str, executed: Decimal) -> OrderState:
    if status == "open":
        return OrderState.PARTIAL if executed else OrderState.ACKED
    if status not in _STATES:
        raise ValueError(f"order status {status!r}, expected open, {', '.join(_STATES)}")
    return _STATES[status]


def fill_row(row: Row, listing: Listing, quirks: AccountQuirks, order_time: datetime) -> Fill:
    """A unified fill; fills inside an order's answer bear no stamp of their own and take ``order_time``."""
    fee: Row = row.get("fee") or {}
    return Fill(
        symbol_id=listing.symbol_id,
        trade_no=str(row["id"]),
        order_no=str(row["order"]),
        client_id="",
        side=Side(str(row["side"]).upper()),
        price=positive(row["price"]),
        quantity=positive(row["amount"]),
        quote_quantity=exact(row["cost"]) if row.get("cost") else None,
        fee_asset=fee.get("currency") or "",
        fee=exact(fee.get("cost") or 0),
        realised=quirks.read_realised(row["info"]),
        is_maker=None if row.get("takerOrMaker") is None else row["takerOrMaker"] == "maker",
        time=instant(row["timestamp"]) if row.get("timestamp") else order_time,
    )


def fill_rows(rows: Any, listing: Listing, quirks: AccountQuirks) -> Sequence[Fill]:  # noqa: ANN401 - ccxt has no types
    """Unified fills, oldest first. Raises ValueError for anything but a list of complete rows."""
    if not isinstance(rows, list):
        raise ValueError(f"{listing.key}: fills are {type(rows).__name__}, expected a list")  # noqa: TRY004 - bad answer
    return [fill_row(row, listing, quirks, instant(row["timestamp"])) for row in rows]
