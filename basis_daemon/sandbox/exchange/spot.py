"""The spot market's state machine: orders, fills, fees and balances of one venue."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.book import Book
from basis_daemon.sandbox.exchange.instruments import Instrument
from basis_daemon.sandbox.exchange.money import ONE, ZERO, truncate8
from basis_daemon.sandbox.exchange.orders import (
    Fill,
    Order,
    OrderRequest,
    client_id_or,
    from_steps,
    from_ticks,
    in_steps,
    is_multiple,
    require_known,
)
from basis_daemon.sandbox.exchange.rejects import (
    missing,
    spot_closed,
    spot_duplicate,
    spot_filter,
    spot_insufficient,
    spot_would_take,
    unknown_cancel,
)
from basis_daemon.sandbox.exchange.venue import OrderEvent, SpotBalanceEvent, Venue

KINDS = ("LIMIT", "MARKET", "LIMIT_MAKER")
Taken = list[tuple[int, int]]


class SpotEngine:
    """Places, matches and cancels spot orders; every change of a balance is one fill or one lock."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def place(self, account: Account, request: OrderRequest) -> Order:
        """The accepted order, filled as far as it goes; raises `RejectError` and changes nothing if it is refused."""
        instrument = self._venue.instrument("spot", request.symbol)
        require_known(request, KINDS)
        order_id = self._venue.next_order_id()
        client_id = client_id_or(request, f"sandbox{order_id}")
        store = account.store("spot")
        if store.has_open(client_id):
            raise spot_duplicate()
        book = self._venue.open_book(instrument, spot_closed)
        quantity = self._quantity(request, instrument, book)
        self._check_filters(request, instrument, book, quantity)
        now = self._venue.now_ms
        order = Order(order_id, request, instrument, client_id, quantity, now, now)
        taken = book.available(order.limit_ticks, in_steps(quantity, instrument), buy=request.buy)
        if request.kind == "LIMIT_MAKER" and taken:
            raise spot_would_take()
        self._lock(account, order, taken)
        store.add(order)
        self._emit(account, order, "NEW")
        if request.time_in_force == "FOK" and sum(q for _, q in taken) * instrument.step < quantity:
            taken = []
        book.eat(taken, buy=request.buy)
        for ticks, steps in taken:
            self._fill(account, order, from_ticks(ticks, instrument), steps, maker=False)
        if order.live and (request.kind == "MARKET" or request.time_in_force in ("IOC", "FOK")):
            self._finish(account, order, "EXPIRED")
        return order

    def cancel(self, account: Account, order: Order | None) -> Order:
        if order is None or not order.live:
            raise unknown_cancel()
        self._finish(account, order, "CANCELED")
        return order

    def overfill(self, account: Account, order: Order, quantity: Decimal) -> None:
        """One more trade of an order that was filled already, at its average price; raises when it cannot be paid."""
        price = from_ticks(int(order.average / order.instrument.tick), order.instrument)
        holding = account.holding(order.instrument.quote if order.buy else order.instrument.base)
        amount = (order.price if order.request.price is not None else price) * quantity if order.buy else quantity
        if holding.free < amount:
            raise spot_insufficient()
        holding.free -= amount
        holding.locked += amount
        order.locked += amount
        self._fill(account, order, price, in_steps(quantity, order.instrument), maker=False)

    def match_resting(self, account: Account) -> None:
        """Fill resting orders that the book now crosses, at their own price, as far as the depth goes."""
        for order in account.store("spot").resting():
            book = self._venue.books[order.instrument.key]
            taken = book.available(order.limit_ticks, in_steps(order.remaining, order.instrument), buy=order.buy)
            book.eat(taken, buy=order.buy)
            for _, steps in taken:
                self._fill(account, order, order.price, steps, maker=True)

    def _quantity(self, request: OrderRequest, instrument: Instrument, book: Book) -> Decimal:
        if request.kind != "MARKET":
            if request.quantity is None:
                raise missing("quantity")
            if request.price is None:
                raise missing("price")
            return request.quantity
        if request.quantity is not None:
            return request.quantity
        if request.quote_quantity is None:
            raise missing("quantity")
        left, steps = request.quote_quantity, 0
        for ticks, offered in (book.asks if request.buy else book.bids).items():
            lot_cost = from_ticks(ticks, instrument) * instrument.step
            part = min(offered, int(left / lot_cost))
            steps += part
            left -= part * lot_cost
            if part < offered:
                break
        if steps == 0:
            raise spot_filter("NOTIONAL")
        return from_steps(steps, instrument)

    def _check_filters(self, request: OrderRequest, instrument: Instrument, book: Book, quantity: Decimal) -> None:
        if not is_multiple(quantity, instrument.step) or not instrument.step <= quantity <= instrument.max_qty:
            raise spot_filter("LOT_SIZE")
        reference = self._venue.last_price[instrument.key]
        if request.kind == "MARKET":
            if quantity > instrument.market_max_qty:
                raise spot_filter("MARKET_LOT_SIZE")
            price = reference
        else:
            price = request.price or ZERO
            if price <= ZERO or not is_multiple(price, instrument.tick):
                raise spot_filter("PRICE_FILTER")
            if not reference * instrument.price_down <= price <= reference * instrument.price_up:
                raise spot_filter("PERCENT_PRICE_BY_SIDE")
        if quantity * price < instrument.min_notional:
            raise spot_filter("NOTIONAL")

    def _lock(self, account: Account, order: Order, taken: Taken) -> None:
        """Move what the order may spend from free to locked; raises if it is not there."""
        instrument = order.instrument
        if not order.buy:
            asset, amount = instrument.base, order.quantity
        elif order.request.price is not None:
            asset, amount = instrument.quote, order.price * order.quantity
        else:
            asset = instrument.quote
            amount = sum((from_ticks(p, instrument) * from_steps(q, instrument) for p, q in taken), ZERO)
        holding = account.holding(asset)
        if holding.free < amount:
            raise spot_insufficient()
        holding.free -= amount
        holding.locked += amount
        order.locked = amount

    def _fill(self, account: Account, order: Order, price: Decimal, steps: int, *, maker: bool) -> None:
        instrument = order.instrument
        quantity = from_steps(steps, instrument)
        quote = price * quantity
        if order.buy:
            released = order.price * quantity if order.request.price is not None else quote
            spent, received, got = account.holding(instrument.quote), account.holding(instrument.base), quantity
            spent.free += released - quote
        else:
            released = quantity
            spent, received, got = account.holding(instrument.base), account.holding(instrument.quote), quote
        spent.locked -= released
        order.locked -= released
        received.free += got
        fee, fee_asset = self._fee(account, order, got, quote, maker=maker)
        account.holding(fee_asset).free -= fee
        now = self._venue.now_ms
        fill = Fill(
            trade_id=self._venue.next_trade_id(),
            order_id=order.order_id,
            symbol=order.symbol,
            buy=order.buy,
            price=price,
            quantity=quantity,
            quote=quote,
            fee=fee,
            fee_asset=fee_asset,
            realised=ZERO,
            maker=maker,
            at_ms=now,
        )
        account.store("spot").record(order, fill)
        if order.status == "FILLED":
            self._release(account, order)
        account.spot_updated_ms = now
        self._emit(account, order, "TRADE", fill)

    def _fee(self, account: Account, order: Order, got: Decimal, quote: Decimal, *, maker: bool) -> tuple[Decimal, str]:
        """In the received asset, or in BNB at a discount when the account asks for it and holds enough."""
        fees = self._venue.fees
        rate = fees.spot_maker if maker else fees.spot_taker
        bnb_price = self._venue.last_price.get(("spot", "BNBUSDT"))
        if account.pays_fees_in_bnb and bnb_price:
            fee = truncate8(quote * rate * (ONE - fees.bnb_discount) / bnb_price)
            if account.holding("BNB").free >= fee:
                return fee, "BNB"
        return truncate8(got * rate), order.instrument.base if order.buy else order.instrument.quote

    def _finish(self, account: Account, order: Order, status: str) -> None:
        account.store("spot").close(order, status, self._venue.now_ms)
        self._release(account, order)
        self._emit(account, order, status)

    def _release(self, account: Account, order: Order) -> None:
        holding = account.holding(order.instrument.quote if order.buy else order.instrument.base)
        holding.locked -= order.locked
        holding.free += order.locked
        order.locked = ZERO

    def _emit(self, account: Account, order: Order, execution: str, fill: Fill | None = None) -> None:
        self._venue.sink(account, OrderEvent(order, execution, fill))
        assets = {order.instrument.base, order.instrument.quote} | ({fill.fee_asset} if fill else set())
        self._venue.sink(account, SpotBalanceEvent(tuple(sorted(assets))))
