"""The stand-in against EigenLayer's own contracts as a package has them (2024): the same calls, the same effect."""

import json
from pathlib import Path

import pytest
from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.compiler import Artefact
from basis_daemon.sandbox.chain.node import Deployer
from basis_daemon.sandbox.chain.steering import WAD
from tests.chain_support import Chain

NOBODY = "0x" + "00" * 20
DELAY_BLOCKS = 5


def _built(modules: Path, name: str) -> Artefact:
    raw = json.loads((modules / "eigenlayer-contracts/out" / f"{name}.sol" / f"{name}.json").read_bytes())
    return Artefact(name, raw["abi"], raw["bytecode"]["object"].removeprefix("0x"), {})


class Genuine:
    """The contracts of 2024 behind their proxies."""

    delegation: AsyncContract
    manager: AsyncContract
    rewards: AsyncContract
    strategy: AsyncContract

    def __init__(self, chain: Chain, modules: Path, owner: Deployer) -> None:
        self._chain, self._modules, self._owner = chain, modules, owner

    async def _proxied(self, name: str, proxy: str, *arguments: object, initial: tuple[object, ...]) -> AsyncContract:
        code = await self._owner.deploy(_built(self._modules, name), *arguments)
        data = code.encode_abi("initialize", args=list(initial))
        await self._owner.send(self._admin.functions.upgradeAndCall(proxy, code.address, data))
        return self._owner.at(proxy, list(code.abi))  # type: ignore[arg-type]  # the ABI as web3 keeps it

    async def deploy(self) -> None:
        owner, world = self._owner, self._chain.world
        empty = await owner.deploy(_built(self._modules, "EmptyContract"))
        self._admin = await owner.deploy(_built(self._modules, "ProxyAdmin"))
        pauser = (await owner.deploy(_built(self._modules, "PauserRegistry"), [owner.owner], owner.owner)).address
        shell = _built(self._modules, "TransparentUpgradeableProxy")
        proxies = [(await owner.deploy(shell, empty.address, self._admin.address, b"")).address for _ in range(4)]
        delegation, manager, rewards, strategy = proxies
        pods = await owner.deploy(_built(self._modules, "EigenPodManager"), NOBODY, NOBODY, manager, NOBODY, delegation)
        self.delegation = await self._proxied(
            "DelegationManager", delegation, manager, NOBODY, pods.address,
            initial=(owner.owner, pauser, 0, DELAY_BLOCKS, [], []),
        )  # fmt: skip
        self.manager = await self._proxied(
            "StrategyManager", manager, delegation, pods.address, NOBODY,
            initial=(owner.owner, owner.owner, pauser, 0),
        )  # fmt: skip
        week = 604_800
        self.rewards = await self._proxied(
            "RewardsCoordinator", rewards, delegation, manager, week, 10 * week, 10 * week, 10 * week, 0,
            initial=(owner.owner, pauser, 0, owner.owner, 0, 0),
        )  # fmt: skip
        self.strategy = await self._proxied(
            "StrategyBase", strategy, manager, initial=(world["tokens"]["stETH"]["address"], pauser)
        )
        await owner.send(self.manager.functions.addStrategiesToDepositWhitelist([strategy], [False]))


@pytest.fixture
async def genuine(chain: Chain, chain_packages: Path) -> Genuine:
    made = Genuine(chain, chain_packages, Deployer(chain.client, (await chain.client.eth.accounts)[0]))
    await made.deploy()
    return made


@pytest.mark.slow
async def test_the_daemons_calls_work_on_the_genuine_contracts(chain: Chain, genuine: Genuine) -> None:
    user, operator, steth = await chain.account(stETH=10), await chain.account(), chain.token("stETH")
    register = genuine.delegation.functions.registerAsOperator((operator.address, NOBODY, 0), "")
    assert (await chain.send(operator, register))["status"] == 1
    await chain.send(user, steth.functions.approve(genuine.manager.address, 9 * WAD))
    standin = chain.contract("StrategyManager", "eigenlayer", "strategy_manager")
    order = (genuine.strategy.address, steth.address, 9 * WAD)
    data = standin.encode_abi("depositIntoStrategy", args=list(order))
    assert data == genuine.manager.encode_abi("depositIntoStrategy", args=list(order))
    assert (await chain.send(user, genuine.manager.functions.depositIntoStrategy(*order)))["status"] == 1
    delegate = genuine.delegation.functions.delegateTo(operator.address, (b"", 0), b"\0" * 32)
    assert (await chain.send(user, delegate))["status"] == 1
    shares = await genuine.manager.functions.stakerStrategyShares(user.address, genuine.strategy.address).call()
    queue = genuine.delegation.functions.queueWithdrawals([([genuine.strategy.address], [shares], user.address)])
    queued = await chain.send(user, queue)
    withdrawal = genuine.delegation.events.WithdrawalQueued().process_log(queued["logs"][-1])["args"]["withdrawal"]
    await chain.controls.mine(DELAY_BLOCKS + 1)
    complete = genuine.delegation.functions.completeQueuedWithdrawal(
        tuple(withdrawal.values()),
        [steth.address],
        0,
        True,  # noqa: FBT003 - the contract's own order
    )
    assert (await chain.send(user, complete))["status"] == 1
    assert 10 * WAD - await chain.balance("stETH", user.address) < 3000


@pytest.mark.slow
async def test_the_stand_ins_reward_claims_are_valid_to_the_genuine_coordinator(chain: Chain, genuine: Genuine) -> None:
    user = await chain.account()
    claim = await chain.controls.reward(user.address, 42)
    standin = chain.contract("RewardsCoordinator", "eigenlayer", "rewards_coordinator").functions
    root, period, *_ = await standin.getCurrentDistributionRoot().call()
    await chain.controls.advance(1)
    await chain.controls.act(genuine.rewards.functions.submitRoot(root, period))
    await chain.controls.act(chain.token("EIGEN").functions.transfer(genuine.rewards.address, 42 * WAD))
    await chain.controls.advance(1)
    taken = genuine.rewards.functions.processClaim(claim | {"rootIndex": 0}, user.address)
    assert (await chain.send(user, taken))["status"] == 1
    assert await chain.balance("EIGEN", user.address) == 42 * WAD
