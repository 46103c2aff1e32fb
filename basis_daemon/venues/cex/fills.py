"""Fills of an account: remembered once each, waited for without polling, and turned into trades to the digit."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.trade import Fee, OrderState, Origin, Trade, TradeStatus
from basis_daemon.venues.cex.frames import Fill, OrderView

ZERO = Decimal(0)
ORDERS_REMEMBERED = 10_000
OrderKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """One market as ccxt (``symbol``), the venue (``symbol_id``) and the book (``key``) call it.

    ``settle`` is the coin of its P&L and fees; ``contract_value`` what an inverse contract stands for, in the quote.
    """

    symbol: str
    symbol_id: str
    key: PositionKey
    base: str
    quote: str
    settle: str
    contract_value: Decimal | None = None

    def quote_of(self, fill: Fill) -> Decimal:
        """What was traded, in quote units."""
        if self.contract_value is not None:
            return fill.quantity * self.contract_value
        return fill.quote_quantity if fill.quote_quantity is not None else fill.quantity * fill.price


def deltas_of(fill: Fill, listing: Listing) -> dict[PositionKey, Decimal]:
    """Signed changes per key: base and quote of a spot fill; contracts, realised P&L and fee of a perp fill."""
    wallet = listing.key.venue
    signed = fill.quantity * fill.side.sign
    quote = PositionKey.of(wallet, Kind.SPOT, listing.settle)
    if listing.key.kind is Kind.PERP:
        deltas = {listing.key: signed, quote: fill.realised or ZERO}
    else:
        paid = listing.quote_of(fill) * fill.side.sign
        deltas = {PositionKey.of(wallet, Kind.SPOT, listing.base): signed, quote: -paid}
    if fill.fee:
        fee_key = PositionKey.of(wallet, Kind.SPOT, fill.fee_asset)
        deltas[fee_key] = deltas.get(fee_key, ZERO) - fill.fee
    return {key: amount for key, amount in deltas.items() if amount}


def trade_id(account: str, symbol_id: str, number: str) -> str:
    """Trade numbers of a venue repeat between its symbols."""
    return f"{account}:{symbol_id}:{number}"


def trade_of(fill: Fill, listing: Listing, recv_time: datetime) -> Trade:
    """The trade of one fill; ``fill`` should know its client id, its order's size and the sum so far."""
    filled = fill.cum_filled if fill.cum_filled is not None else fill.quantity
    ordered = fill.ordered if fill.ordered is not None else filled
    is_last = filled >= ordered
    liquidity: Literal["maker", "taker"] | None = None
    if fill.is_maker is not None:
        liquidity = "maker" if fill.is_maker else "taker"
    return Trade(
        trade_id=trade_id(listing.key.venue, fill.symbol_id, fill.trade_no),
        order_id=fill.client_id,
        account=listing.key.venue,
        instrument=listing.key,
        status=TradeStatus.FILLED if is_last else TradeStatus.PARTIAL,
        order_state=OrderState.FILLED if is_last else OrderState.PARTIAL,
        price=fill.price,
        qty_base=fill.quantity,
        qty_quote=listing.quote_of(fill),
        liquidity=liquidity,
        fees=(Fee(asset=fill.fee_asset, quantity=fill.fee),) if fill.fee else (),
        realised_pnl=fill.realised,
        venue_time=fill.time,
        recv_time=recv_time,
        cum_filled=filled,
        remaining=max(ordered - filled, ZERO),
        deltas=deltas_of(fill, listing),
        origin=fill.origin,
    )


_STATUS = {
    OrderState.FILLED: TradeStatus.FILLED,
    OrderState.ACKED: TradeStatus.PENDING,
    OrderState.PARTIAL: TradeStatus.PARTIAL,
}


