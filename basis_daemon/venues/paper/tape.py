"""What the paper venue has said: trades by order, fills and cash flows by account, within a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState, Origin, Trade, TradeStatus
from basis_daemon.ports import Clock
from basis_daemon.venues.paper.margin_core import Booking
from basis_daemon.venues.paper.market import NEVER, PaperMarket
from basis_daemon.venues.paper.matching import ZERO, Fill
from basis_daemon.venues.paper.wallets import Resting

HISTORY_MAX = 100_000
"""So many orders, and so many fills and flows per account, are remembered; older ones are forgotten."""

_STATUS = {
    OrderState.ACKED: TradeStatus.PENDING,
    OrderState.FILLED: TradeStatus.FILLED,
    OrderState.PARTIAL: TradeStatus.PARTIAL,
}


class Tape:
    """Writes trades and flows down and finds them again.

    Ids are the same in every run with the same orders: ``ORDER-1`` is the first fill of an order; what no order of
    ours asked for is numbered behind its market time, so that a restarted venue does not use an id twice.
    """

    def __init__(self, accounts: Iterable[str], market: PaperMarket, clock: Clock, live: Mapping[str, Resting]) -> None:
        self._market = market
        self._clock = clock
        self._live = live
        self._trades: dict[str, list[Trade]] = {}
        self._fills: dict[str, deque[Trade]] = {name: deque(maxlen=HISTORY_MAX) for name in accounts}
        self._flows: dict[str, deque[tuple[datetime, CashFlow]]] = {n: deque(maxlen=HISTORY_MAX) for n in self._fills}
        self._unasked = 0

    def time(self) -> datetime:
        """Market time; before the first event of the market the wall clock."""
        return self._market.time if self._market.time > NEVER else self._clock.wall()

    def trades_of(self, order_id: str) -> tuple[Trade, ...]:
        """Everything said about one accepted order, oldest first; empty for an order never accepted."""
        return tuple(self._trades.get(order_id, ()))

    def fills(self, account: str, since: datetime = NEVER) -> list[Trade]:
        """Fills and transfers of an account from ``since`` (market time), oldest first."""
        return [trade for trade in self._fills[account] if trade.venue_time >= since]

    def flows(self, account: str, since: datetime = NEVER) -> list[CashFlow]:
        """Money moved without orders that was written down from ``since`` (market time) on, oldest first.

        A settlement bears its own stamp and may be written later, when its rate has become known.
        """
        return [flow for written_at, flow in self._flows[account] if written_at >= since]

    def accept(self, order: Order) -> None:
        """Remember an order from now on."""
        if len(self._trades) >= HISTORY_MAX:
            del self._trades[next(oid for oid in self._trades if oid not in self._live)]
        self._trades.setdefault(order.order_id, [])

    def state(self, order: Order, state: OrderState, remaining: Decimal = ZERO) -> Trade:
        """A trade without money: where the order stands."""
        filled = sum((trade.qty_base for trade in self._trades[order.order_id]), ZERO)
        status = _STATUS.get(state, TradeStatus.PARTIAL if filled else TradeStatus.FAILED)
        trade = Trade(
            trade_id=f"{order.order_id}-{state.lower()}",
            order_id=order.order_id,
            account=order.venue,
            instrument=order.instrument,
            status=status,
            order_state=state,
            venue_time=self.time(),
            recv_time=self._clock.wall(),
            cum_filled=filled,
            remaining=remaining,
            simulated=True,
        )
        self._trades[order.order_id].append(trade)
        return trade

    def transfer(self, order: Order, deltas: Mapping[PositionKey, Decimal]) -> Trade:
        """The one trade of a transfer that arrives at once."""
        trade = self.state(order, OrderState.FILLED).model_copy(update={"deltas": dict(deltas)})
        self._trades[order.order_id] = [trade]
        self._fills[order.venue].append(trade)
        return trade

    def fill(self, order: Order, instrument: Instrument, fill: Fill, money: Booking, state: OrderState) -> Trade:
        """One fill of an order of ours, which is in ``state`` after it."""
        so_far = [trade for trade in self._trades[order.order_id] if trade.is_fill]
        filled = sum((trade.qty_base for trade in so_far), fill.quantity)
        trade = self._trade(f"{order.order_id}-{len(so_far) + 1}", order.order_id, instrument, fill, money, state)
        trade = trade.model_copy(update={"cum_filled": filled, "remaining": order.quantity - filled})
        self._trades[order.order_id].append(trade)
        self._fills[trade.account].append(trade)
        return trade

    def fill_unasked(
        self, instrument: Instrument, fill: Fill, money: Booking, origin: Origin, client_id: str = ""
    ) -> Trade:
        """One fill that no order of ours asked for: it carries the id of whoever did, as far as there is one."""
        trade = self._trade(self._next_id(instrument.key), client_id, instrument, fill, money, OrderState.FILLED)
        trade = trade.model_copy(update={"origin": origin})
        self._fills[trade.account].append(trade)
        return trade

    def funding(self, instrument: Instrument, at: datetime, amount: Decimal) -> CashFlow:
        """One settlement of one perp."""
        flow_id = f"{instrument.key}-funding-{at:%Y%m%dT%H%M%S}"
        flow = CashFlow(flow_id, instrument.quote_key, amount, Cause.FUNDING, at, instrument.key)
        self._flows[instrument.key.venue].append((max(at, self.time()), flow))
        return flow

    def flow(self, key: PositionKey, amount: Decimal, cause: Cause) -> CashFlow:
        """Money that moved without an order."""
        flow = CashFlow(self._next_id(f"{key}-{cause}"), key, amount, cause, self.time())
        self._flows[key.venue].append((flow.venue_time, flow))
        return flow

    def _next_id(self, what: str) -> str:
        self._unasked += 1
        return f"{what}-{self.time():%Y%m%dT%H%M%S%f}-{self._unasked}"

    def _trade(
        self, trade_id: str, order_id: str, instrument: Instrument, fill: Fill, money: Booking, state: OrderState
    ) -> Trade:
        return Trade(
            trade_id=trade_id,
            order_id=order_id,
            account=instrument.key.venue,
            instrument=instrument.key,
            status=_STATUS.get(state, TradeStatus.PARTIAL),
            order_state=state,
            price=fill.price,
            qty_base=fill.quantity,
            qty_quote=instrument.notional(fill.quantity, fill.price),
            liquidity="maker" if fill.is_maker else "taker",
            fees=money.fees,
            realised_pnl=money.realised,
            venue_time=self.time(),
            recv_time=self._clock.wall(),
            cum_filled=fill.quantity,
            deltas=dict(money.deltas),
            simulated=True,
        )
