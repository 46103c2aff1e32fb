"""Lido: staking, wrapping, the withdrawal queue. Pure; amounts in wei.

A claim is held at what was requested until the queue has finalised it, then at what it pays; the difference, when
validators lost money in between, is a rebase of the claim and no part of claiming it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.venues.chain.abi import Call, Log, event, function
from basis_daemon.venues.chain.addresses import LidoEntry
from basis_daemon.venues.chain.tokens import ETH, ether

VENUE = "lido"
NO_REFERRAL = "0x" + 40 * "0"
REQUEST_MAX, REQUEST_MIN = 1_000 * 10**18, 100
"""Bounds of one request, wei of stETH; a larger withdrawal is several requests of one transaction."""

SUBMIT = function("submit(address) -> (uint256)")
WRAP = function("wrap(uint256) -> (uint256)")
UNWRAP = function("unwrap(uint256) -> (uint256)")
REQUEST = function("requestWithdrawals(uint256[],address) -> (uint256[])")
REQUEST_WRAPPED = function("requestWithdrawalsWstETH(uint256[],address) -> (uint256[])")
CLAIM = function("claimWithdrawal(uint256)")

STAKE_LIMIT = function("getCurrentStakeLimit() -> (uint256)")
STAKING_PAUSED = function("isStakingPaused() -> (bool)")
STOPPED = function("isStopped() -> (bool)")
RATE = function("stEthPerToken() -> (uint256)")
QUEUE_PAUSED = function("isPaused() -> (bool)")
STATUS = function("getWithdrawalStatus(uint256[]) -> ((uint256,uint256,address,uint256,bool,bool)[])")
REQUESTS = function("getWithdrawalRequests(address) -> (uint256[])")
LAST_CHECKPOINT = function("getLastCheckpointIndex() -> (uint256)")
HINTS = function("findCheckpointHints(uint256[],uint256,uint256) -> (uint256[])")
CLAIMABLE = function("getClaimableEther(uint256[],uint256[]) -> (uint256[])")

REQUESTED = event("WithdrawalRequested(uint256 indexed, address indexed, address indexed, uint256, uint256)")
CLAIMED = event("WithdrawalClaimed(uint256 indexed, address indexed, address indexed, uint256)")


def claim_key(number: int) -> PositionKey:
    """Where a request is held."""
    return PositionKey.of(VENUE, Kind.CLAIM, str(number))


def stake(lido: LidoEntry, wei: int, *, is_wrapped: bool) -> Call:
    """ETH into stETH, or into wstETH by sending it to the wrapper."""
    return Call(lido.wsteth, b"", wei) if is_wrapped else SUBMIT(lido.steth, NO_REFERRAL, value_wei=wei)


def wrap(lido: LidoEntry, wei: int) -> Call:
    """Turn stETH into wstETH; needs an allowance of stETH for the wrapper."""
    return WRAP(lido.wsteth, wei)


def unwrap(lido: LidoEntry, wei: int) -> Call:
    """Back from wstETH into stETH."""
    return UNWRAP(lido.wsteth, wei)


def request(lido: LidoEntry, wei: int, owner: str, *, is_wrapped: bool, rate_wei: int) -> Call:
    """Ask for ETH; needs an allowance for the queue. ``rate_wei`` is stETH per wstETH: it bounds a request."""
    largest = REQUEST_MAX * 10**18 // rate_wei if is_wrapped else REQUEST_MAX
    ask = REQUEST_WRAPPED if is_wrapped else REQUEST
    return ask(lido.withdrawal_queue, parts(wei, largest), owner)


def claim(lido: LidoEntry, number: int) -> Call:
    """Take the ETH of a finalised request."""
    return CLAIM(lido.withdrawal_queue, number)


def parts(whole: int, largest: int) -> list[int]:
    """``whole`` in as few parts of at most ``largest`` as can be, as equal as can be, so that none is too small."""
    count = -(-whole // largest)
    share, rest = divmod(whole, count)
    return [share + 1] * rest + [share] * (count - rest)


def moves(logs: Sequence[Log], lido: LidoEntry, owner: str) -> Iterator[tuple[PositionKey, Decimal]]:
    """Requests made and settled by an account; the tokens themselves are told by their own events."""
    for number, _, holder, wei, _ in REQUESTED.all_of(logs, lido.withdrawal_queue):
        if holder.lower() == owner.lower():
            yield claim_key(number), ether(wei)
    for number, holder, receiver, wei in CLAIMED.all_of(logs, lido.withdrawal_queue):
        if holder.lower() == owner.lower():
            yield claim_key(number), -ether(wei)
        if receiver.lower() == owner.lower():
            yield ETH, ether(wei)
