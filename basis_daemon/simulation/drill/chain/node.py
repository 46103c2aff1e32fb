"""The chain itself: a pool, blocks of it, and the state behind every block, kept so that blocks can be taken back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Protocol

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.simulation.chain.books import decimals_of
from basis_daemon.simulation.chain.ledger import ChainLedger, Receipt
from basis_daemon.simulation.chain.scene import symbol_in, units_asked
from basis_daemon.simulation.chain.world import World
from basis_daemon.simulation.drill.chain.weather import GWEI, Weather
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.venues.chain.tokens import units_of

NOTHING_GAS, REVERTED_GAS = 21_000, 180_000
REORG_MAX = 3
"""Blocks that are taken back at most."""
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tx:
    """A signed transaction as the pool keeps it."""

    hash: str
    raw: bytes
    nonce: int
    data: bytes
    max_fee_wei: int
    tip_wei: int


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


class ChainNode:
    """What no crash of a daemon touches: one wallet's chain. Calldata names orders that were registered before."""

    def __init__(self, world: World, weather: Weather, chance: Chance, address: str, watcher: NodeWatcher) -> None:
        self.weather, self._chance, self.address, self._watcher = weather, chance, address, watcher
        genesis = BlockRef(0, _hash("genesis"), world.block.time)
        first = Block(replace(world.block, hash=_hash("first")), genesis.hash, weather.gas_gwei * GWEI, {}, 0, world, 1)
        world.block = first.ref
        self.genesis = genesis
        self.chain = [first]
        self.blocks: dict[str, Block] = {first.ref.hash: first}
        self.pool: dict[str, Tx] = {}
        self.orders: dict[bytes, tuple[Order, ...]] = {}
        self.payments: dict[str, Payment] = {}
        """What others want to pay to the wallet, and no block has."""
        self.ether: Decimal | None = None
        """USDT per ETH where somebody trades it; None where the chain's own oracle is all there is."""
        self.reorgs = 0
        self._number = 0

    # ------------------------------------------------------------------------------------------------- questions
    @property
    def head(self) -> Block:
        """The newest block."""
        return self.chain[-1]

    def is_canonical(self, block: Block) -> bool:
        """True while it is in the chain."""
        place = block.ref.number - self.chain[0].ref.number
        return 0 <= place < len(self.chain) and self.chain[place] is block

    def holder(self, tx_hash: str, until: int) -> Block | None:
        """The block that holds this transaction, as somebody sees it who knows the chain up to a block."""
        return next((b for b in reversed(self.chain) if tx_hash in b.mined and b.ref.number <= until), None)

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

    # --------------------------------------------------------------------------------------------------- the pool
    def offer(self, raw: bytes) -> str:
        """Take a signed transaction; what it is refused for is the text of a node's error, else empty."""
        tx = read_tx(raw)
        if tx.hash in self.pool:
            return "already known"
        if tx.nonce < self.head.nonce:
            return "already known" if self.holder(tx.hash, self.head.ref.number) else "nonce too low"
        rival = next((one for one in self.pool.values() if one.nonce == tx.nonce), None)
        if rival is not None and not _outbids(tx, rival):
            return "replacement transaction underpriced"
        self._watcher.offered(tx, self.orders.get(tx.data, ()))
        if rival is not None:
            del self.pool[rival.hash]
        self.pool[tx.hash] = tx
        return ""

    def pay_in(self, payment: Payment) -> None:
        """Somebody offers a payment to the wallet."""
        self.payments[payment.tx_hash] = payment

    # -------------------------------------------------------------------------------------------------- the blocks
    def tick(self, at: datetime, ether: Decimal | None = None) -> None:
        """The next block, or another past of some blocks and a longer one; ``ether`` is its price (USDT) by then."""
        self.ether = ether or self.ether
        for tx_hash in [one for one in self.pool if self._chance.strikes(Fault.TX_DROPPED)]:
            del self.pool[tx_hash]
        for tx_hash in [one for one in self.payments if self._chance.strikes(Fault.PAYMENT_FORGOTTEN)]:
            del self.payments[tx_hash]
        self.weather.blow(self.head.ref.time, at)
        depth = 1 + self._chance.below(REORG_MAX)
        if self._chance.strikes(Fault.REORGED) and len(self.chain) > depth:
            self.take_back(depth)
        self._mine(at)

    def take_back(self, depth: int) -> None:
        """The last blocks are replaced by as many others; what they held is in the pool again, or forgotten."""
        self.reorgs += 1
        gone, self.chain = self.chain[-depth:], self.chain[:-depth]
        self.pool = {**{h: mined.tx for block in gone for h, mined in block.mined.items()}, **self.pool}
        self.payments = {**{h: one for block in gone for h, one in block.received.items()}, **self.payments}
        for block in gone:
            self._mine(block.ref.time)

    def _mine(self, at: datetime) -> None:
        parent, self._number = self.head, self._number + 1
        ledger, world = self._ledger(parent)
        world.reach(at, self.ether)
        number = parent.ref.number + 1
        world.block = BlockRef(number, _hash(f"{parent.ref.hash}:{self._number}"), at)
        base_fee, nonce, mined = self.weather.gas_gwei * GWEI, parent.nonce, dict[str, Mined]()
        while (tx := self._next(nonce, base_fee)) is not None:
            del self.pool[tx.hash]
            mined[tx.hash] = self._included(ledger, tx, world, base_fee)
            nonce += 1
        received = {h: one for h, one in self.payments.items() if not self._chance.strikes(Fault.TX_DELAYED)}
        for tx_hash, payment in received.items():
            del self.payments[tx_hash]
            world.books.tokens[payment.coin] = world.books.tokens.get(payment.coin, 0) + payment.units
        block = Block(world.block, parent.ref.hash, base_fee, mined, nonce, world, ledger.next_request, received)
        self.chain.append(block)
        self.blocks[block.ref.hash] = block
        for one in mined.values():
            self._watcher.included(one, self.orders.get(one.tx.data, ()), block)
        self.pool = {h: tx for h, tx in self.pool.items() if tx.nonce >= nonce}

    def _next(self, nonce: int, base_fee_wei: int) -> Tx | None:
        fit = (tx for tx in self.pool.values() if tx.nonce == nonce and tx.max_fee_wei >= base_fee_wei)
        tx = next(fit, None)
        return None if tx is None or self._chance.strikes(Fault.TX_DELAYED) else tx

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


def read_tx(raw: bytes) -> Tx:
    """What the bytes say."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return Tx(
        hash="0x" + keccak(raw).hex(),
        raw=raw,
        nonce=int(fields["nonce"]),
        data=bytes(HexBytes(fields["data"])),
        max_fee_wei=int(fields["maxFeePerGas"]),
        tip_wei=int(fields["maxPriorityFeePerGas"]),
    )


def _outbids(tx: Tx, rival: Tx) -> bool:
    return tx.max_fee_wei * 10 >= rival.max_fee_wei * 11 and tx.tip_wei * 10 >= rival.tip_wei * 11


def _hash(text: str) -> str:
    return "0x" + sha256(text.encode()).hexdigest()
