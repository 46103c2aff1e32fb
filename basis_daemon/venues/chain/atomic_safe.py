"""A treasury's way: the same calls as one batch of a Safe, through MultiSendCallOnly, in one transaction.

The position is the Safe's. Allowances and e-mode need no transactions of their own there: they stand in the batch, and
an allowance for a balance that grows is taken back at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.packed import encode_packed

from basis_daemon.venues.chain.abi import Call, function
from basis_daemon.venues.chain.atomic import GroupCall
from basis_daemon.venues.chain.atomic_legs import ExitLegs
from basis_daemon.venues.chain.atomic_receiver import NOWHERE
from basis_daemon.venues.chain.erc20 import APPROVE

MULTI_SEND = function("multiSend(bytes)")
EXEC_TRANSACTION = function(
    "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes) -> (bool)"
)
CALL, DELEGATE_CALL = 0, 1
CALLER_IS_OWNER = 1
"""The Safe's code of a signature that the sender of the transaction gives by sending it."""


@dataclass(frozen=True, slots=True)
class Treasury:
    """A Safe, and the library that runs several calls in its name; both of version 1.5.0."""

    safe: str
    multi_send: str


def batch_of(group: GroupCall) -> tuple[Call, ...]:
    """Everything that a group needs, in order, ending with no allowance left."""
    allowed = tuple(APPROVE(need.token, need.spender, need.units) for need in group.allowances)
    grows = isinstance(group.legs, ExitLegs)
    taken_back = tuple(APPROVE(need.token, need.spender, 0) for need in group.allowances if grows)
    return (*group.before, *allowed, group.call, *taken_back)


def safe_call(treasury: Treasury, calls: Sequence[Call], signatures: bytes) -> Call:
    """One call of the Safe that does all of these or none; ``signatures`` of its owners, as the Safe wants them."""
    data = MULTI_SEND(treasury.multi_send, b"".join(map(_packed, calls))).data
    free = (0, 0, 0, NOWHERE, NOWHERE)  # the sender pays the gas, the Safe refunds nothing
    return EXEC_TRANSACTION(treasury.safe, treasury.multi_send, 0, data, DELEGATE_CALL, *free, signatures)


def signature_of_sender(owner: str) -> bytes:
    """What stands for the owner's signature when he sends the transaction himself."""
    return bytes.fromhex(owner.removeprefix("0x")).rjust(32, b"\0") + bytes(32) + bytes([CALLER_IS_OWNER])


def _packed(call: Call) -> bytes:
    return bytes(
        encode_packed(
            ["uint8", "address", "uint256", "uint256", "bytes"],
            [CALL, call.to, call.value_wei, len(call.data), call.data],
        )
    )
