"""The venue's synchronous heart: orders and market events in, trades and account events out, in order of happening."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey, round_down
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.market import BookTick, FundingSettled, MarketEvent
from basis_daemon.domain.order import Order, OrderOperation, Side, TimeInForce
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Origin, Trade
from basis_daemon.ports import AccountChanged, Clock, FeedEvent
from basis_daemon.venues.paper.margin_core import Booking, PerpHolding, booking, funding_cash, is_liquidated
from basis_daemon.venues.paper.market import PaperMarket
from basis_daemon.venues.paper.matching import (
    ZERO,
    Depth,
    Fill,
    at_trigger,
    check_filters,
    is_reached,
    limit_of,
    match_now,
    reject,
    side_of,
    time_in_force,
)
from basis_daemon.venues.paper.tape import Tape
from basis_daemon.venues.paper.wallets import Resting, Wallets

S = OrderState
_MAY_REST = frozenset({TimeInForce.GTC, TimeInForce.POST_ONLY})


class PaperExchange:
    """Accounts of one venue. Methods return what the streams of those accounts say; they never wait."""

    def __init__(
        self,
        covers: Mapping[str, frozenset[Kind]],
        balances: Mapping[PositionKey, Decimal],
        open_notional: Mapping[PositionKey, Decimal],
        clock: Clock,
        liquidation_fee: Decimal,
        leverage: Decimal,
    ) -> None:
        self.market = PaperMarket()
        self.wallets = Wallets(self.market, balances, open_notional, leverage)
        self.tape = Tape(covers, self.market, clock, self.wallets.resting)
        self._covers = covers
        self._clock = clock
        self._liquidation_fee = liquidation_fee

    def report(self, account: str, changed: Iterable[PositionKey] | None = None) -> AccountReport:
        """The whole account, or only what has just ``changed``."""
        wallets, is_partial = self.wallets, changed is not None
        live = tuple(oid for oid, item in wallets.resting.items() if item.order.venue == account)
        holdings = wallets.of(account) if changed is None else {key: wallets.holding(key) for key in changed}
        return AccountReport(
            account=account,
            observed_at=self.tape.time(),
            received_ns=self._clock.monotonic_ns(),
            holdings=holdings,
            covers=self._covers[account],
            margin=wallets.margin(account),
            open_notional={key: wallets.cost(key) for key in holdings if key.kind is Kind.PERP},
            open_order_ids=() if is_partial else live,
            is_partial=is_partial,
        )

    # ---------------------------------------------------------------------------------------------------- orders
    def submit(self, order: Order, share: Decimal = Decimal(1)) -> list[FeedEvent]:
        """Take an order; of what it could fill only ``share`` is there. Raises OrderRejectedError, nothing changed.

        An id that was accepted before is the same order: what is known of it is said again. A cancel order has no life
        of its own: what it says is said of its target.
        """
        if known := self.tape.trades_of(order.order_id):
            return list(known)
        match order.operation:
            case OrderOperation.SPOT_TRADE | OrderOperation.PERP_TRADE:
                return self._trade(order, share)
            case OrderOperation.TRANSFER:
                return self._transfer(order)
            case OrderOperation.STOP | OrderOperation.TAKE_PROFIT:
                return self._hold(order)
            case OrderOperation.CANCEL if self.tape.trades_of(order.memo or ""):
                return self.cancel(order.memo or "")
            case OrderOperation.CANCEL:
                raise reject(order, f"its target {order.memo} is unknown", ErrorClass.BAD_PARAMS, "UNKNOWN_ORDER")
            case _:
                raise reject(order, f"{order.operation} is not taken here", ErrorClass.BAD_PARAMS, "OPERATION")

    def cancel(self, order_id: str, state: OrderState = S.CANCELLED) -> list[FeedEvent]:
        """End a live order; nothing when it is not live any more."""
        item = self.wallets.resting.pop(order_id, None)
        return [self.tape.state(item.order, state, item.remaining)] if item else []

    def _trade(self, order: Order, share: Decimal) -> list[FeedEvent]:
        instrument, depth = self.wallets.instruments.get(order.instrument), self.market.depth(order.instrument)
        if instrument is None or depth is None:
            raise reject(order, f"{order.instrument} has no book", ErrorClass.MARKET_CLOSED, "BOOK")
        limit = limit_of(order, instrument)
        check_filters(order, instrument, limit)
        most = self._reducible(order, order.quantity)
        if most <= 0:
            raise reject(order, "reduce_only would not reduce", ErrorClass.BAD_PARAMS, "REDUCE_ONLY")
        is_perp = order.operation is OrderOperation.PERP_TRADE
        (self.wallets.check_perp if is_perp else self.wallets.check_spot)(order, instrument, limit)
        available = depth.fillable(side_of(order), limit)
        if share < 1:
            available = round_down(min(available, most) * share, instrument.quantity_step)
        fills = match_now(order, limit, most, depth, available)
        return self._settle_arrival(order, Resting(order, instrument, limit, order.quantity), fills, most)

    def _settle_arrival(self, order: Order, item: Resting, fills: tuple[Fill, ...], most: Decimal) -> list[FeedEvent]:
        """Book what the order took on arrival; the rest of it stays in the book, or has expired."""
        filled = sum((fill.quantity for fill in fills), ZERO)
        if filled == order.quantity:
            state = S.FILLED
        elif time_in_force(order) not in _MAY_REST or filled == most:
            state = S.EXPIRED
        else:
            state = S.PARTIAL if filled else S.ACKED
        self.tape.accept(order)
        if state in {S.ACKED, S.PARTIAL}:
            self.wallets.resting[order.order_id] = item
        if not fills:
            return [self.tape.state(order, state, order.quantity)]
        said: list[FeedEvent] = []
        for number, fill in enumerate(fills, 1):
            said += self._fill(item, fill, state if number == len(fills) else S.PARTIAL)
        return said

    def _reducible(self, order: Order, quantity: Decimal) -> Decimal:
        """``quantity``, for a reduce_only order no more than the position on the other side."""
        if not order.reduce_only or order.instrument.kind is not Kind.PERP:
            return quantity
        return min(quantity, max(ZERO, -self.wallets.holding(order.instrument) * side_of(order).sign))

    def _transfer(self, order: Order) -> list[FeedEvent]:
        """Coin between two accounts of this venue arrives at once."""
        source, amount, recipient = order.token_in, order.quantity, order.recipient
        others = self._covers.keys() - {order.venue}
        if source is None or source.venue != order.venue or recipient is None or recipient not in others:
            why = f"from {source} to {recipient}, expected from {order.venue} to one of {sorted(others)}"
            raise reject(order, why, ErrorClass.BAD_PARAMS, "RECIPIENT")
        if amount > (free := self.wallets.free(source)):
            raise reject(order, f"needs {amount} {source}, free {free}", ErrorClass.INSUFFICIENT, "BALANCE")
        target = PositionKey.of(recipient, Kind.SPOT, source.symbol)
        self.wallets.pay(source, -amount)
        self.wallets.pay(target, amount)
        self.tape.accept(order)
        trade = self.tape.transfer(order, {source: -amount, target: amount})
        arrived = AccountChanged(target.venue, self.tape.time(), "transfer")
        return [trade, self.report(source.venue, [source]), self.report(target.venue, [target]), arrived]

    # ---------------------------------------------------------------------------------------------------- market
    def on_market(self, event: MarketEvent) -> list[FeedEvent]:
        """What follows from a market event: settlements, fills of resting orders, liquidations."""
        if type(event) is BookTick:
            self.market.see(event)
            said = self._meet_resting(event.instrument) if self.wallets.resting else []
        else:
            said = self._settle(event) if isinstance(event, FundingSettled) else []
            self.market.see(event)
        if event.instrument.kind is Kind.PERP and event.instrument.venue in self._covers:
            said += self._liquidate(event.instrument.venue)
        return said

    def _meet_resting(self, key: PositionKey) -> list[FeedEvent]:
        """A new book meets what waits for it: conditional orders first, then limits."""
        return [*self._fire(key), *self._match_resting(key)]

    def _match_resting(self, key: PositionKey) -> list[FeedEvent]:
        """Best price first, then arrival; all of them share what the book shows."""
        said: list[FeedEvent] = []
        live = [i for i in self.wallets.resting.values() if i.instrument.key == key and not i.is_conditional]
        live.sort(key=lambda item: -item.limit * side_of(item.order).sign)
        for item in live:
            most, depth = self._reducible(item.order, item.remaining), self.market.depth(key) or Depth()
            if most <= 0:
                said += self.cancel(item.order.order_id, S.EXPIRED)
            elif fill := depth.take_resting(side_of(item.order), most, item.limit):
                is_whole = fill.quantity == item.remaining
                said += self._fill(item, fill, S.FILLED if is_whole else S.PARTIAL)
                if is_whole:
                    del self.wallets.resting[item.order.order_id]
        return said

    def _hold(self, order: Order) -> list[FeedEvent]:
        """Keep a conditional order until the mark reaches its trigger; refused where it has done so."""
        instrument, mark = self.wallets.instruments.get(order.instrument), self.market.mark(order.instrument)
        if instrument is None or mark is None or order.trigger_price is None:
            raise reject(
                order, f"{order.instrument} has no mark, or the order no trigger", ErrorClass.BAD_PARAMS, "TRIGGER"
            )
        check_filters(order, instrument, order.trigger_price)
        if is_reached(order, mark):
            raise reject(order, f"mark {mark} is beyond its trigger", ErrorClass.RETRYABLE, "TRIGGERED")
        self.tape.accept(order)
        self.wallets.resting[order.order_id] = Resting(order, instrument, order.trigger_price, order.quantity)
        return [self.tape.state(order, S.ACKED, order.quantity)]

    def _fire(self, key: PositionKey) -> list[FeedEvent]:
        """Orders whose trigger the mark has reached trade at once, no further than to flat; the others wait on."""
        said: list[FeedEvent] = []
        mark = self.market.mark(key)
        for item in [
            item for item in self.wallets.resting.values() if item.is_conditional and item.instrument.key == key
        ]:
            if mark is None or not is_reached(item.order, mark):
                continue
            order_id, most = item.order.order_id, self._reducible(item.order, item.remaining)
            depth, side = self.market.depth(key) or Depth(), side_of(item.order)
            fills = [at_trigger(fill, item.order) for fill in depth.take(side, most)]
            if not fills:
                said += self.cancel(order_id, S.EXPIRED)
                continue
            del self.wallets.resting[order_id]
            whole = sum((fill.quantity for fill in fills), ZERO) == item.order.quantity
            for number, fill in enumerate(fills, 1):
                is_last = number == len(fills)
                state = S.PARTIAL if not is_last else S.FILLED if whole else S.EXPIRED
                said += self._fill(item, fill, state)
        return said

    def _settle(self, event: FundingSettled) -> list[FeedEvent]:
        """Pay funding on what was held at the instant of settlement, at the mark of that instant."""
        key, instrument = event.instrument, self.wallets.instruments.get(event.instrument)
        if instrument is None or (mark := self.market.settle(event)) is None:
            return []
        later = (t for t in self.tape.fills(key.venue, event.venue_time) if t.venue_time > event.venue_time)
        held = self.wallets.holding(key) - sum((trade.deltas.get(key, ZERO) for trade in later), ZERO)
        cash = funding_cash(held, mark, event.rate, instrument.contract_value)
        return self._pay(self.tape.funding(instrument, event.venue_time, cash)) if cash else []

    def move_money(self, key: PositionKey, amount: Decimal, cause: Cause = Cause.EXTERNAL) -> list[FeedEvent]:
        """A deposit (+) or withdrawal (-) that no order of ours asked for."""
        return self._pay(self.tape.flow(key, amount, cause))

    def trade_unasked(
        self, key: PositionKey, side: Side, quantity: Decimal, origin: Origin = Origin.ORDER, client_id: str = ""
    ) -> list[FeedEvent]:
        """A market order that is not ours, by hand or by the venue; beyond the shown depth at the last price shown."""
        instrument, depth = self.wallets.instruments[key], self.market.depth(key) or Depth()
        fills = depth.take(side, quantity)
        left = quantity - sum((fill.quantity for fill in fills), ZERO)
        price = fills[-1].price if fills else self.market.mark(key)
        if left > 0 and price is not None:
            fills = (*fills, Fill(price, left))
        return self._fill_unasked(instrument, side, fills, origin, client_id)

    def _fill_unasked(
        self, instrument: Instrument, side: Side, fills: Iterable[Fill], origin: Origin, client_id: str = ""
    ) -> list[FeedEvent]:
        said: list[FeedEvent] = []
        for fill in fills:
            trade = self.tape.fill_unasked(instrument, fill, self._move(instrument, side, fill), origin, client_id)
            said += self._with_report(trade)
        return said

    def _liquidate(self, account: str) -> list[FeedEvent]:
        """Once maintenance reaches equity: cancel orders, close positions, take the fee, let the fund fill a hole."""
        margin, wallet = self.wallets.margin(account), self.wallets.margin_key(account)
        if margin is None or wallet is None or not is_liquidated(margin):
            return []
        live = [oid for oid, item in self.wallets.resting.items() if item.order.venue == account]
        said = [event for order_id in live for event in self.cancel(order_id)]
        closed = ZERO
        for perp in self.wallets.perps(account) or ():
            side = Side.SELL if perp.quantity > 0 else Side.BUY
            said += self._force_close(perp, side)
            closed += perp.notional
        left = self.wallets.holding(wallet)
        penalty = -left if left < 0 else -min(left, closed * self._liquidation_fee)
        return [*said, *self.move_money(wallet, penalty, Cause.LIQUIDATION)] if penalty else said

    def _force_close(self, perp: PerpHolding, side: Side) -> list[FeedEvent]:
        """The whole position at what the book shows, never better than the mark: the book may not have moved yet."""
        key, quantity = perp.instrument.key, abs(perp.quantity)
        fills = (self.market.depth(key) or Depth()).take(side, quantity)
        left = quantity - sum((fill.quantity for fill in fills), ZERO)
        last = fills[-1].price if fills else perp.mark
        worse = max if side is Side.BUY else min
        fills = (*fills, Fill(last, left)) if left > 0 else fills
        forced = [replace(f, price=worse(f.price, perp.mark)) for f in fills]
        return self._fill_unasked(perp.instrument, side, forced, Origin.LIQUIDATION)

    # ----------------------------------------------------------------------------------------------------- money
    def _fill(self, item: Resting, fill: Fill, state: OrderState) -> list[FeedEvent]:
        money = self._move(item.instrument, side_of(item.order), fill)
        item.remaining -= fill.quantity
        return self._with_report(self.tape.fill(item.order, item.instrument, fill, money, state))

    def _move(self, instrument: Instrument, side: Side, fill: Fill) -> Booking:
        key = instrument.key
        money = booking(fill, side, instrument, self.wallets.holding(key), self.wallets.cost(key))
        self.wallets.apply(key, money)
        return money

    def _with_report(self, trade: Trade) -> list[FeedEvent]:
        return [trade, self.report(trade.account, trade.deltas)]

    def _pay(self, flow: CashFlow) -> list[FeedEvent]:
        self.wallets.pay(flow.key, flow.amount)
        changed = AccountChanged(flow.key.venue, flow.venue_time, flow.cause.value)
        return [changed, self.report(flow.key.venue, [flow.key])]
