"""EigenLayer's stand-ins: one strategy for stETH, one operator to delegate to, a coordinator with tokens to give."""

from __future__ import annotations

from dataclasses import dataclass

from eth_typing import ChecksumAddress
from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.build_staking import ETH, Staking
from basis_daemon.sandbox.chain.compiler import Artefacts
from basis_daemon.sandbox.chain.node import Deployer

WITHDRAWAL_DELAY_BLOCKS = 50
"""Mainnet has 100800; nobody could mine that here."""
REWARDS_EIGEN = 10_000_000


@dataclass(frozen=True, slots=True)
class Restaking:
    """The contracts, and an operator whom everybody may delegate to."""

    delegation: AsyncContract
    manager: AsyncContract
    rewards: AsyncContract
    strategy: AsyncContract
    operator: ChecksumAddress


async def build_restaking(chain: Deployer, own: Artefacts, staking: Staking, operator: ChecksumAddress) -> Restaking:
    delegation = await chain.deploy(own["DelegationManager"], WITHDRAWAL_DELAY_BLOCKS)
    manager = chain.at(await delegation.functions.strategyManager().call(), own["StrategyManager"].abi)
    strategy = await chain.deploy(own["Strategy"], manager.address, staking.steth.address)
    await chain.send(manager.functions.whitelist(strategy.address))
    nobody = "0x" + "00" * 20
    await chain.send(delegation.functions.registerAsOperator(nobody, 0, "the sandbox's operator"), sender=operator)
    rewards = await chain.deploy(own["RewardsCoordinator"], manager.address, 0)
    await chain.send(staking.eigen.functions.transfer(rewards.address, REWARDS_EIGEN * ETH))
    return Restaking(delegation, manager, rewards, strategy, operator)
