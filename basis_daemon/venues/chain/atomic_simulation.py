"""Calls tried on the present state, one after the other as they would be sent, before anything is signed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

from hexbytes import HexBytes
from web3.eth import AsyncEth

from basis_daemon.domain.errors import ErrorClass, VenueUnreachableError
from basis_daemon.venues.chain.abi import SELECTOR_BYTES, Call, function
from basis_daemon.venues.chain.atomic_receiver import receiver_artifact
from basis_daemon.venues.chain.reverts import Revert, decoded

T = TypeVar("T")

_SENTENCES: Mapping[str, tuple[ErrorClass, str]] = {
    "CallerNotAllowed": (ErrorClass.AUTH, "the receiver answers its lenders only"),
    "Reentered": (ErrorClass.AUTH, "somebody called the receiver while it worked"),
    "LoanNotWeth": (ErrorClass.BAD_PARAMS, "the receiver works with WETH only"),
    "CollateralNotAllowed": (ErrorClass.BAD_PARAMS, "the receiver does not know this collateral"),
    "DeadlinePassed": (ErrorClass.RETRYABLE, "the deadline passed before inclusion"),
    "OutBelowMinimum": (ErrorClass.RETRYABLE, "less came out than the order accepts"),
    "LoanBelowDebt": (ErrorClass.RETRYABLE, "the loan does not cover the debt that is to be repaid"),
    "LoanUnderpaid": (ErrorClass.RETRYABLE, "the sale does not bring what the loan costs"),
    "HealthFactorBelowMinimum": (ErrorClass.INSUFFICIENT, "the health factor would be below its floor"),
    "LtvAboveMaximum": (ErrorClass.INSUFFICIENT, "debt over collateral would be above its cap"),
    "DebtAboveMaximum": (ErrorClass.INSUFFICIENT, "the debt would be above its cap"),
    "ResidueLeft": (ErrorClass.BAD_PARAMS, "something would stay in the receiver"),
    "TokenRefused": (ErrorClass.BAD_PARAMS, "a token answered false"),
    "LenderAbsent": (ErrorClass.BAD_PARAMS, "the receiver was deployed without this lender"),
}
"""What the caller does next after each of the receiver's own errors, and why, in words."""


class Asker(Protocol):
    """A node, or several as one. Raises VenueUnreachableError when none gave a usable answer."""

    async def ask(self, what: str, question: Callable[[AsyncEth], Awaitable[T]]) -> T:
        """What the question found; errors by which a node answers come as they are."""
        ...


@dataclass(frozen=True, slots=True)
class Tried:
    """What one call would have done; ``data`` is what it returned, or its revert data."""

    is_ok: bool
    data: bytes


async def simulate(node: Asker, sender: str, calls: Sequence[Call]) -> tuple[Tried, ...]:
    """The calls as transactions of one block on top of the newest, in order. Raises VenueUnreachableError."""
    wanted = [
        {"from": sender, "to": call.to, "data": "0x" + call.data.hex(), "value": hex(call.value_wei)} for call in calls
    ]
    block = {"blockStateCalls": [{"calls": wanted}], "validation": False, "traceTransfers": False}
    # web3's types know fewer fields than the method takes
    answer = await node.ask("simulation", lambda eth: eth.simulate_v1(block, "latest"))  # type: ignore[arg-type]  # see above
    try:
        return tuple(_tried(call) for call in answer[0]["calls"])
    except (KeyError, IndexError, TypeError, ValueError) as fault:
        raise VenueUnreachableError(f"simulation: an answer that cannot be read: {str(answer)[:200]}") from fault


def reason_of(data: bytes) -> Revert:
    """Why a group reverted: in the receiver's words, or in those of the contract behind it."""
    signature = _own_errors().get(data[:SELECTOR_BYTES])
    if signature is None:
        return decoded(data)
    known = function(signature)
    error_class, sentence = _SENTENCES[known.name]
    return Revert(known.name, known.arguments(data), error_class, sentence)


@cache
def _own_errors() -> Mapping[bytes, str]:
    errors = [entry for entry in receiver_artifact().abi if entry["type"] == "error"]
    written = [f"{entry['name']}({','.join(given['type'] for given in entry['inputs'])})" for entry in errors]
    return {function(signature).selector: signature for signature in written}


def _tried(call: Mapping[str, Any]) -> Tried:
    error = call.get("error")
    data = call["returnData"] if error is None else error.get("data") or call["returnData"]
    return Tried(int(call["status"]) == 1, bytes(HexBytes(data)))
