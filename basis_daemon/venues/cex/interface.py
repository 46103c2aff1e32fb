"""Orders at one exchange account: sent once, settled to the last fill, found again by our id, never resent on doubt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from basis_daemon.domain.errors import (
    ErrorClass,
    InvalidOrderError,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.order import PROTECTIVE, Order, OrderOperation, TimeInForce
from basis_daemon.domain.trade import TERMINAL, Trade
from basis_daemon.ports import Evidence, Finding, KillPoint, TradeSink
from basis_daemon.venues.cex.dead_man import DeadManSwitch
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.frames import OrderView, Row
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quantise import Quantised, plain, quantised, quantised_trigger
from basis_daemon.venues.cex.quirks import Fate
from basis_daemon.venues.cex.settlement import Settlement, Ticket

SECOND_NS = 1_000_000_000
SENDS_REMEMBERED = 10_000


class CEXExecutionInterface:
    """Spot or perp orders of one account. Every fill goes to ``on_trade`` before the method that learned of it returns.

    Needs the venue's feed started (markets, filters, fees). ``idempotency`` is how the venue treats a repeated id;
    ``absence_proof_s`` is how long after a send an unknown id proves nothing.
    """

    def __init__(self, desk: Desk, dead_man: DeadManSwitch, on_trade: TradeSink) -> None:
        self._desk, self._dead_man = desk, dead_man
        self._settlement = Settlement(desk, on_trade)
        self._sent_ns: dict[str, int] = {}
        self.idempotency = desk.venue.idempotency
        protective = PROTECTIVE if desk.quirks.has_triggers else frozenset[OrderOperation]()
        self._operations = desk.quirks.trades | {OrderOperation.CANCEL} | protective
        wait_max_s = desk.options.limiter_wait_s
        self._urgent, self._ordinary = Request(is_urgent=True, wait_max_s=wait_max_s), Request(wait_max_s=wait_max_s)

    @property
    def account(self) -> str:
        """The venue part of its keys."""
        return self._desk.name

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """Trades of its kinds, cancels, and what the venue holds for us until a trigger."""
        return self._operations

    @property
    def absence_proof_s(self) -> float:
        """Receive window + skew + read lag: after that our request can neither be accepted nor be hidden any longer."""
        options = self._desk.options
        return (self._desk.venue.receive_window_ms + options.skew_alarm_ms) / 1000 + options.read_lag_s

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says. Cancelled in mid-call, the order stays in doubt: ask with ``find_order``."""
        if order.operation not in self._operations:
            msg = f"order {order.order_id}: {self.account} cannot {order.operation}, expected {sorted(self.operations)}"
            raise InvalidOrderError(msg)
        if order.operation is OrderOperation.CANCEL:
            return self._cancelled(order, await self.cancel_order(order))
        instrument = self._desk.instruments.get(order.instrument)
        if instrument is None:
            raise InvalidOrderError(f"order {order.order_id}: {order.instrument} is not declared to {self.account}")
        ticket = self._ticket(order)
        is_protective = ticket.is_protective
        wire = (quantised_trigger if is_protective else quantised)(order, instrument)
        await self._dead_man.before(order)
        self._remember_send(order.order_id)
        try:
            view = await (self._place_trigger if is_protective else self._place)(ticket, wire)
            self._desk.options.probe(KillPoint.AFTER_ACK)
        except CallError as fault:
            if fault.is_about_terms:  # the next attempt goes by what holds now
                await self._desk.on_terms_doubted()
            self._raise_if_dead(ticket, fault)
            self._remember_send(order.order_id)  # again: a process that was halted may have signed it only now
            settle = self._after_doubt(ticket, fault)
        else:
            settle = (self._settlement.ended if wire.is_immediate else self._settlement.settled)(ticket, view)
        try:
            return await settle
        except VenueUnreachableError as silence:  # the order itself has left: the same id must not go again
            raise OutcomeUnknownError(f"order {order.order_id} left, then: {silence}; ask, never resend") from silence

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """As the port says; fills are streamed again under the same trade ids. Doubt blocks trading: it asks first."""
        ticket = self._urgent_ticket(order)
        try:
            view: OrderView | None = await self._settlement.query(ticket)
        except CallError as fault:
            if fault.fate is not Fate.NOT_FOUND:
                msg = f"order {ticket.target_id}: {self.account} did not say: {fault.text}"
                raise VenueUnreachableError(msg) from fault
            if self._elapsed_s(ticket, sent_at) < self.absence_proof_s:
                return Evidence(Finding.NOT_YET)
            view = await self._settlement.unseen_order(ticket)
        if view is None:
            return Evidence(Finding.ABSENT)
        return await self._evidence(ticket, view)

    async def cancel_order(self, order: Order) -> Evidence:
        """As the port says. An unanswered cancel leaves the order alive until the venue says otherwise."""
        ticket = self._urgent_ticket(order)
        for is_trigger in self._kinds(ticket):
            try:
                view = await self._cancel(ticket, is_trigger=is_trigger)
            except CallError as fault:
                if fault.fate is Fate.NOT_SENT:
                    msg = f"order {ticket.target_id}: cancel did not leave: {fault.text}"
                    raise VenueUnreachableError(msg) from fault
                facts = {"order_id": ticket.target_id, "fate": fault.fate, "text": fault.text}
                self._desk.note("cancel_unanswered", facts)
                continue
            if view is not None:
                return await self._evidence(ticket, view)
        return await self.find_order(order, self._desk.clock.wall())

    def _kinds(self, ticket: Ticket) -> tuple[bool, ...]:
        """Where the target may be: among ordinary orders (False), among conditional ones (True), or in either."""
        if ticket.is_about_a_trigger:
            return (True,)
        return (False, True) if ticket.is_cancel and self._desk.quirks.has_triggers else (False,)

    async def _cancel(self, ticket: Ticket, *, is_trigger: bool) -> OrderView | None:
        """What the answer tells of the order; that for a conditional one tells nothing. Raises CallError."""
        parameters: Row = {self._desk.venue.id_params[2]: ticket.target_id}
        read: Callable[[Any], OrderView | None] = self._settlement.reader(ticket)
        if is_trigger:
            parameters["trigger"], read = True, _taken
        arguments = (None, ticket.listing.symbol, parameters)
        return await self._desk.ask(self._desk.orders, "cancel_order", *arguments, read=read, request=ticket.request)

    async def _evidence(self, ticket: Ticket, view: OrderView) -> Evidence:
        is_passing = view.state not in TERMINAL and not (ticket.is_cancel or ticket.is_protective)
        if is_passing and ticket.order.is_immediate:  # a reading from before its end
            return Evidence(Finding.NOT_YET)
        try:
            return Evidence(Finding.FOUND, await self._settlement.settled(ticket, view))
        except OutcomeUnknownError as doubt:
            raise VenueUnreachableError(str(doubt)) from doubt

    def _ticket(self, order: Order) -> Ticket:
        request = self._urgent if order.is_risk_reducing or order.closes_a_gap else self._ordinary
        return Ticket(order, self._desk.listing_of(order.instrument), request)

    def _urgent_ticket(self, order: Order) -> Ticket:
        return Ticket(order, self._desk.listing_of(order.instrument), self._urgent)

    async def _place(self, ticket: Ticket, wire: Quantised) -> OrderView:
        parameters: Row = {self._desk.venue.id_params[0]: ticket.order.order_id}
        if wire.tif is TimeInForce.POST_ONLY:
            parameters["postOnly"] = True
        else:
            parameters["timeInForce"] = str(wire.tif)
        if ticket.order.reduce_only and self._desk.quirks.has_perps:
            parameters["reduceOnly"] = True
        numbers = plain(wire.quantity), plain(wire.price)
        arguments = (ticket.listing.symbol, "limit", str(ticket.order.side).lower(), *numbers, parameters)
        read = self._settlement.reader(ticket, is_taker=wire.is_immediate)
        return await self._desk.ask(self._desk.orders, "create_order", *arguments, read=read, request=ticket.request)

    async def _place_trigger(self, ticket: Ticket, wire: Quantised) -> OrderView:
        kind = "stopLossPrice" if ticket.order.operation is OrderOperation.STOP else "takeProfitPrice"
        identity = {self._desk.venue.id_params[0]: ticket.order.order_id, kind: plain(wire.price), "reduceOnly": True}
        parameters = {**identity, **(self._desk.quirks.trigger_params or {})}
        arguments = (
            ticket.listing.symbol,
            "market",
            str(ticket.order.side).lower(),
            plain(wire.quantity),
            None,
            parameters,
        )
        read = self._settlement.reader(ticket)
        return await self._desk.ask(self._desk.orders, "create_order", *arguments, read=read, request=ticket.request)

    def _raise_if_dead(self, ticket: Ticket, fault: CallError) -> None:
        """Raise what the fault proves; return when it proves nothing."""
        order_id = ticket.order.order_id
        if fault.fate is Fate.NOT_SENT:
            raise VenueUnreachableError(f"order {order_id} did not leave: {fault.text}") from fault
        if fault.fate in {Fate.REJECTED, Fate.SKEWED}:
            raise OrderRejectedError(f"order {order_id}: {fault.text}", fault.error_class, fault.code) from fault

    async def _after_doubt(self, ticket: Ticket, fault: CallError) -> Trade:
        order_id = ticket.order.order_id
        if fault.fate is Fate.DUPLICATE:  # it lives already: what became of the first send is the answer
            evidence = await self.find_order(ticket.order, self._desk.clock.wall())
            if evidence.trade is not None:
                return evidence.trade
        raise OutcomeUnknownError(f"order {order_id} at {self.account}: {fault.text}; ask, never resend") from fault

    def _cancelled(self, order: Order, evidence: Evidence) -> Trade:
        if evidence.trade is not None:
            return evidence.trade
        msg = f"order {order.order_id}: {self.account} does not know its target {order.memo}"
        if evidence.finding is Finding.ABSENT:
            raise OrderRejectedError(msg, ErrorClass.BAD_PARAMS)
        raise OutcomeUnknownError(msg + " yet")

    def _remember_send(self, order_id: str, ago_s: float = 0.0) -> None:
        self._sent_ns[order_id] = self._desk.clock.monotonic_ns() - int(ago_s * SECOND_NS)
        while len(self._sent_ns) > SENDS_REMEMBERED:
            self._sent_ns.pop(next(iter(self._sent_ns)))

    def _elapsed_s(self, ticket: Ticket, sent_at: datetime) -> float:
        """Seconds since the send: monotonic from the first question on, because the wall clock may jump meanwhile."""
        clock = self._desk.clock
        if ticket.target_id not in self._sent_ns:
            self._remember_send(ticket.target_id, max((clock.wall() - sent_at).total_seconds(), 0.0))
        return (clock.monotonic_ns() - self._sent_ns[ticket.target_id]) / SECOND_NS


def _taken(_: object) -> None:
    """A cancel that was taken; what is left of the order is asked for."""