def outcome_trade(view: OrderView, listing: Listing, order_id: str, last: Trade | None, recv_time: datetime) -> Trade:
    """The order's last known trade: its last fill carrying the order's state, or a bare state without deltas."""
    status = _STATUS.get(view.state, TradeStatus.PARTIAL if view.executed else TradeStatus.FAILED)
    remaining = max(view.ordered - view.executed, ZERO)
    if last is not None:
        update = {"status": status, "order_state": view.state, "cum_filled": view.executed, "remaining": remaining}
        return last.model_copy(update=update)
    return Trade(
        trade_id=trade_id(listing.key.venue, listing.symbol_id, f"{view.order_no}:{view.state}"),
        order_id=order_id,
        account=listing.key.venue,
        instrument=listing.key,
        status=status,
        order_state=view.state,
        venue_time=view.time,
        recv_time=recv_time,
        cum_filled=view.executed,
        remaining=remaining,
    )


@dataclass(slots=True)
class _Order:
    client_id: str = ""
    ordered: Decimal | None = None
    fills: dict[str, Fill] = field(default_factory=dict)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def executed(self) -> Decimal:
        return sum((fill.quantity for fill in self.fills.values()), ZERO)


class FillBook:
    """What is known of each order's fills, from whatever source came first. Bounded; one per account.

    ``origin_of`` reads from the id that an order bears who made it.
    """

    def __init__(self, origin_of: Callable[[str], Origin]) -> None:
        self._origin_of = origin_of
        self._orders: OrderedDict[OrderKey, _Order] = OrderedDict()

    def add(self, fill: Fill) -> bool:
        """True when the fill is new."""
        order = self._order(fill.order_key)
        order.client_id = order.client_id or fill.client_id
        order.ordered = order.ordered if fill.ordered is None else fill.ordered
        is_new = fill.trade_no not in order.fills
        if is_new:
            order.fills[fill.trade_no] = fill
            order.heard.set()
        return is_new

    def learn(self, view: OrderView) -> None:
        """Remember whose order this is and how large."""
        order = self._order(view.order_key)
        order.client_id, order.ordered = order.client_id or view.client_id, view.ordered

    def link(self, key: OrderKey, client_id: str) -> None:
        """The order bears another id at the venue; here it is known by ours."""
        self._order(key).client_id = client_id

    def knows(self, key: OrderKey) -> bool:
        """True when the order's client id is known."""
        return key in self._orders and bool(self._orders[key].client_id)

    def client_id(self, key: OrderKey) -> str:
        """Our id, or whatever id a foreign order bears; empty while unknown."""
        return self._orders[key].client_id if key in self._orders else ""

    def named(self, fill: Fill) -> Fill:
        """The fill with its order's id, and with who is behind that."""
        client_id = self.client_id(fill.order_key)
        return replace(fill, client_id=client_id, origin=self._origin_of(client_id))

    def executed(self, key: OrderKey) -> Decimal:
        """Sum of the known fills."""
        return self._orders[key].executed if key in self._orders else ZERO

    def fills(self, key: OrderKey) -> Sequence[Fill]:
        """Known fills, oldest first, each with its order's client id and size and the sum so far."""
        order, done, found = self._order(key), ZERO, []
        for fill in sorted(order.fills.values(), key=lambda f: (f.time, len(f.trade_no), f.trade_no)):
            done += fill.quantity
            found.append(replace(self.named(fill), ordered=order.ordered, cum_filled=done))
        return found

    async def wait_for(self, key: OrderKey, quantity: Decimal, seconds: float) -> bool:
        """True once the fills sum to ``quantity``, false when that took too long."""
        order = self._order(key)
        try:
            async with asyncio.timeout(seconds):
                while order.executed < quantity:
                    order.heard.clear()
                    await order.heard.wait()
        except TimeoutError:
            return False
        return True

    def _order(self, key: OrderKey) -> _Order:
        if key not in self._orders:
            self._orders[key] = _Order()
            while len(self._orders) > ORDERS_REMEMBERED:
                self._orders.popitem(last=False)
        return self._orders[key]
