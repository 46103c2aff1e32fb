"""The futures' state machine: orders, netted positions and fills of one venue, one-way mode, cross margin.

Linear and inverse contracts differ in what a quantity stands for and in whose coin, and in nothing else here.
"""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.sandbox.exchange.accounts import Account, IncomeRow, Position
from basis_daemon.sandbox.exchange.book import Book
from basis_daemon.sandbox.exchange.instruments import MAX_OPEN_ORDERS, Instrument, most_notional
from basis_daemon.sandbox.exchange.margin import Resting, margin_of, resting_of, symbol_margin
from basis_daemon.sandbox.exchange.money import ZERO, nearest8, truncate8
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
    RejectError,
    futures_closed,
    futures_duplicate,
    futures_fill_or_kill,
    futures_margin,
    futures_min_notional,
    futures_post_only,
    futures_reduce_only,
    missing,
    unknown_cancel,
)
from basis_daemon.sandbox.exchange.venue import OrderEvent, Venue, WalletEvent

KINDS = ("LIMIT", "MARKET")
FORCED_KIND = "LIQUIDATION"
"""The type of the orders by which the venue closes what has no margin; their fills are CALCULATED."""
Taken = list[tuple[int, int]]


class FuturesEngine:
    """Places, matches and cancels futures orders; every change of a wallet is an income row or a fill."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def place(self, account: Account, request: OrderRequest) -> Order:
        """The accepted order, filled as far as it goes; raises `RejectError` and changes nothing if it is refused."""
        instrument = self._venue.instrument(account.market, request.symbol)
        if request.kind.startswith(("STOP", "TAKE_PROFIT", "TRAILING_STOP")):
            raise RejectError(
                -4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            )
        require_known(request, KINDS)
        _check_mode(account, request)
        order_id = self._venue.next_order_id()
        client_id = client_id_or(request, f"sandbox{order_id}")
        store = account.store(account.market)
        if store.has_open(client_id):
            raise futures_duplicate()
        if len(store.open) >= MAX_OPEN_ORDERS:
            raise RejectError(-2025, "Reach max open order limit.")
        book = self._venue.open_book(instrument, futures_closed)
        quantity = self._checked_quantity(request, instrument)
        now = self._venue.now_ms
        order = Order(order_id, request, instrument, client_id, quantity, now, now)
        taken = self._takeable(account, order, book)
        if request.reduce_only and not _reduces(account.position(request.symbol), request):
            raise futures_reduce_only()
        if request.time_in_force == "GTX" and taken:
            raise futures_post_only()
        if request.time_in_force == "FOK" and sum(q for _, q in taken) * instrument.step < quantity:
            raise futures_fill_or_kill()
        self._check_margin(account, order, book, taken)
        store.add(order)
        self._venue.sink(account, OrderEvent(order, "NEW"))
        book.eat(taken, buy=request.buy)
        for ticks, steps in taken:
            self.fill(account, order, from_ticks(ticks, instrument), from_steps(steps, instrument), maker=False)
        if order.live and (request.kind == "MARKET" or request.time_in_force in ("IOC", "FOK")):
            self._finish(account, order, "EXPIRED")
        return order

    def amend(self, account: Account, order: Order | None, quantity: Decimal, price: Decimal) -> Order:
        """A resting limit order moved to a new price and quantity, losing its place in the queue."""
        if order is None or not order.live:
            raise unknown_cancel()
        if quantity <= order.filled:
            raise RejectError(-4028, f"Quantity {quantity} is not above the {order.filled} already filled.")
        request = OrderRequest(
            symbol=order.symbol,
            side=order.request.side,
            kind="LIMIT",
            time_in_force=order.request.time_in_force,
            quantity=quantity,
            price=price,
            reduce_only=order.request.reduce_only,
        )
        book = self._venue.open_book(order.instrument, futures_closed)
        self._checked_quantity(request, order.instrument)
        before = order.request, order.quantity
        order.request, order.quantity = request, quantity
        taken = self._takeable(account, order, book)
        try:
            self._check_margin(account, order, book, taken)
        except RejectError:
            order.request, order.quantity = before
            raise
        order.updated_ms = self._venue.now_ms
        self._venue.sink(account, OrderEvent(order, "AMENDMENT"))
        book.eat(taken, buy=order.buy)
        for ticks, steps in taken:
            self.fill(
                account, order, from_ticks(ticks, order.instrument), from_steps(steps, order.instrument), maker=False
            )
        return order

    def cancel(self, account: Account, order: Order | None) -> Order:
        if order is None or not order.live:
            raise unknown_cancel()
        self._finish(account, order, "CANCELED")
        return order

    def overfill(self, account: Account, order: Order, quantity: Decimal) -> Fill:
        """One more trade of an order that was filled already, at its average price."""
        return self.fill(account, order, order.average, quantity, maker=False)

    def cancel_all(self, account: Account, symbol: str | None, status: str = "CANCELED") -> int:
        resting = list(account.store(account.market).resting(symbol))
        for order in resting:
            self._finish(account, order, status)
        return len(resting)

    def match_resting(self, account: Account) -> None:
        """Fill resting orders that the book now crosses, at their own price; reduce-only never past flat."""
        for order in account.store(account.market).resting():
            book = self._venue.books[order.instrument.key]
            if order.request.reduce_only and not _reduces(account.position(order.symbol), order.request):
                self._finish(account, order, "EXPIRED")
                continue
            taken = self._takeable(account, order, book)
            book.eat(taken, buy=order.buy)
            for _, steps in taken:
                self.fill(account, order, order.price, from_steps(steps, order.instrument), maker=True)

    def fill(
        self,
        account: Account,
        order: Order,
        price: Decimal,
        quantity: Decimal,
        *,
        maker: bool,
        fee_rate: Decimal | None = None,
    ) -> Fill:
        """One trade: position netted at exact cost, profit and commission booked to the wallet as income."""
        venue, position = self._venue, account.position(order.symbol)
        notional = order.instrument.value(quantity, price)
        realised = net(position, quantity if order.buy else -quantity, price)
        position.updated_ms = venue.now_ms
        position.realised += realised
        rate = venue.fees.of_futures(account.market, maker=maker)
        fee = truncate8(notional * (rate if fee_rate is None else fee_rate))
        fill = Fill(
            trade_id=venue.next_trade_id(),
            order_id=order.order_id,
            symbol=order.symbol,
            buy=order.buy,
            price=price,
            quantity=quantity,
            quote=notional,
            fee=fee,
            fee_asset=account.margin_asset,
            realised=realised,
            maker=maker,
            at_ms=venue.now_ms,
        )
        if realised:
            self.book_income(account, "REALIZED_PNL", realised, order.symbol, str(fill.trade_id))
        if fee:
            self.book_income(account, "COMMISSION", -fee, order.symbol, str(fill.trade_id))
        account.store(account.market).record(order, fill)
        venue.sink(account, WalletEvent("ORDER", (account.margin_asset,), (order.symbol,)))
        venue.sink(account, OrderEvent(order, "CALCULATED" if order.request.kind == FORCED_KIND else "TRADE", fill))
        return fill

    def book_income(
        self, account: Account, kind: str, amount: Decimal, symbol: str, trade_id: str = "", asset: str = ""
    ) -> IncomeRow:
        """`amount` added to the wallet under its cause; the sum of all rows is the wallet's whole history."""
        asset = asset or account.margin_asset
        account.wallet[asset] = account.wallet.get(asset, ZERO) + amount
        row = IncomeRow(kind, symbol, amount, asset, self._venue.now_ms, self._venue.next_transaction_id(), trade_id)
        account.income.append(row)
        return row

    def _finish(self, account: Account, order: Order, status: str) -> None:
        account.store(account.market).close(order, status, self._venue.now_ms)
        self._venue.sink(account, OrderEvent(order, status))

    def _takeable(self, account: Account, order: Order, book: Book) -> Taken:
        """What the book offers the order now; a reduce-only order takes no more than the position."""
        most = order.remaining
        if order.request.reduce_only:
            most = min(most, abs(account.position(order.symbol).quantity))
        return book.available(order.limit_ticks, in_steps(most, order.instrument), buy=order.buy)

    def _checked_quantity(self, request: OrderRequest, instrument: Instrument) -> Decimal:
        quantity = request.quantity
        if quantity is None:
            raise missing("quantity")
        if not is_multiple(quantity, instrument.step):
            raise RejectError(-1111, "Precision is over the maximum defined for this asset.")
        most = instrument.market_max_qty if request.kind == "MARKET" else instrument.max_qty
        if quantity > most:
            raise RejectError(-4005, f"Quantity greater than max quantity {most}.")
        mark = self._venue.marks[instrument.symbol]
        price = mark
        if request.kind == "LIMIT":
            if request.price is None or request.price == ZERO:
                raise missing("price")
            price = request.price
            if not is_multiple(price, instrument.tick):
                raise RejectError(-4014, "Price not increased by tick size.")
            if request.buy and price > mark * instrument.price_up:
                raise RejectError(-4016, f"Limit price can't be higher than {nearest8(mark * instrument.price_up)}.")
            if not request.buy and price < mark * instrument.price_down:
                raise RejectError(-4024, f"Limit price can't be lower than {nearest8(mark * instrument.price_down)}.")
        if not request.reduce_only and quantity * price < instrument.min_notional:
            raise futures_min_notional(instrument.min_notional)
        return quantity

    def _check_margin(self, account: Account, order: Order, book: Book, taken: Taken) -> None:
        """What the order adds must be covered: initial margin at its leverage plus the loss it opens with."""
        if order.request.reduce_only:
            return
        mark, position = self._venue.marks[order.symbol], account.position(order.symbol)
        price = order.price if order.request.price is not None else mark
        if taken and order.request.price is None:
            price = from_ticks(taken[-1][0], order.instrument)
        if not order.buy and book.bids:
            price = max(price, from_ticks(next(iter(book.bids)), order.instrument))
        own, added = resting_of(account, order.symbol, order), order.instrument.value(order.remaining, price)
        grown = Resting(own.bids + added, own.asks) if order.buy else Resting(own.bids, own.asks + added)
        before, after = symbol_margin(position, mark, own), symbol_margin(position, mark, grown)
        required = after.order_initial - before.order_initial
        if required <= ZERO:
            return
        total = abs(before.notional) + after.order_initial * position.leverage
        if total > most_notional(position.tiers, position.leverage):
            raise RejectError(-2027, "Exceeded the maximum allowable position at current leverage.")
        signed = order.quantity if order.buy else -order.quantity
        paid, worth = order.instrument.value(signed, price), order.instrument.value(signed, mark)
        required += max(ZERO, -order.instrument.profit(worth, paid))
        if margin_of(account, self._venue.marks, order).available < required:
            raise futures_margin()


