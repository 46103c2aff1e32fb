"""EigenLayer on the sandbox chain: rewards that are posted and can be proved, operators that are slashed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from web3 import Web3 as Hashing

from basis_daemon.sandbox.chain.steering import WAD, Steering, base_units

REWARDS = ("eigenlayer", "rewards_coordinator")
EARNER_SALT, TOKEN_SALT = 0, 1
SIBLING = Hashing.keccak(text="somebody else's leaf")
"""Every tree has a second leaf, so that a proof is never empty."""


class RestakingControls(Steering):
    """Rewards and slashing."""

    async def reward(self, account: str, amount: Decimal | int, token: str = "EIGEN") -> dict[str, Any]:  # noqa: S107 - a symbol, no secret
        """Post a root in which ``account`` has earned so many tokens more; the claim that proves it to `processClaim`.

        The second of two leaves is the account's: index and proof matter.
        """
        earner = self.client.to_checksum_address(account)
        contract, rewards = self.contracts.token(token), self.contracts.at("RewardsCoordinator", *REWARDS).functions
        units = base_units(amount, self.world["tokens"][token]["decimals"])
        total = self.claims.get(earner, {}).get("tokenLeaves", [{}])[0].get("cumulativeEarnings", 0) + units
        leaf = Hashing.solidity_keccak(["uint8", "address", "uint256"], [TOKEN_SALT, contract.address, total])
        token_root = Hashing.keccak(leaf + SIBLING)
        earner_leaf = Hashing.solidity_keccak(["uint8", "address", "bytes32"], [EARNER_SALT, earner, token_root])
        head = await self.client.eth.get_block("latest")
        period = max(head["timestamp"], await rewards.currRewardsCalculationEndTimestamp().call() + 1)
        await self.act(rewards.submitRoot(Hashing.keccak(SIBLING + earner_leaf), period))
        self.claims[earner] = {
            "rootIndex": await rewards.getDistributionRootsLength().call() - 1,
            "earnerIndex": 1,
            "earnerTreeProof": SIBLING.to_0x_hex(),
            "earnerLeaf": {"earner": earner, "earnerTokenRoot": token_root.to_0x_hex()},
            "tokenIndices": [0],
            "tokenTreeProofs": [SIBLING.to_0x_hex()],
            "tokenLeaves": [{"token": contract.address, "cumulativeEarnings": total}],
        }
        return self.claims[earner]

    async def slash(self, fraction: Decimal) -> None:
        """The operator loses ``fraction`` of all stake delegated to him, what is queued included."""
        manager = self.contracts.at("DelegationManager", "eigenlayer", "delegation_manager").functions
        await self.act(manager.slash(self.world["eigenlayer"]["operator"], int(fraction * WAD)))
