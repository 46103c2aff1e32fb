"""Many reads of one block in one request, through Multicall3. Pure: calls in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""The same address on every chain that matters."""
_AGGREGATE3 = bytes.fromhex("82ad56cb")
_KEPT = 32
"""Requests whose bytes are remembered: at every block the same ones are asked again."""

Call = tuple[str, bytes]
"""Address of the contract and the call data."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """``data`` is the return data of a call that went through, else the revert data."""

    is_ok: bool
    data: bytes


def encode_calls(calls: Sequence[Call]) -> bytes:
    """Call data for ``aggregate3`` in which every call may fail on its own."""
    return _encoded(tuple(calls))


@lru_cache(maxsize=_KEPT)
def _encoded(calls: tuple[Call, ...]) -> bytes:
    return _AGGREGATE3 + encode(["(address,bool,bytes)[]"], [[(to, True, data) for to, data in calls]])


def decode_results(data: bytes, count: int) -> tuple[CallResult, ...]:
    """One result per call, in order. Raises ValueError where there are not ``count`` of them."""
    if not data:
        raise ValueError(f"no data for {count} calls: there is no Multicall3 at {MULTICALL3} on this chain")
    try:
        (rows,) = decode(["(bool,bytes)[]"], data)
    except (DecodingError, OverflowError) as fault:
        raise ValueError(f"{len(data)} bytes that are no results of {count} calls") from fault
    if len(rows) != count:
        raise ValueError(f"{len(rows)} results for {count} calls")
    return tuple(CallResult(is_ok, bytes(result)) for is_ok, result in rows)
