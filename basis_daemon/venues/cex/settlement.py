"""From a venue's word on an order to its last fill: nothing is reported before the fills sum to what was executed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from msgspec import Struct

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError, OutcomeUnknownError, VenueUnreachableError
from basis_daemon.domain.order import CONDITIONAL, PROTECTIVE, Order, OrderOperation
from basis_daemon.domain.trade import TERMINAL, OrderState, Trade
from basis_daemon.ports import TradeSink
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.fills import Listing, outcome_trade, trade_of
from basis_daemon.venues.cex.frames import Fill, Foreign, OrderView, Row
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quirks import Fate
from basis_daemon.venues.cex.rows import fill_rows, order_view

TRADES_LOOKED_AT = 100


class Ticket(Struct, frozen=True):
    """An order with what it needs on the way."""

    order: Order
    listing: Listing
    request: Request

    @property
    def is_cancel(self) -> bool:
        """True for an order to cancel another one."""
        return self.order.operation is OrderOperation.CANCEL

    @property
    def is_protective(self) -> bool:
        """True for a stop or take-profit that the venue holds."""
        return self.order.operation in PROTECTIVE

    @property
    def is_about_a_trigger(self) -> bool:
        """True when it, or the order that it cancels, is one that the venue holds; a cancel says so by its type."""
        return self.is_protective or self.order.order_type in CONDITIONAL

    @property
    def target_id(self) -> str:
        """Whose fate is asked about: a cancel order names its target in ``memo``."""
        return (self.order.memo or "") if self.is_cancel else self.order.order_id


class Settlement:
    """Asks one account about its orders and delivers their fills to ``on_trade``."""

    def __init__(self, desk: Desk, on_trade: TradeSink) -> None:
        self._desk, self._on_trade = desk, on_trade

    def reader(self, ticket: Ticket, *, is_taker: bool = False) -> Callable[[Any], OrderView]:
        """Reads a unified order; the fills inside an answer do not say that an immediate order takes."""

        def read(row: object) -> OrderView:
            view = order_view(row, ticket.listing, self._desk.quirks)
            if is_taker:
                view = replace(view, fills=tuple(replace(fill, is_maker=False) for fill in view.fills))
            return view

        return read

    async def query(self, ticket: Ticket) -> OrderView:
        """The order by our id, conditional ones by what they became. Raises CallError."""
        if ticket.is_about_a_trigger:
            return await self._query_trigger(ticket)
        arguments = (None, ticket.listing.symbol, {self._desk.venue.id_params[1]: ticket.target_id})
        try:
            return await self._desk.ask(
                self._desk.orders, "fetch_order", *arguments, read=self.reader(ticket), request=ticket.request
            )
        except CallError as fault:
            if fault.fate is not Fate.NOT_FOUND or not ticket.is_cancel or not self._desk.quirks.has_triggers:
                raise
        return await self._query_trigger(ticket)

    async def _query_trigger(self, ticket: Ticket) -> OrderView:
        """A stop or take-profit; once triggered, the ordinary order behind it under our id."""

        def read(row: Foreign) -> tuple[OrderView, str | None]:
            return self.reader(ticket)(row), self._desk.quirks.read_triggered(row["info"])

        parameters = {self._desk.venue.id_params[1]: ticket.target_id, "trigger": True}
        arguments = (None, ticket.listing.symbol, parameters)
        view, number = await self._desk.ask(
            self._desk.orders, "fetch_order", *arguments, read=read, request=ticket.request
        )
        if view.state is not OrderState.FILLED:
            return view
        if number is None:  # triggered, and not placed yet
            return replace(view, state=OrderState.ACKED)
        self._desk.fills.link((ticket.listing.symbol_id, number), ticket.target_id)
        behind = await self._desk.ask(
            self._desk.orders, "fetch_order", number, ticket.listing.symbol, read=self.reader(ticket)
        )
        return replace(behind, client_id=ticket.target_id)

    async def settled(self, ticket: Ticket, view: OrderView) -> Trade:
        """The last trade of an order, all its fills delivered. Raises OutcomeUnknownError when they do not arrive."""
        self._learn(view)
        await self._collect(ticket, view)
        recv_time, last = self._desk.clock.wall(), None
        for fill in self._desk.fills.fills(view.order_key):
            last = trade_of(fill, ticket.listing, recv_time)
            self._on_trade(last)
        return outcome_trade(view, ticket.listing, ticket.target_id, last, recv_time)

    async def ended(self, ticket: Ticket, view: OrderView) -> Trade:
        """``settled`` for an order that cannot rest: waits for its final state first. Raises OrderRejectedError too."""
        for _ in range(self._desk.options.fill_queries_max):
            if view.state in TERMINAL:
                break
            await self._desk.clock.sleep(self._desk.options.retry_pause_s)
            view = await self._acknowledged(ticket)
        if view.state is OrderState.REJECTED:
            msg = f"order {ticket.target_id}: {self._desk.name} took it and rejected it"
            raise OrderRejectedError(msg, ErrorClass.RETRYABLE)
        if view.state not in TERMINAL:
            msg = f"order {ticket.target_id} at {self._desk.name} is {view.state}, expected an end: it cannot rest"
            raise OutcomeUnknownError(msg)
        return await self.settled(ticket, view)

    async def unseen_order(self, ticket: Ticket) -> OrderView | None:
        """The order after all, if any recent fill turns out to be of our id. Raises VenueUnreachableError."""
        fills = self._desk.fills
        for fill in await self._recent_fills(ticket):
            if not fills.knows(fill.order_key):
                await self._identify(ticket, fill)
            if fills.client_id(fill.order_key) == ticket.target_id:
                return await self._by_number(ticket, fill.order_no)
        return None

    async def _acknowledged(self, ticket: Ticket) -> OrderView:
        try:
            return await self.query(ticket)
        except CallError as fault:
            msg = f"order {ticket.target_id} at {self._desk.name} was acknowledged, then: {fault.text}"
            raise OutcomeUnknownError(msg) from fault

    def _learn(self, view: OrderView) -> None:
        self._desk.fills.learn(view)
        for fill in view.fills:
            self._desk.fills.add(fill)

    async def _collect(self, ticket: Ticket, view: OrderView) -> None:
        """Wait for the private stream, then ask, until the fills sum to what was executed."""
        fills, options = self._desk.fills, self._desk.options
        if await fills.wait_for(view.order_key, view.executed, options.fill_wait_s):
            return
        self._desk.on_fill_missed()
        for attempt in range(options.fill_queries_max):
            await self._fetch_fills(ticket, view)
            if fills.executed(view.order_key) >= view.executed:
                return
            await self._desk.clock.sleep(options.retry_pause_s * (attempt + 1))
        found = fills.executed(view.order_key)
        msg = f"order {ticket.target_id} at {self._desk.name}: fills sum to {found}, expected {view.executed}"
        raise OutcomeUnknownError(msg)

    async def _fetch_fills(self, ticket: Ticket, view: OrderView) -> None:
        arguments = (ticket.listing.symbol, None, TRADES_LOOKED_AT, {"orderId": view.order_no})
        try:
            found = await self._desk.ask(
                self._desk.orders, "fetch_my_trades", *arguments, read=self._fills_of(ticket), request=ticket.request
            )
        except CallError as fault:
            self._desk.note("fills_unanswered", {"order_id": ticket.target_id, "text": fault.text})
            return
        for fill in found:
            self._desk.fills.add(fill)

    def _fills_of(self, ticket: Ticket) -> Callable[[Any], Sequence[Fill]]:
        return lambda rows: fill_rows(rows, ticket.listing, self._desk.quirks)

    async def _recent_fills(self, ticket: Ticket) -> Sequence[Fill]:
        arguments = (ticket.listing.symbol, None, TRADES_LOOKED_AT)
        request = ticket.request
        return await self._desk.learn("fetch_my_trades", *arguments, read=self._fills_of(ticket), request=request)

    async def _identify(self, ticket: Ticket, fill: Fill) -> None:
        view = await self._by_number(ticket, fill.order_no)
        if view is not None:
            self._desk.fills.learn(view)

    async def _by_number(self, ticket: Ticket, order_no: str) -> OrderView | None:
        arguments: tuple[str, str, Row] = (order_no, ticket.listing.symbol, {})
        try:
            return await self._desk.ask(
                self._desk.data, "fetch_order", *arguments, read=self.reader(ticket), request=ticket.request
            )
        except CallError as fault:
            if fault.fate is Fate.NOT_FOUND:
                return None
            msg = f"{self._desk.name}: order number {order_no} of a recent fill: {fault.text}"
            raise VenueUnreachableError(msg) from fault
