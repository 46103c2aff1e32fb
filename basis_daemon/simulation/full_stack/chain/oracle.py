"""The chain itself: signed transactions are recovered and checked, run on the ledger, and leave receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from eth_account import Account
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from basis_daemon.domain.chain import BlockRef
from basis_daemon.simulation.drill.chain.blocks import Blocks, Tx, hash_of
from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.full_stack.chain.contracts import NOTHING_GAS, RevertedError, call, gas_of
from basis_daemon.simulation.full_stack.chain.places import CHAIN_ID, GENESIS_HASH
from basis_daemon.simulation.full_stack.chain.state import State, opening
from basis_daemon.simulation.full_stack.chain.weather import MarketWeather
from basis_daemon.venues.chain.abi import Log

GAS_MAX = 30_000_000
"""Of a block."""
BLOCKS_READ = 8
"""Whose answers are kept: two nodes are asked the same, and the daemon asks some of it more than once."""
Message = tuple[str, str, bytes]
"""Sender, contract, calldata."""


@dataclass(frozen=True, slots=True)
class Included:
    """A transaction in its block."""

    tx: Tx
    is_success: bool
    gas_used: int
    gas_price_wei: int
    logs: tuple[Log, ...]

    @property
    def gas_wei(self) -> int:
        """What it cost."""
        return self.gas_used * self.gas_price_wei


@dataclass(frozen=True, slots=True)
class OracleBlock:
    """A block and the ledger behind it. Nobody changes one."""

    ref: BlockRef
    parent_hash: str
    base_fee_wei: int
    mined: Mapping[str, Included]
    nonce: int
    state: State


class OracleWatcher(Protocol):
    """Sees what the chain sees, before the daemon does."""

    def offered(self, tx: Tx) -> None:
        """A transaction comes into the pool."""
        ...

    def forged(self, tx: Tx, why: str) -> None:
        """One that no daemon of ours may ever sign."""
        ...

    def included(self, included: Included, block: OracleBlock) -> None:
        """A block holds it."""
        ...


class Oracle(Blocks[OracleBlock]):
    """What no crash of a daemon touches: the chain of one wallet."""

    def __init__(self, owner: str, start: datetime, chance: Chance, watcher: OracleWatcher) -> None:
        genesis = BlockRef(0, GENESIS_HASH, start)
        ref = BlockRef(1, hash_of("first"), start)
        self.weather = MarketWeather(chance)
        state = opening(int(start.timestamp()), owner)
        super().__init__(genesis, OracleBlock(ref, genesis.hash, self.weather.base_fee_wei, {}, 0, state), chance)
        self.owner, self._watcher = owner, watcher
        self._read: dict[str, dict[Message, bytes]] = {}

    # --------------------------------------------------------------------------------------------------- the pool
    def refusal(self, tx: Tx) -> str:
        """A signature or a chain that is not ours is no fault of the weather."""
        sender = Account.recover_transaction(HexBytes(tx.raw))
        if sender != self.owner or tx.chain_id != CHAIN_ID:
            self._watcher.forged(tx, f"signed by {sender} for chain {tx.chain_id}")
            return "invalid sender"
        if tx.tip_wei > tx.max_fee_wei or not NOTHING_GAS <= tx.gas <= GAS_MAX:
            self._watcher.forged(tx, f"tip {tx.tip_wei}, fee {tx.max_fee_wei}, gas {tx.gas}")
            return "intrinsic gas too low"
        if tx.value_wei + tx.gas * tx.max_fee_wei > self.head.state.ether[self.owner]:
            return "insufficient funds for gas * price + value"
        return ""

    def taken(self, tx: Tx) -> None:
        self._watcher.offered(tx)

    # -------------------------------------------------------------------------------------------------- the blocks
    def blow(self, at: datetime) -> None:
        del at
        self.weather.blow()

    def made(self, at: datetime) -> OracleBlock:
        parent = self.head
        state = self._behind(parent, at)
        self.weather.rule(state, self.owner)
        base_fee, nonce, mined = self.weather.base_fee_wei, parent.nonce, dict[str, Included]()
        while (tx := self.picked(nonce, base_fee)) is not None:
            state, mined[tx.hash] = self._run(state, tx, base_fee)
            nonce += 1
        return OracleBlock(self.following(at), parent.ref.hash, base_fee, mined, nonce, state)

    def included(self, block: OracleBlock) -> None:
        for one in block.mined.values():
            self._watcher.included(one, block)

    def read(self, block: OracleBlock, message: Message) -> bytes:
        """What it returns behind this block; raises as ``call``. Nobody changes a block, so its answers are kept."""
        if block.ref.hash not in self._read:
            self._read[block.ref.hash] = {}
            while len(self._read) > BLOCKS_READ:
                del self._read[next(iter(self._read))]
        kept = self._read[block.ref.hash]
        if message not in kept:
            kept[message] = call(block.state.copied(), *message)[0]
        return kept[message]

    def pending(self) -> State:
        """The ledger behind everything that is in the pool, as a node tries it out."""
        state, nonce = self.head.state.copied(), self.head.nonce
        for tx in sorted(self.pool.values(), key=lambda one: one.nonce):
            if tx.nonce == nonce:
                state, nonce = self._run(state, tx, self.head.base_fee_wei)[0], nonce + 1
        return state

    def _behind(self, block: OracleBlock, at: datetime) -> State:
        return replace(block.state.copied(), time=int(at.timestamp()))

    def _run(self, before: State, tx: Tx, base_fee_wei: int) -> tuple[State, Included]:
        price, units = min(tx.max_fee_wei, base_fee_wei + tx.tip_wei), gas_of(tx.data)
        if tx.data:  # what was estimated is never quite what is used
            units += int(tx.hash[-4:], 16) % (units // 20)
        state = before.copied()
        logs = self._logs(state, tx) if units <= tx.gas else None
        state = before.copied() if logs is None else state
        found = Included(tx, logs is not None, min(units, tx.gas), price, logs or ())
        state.ether[self.owner] -= found.gas_wei
        return state, found

    def _logs(self, state: State, tx: Tx) -> tuple[Log, ...] | None:
        """What it logs; None for what reverts, and then ``state`` is spoiled."""
        try:
            _, logs = call(state, self.owner, tx.to, tx.data)
        except RevertedError:
            return None
        _move(state, self.owner, to_checksum_address(tx.to), tx.value_wei)
        return tuple(logs)


def _move(state: State, giver: str, taker: str, wei: int) -> None:
    state.ether[giver] -= wei
    state.ether[taker] = state.ether.get(taker, 0) + wei
