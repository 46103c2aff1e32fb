"""ether.fi: deposits, wrapping, withdrawal requests. Pure; amounts in wei.

A claim pays the lesser of what was requested and of what its shares are worth then: a loss is a rebase of the claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.venues.chain.abi import Call, Log, event, function
from basis_daemon.venues.chain.addresses import EtherfiEntry
from basis_daemon.venues.chain.tokens import ETH, ether

VENUE = "etherfi"
NO_REFERRAL = "0x" + 40 * "0"

DEPOSIT = function("deposit() -> (uint256)")
DEPOSIT_WRAPPED = function("depositETHForWeETH(address) -> (uint256)")
REQUEST_WRAPPED = function("requestWithdraw(uint256,address) -> (uint256)")
WRAP = function("wrap(uint256) -> (uint256)")
UNWRAP = function("unwrap(uint256) -> (uint256)")
REQUEST = function("requestWithdraw(address,uint256) -> (uint256)")
CLAIM = function("claimWithdraw(uint256)")

PAUSED = function("paused() -> (bool)")
RATE = function("getRate() -> (uint256)")
WRAPPED_FOR = function("getWeETHByeETH(uint256) -> (uint256)")
FINALIZED = function("isFinalized(uint256) -> (bool)")
REQUEST_DATA = function("getRequest(uint256) -> ((uint96,uint96,bool,uint32))")
AMOUNT_FOR_SHARE = function("amountForShare(uint256) -> (uint256)")
OWNER_OF = function("ownerOf(uint256) -> (address)")

CREATED = event("WithdrawRequestCreated(uint32 indexed, uint256, uint256, address, uint256)")
CLAIMED = event("WithdrawRequestClaimed(uint32 indexed, uint256, uint256, address, uint256)")


def claim_key(number: int) -> PositionKey:
    """Where a request is held."""
    return PositionKey.of(VENUE, Kind.CLAIM, str(number))


def deposit(etherfi: EtherfiEntry, wei: int, *, is_wrapped: bool) -> Call:
    """ETH into eETH, or through the adapter into weETH."""
    if is_wrapped:
        return DEPOSIT_WRAPPED(etherfi.deposit_adapter, NO_REFERRAL, value_wei=wei)
    return DEPOSIT(etherfi.liquidity_pool, value_wei=wei)


def wrap(etherfi: EtherfiEntry, wei: int) -> Call:
    """Turn eETH into weETH; needs an allowance of eETH for the wrapper."""
    return WRAP(etherfi.weeth, wei)


def unwrap(etherfi: EtherfiEntry, wei: int) -> Call:
    """Back from weETH into eETH."""
    return UNWRAP(etherfi.weeth, wei)


def request(etherfi: EtherfiEntry, wei: int, owner: str, *, is_wrapped: bool) -> Call:
    """Ask for the ETH of eETH or, through the adapter, of weETH; needs an allowance of it for pool or adapter."""
    if is_wrapped:
        return REQUEST_WRAPPED(etherfi.withdraw_adapter, wei, owner)
    return REQUEST(etherfi.liquidity_pool, owner, wei)


def claim(etherfi: EtherfiEntry, number: int) -> Call:
    """Take the ETH of a finalised request."""
    return CLAIM(etherfi.withdraw_request_nft, number)


def moves(logs: Sequence[Log], etherfi: EtherfiEntry, owner: str) -> Iterator[tuple[PositionKey, Decimal]]:
    """Requests made and settled by an account; the tokens themselves are told by their own events."""
    for number, wei, _, holder, _ in CREATED.all_of(logs, etherfi.withdraw_request_nft):
        if holder.lower() == owner.lower():
            yield claim_key(number), ether(wei)
    for number, wei, _, holder, _ in CLAIMED.all_of(logs, etherfi.withdraw_request_nft):
        if holder.lower() == owner.lower():
            yield claim_key(number), -ether(wei)
            yield ETH, ether(wei)
