"""Tokens and wrapped ether: calls, exact allowances, and what their events moved in a wallet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from basis_daemon.venues.chain.abi import Call, Log, event, function

BALANCE_OF = function("balanceOf(address) -> (uint256)")
ALLOWANCE = function("allowance(address,address) -> (uint256)")
APPROVE = function("approve(address,uint256) -> (bool)")
TRANSFER = function("transfer(address,uint256) -> (bool)")
SYMBOL = function("symbol() -> (string)")
DECIMALS = function("decimals() -> (uint8)")
WRAP = function("deposit()")
UNWRAP = function("withdraw(uint256)")

TRANSFERRED = event("Transfer(address indexed, address indexed, uint256)")
WRAPPED = event("Deposit(address indexed, uint256)")
UNWRAPPED = event("Withdrawal(address indexed, uint256)")

ZERO_FIRST = frozenset({"USDT"})
"""Tokens that refuse to change an allowance that is neither zero nor becomes zero."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a spender needs to be allowed before a call: base units of a token."""

    symbol: str
    token: str
    spender: str
    units: int


def approvals(need: Allowance, allowed: int) -> tuple[Call, ...]:
    """What makes the allowance exactly what is needed; nothing when it is that already."""
    if allowed == need.units:
        return ()
    exact = APPROVE(need.token, need.spender, need.units)
    if need.symbol in ZERO_FIRST and allowed and need.units:
        return APPROVE(need.token, need.spender, 0), exact
    return (exact,)


def received(logs: Sequence[Log], token: str, owner: str) -> int:
    """Base units that came to a wallet less what left it, by the token's own events; wrapping moves a token too."""
    total = 0
    for sender, recipient, units in TRANSFERRED.all_of(logs, token):
        total += units * ((recipient.lower() == owner.lower()) - (sender.lower() == owner.lower()))
    return total


def wrapped(logs: Sequence[Log], weth: str, owner: str) -> tuple[int, int]:
    """(wei of WETH made for a wallet, wei of ether it got for WETH that it gave back)."""
    made = sum(wei for to, wei in WRAPPED.all_of(logs, weth) if to.lower() == owner.lower())
    returned = sum(wei for by, wei in UNWRAPPED.all_of(logs, weth) if by.lower() == owner.lower())
    return made, returned
