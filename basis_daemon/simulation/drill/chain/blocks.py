"""Blocks and the pool before them: who replaces whom, what is dropped or delayed, and which blocks are taken back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Generic, Protocol, TypeVar

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from basis_daemon.domain.chain import BlockRef
from basis_daemon.simulation.drill.chance import Chance, Fault

REORG_MAX = 3
"""Blocks that are taken back at most."""
REORG_SPAN = timedelta(minutes=10)
"""Of market time: what is older is final."""
BUMP_NUMERATOR, BUMP_DENOMINATOR = 11, 10
"""What a replacement has to offer more, on both fields."""


@dataclass(frozen=True, slots=True)
class Tx:
    """A signed transaction as the pool keeps it."""

    hash: str
    raw: bytes
    nonce: int
    data: bytes
    max_fee_wei: int
    tip_wei: int
    to: str = ""
    value_wei: int = 0
    gas: int = 0
    chain_id: int = 0


class Minted(Protocol):
    """A block and what it holds; ``nonce`` is the first that is free behind it. Nobody changes one."""

    @property
    def ref(self) -> BlockRef: ...
    @property
    def nonce(self) -> int: ...
    @property
    def mined(self) -> Mapping[str, Any]: ...


B = TypeVar("B", bound=Minted)


class Blocks(ABC, Generic[B]):
    """The chain of one wallet, as a crash of its owner leaves it."""

    def __init__(self, genesis: BlockRef, first: B, chance: Chance) -> None:
        self._chance = chance
        self.genesis = genesis
        self.chain = [first]
        self.blocks: dict[str, B] = {first.ref.hash: first}
        self.pool: dict[str, Tx] = {}
        self.reorgs = 0
        self._number = 0

    # ------------------------------------------------------------------------------------------------- questions
    @property
    def head(self) -> B:
        """The newest block."""
        return self.chain[-1]

    def is_canonical(self, block: B) -> bool:
        """True while it is in the chain."""
        place = block.ref.number - self.chain[0].ref.number
        return 0 <= place < len(self.chain) and self.chain[place] is block

    def holder(self, tx_hash: str, until: int) -> B | None:
        """The block that holds this transaction, as somebody sees it who knows the chain up to a block."""
        return next((b for b in reversed(self.chain) if tx_hash in b.mined and b.ref.number <= until), None)

    # --------------------------------------------------------------------------------------------------- the pool
    def offer(self, raw: bytes) -> str:
        """Take a signed transaction; what it is refused for is the text of a node's error, else empty."""
        tx = read_tx(raw)
        if tx.hash in self.pool:
            return "already known"
        if refusal := self.refusal(tx):
            return refusal
        if tx.nonce < self.head.nonce:
            return "already known" if self.holder(tx.hash, self.head.ref.number) else "nonce too low"
        rival = next((one for one in self.pool.values() if one.nonce == tx.nonce), None)
        if rival is not None and not _outbids(tx, rival):
            return "replacement transaction underpriced"
        self.taken(tx)
        if rival is not None:
            del self.pool[rival.hash]
        self.pool[tx.hash] = tx
        return ""

    def refusal(self, tx: Tx) -> str:
        """Why no node takes it, whatever else is in the pool; empty where nothing speaks against it."""
        del tx
        return ""

    @abstractmethod
    def taken(self, tx: Tx) -> None:
        """It is about to come into the pool for the first time, or again."""

    # -------------------------------------------------------------------------------------------------- the blocks
    def tick(self, at: datetime) -> None:
        """The next block, or another past of some blocks and a longer one."""
        for tx_hash in [one for one in self.pool if self._chance.strikes(Fault.TX_DROPPED)]:
            del self.pool[tx_hash]
        self.forget()
        self.blow(at)
        depth = self._young(1 + self._chance.below(REORG_MAX))
        if self._chance.strikes(Fault.REORGED) and depth:
            self.take_back(depth)
        self.mine(at)

    def _young(self, most: int) -> int:
        """Blocks at the head that a chain may still take back: none of hours ago, nor the first one."""
        newest = self.chain[max(len(self.chain) - most, 1) :]
        return sum(self.head.ref.time - block.ref.time < REORG_SPAN for block in newest)

    def take_back(self, depth: int) -> None:
        """The last blocks are replaced by as many others; what they held is in the pool again, or forgotten."""
        self.reorgs += 1
        gone, self.chain = self.chain[-depth:], self.chain[:-depth]
        self.pool = {**{h: mined.tx for block in gone for h, mined in block.mined.items()}, **self.pool}
        self.undone(gone)
        for block in gone:
            self.mine(block.ref.time)

    def mine(self, at: datetime) -> None:
        """A block on top of the head, of what the pool has for it."""
        self._number += 1
        block = self.made(at)
        self.chain.append(block)
        self.blocks[block.ref.hash] = block
        self.included(block)
        self.pool = {h: tx for h, tx in self.pool.items() if tx.nonce >= block.nonce}

    def forget(self) -> None:
        """What else nodes keep until a block has it may get lost now."""

    def undone(self, gone: Sequence[B]) -> None:
        """These blocks were taken back."""

    @abstractmethod
    def blow(self, at: datetime) -> None:
        """The weather of the next block."""

    @abstractmethod
    def made(self, at: datetime) -> B:
        """It; what it holds is taken out of the pool by ``picked``."""

    @abstractmethod
    def included(self, block: B) -> None:
        """It is in the chain."""

    def following(self, at: datetime) -> BlockRef:
        """What the block on top of the head is called."""
        parent = self.head.ref
        return BlockRef(parent.number + 1, hash_of(f"{parent.hash}:{self._number}"), at)

    def picked(self, nonce: int, base_fee_wei: int) -> Tx | None:
        """What the pool has for this nonce, unless it has to wait."""
        fit = (tx for tx in self.pool.values() if tx.nonce == nonce and tx.max_fee_wei >= base_fee_wei)
        tx = next(fit, None)
        if tx is None or self._chance.strikes(Fault.TX_DELAYED):
            return None
        del self.pool[tx.hash]
        return tx


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
        to="0x" + HexBytes(fields["to"]).hex(),
        value_wei=int(fields["value"]),
        gas=int(fields["gas"]),
        chain_id=int(fields["chainId"]),
    )


def _outbids(tx: Tx, rival: Tx) -> bool:
    return all(
        new * BUMP_DENOMINATOR >= old * BUMP_NUMERATOR
        for new, old in ((tx.max_fee_wei, rival.max_fee_wei), (tx.tip_wei, rival.tip_wei))
    )


def hash_of(text: str) -> str:
    """A name of 32 bytes."""
    return "0x" + sha256(text.encode()).hexdigest()
