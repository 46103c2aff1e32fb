"""Bookings that know groups: a group's transaction is booked under its first order, with all its money."""

from __future__ import annotations

from collections.abc import Sequence

from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import Clock, TradeSink
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic_receipt import MinedGroup
from basis_daemon.venues.chain.bookings import ORDERS_REMEMBERED, Bookings, Recall
from basis_daemon.venues.chain.deltas import Receipt
from basis_daemon.venues.chain.reverts import Revert
from basis_daemon.venues.chain.transactions import Attempt, TxRow


class GroupBookings(Bookings):
    """One per account, instead of ``Bookings``. A group that nobody remembers is booked alike, but for its name."""

    def __init__(self, book: AddressBook, owner: str, clock: Clock, on_trade: TradeSink, recall: Recall) -> None:
        super().__init__(book, owner, clock, on_trade, recall)
        self._groups: dict[str, tuple[Order, ...]] = {}

    def expect_group(self, orders: Sequence[Order]) -> None:
        """The next transaction under the first order's id does all of these."""
        self.expect(orders[0])
        self._groups[orders[0].order_id] = tuple(orders)
        while len(self._groups) > ORDERS_REMEMBERED:
            self._groups.pop(next(iter(self._groups)))

    def group_trades(self, row: TxRow, receipt: Receipt, why: Revert | None) -> tuple[Trade, ...]:
        """How every order of a remembered group ended; the first as it is booked, again where that was before.

        An earlier booking may have been made before anybody knew whose it was. Raises IntegrityError.
        """
        booked = self.book(row, receipt, why)
        if row.attempt is not Attempt.CANCEL:
            return (booked, *self._mined(row, receipt).trades(booked.trade_id, why, booked.recv_time)[1:])
        rest = enumerate(self._groups[row.order_id][1:], 1)
        return (booked, *(_ended_alike(booked, order, place) for place, order in rest))

    def _mined(self, row: TxRow, receipt: Receipt) -> MinedGroup:
        return MinedGroup(self._groups[row.order_id], receipt, self.moved(receipt), self._book, self._owner)

    def _trade(self, row: TxRow, receipt: Receipt, why: Revert | None) -> Trade:
        if row.order_id not in self._groups or row.attempt is Attempt.CANCEL:
            return super()._trade(row, receipt, why)
        return self._mined(row, receipt).trades(self._name(row), why, self._clock.wall())[0]


def _ended_alike(first: Trade, order: Order, place: int) -> Trade:
    """The end of another order of a group that did nothing."""
    return first.model_copy(
        update={
            "trade_id": f"{first.trade_id}/{place}",
            "order_id": order.order_id,
            "account": order.venue,
            "instrument": order.instrument,
            "deltas": {},
            "fees": (),
        }
    )
