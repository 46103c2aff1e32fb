"""Where money may go: recipients of the address book, by name, over the book's own network and no other."""

from __future__ import annotations

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.deltas import Amounts, Receipt
from basis_daemon.venues.chain.erc20 import TRANSFER
from basis_daemon.venues.chain.tokens import WALLET


def in_transit(receipt: Receipt, deltas: Amounts, book: AddressBook) -> Amounts:
    """What a transaction moved: what leaves for an account of ours is on its way, and ours all the time.

    Read out of the transaction itself, so that it holds when nobody remembers its order.
    """
    ours = {entry.address.lower() for entry in book.recipients.values() if entry.is_ours}
    if not receipt.is_success or _recipient(receipt.call) not in ours:
        return deltas
    under_way = {
        PositionKey.of(WALLET, Kind.TRANSIT, key.symbol): -amount for key, amount in deltas.items() if amount < 0
    }
    return {**deltas, **under_way}


def _recipient(call: Call) -> str:
    """Who is paid by a plain payment or a token's transfer; nobody by anything else."""
    if not call.data:
        return call.to.lower()
    return str(TRANSFER.arguments(call.data)[0]).lower() if call.data[:4] == TRANSFER.selector else ""
