"""A transaction's life as records: what is asked for, what is journalled, and what a record means for its order.

One order has one nonce and any number of attempts on it (the transaction, replacements, a cancel); each attempt is
known by its hash and has its own states, and at most one of them is ever in the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from basis_daemon.domain.trade import TRANSITIONS, OrderState
from basis_daemon.venues.chain.fees import Fees

if TYPE_CHECKING:
    from web3.types import TxReceipt

_IN_CHAIN = frozenset({OrderState.INCLUDED, OrderState.REVERTED, OrderState.FINAL})


@dataclass(frozen=True, slots=True)
class TxRequest:
    """What an order wants from the chain. Wei; ``deadline`` in unix seconds of chain time, from which it is cancelled.

    ``gas_limit`` None is estimated; ``fee_cap_wei`` bounds the max fee per unit of gas over all replacements.
    ``is_private`` goes to the relays alone where there are any.
    """

    order_id: str
    to: str
    data: bytes
    value: int
    fee_cap_wei: int
    gas_limit: int | None = None
    deadline: int | None = None
    is_private: bool = False


class Attempt(StrEnum):
    """What a transaction is to its order; a cancel sends nothing to ourselves and thereby frees the nonce."""

    ORIGINAL = "original"
    REPLACEMENT = "replacement"
    CANCEL = "cancel"


class TxRow(Struct, frozen=True, kw_only=True, tag="transaction"):
    """One step of one attempt, as it is journalled. Hashes and raw bytes are lower-case hex with 0x.

    ``raw_hex`` stands in the row of state SIGNED only; all else that an attempt needs for ever is in every row.
    Block and gas are those of the block that holds it, or in a row of REORGED, that held it; ``block_time`` is in unix
    seconds, the gas price wei as paid. ``is_final``: nothing will change any more.
    ``replaced_by`` is the hash that took, or is to take, this one's place.
    """

    order_id: str
    address: str
    nonce: int
    hash: str
    state: OrderState
    attempt: Attempt
    max_fee_wei: int
    tip_wei: int
    fee_cap_wei: int
    deadline: int | None
    is_private: bool
    raw_hex: str = ""
    block: int = 0
    block_hash: str = ""
    block_time: int = 0
    gas_used: int = 0
    gas_price_wei: int = 0
    replaced_by: str = ""
    is_final: bool = False
    why: str = ""

    @property
    def fees(self) -> Fees:
        return Fees(self.max_fee_wei, self.tip_wei)

    @property
    def raw(self) -> bytes:
        """The signed bytes; raises ValueError in a row that does not hold them."""
        if not self.raw_hex:
            raise ValueError(
                f"transaction {self.hash}: row of state {self.state} has no bytes, expected those of SIGNED"
            )
        return bytes.fromhex(self.raw_hex[2:])

    @property
    def is_in_chain(self) -> bool:
        """True while a block holds it, as far as is known."""
        return self.state in _IN_CHAIN


class NonceRow(Struct, frozen=True, kw_only=True, tag="nonce"):
    """Nonces of ``address`` below ``nonce`` may be of others; ``why`` says who found that to be right."""

    address: str
    nonce: int
    why: str


TxRecord = TxRow | NonceRow
"""Each is JSON text as it stands: `msgspec.json.decode(text, type=TxRecord)` reads either."""


@dataclass(frozen=True, slots=True)
class Found:
    """A receipt, known by transaction and block. Equal where everything that money depends on is equal."""

    hash: str
    block: int
    block_hash: str
    block_time: int
    is_success: bool
    gas_used: int
    gas_price_wei: int
    logs: tuple[tuple[str, tuple[str, ...], str], ...]
    receipt: TxReceipt = field(compare=False)


class TxJournal(Protocol):
    """Where records are kept; every method raises JournalError when that failed."""

    async def append_durable(self, records: Sequence[TxRecord]) -> None:
        """Return once these, and all appended before, are on disk: all of them or none."""
        ...

    def append(self, record: TxRecord) -> None:
        """Keep soon; never blocks."""
        ...

    def read(self, address: str) -> Sequence[TxRecord]:
        """All records of one address, oldest first; those of nonces that are final may be left out."""
        ...


@dataclass(frozen=True, slots=True)
class TxEvent:
    """A step as it happens, at least once each: money is booked by (hash, block hash), and taken back at REORGED.

    ``receipt`` comes with INCLUDED, REVERTED and FINAL.
    """

    row: TxRow
    receipt: TxReceipt | None = None


def steps_to(row: TxRow, target: TxRow) -> list[TxEvent]:
    """``target`` after ``row``, with BROADCAST in between where the table wants it.

    A crash or a time-out may have hidden that the bytes left; that they were mined or had to be replaced says so.
    """
    if target.state is row.state or target.state in TRANSITIONS[row.state]:
        return [TxEvent(target)]
    return [TxEvent(broadcast(row)), TxEvent(target)]


def broadcast(row: TxRow) -> TxRow:
    """The row of an attempt that is, or may be, in a pool and in no block."""
    return replace(row, state=OrderState.BROADCAST, block=0, block_hash="", block_time=0, gas_used=0, gas_price_wei=0)


def order_state_of(row: TxRow) -> OrderState | None:
    """What a row means for its order, None for nothing: a replacement's signing, a loser's end, a cancel not yet final.

    The steps of one order that this gives follow the domain's table.
    """
    state = row.state
    if row.attempt is not Attempt.ORIGINAL and state is OrderState.SIGNED:
        return None
    if row.attempt is Attempt.CANCEL and state is not OrderState.BROADCAST:
        return OrderState.DROPPED if row.is_final else None
    if state is OrderState.DROPPED and row.replaced_by:
        return None
    return state
