"""Follows the account's transactions and books them: each inclusion once, each reorganisation undone.

It is the account's ``TxSink``. What a transaction moved is read out of its receipt whoever sent it, so nothing depends
on an order being remembered; an order that is remembered gives the trade its name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.ports import Clock, TradeSink
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.chain_trades import beside, ended_beside, included, receipt_of, taken_back, unfilled
from basis_daemon.venues.chain.deltas import Amounts, Moved, Receipt, moved
from basis_daemon.venues.chain.names import order_of, reversal_id, trade_id
from basis_daemon.venues.chain.reverts import Revert
from basis_daemon.venues.chain.transactions import Attempt, TxEvent, TxRow
from basis_daemon.venues.chain.transfers import in_transit

Recall = Callable[[str], Trade | None]
"""Finds a booked trade by its id, in the journal of an earlier run."""

ORDERS_REMEMBERED = 10_000
UNDONE_REMEMBERED = 100
_IN_CHAIN = frozenset({OrderState.INCLUDED, OrderState.REVERTED, OrderState.FINAL})


class Bookings:
    """One per account. ``on_trade`` hears every booking at least once; ``recall`` knows those of earlier runs."""

    def __init__(self, book: AddressBook, owner: str, clock: Clock, on_trade: TradeSink, recall: Recall) -> None:
        self._book, self._owner, self._clock = book, owner, clock
        self._on_trade, self._recall = on_trade, recall
        self._orders: dict[str, Order] = {}
        self._receipts: dict[str, Receipt] = {}
        self._trades: dict[str, Trade] = {}
        self._again: set[str] = set()
        self._awaited: set[str] = set()
        self.undone: deque[Receipt] = deque(maxlen=UNDONE_REMEMBERED)
        """Inclusions that a reorganisation took back in this run, newest last."""
        self.taken_back: deque[Trade] = deque(maxlen=UNDONE_REMEMBERED)
        """What undid a booking, those of earlier runs too that a start tells again, newest last."""

    def expect(self, order: Order) -> None:
        """The next transaction of this id is this order's, and somebody waits for what becomes of it."""
        self._orders[order.order_id] = order
        self._awaited.add(order.order_id)
        while len(self._orders) > ORDERS_REMEMBERED:
            oldest = next(iter(self._orders))
            del self._orders[oldest]
            self._awaited.discard(oldest)

    def __call__(self, event: TxEvent) -> None:
        """A ``TxSink``: books, or takes back."""
        row = event.row
        if row.state is OrderState.REORGED:
            self._take_back(row)
        elif row.state in _IN_CHAIN and event.receipt is not None:
            receipt = receipt_of(row, event.receipt)
            self._receipts[_at(row.hash, row.block_hash)] = receipt
            while len(self._receipts) > ORDERS_REMEMBERED:
                self._receipts.pop(next(iter(self._receipts)))
            if not self._is_awaited(row, receipt):
                self.book(row, receipt)

    def receipt(self, row: TxRow) -> Receipt | None:
        """That of a row in the chain, when it was told in this run."""
        return self.receipt_at(row.hash, row.block_hash)

    def receipt_at(self, tx_hash: str, block_hash: str) -> Receipt | None:
        """The same, by transaction and block."""
        return self._receipts.get(_at(tx_hash, block_hash))

    def since(self, when: datetime) -> list[Receipt]:
        """Those of blocks from that market time on, as told in this run; a start tells again what is not final."""
        return [receipt for receipt in self._receipts.values() if receipt.block.time >= when]

    def trade(self, row: TxRow) -> Trade | None:
        """What a row in the chain was booked as in this run."""
        return self._trades.get(self._name(row))

    def book(self, row: TxRow, receipt: Receipt, why: Revert | None = None) -> Trade:
        """The trade of an inclusion, told to the sink; ``why`` it reverted, when that is known."""
        name = self._name(row)
        trade = self._of_earlier(row, name) or self._new(row, receipt, why).model_copy(update={"trade_id": name})
        self._awaited.discard(row.order_id)
        self._tell(trade)
        return trade

    def _of_earlier(self, row: TxRow, name: str) -> Trade | None:
        """What an earlier run told of an order that this one does not know."""
        return None if row.order_id in self._orders else self._recall(name)

    def _new(self, row: TxRow, receipt: Receipt, why: Revert | None) -> Trade:
        trade = self._trade(row, receipt, why)
        if row.order_id not in self._again and self._name(row) == trade_id(row.hash, row.block_hash):
            return trade
        again = trade.model_copy(update={"qty_base": Decimal(0)})  # what was filled once is not filled twice
        return again if row.order_id in self._orders else ended_beside(again, row, receipt)

    def moved(self, receipt: Receipt) -> Moved:
        """What a transaction did to the account."""
        return moved(receipt, self._book, self._owner)

    def _is_awaited(self, row: TxRow, receipt: Receipt) -> bool:
        """A revert that somebody waits for is booked by him, with its reason; everything else at once."""
        return not receipt.is_success and row.order_id in self._awaited

    def _trade(self, row: TxRow, receipt: Receipt, why: Revert | None) -> Trade:
        now, order = self._clock.wall(), self._orders.get(row.order_id)
        if order is None:
            return beside(order_of(row.order_id), receipt, self._deltas(receipt), now)
        if row.attempt is Attempt.CANCEL:
            return unfilled(order, receipt, OrderState.CANCELLED, None, now)
        if not receipt.is_success:
            return unfilled(order, receipt, OrderState.REJECTED, why, now)
        return included(order, receipt, self._deltas(receipt), now)

    def _deltas(self, receipt: Receipt) -> Amounts:
        """What it moved, with what is on its way to an account of ours."""
        return in_transit(receipt, self.moved(receipt).deltas, self._book)

    def _take_back(self, row: TxRow) -> None:
        receipt = self._receipts.pop(_at(row.hash, row.block_hash), None)
        if receipt is not None:
            self.undone.append(receipt)
        self._again.add(row.order_id)
        undoings = self._undoings(row)
        trade = self._told(trade_id(row.hash, row.block_hash, len(undoings)))
        if trade is not None:
            undoings.append(taken_back(trade, self._clock.wall()))
            self._tell(undoings[-1])
        self.taken_back.extend(undoings[-1:])

    def _tell(self, trade: Trade) -> None:
        self._trades[trade.trade_id] = trade
        while len(self._trades) > ORDERS_REMEMBERED:
            self._trades.pop(next(iter(self._trades)))
        self._on_trade(trade)

    def _name(self, row: TxRow) -> str:
        """The trade id: a block that came back after it was gone is another booking, also of an earlier run."""
        return trade_id(row.hash, row.block_hash, len(self._undoings(row)))

    def _undoings(self, row: TxRow) -> list[Trade]:
        """What took the bookings of a row in its block back, oldest first."""
        found: list[Trade] = []
        while undoing := self._told(reversal_id(trade_id(row.hash, row.block_hash, len(found)))):
            found.append(undoing)
        return found

    def _told(self, name: str) -> Trade | None:
        return self._trades.get(name) or self._recall(name)


def _at(tx_hash: str, block_hash: str) -> str:
    return f"{tx_hash}:{block_hash}"
