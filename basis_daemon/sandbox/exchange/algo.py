"""Conditional orders of futures (stop and take-profit): accepted, held, triggered on the mark, cancelled."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.futures import FuturesEngine
from basis_daemon.sandbox.exchange.money import ZERO
from basis_daemon.sandbox.exchange.orders import AlgoOrder, OrderRequest, client_id_or, is_multiple
from basis_daemon.sandbox.exchange.rejects import RejectError, missing, unknown_cancel
from basis_daemon.sandbox.exchange.venue import AlgoEvent, Venue

AT_MARKET = {"STOP_MARKET": True, "TAKE_PROFIT_MARKET": True, "STOP": False, "TAKE_PROFIT": False}
MOST_OPEN = 10


class AlgoEngine:
    """Holds conditional orders. They reserve nothing: margin and filters are judged when they trigger."""

    def __init__(self, venue: Venue, futures: FuturesEngine) -> None:
        self._venue, self._futures = venue, futures

    def place(self, account: Account, request: OrderRequest, trigger: Decimal) -> AlgoOrder:
        """The held order; raises `RejectError` if it is malformed or its trigger is already reached."""
        instrument, mark = self._venue.instrument(account.market, request.symbol), self._venue.marks[request.symbol]
        if request.kind not in AT_MARKET:
            raise RejectError(-1116, f"Invalid orderType. (the sandbox exchange models {', '.join(AT_MARKET)})")
        if request.side not in ("BUY", "SELL"):
            raise RejectError(-1117, "Invalid side.")
        if not AT_MARKET[request.kind] and request.price is None:
            raise missing("price")
        if request.quantity is None and not request.close_position:
            raise missing("quantity")
        if request.quantity is not None and not is_multiple(request.quantity, instrument.step):
            raise RejectError(-1111, "Precision is over the maximum defined for this asset.")
        if trigger <= ZERO or not is_multiple(trigger, instrument.tick):
            raise RejectError(-4014, "Price not increased by tick size.")
        algo_id, now = self._venue.next_order_id(), self._venue.now_ms
        client_id = client_id_or(request, f"sandbox{algo_id}")
        held = [algo for algo in account.algos.values() if algo.status == "NEW"]
        if any(algo.client_id == client_id for algo in held):
            raise RejectError(-20132, "The client algo id is duplicated.")
        if len(held) >= MOST_OPEN:
            raise RejectError(-4045, "Reach max stop order limit.")
        algo = AlgoOrder(algo_id, client_id, request, instrument, trigger, now, now)
        if algo.reached(mark):
            raise RejectError(-2021, "Order would immediately trigger.")
        account.algos[algo_id] = algo
        self._venue.sink(account, AlgoEvent(algo))
        return algo

    def find(self, account: Account, algo_id: int | None, client_id: str | None) -> AlgoOrder | None:
        """The conditional order by id, else the newest one with the client id."""
        if algo_id is not None:
            return account.algos.get(algo_id)
        return next((algo for algo in reversed(account.algos.values()) if algo.client_id == client_id), None)

    def cancel(self, account: Account, algo: AlgoOrder | None) -> AlgoOrder:
        if algo is None or algo.status != "NEW":
            raise unknown_cancel()
        self._become(account, algo, "CANCELED")
        return algo

    def trigger(self, account: Account) -> None:
        """Place what the marks have reached; what the venue then refuses ends as rejected, with its reason."""
        for algo in [algo for algo in account.algos.values() if algo.status == "NEW"]:
            book = self._venue.books[algo.instrument.key]
            if book.open and algo.reached(self._venue.marks[algo.request.symbol]):
                algo.triggered_ms = self._venue.now_ms
                self._become(account, algo, "TRIGGERED")
                self._release(account, algo)

    def _release(self, account: Account, algo: AlgoOrder) -> None:
        request = algo.request
        quantity = request.quantity
        if request.close_position:
            quantity = abs(account.position(request.symbol).quantity)
        ordinary = replace(
            request,
            kind="MARKET" if AT_MARKET[request.kind] else "LIMIT",
            quantity=quantity,
            reduce_only=request.reduce_only or request.close_position,
            close_position=False,
            client_id=algo.client_id,
        )
        try:
            algo.order_id = self._futures.place(account, ordinary).order_id
        except RejectError as reject:
            algo.reason = reject.message
            self._become(account, algo, "REJECTED")
            return
        self._become(account, algo, "FINISHED")

    def _become(self, account: Account, algo: AlgoOrder, status: str) -> None:
        algo.status, algo.updated_ms = status, self._venue.now_ms
        self._venue.sink(account, AlgoEvent(algo))