def net(position: Position, quantity: Decimal, price: Decimal) -> Decimal:
    """Apply a signed fill to `position`; returns the realised profit, cut to eight places.

    What the cut leaves behind stays in the open cost. At flat the cost is exactly zero: of linear contracts because all
    their numbers end, of inverse ones because the venue keeps what has no eighth place.
    """
    held, contract = position.quantity, position.contract
    closing = ZERO if held * quantity >= ZERO else min(abs(held), abs(quantity))
    realised = ZERO
    if closing:
        sold = closing if held > ZERO else -closing
        cost = position.cost if closing == abs(held) else position.cost * closing / abs(held)
        realised = truncate8(contract.profit(contract.value(sold, price), cost))
    position.quantity = held + quantity
    cost = position.cost + contract.value(quantity, price) + contract.profit(realised, ZERO)
    position.cost = cost if position.quantity else ZERO
    return realised


def _reduces(position: Position, request: OrderRequest) -> bool:
    return position.quantity < ZERO if request.buy else position.quantity > ZERO


def _check_mode(account: Account, request: OrderRequest) -> None:
    if account.hedge_mode or request.position_side != "BOTH":
        raise RejectError(-4061, "Order's position side does not match user's setting.")
    if account.position(request.symbol).margin_type != "CROSSED":
        raise RejectError(
            -4054, "The sandbox exchange models cross margin only: set marginType CROSSED before trading."
        )
