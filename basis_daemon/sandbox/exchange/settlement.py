"""What the venue does to accounts by itself: funding, liquidation and transfers between wallets."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.sandbox.exchange.accounts import Account, CapitalRow, Position, TransferRow
from basis_daemon.sandbox.exchange.custody import COMPLETED, CREDITED, DEPOSIT, WITHDRAWAL
from basis_daemon.sandbox.exchange.futures import FORCED_KIND, FuturesEngine
from basis_daemon.sandbox.exchange.instruments import LIQUIDATION_FEE, Instrument, Market
from basis_daemon.sandbox.exchange.margin import margin_of
from basis_daemon.sandbox.exchange.money import ZERO, truncate8
from basis_daemon.sandbox.exchange.orders import Order, OrderRequest, from_steps, from_ticks, in_steps, is_multiple
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.venue import OrderEvent, SpotBalanceEvent, Venue, WalletEvent

ROUTES: dict[str, tuple[Market, int]] = {
    "MAIN_UMFUTURE": ("usdm", 1),
    "UMFUTURE_MAIN": ("usdm", -1),
    "MAIN_CMFUTURE": ("coinm", 1),
    "CMFUTURE_MAIN": ("coinm", -1),
}
"""Ways between the spot wallet and one of futures; 1 into the latter."""


class Settlement:
    """Funding at the settlement stamp, liquidation below maintenance, transfers at once."""

    def __init__(self, venue: Venue, futures: FuturesEngine) -> None:
        self._venue, self._futures = venue, futures

    def funding(self, symbol: str, rate: Decimal) -> None:
        """Every position pays `rate` of its value at the mark, cut to eight places: longs pay when it is positive."""
        mark = self._venue.marks.get(symbol)
        if mark is None:
            return
        for account in self._venue.futures_accounts():
            position = account.positions.get(symbol)
            if position is None or not position.quantity:
                continue
            amount = -truncate8(position.contract.value(position.quantity, mark) * rate)
            if amount:
                self._futures.book_income(account, "FUNDING_FEE", amount, symbol)
                self._venue.sink(account, WalletEvent("FUNDING_FEE", (account.margin_asset,), (), amount))

    def liquidate(self, account: Account) -> None:
        """Close positions, largest maintenance first, while the account is below maintenance."""
        if not margin_of(account, self._venue.marks).in_liquidation:
            return
        self._futures.cancel_all(account, None, "EXPIRED")
        while (worst := self._most_demanding(account)) is not None:
            self._force_close(account, account.position(worst))
        wallet = account.wallet[account.margin_asset]
        if wallet < ZERO and not any(p.quantity for p in account.positions.values()):
            self._futures.book_income(account, "INSURANCE_CLEAR", -wallet, "")
            self._venue.sink(account, WalletEvent("INSURANCE_CLEAR", (account.margin_asset,), ()))

    def _most_demanding(self, account: Account) -> str | None:
        """The tradable symbol with the largest maintenance, while the account is below maintenance."""
        state = margin_of(account, self._venue.marks)
        if not state.in_liquidation:
            return None
        tradable = [
            s for s, row in state.symbols.items() if row.maintenance and self._venue.books[account.market, s].open
        ]
        return max(tradable, key=lambda symbol: state.symbols[symbol].maintenance, default=None)

    def _force_close(self, account: Account, position: Position) -> None:
        """A liquidation order through the book; what the book cannot take goes at its last level."""
        venue, quantity, buy = self._venue, abs(position.quantity), position.quantity < ZERO
        order = self._forced_order(account, position, quantity, FORCED_KIND, f"autoclose-{venue.now_ms}")
        instrument = order.instrument
        book = venue.books[instrument.key]
        taken = book.available(None, in_steps(quantity, instrument), buy=buy)
        book.eat(taken, buy=buy)
        for ticks, steps in taken:
            self._futures.fill(
                account, order, from_ticks(ticks, instrument), from_steps(steps, instrument), maker=False
            )
        if order.remaining:
            last = from_ticks(taken[-1][0], instrument) if taken else self._printed_mark(instrument)
            self._futures.fill(account, order, last, order.remaining, maker=False)
        fee = min(truncate8(order.quote_filled * LIQUIDATION_FEE), max(ZERO, account.wallet[account.margin_asset]))
        if fee:
            self._futures.book_income(account, "INSURANCE_CLEAR", -fee, position.symbol)
            venue.sink(account, WalletEvent("INSURANCE_CLEAR", (account.margin_asset,), ()))

    def deleverage(self, account: Account, symbol: str, quantity: Decimal) -> Order:
        """Auto-deleveraging: the other side of somebody's bankruptcy closes this position, at the mark, without a fee.

        Raises `ValueError` naming what is held when that is not at least `quantity`, or `quantity` is no multiple of
        the step.
        """
        venue, position = self._venue, account.position(symbol)
        step = venue.instrument(account.market, symbol).step
        if not ZERO < quantity <= abs(position.quantity) or not is_multiple(quantity, step):
            held = f"{symbol} holds {position.quantity}"
            raise ValueError(f"cannot deleverage {quantity}: {held}, expected multiples of {step} up to that")
        order = self._forced_order(account, position, quantity, "LIMIT", "adl_autoclose")
        self._futures.fill(account, order, self._printed_mark(order.instrument), quantity, maker=False, fee_rate=ZERO)
        return order

    def _printed_mark(self, instrument: Instrument) -> Decimal:
        """The mark as a price of the contract: fills print no more places than its tick."""
        return from_ticks(int(self._venue.marks[instrument.symbol] / instrument.tick), instrument)

    def _forced_order(self, account: Account, position: Position, quantity: Decimal, kind: str, begin: str) -> Order:
        """The venue's own order against a position, accepted; a liquidation's id is made unique, as the venue does."""
        venue = self._venue
        request = OrderRequest(
            symbol=position.symbol, side="BUY" if position.quantity < ZERO else "SELL", kind=kind,
            time_in_force="IOC", quantity=quantity, reduce_only=True, foreign=True,
        )  # fmt: skip
        order_id, now = venue.next_order_id(), venue.now_ms
        client_id = f"{begin}{order_id % 1000:03d}" if kind == FORCED_KIND else begin
        order = Order(
            order_id, request, venue.instrument(account.market, position.symbol), client_id, quantity, now, now
        )
        account.store(account.market).add(order)
        venue.sink(account, OrderEvent(order, "NEW"))
        return order

    def transfer(self, account: Account, kind: str, asset: str, amount: Decimal) -> TransferRow:
        """Move `amount` between the spot and a futures wallet; raises if it is not free to leave."""
        if kind not in ROUTES:
            raise RejectError(-1100, f"Transfer type {kind} is not modelled by the sandbox exchange.")
        if amount <= ZERO:
            raise RejectError(-5001, "Transfer amount must be positive.")
        market, direction = ROUTES[kind]
        wallet = account.of_market(market)
        if asset not in wallet.wallet:
            raise RejectError(-5003, f"Asset {asset} is not accepted as futures margin.")
        if amount != truncate8(amount):
            raise RejectError(-1111, "Precision is over the maximum defined for this asset.")
        venue, spot, signed = self._venue, account.holding(asset), direction * amount
        free = spot.free if signed > ZERO else self._withdrawable(wallet, asset)
        if free < amount:
            raise RejectError(-5013, "Asset transfer failed: insufficient balance")
        spot.free -= signed
        income = self._futures.book_income(wallet, "TRANSFER", signed, "", asset=asset)
        row = TransferRow(kind, asset, amount, venue.now_ms, income.tran_id)
        account.transfers.append(row)
        account.spot_updated_ms = venue.now_ms
        venue.sink(account, SpotBalanceEvent((asset,), delta=-signed))
        venue.sink(wallet, WalletEvent("DEPOSIT" if signed > ZERO else "WITHDRAW", (asset,), (), signed))
        return row

    def capital(self, account: Account, kind: str, asset: str, amount: Decimal, fee: Decimal) -> CapitalRow:
        """The owner of the account brings or takes coin by hand; raises if it is not free to leave."""
        if kind not in (DEPOSIT, WITHDRAWAL) or amount <= ZERO or fee < ZERO:
            raise RejectError(-1100, f"Capital: {kind} of {amount} with fee {fee} is not modelled.")
        venue, holding = self._venue, account.holding(asset)
        change = amount if kind == DEPOSIT else -(amount + fee)
        if holding.free + change < ZERO:
            raise RejectError(-4026, "The user has insufficient balance available.")
        holding.free += change
        number, now = venue.next_transaction_id(), venue.now_ms
        status = CREDITED if kind == DEPOSIT else COMPLETED
        row = CapitalRow(kind, asset, amount, fee, now, number, status, now, tx_id=f"0x{number:x}", confirmations=1)
        account.capital.append(row)
        account.spot_updated_ms = venue.now_ms
        venue.sink(account, SpotBalanceEvent((asset,), delta=change))
        return row

    def _withdrawable(self, account: Account, asset: str) -> Decimal:
        if asset == account.margin_asset:
            return margin_of(account, self._venue.marks).max_withdraw
        return account.wallet[asset]
