"""How transactions and their bookings are named."""

from __future__ import annotations

from basis_daemon.domain.trade import REVERSAL

APPROVAL = ":approve"
"""What the id of an order's approval ends with, before its number: a transaction of its own, the order's cost."""


def trade_id(tx_hash: str, block_hash: str, leg: int = 0) -> str:
    """The dedupe key: the same transaction in another block is another booking."""
    return f"{tx_hash}:{block_hash[2:10]}:{leg}"


def order_of(tx_order_id: str) -> str:
    """The order behind a transaction, which may be its approval."""
    return tx_order_id.partition(APPROVAL)[0]


def reversal_id(name: str) -> str:
    """The id of what takes a trade back."""
    return f"{name}{REVERSAL}"
