"""Calls, answers, events and errors of contracts, from their official signatures. Amounts are integers in base units.

A signature is the contract's own, types only: ``FUNCTION(inputs) -> (outputs)``. What it encodes is checked against
the deployed contracts by the tests that use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from basis_daemon.domain.errors import VenueUnreachableError

MAX = 2**256 - 1
"""What Aave reads as everything there is."""

SELECTOR_BYTES, WORD_BYTES = 4, 32
UNREADABLE = (DecodingError, OverflowError, UnicodeDecodeError)
"""What eth_abi makes of bytes that are not of the types; the last one, of a string that is no UTF-8."""


@dataclass(frozen=True, slots=True)
class Call:
    """One message to a contract: checksummed address, calldata, ether sent along in wei."""

    to: str
    data: bytes = b""
    value_wei: int = 0

    def __repr__(self) -> str:
        return f"Call({self.to}, 0x{self.data.hex()}, {self.value_wei} wei)"


@dataclass(frozen=True, slots=True)
class Log:
    """One event as the chain recorded it; ``index`` is its place in the block."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    index: int = 0


@dataclass(frozen=True, slots=True)
class Function:
    """One function of a contract; made by ``function``."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    selector: bytes

    def __call__(self, to: str, *arguments: object, value_wei: int = 0) -> Call:
        """The call; raises eth_abi's EncodingError for arguments that are not of its types."""
        return Call(to, self.selector + encode(self.inputs, arguments), value_wei)

    def answer(self, data: bytes) -> tuple[Any, ...]:
        """What it returned; raises VenueUnreachableError for what cannot be its answer (no code there)."""
        try:
            return tuple(decode(self.outputs, data))
        except UNREADABLE as fault:
            message = f"{self.name} answered 0x{data[:WORD_BYTES].hex()}.. ({len(data)} bytes), expected {self.outputs}"
            raise VenueUnreachableError(message) from fault

    def one(self, data: bytes) -> Any:  # noqa: ANN401 - the type is the signature's
        """Its only output; raises like ``answer``."""
        return self.answer(data)[0]

    def arguments(self, data: bytes) -> tuple[Any, ...]:
        """The arguments of calldata made by ``__call__``; raises ValueError for another function's."""
        if data[:SELECTOR_BYTES] != self.selector:
            raise ValueError(f"calldata 0x{data[:SELECTOR_BYTES].hex()}, expected {self.name} 0x{self.selector.hex()}")
        return tuple(decode(self.inputs, data[SELECTOR_BYTES:]))


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a contract; made by ``event``."""

    name: str
    topic: bytes
    indexed: tuple[str, ...]
    unindexed: tuple[str, ...]
    order: tuple[int, ...]

    def read(self, log: Log) -> tuple[Any, ...] | None:
        """Its values, as the signature orders them; None for another event. Raises ValueError for a torn log."""
        if not log.topics or log.topics[0] != self.topic or len(log.topics) != len(self.indexed) + 1:
            return None
        try:
            heads = [decode([kind], topic)[0] for kind, topic in zip(self.indexed, log.topics[1:], strict=True)]
            values = [*heads, *decode(self.unindexed, log.data)]
        except UNREADABLE as fault:
            raise ValueError(f"log {log.index} of {log.address} cannot be read as {self.name}") from fault
        return tuple(values[place] for place in self.order)

    def all_of(self, logs: Sequence[Log], address: str) -> list[tuple[Any, ...]]:
        """Every event of this kind that this contract emitted, in order."""
        found = [self.read(log) for log in logs if log.address.lower() == address.lower()]
        return [values for values in found if values is not None]


def function(signature: str) -> Function:
    """``balanceOf(address) -> (uint256)``."""
    head, _, outputs = signature.partition(" -> ")
    name, _, _ = head.partition("(")
    inputs = _types(head[len(name) :])
    return Function(name, inputs, _types(outputs or "()"), keccak(text=head)[:SELECTOR_BYTES])


def event(signature: str) -> Event:
    """``Transfer(address indexed, address indexed, uint256)``."""
    name, _, _ = signature.partition("(")
    marked = _types(signature[len(name) :])
    bare = [kind.removesuffix(" indexed") for kind in marked]
    indexed = [place for place, kind in enumerate(marked) if kind.endswith(" indexed")]
    others = [place for place in range(len(marked)) if place not in indexed]
    found_at = {place: at for at, place in enumerate([*indexed, *others])}
    return Event(
        name,
        keccak(text=f"{name}({','.join(bare)})"),
        tuple(bare[place] for place in indexed),
        tuple(bare[place] for place in others),
        tuple(found_at[place] for place in range(len(marked))),
    )


def error_selector(signature: str) -> bytes:
    """The four bytes in front of a custom error's arguments."""
    return keccak(text=signature)[:SELECTOR_BYTES]


def _types(text: str) -> tuple[str, ...]:
    """The top-level members of ``(a,(b,c)[],d)``."""
    found: list[str] = []
    depth, begin = 0, 1
    for place, sign in enumerate(text):
        if sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        if (sign == "," and depth == 1) or (sign == ")" and depth == 0):
            found.append(text[begin:place].strip())
            begin = place + 1
    return tuple(kind for kind in found if kind)
