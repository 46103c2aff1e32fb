"""Where money may go: recipients of the address book, by name, over the book's own network and no other."""

from __future__ import annotations

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.deltas import Amounts
from basis_daemon.venues.chain.tokens import WALLET


def in_transit(order: Order, deltas: Amounts, book: AddressBook) -> Amounts:
    """What a transfer moved: what leaves for an account of ours is on its way, and ours all the time."""
    recipient = book.recipients.get(order.recipient or "")
    if order.operation is not OrderOperation.TRANSFER or recipient is None or not recipient.is_ours:
        return deltas
    under_way = {
        PositionKey.of(WALLET, Kind.TRANSIT, key.symbol): -amount for key, amount in deltas.items() if amount < 0
    }
    return {**deltas, **under_way}
