"""What must hold on the chain at every offer and block, and between chain and book at the end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import OrderState
from basis_daemon.simulation.drill.chain.blocks import Tx
from basis_daemon.simulation.drill.chain.node import Block, ChainNode, Mined
from basis_daemon.simulation.drill.checks import Checks
from basis_daemon.venues.chain.tokens import REBASING

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

ACCRUES = frozenset({Kind.ATOKEN, Kind.VDEBT, Kind.SHARE})
NEAR = Decimal("1e-5")
"""Of a balance that grows by itself: what it does within the blocks between the book's newest look and the head."""
DUST = Decimal("0.0001")
"""Of a token that rebases while it passes through the wallet: what a reconciliation lets stand, too."""
LTV_SLACK = Decimal("0.03")
ZERO = Decimal(0)


@dataclass(slots=True)
class ChainChecks:
    """Honours ``NodeWatcher``. ``ltv_most`` is what the book may borrow against its collateral."""

    checks: Checks
    ltv_most: Decimal
    offers: set[str] = field(default_factory=set)
    _nonces: dict[int, str] = field(default_factory=dict)

    def offered(self, tx: Tx, orders: Sequence[Order]) -> None:
        """I1: on disk before any pool has it. I11: a nonce is one order's. I8: no new debt after a halt."""
        checks, disk = self.checks, self.checks.disk
        checks.note(checks.loop.now_ns, "offered", tx.hash)
        if disk is None or tx.hash not in disk.durable_intents:
            checks.fail("I1", f"transaction {tx.hash} was offered before it was on disk")
        for order in orders:
            if disk is None or order.order_id not in disk.durable_intents:
                checks.fail("I1", f"{order.order_id} was offered without a durable intent")
        if not orders:
            return
        checks.orders += tx.hash not in self.offers
        self.offers.add(tx.hash)
        first = orders[0].order_id
        if not checks.is_armed and (disk is None or first not in disk.inherited):  # what was signed before goes on
            checks.fail("I12", f"{first} left a daemon that was never armed")
        if self._nonces.setdefault(tx.nonce, first) != first:
            checks.fail("I11", f"nonce {tx.nonce} was given to {self._nonces[tx.nonce]} and to {first}")
        borrows = any(order.operation is OrderOperation.BORROW for order in orders)
        if checks.is_halted and borrows and first not in checks.under_way:
            checks.fail("I8", f"{first} borrows after the halt was acknowledged")

    def included(self, mined: Mined, orders: Sequence[Order], block: Block) -> None:
        """I5: what the position owes stays within its mandate."""
        checks = self.checks
        checks.note(checks.loop.now_ns, "mined", mined.tx.hash, mined.is_success)
        checks.fills += bool(orders) and mined.is_success
        report = block.world.report()
        if report is None or not report.debt:
            return
        if not any(order.operation is OrderOperation.BORROW for order in orders) or not mined.is_success:
            return
        if report.debt > report.collateral * (self.ltv_most + LTV_SLACK):
            checks.fail("I5", f"{orders[0].order_id} left a debt of {report.debt} against {report.collateral}")

    def at_rest(self, node: ChainNode, daemon: Daemon) -> None:
        """I2, I3, I10: the chain did nothing twice, and book and chain are equal."""
        done: dict[bytes, str] = {}
        for block in node.chain:
            for tx_hash, mined in block.mined.items():
                if mined.is_success and mined.tx.data and done.setdefault(mined.tx.data, tx_hash) != tx_hash:
                    self.checks.fail("I2", f"{mined.tx.data.decode()} was done by {done[mined.tx.data]} and {tx_hash}")
        self._ended(node, daemon, {order.order_id for data in done for order in node.orders[data]})
        held, ledger = node.head.world.held, daemon.recorder.state.ledger
        accounts = {source.account for venue in daemon.venues for source in venue.sources if venue.chain}
        keys = {*held, *(key for key in ledger.holdings() if key.venue in accounts)}
        for key in sorted(keys, key=str):
            booked, there = ledger.holding(key), held.get(key, ZERO)
            if key.venue in accounts and abs(booked - there) > _tolerance(key, there):
                self.checks.fail("I3", f"{key}: book {booked}, chain {there}")

    def _ended(self, node: ChainNode, daemon: Daemon, done: Collection[str]) -> None:
        """I3: what was signed for is filled when the chain did it, and only then; a transfer has ends of its own."""
        orders = (order for group in node.orders.values() for order in group)
        signed = {order.order_id for order in orders if order.operation is not OrderOperation.TRANSFER}
        for order_id, life in daemon.recorder.state.orders.items():
            if order_id in signed and (order_id in done) != (life.state is OrderState.FILLED):
                self.checks.fail("I3", f"{order_id} is {life.state}, and the chain says {order_id in done}")


def _tolerance(key: PositionKey, held: Decimal) -> Decimal:
    if key.symbol in REBASING:
        return DUST
    return abs(held) * NEAR if key.kind in ACCRUES else ZERO
