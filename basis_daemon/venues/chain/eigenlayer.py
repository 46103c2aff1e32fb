"""EigenLayer: stETH in its strategy, delegation, queued withdrawals, rewards. Pure; amounts in wei.

Share and claim are held in stETH, as they are worth now: what a strategy's shares earn or lose by slashing is a rebase
of them. A withdrawal is counted by its shares when it is queued, and by what it brought when it is completed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.venues.chain.abi import Call, Log, event, function
from basis_daemon.venues.chain.addresses import EigenlayerEntry
from basis_daemon.venues.chain.erc20 import TRANSFERRED
from basis_daemon.venues.chain.tokens import ether

VENUE = "eigenlayer"
SHARE = PositionKey.of(VENUE, Kind.SHARE, "stETH")
NO_SIGNATURE, NO_SALT = (b"", 0), b"\x00" * 32
AS_TOKENS = True

_WITHDRAWAL = "(address,address,address,uint256,uint32,address[],uint256[])"
_CLAIM = "(uint32,uint32,bytes,(address,bytes32),uint32[],bytes[],(address,uint256)[])"

DEPOSIT = function("depositIntoStrategy(address,address,uint256) -> (uint256)")
DELEGATE = function("delegateTo(address,(bytes,uint256),bytes32)")
QUEUE = function("queueWithdrawals((address[],uint256[],address)[]) -> (bytes32[])")
COMPLETE = function(f"completeQueuedWithdrawal({_WITHDRAWAL},address[],bool)")
CLAIM_REWARD = function(f"processClaim({_CLAIM},address)")

WHITELISTED = function("strategyIsWhitelistedForDeposit(address) -> (bool)")
DELEGATED_TO = function("delegatedTo(address) -> (address)")
IS_OPERATOR = function("isOperator(address) -> (bool)")
WITHDRAWABLE = function("getWithdrawableShares(address,address[]) -> (uint256[],uint256[])")
WORTH = function("sharesToUnderlyingView(uint256) -> (uint256)")
ROOTS = function("getQueuedWithdrawalRoots(address) -> (bytes32[])")
QUEUED = function(f"getQueuedWithdrawal(bytes32) -> ({_WITHDRAWAL},uint256[])")
DELAY_BLOCKS = function("minWithdrawalDelayBlocks() -> (uint32)")
CLAIMED_SO_FAR = function("cumulativeClaimed(address,address) -> (uint256)")

DEPOSITED = event("Deposit(address, address, uint256)")
WITHDRAWAL_QUEUED = event(f"SlashingWithdrawalQueued(bytes32, {_WITHDRAWAL}, uint256[])")
WITHDRAWAL_COMPLETED = event("SlashingWithdrawalCompleted(bytes32)")


@dataclass(frozen=True, slots=True)
class RewardClaim:
    """What an account has earned of one token in all, and the proof of it; as the distributor hands it out."""

    earner: str
    token: str
    earned: int
    fields: tuple[object, ...]

    @classmethod
    def read(cls, claim: Mapping[str, Any]) -> RewardClaim:
        """Of the distributor's JSON; raises KeyError or ValueError for anything but a claim of one token."""
        (leaf,) = claim["tokenLeaves"]
        earner, token, earned = claim["earnerLeaf"]["earner"], leaf["token"], int(leaf["cumulativeEarnings"])
        fields = (
            int(claim["rootIndex"]),
            int(claim["earnerIndex"]),
            bytes(HexBytes(claim["earnerTreeProof"])),
            (to_checksum_address(earner), bytes(HexBytes(claim["earnerLeaf"]["earnerTokenRoot"]))),
            tuple(int(index) for index in claim["tokenIndices"]),
            tuple(bytes(HexBytes(proof)) for proof in claim["tokenTreeProofs"]),
            ((to_checksum_address(token), earned),),
        )
        return cls(to_checksum_address(earner), to_checksum_address(token), earned, fields)


def claim_key(root: bytes) -> PositionKey:
    """Where a queued withdrawal is held: by its root, which is all that the contract knows it by."""
    return PositionKey.of(VENUE, Kind.CLAIM, f"0x{root.hex()}")


def deposit(part: EigenlayerEntry, steth: str, wei: int) -> Call:
    """Into the strategy, from where stETH neither moves nor stands for debt; needs an allowance for the manager."""
    return DEPOSIT(part.strategy_manager, part.steth_strategy, steth, wei)


def delegate(part: EigenlayerEntry, operator: str) -> Call:
    """All that is and will be deposited, to an operator who takes everybody."""
    return DELEGATE(part.delegation_manager, operator, NO_SIGNATURE, NO_SALT)


def queue(part: EigenlayerEntry, shares: int, owner: str) -> Call:
    """Begin to withdraw so many deposit shares."""
    return QUEUE(part.delegation_manager, [([part.steth_strategy], [shares], owner)])


def complete(part: EigenlayerEntry, withdrawal: tuple[object, ...], steth: str) -> Call:
    """End a withdrawal, as stETH."""
    return COMPLETE(part.delegation_manager, withdrawal, [steth], AS_TOKENS)


def claim_reward(part: EigenlayerEntry, claim: RewardClaim, owner: str) -> Call:
    """Take what has been earned since the last claim."""
    return CLAIM_REWARD(part.rewards_coordinator, claim.fields, owner)


def moves(logs: Sequence[Log], part: EigenlayerEntry, steth: str, owner: str) -> Iterator[tuple[PositionKey, Decimal]]:
    """What went into the strategy, into the queue and out of it; tokens are told by their own events."""
    sides = [(a.lower(), b.lower(), wei) for a, b, wei in TRANSFERRED.all_of(logs, steth)]
    mine, strategy = owner.lower(), part.steth_strategy.lower()
    if any(staker.lower() == mine for staker, _, _ in DEPOSITED.all_of(logs, part.strategy_manager)):
        yield SHARE, ether(sum(wei for a, b, wei in sides if (a, b) == (mine, strategy)))
    for root, withdrawal, shares in WITHDRAWAL_QUEUED.all_of(logs, part.delegation_manager):
        if withdrawal[0].lower() == mine:
            yield SHARE, -ether(sum(shares))
            yield claim_key(root), ether(sum(shares))
    for (root,) in WITHDRAWAL_COMPLETED.all_of(logs, part.delegation_manager):
        yield claim_key(root), -ether(sum(wei for a, b, wei in sides if (a, b) == (strategy, mine)))
