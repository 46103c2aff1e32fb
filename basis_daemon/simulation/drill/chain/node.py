"""The chain itself: a pool, blocks of it, and the state behind every block, kept so that blocks can be taken back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.simulation.chain.books import decimals_of
from basis_daemon.simulation.chain.ledger import ChainLedger, Receipt
from basis_daemon.simulation.chain.scene import symbol_in, units_asked
from basis_daemon.simulation.chain.world import World
from basis_daemon.simulation.drill.chain.blocks import Blocks, Tx, hash_of
from basis_daemon.simulation.drill.chain.weather import GWEI, Weather
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.venues.chain.tokens import units_of

NOTHING_GAS, REVERTED_GAS = 21_000, 180_000
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction in its block: what it moved and rounded without gas, nothing when it reverted."""

    tx: Tx
    is_success: bool
    gas_used: int
    gas_price_wei: int
    deltas: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    rounding: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """Somebody else's transaction to the wallet: whole units of ether or of a token that does not rebase."""

    tx_hash: str
    coin: str
    amount: Decimal

    @property
    def units(self) -> int:
        """Base units."""
        return units_of(self.amount, decimals_of(self.coin))


@dataclass(frozen=True, slots=True)
class Block:
    """A block and the state behind it. Nobody changes one. ``received`` is what others paid in it."""

    ref: BlockRef
    parent_hash: str
    base_fee_wei: int
    mined: Mapping[str, Mined]
    nonce: int
    world: World
    requests: int
    received: Mapping[str, Payment] = field(default_factory=dict)


class NodeWatcher(Protocol):
    """Sees what the chain sees, before the daemon does."""

    def offered(self, tx: Tx, orders: Sequence[Order]) -> None:
        """A transaction reached a pool for the first time."""
        ...

    def included(self, mined: Mined, orders: Sequence[Order], block: Block) -> None:
        """A block holds it."""
        ...


class ChainNode(Blocks[Block]):
    """What no crash of a daemon touches: one wallet's chain. Calldata names orders that were registered before."""

    def __init__(self, world: World, weather: Weather, chance: Chance, address: str, watcher: NodeWatcher) -> None:
        self.weather, self.address, self._watcher = weather, address, watcher
        genesis = BlockRef(0, hash_of("genesis"), world.block.time)
        ref = replace(world.block, hash=hash_of("first"))
        first = Block(ref, genesis.hash, weather.gas_gwei * GWEI, {}, 0, world, 1)
        world.block = first.ref
        super().__init__(genesis, first, chance)
        self.orders: dict[bytes, tuple[Order, ...]] = {}
        self.payments: dict[str, Payment] = {}
        """What others want to pay to the wallet, and no block has."""
        self.ether: Decimal | None = None
        """USDT per ETH where somebody trades it; None where the chain's own oracle is all there is."""

    # ------------------------------------------------------------------------------------------------- questions
    def brought(self, tx_hash: str, until: int | None = None) -> tuple[Block, Payment] | None:
        """Somebody's payment and its block, as somebody sees it who knows the chain up to a block."""
        last = self.head.ref.number if until is None else until
        held = (b for b in reversed(self.chain) if tx_hash in b.received and b.ref.number <= last)
        return next(((block, block.received[tx_hash]) for block in held), None)

    def try_out(self, data: bytes, block: Block) -> int:
        """Gas that it would use behind this block. Raises OrderRejectedError when it would revert."""
        orders = self.orders.get(data)
        if orders is None:
            return NOTHING_GAS
        ledger, world = self._ledger(block)
        mined = self._run(ledger, Tx("0x", b"", 0, data, 10**18, 0), orders, world, block.base_fee_wei)
        return mined.gas_used

    # -------------------------------------------------------------------------------------------------- the blocks
    def pay_in(self, payment: Payment) -> None:
        """Somebody offers a payment to the wallet."""
        self.payments[payment.tx_hash] = payment

    def taken(self, tx: Tx) -> None:
        self._watcher.offered(tx, self.orders.get(tx.data, ()))

    def forget(self) -> None:
        """What others offered is forgotten as our own is."""
        for tx_hash in [one for one in self.payments if self._chance.strikes(Fault.PAYMENT_FORGOTTEN)]:
            del self.payments[tx_hash]

    def blow(self, at: datetime) -> None:
        self.weather.blow(self.head.ref.time, at)

    def undone(self, gone: Sequence[Block]) -> None:
        self.payments = {**{h: one for block in gone for h, one in block.received.items()}, **self.payments}

    def made(self, at: datetime) -> Block:
        parent = self.head
        ledger, world = self._ledger(parent)
        world.reach(at, self.ether)
        world.block = self.following(at)
        base_fee, nonce, mined = self.weather.gas_gwei * GWEI, parent.nonce, dict[str, Mined]()
        while (tx := self.picked(nonce, base_fee)) is not None:
            mined[tx.hash] = self._included(ledger, tx, world, base_fee)
            nonce += 1
        received = {h: one for h, one in self.payments.items() if not self._chance.strikes(Fault.TX_DELAYED)}
        for tx_hash, payment in received.items():
            del self.payments[tx_hash]
            world.books.tokens[payment.coin] = world.books.tokens.get(payment.coin, 0) + payment.units
        return Block(world.block, parent.ref.hash, base_fee, mined, nonce, world, ledger.next_request, received)

    def included(self, block: Block) -> None:
        for one in block.mined.values():
            self._watcher.included(one, self.orders.get(one.tx.data, ()), block)

    def _ledger(self, block: Block) -> tuple[ChainLedger, World]:
        """A state of its own behind a block."""
        before = block.world
        reserves = {symbol: copy.copy(reserve) for symbol, reserve in before.reserves.items()}
        world = replace(before, books=before.books.copy(), reserves=reserves)
        return ChainLedger(world, lambda: world.block.time, next_request=block.requests), world

    def _included(self, ledger: ChainLedger, tx: Tx, world: World, base_fee_wei: int) -> Mined:
        orders, price = self.orders.get(tx.data), min(tx.max_fee_wei, base_fee_wei + tx.tip_wei)
        found = Mined(tx, is_success=True, gas_used=NOTHING_GAS, gas_price_wei=price)
        if orders is not None:
            try:
                found = self._run(ledger, tx, orders, world, base_fee_wei)
            except OrderRejectedError:
                found = replace(found, is_success=False, gas_used=REVERTED_GAS)
        tokens = world.books.tokens
        tokens["ETH"] = tokens.get("ETH", 0) - found.gas_used * price
        return found

    def _run(self, ledger: ChainLedger, tx: Tx, orders: tuple[Order, ...], world: World, base_fee_wei: int) -> Mined:
        """Its effect on the state, without gas. Raises OrderRejectedError when it reverts: then nothing moved."""
        ledger.flows.clear()
        if orders[0].operation is OrderOperation.TRANSFER:
            symbol = symbol_in(orders[0])
            receipt = ledger.pay(orders[0], symbol, units_asked(orders[0], symbol))
        else:
            receipt = ledger.include(orders)
        tokens = world.books.tokens
        tokens["ETH"] = tokens.get("ETH", 0) + receipt.gas_units * receipt.gas_price_wei  # paid at our own price
        rounding = {flow.key: flow.amount for flow in ledger.flows if flow.cause is Cause.ROUNDING}
        return Mined(
            tx,
            is_success=True,
            gas_used=receipt.gas_units,
            gas_price_wei=min(tx.max_fee_wei, base_fee_wei + tx.tip_wei),
            deltas=receipt.deltas,
            rounding=rounding,
            receipt=receipt,
        )
