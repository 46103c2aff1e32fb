"""What groups and restaking lean on: EigenLayer's new names, Morpho's and Aave's flash loans, Safe."""

from decimal import Decimal

import pytest
from web3 import Web3
from web3.exceptions import ContractCustomError
from web3.logs import DISCARD

from basis_daemon.sandbox.chain.steering import WAD
from tests.chain_support import Chain

D = Decimal
NOBODY = "0x" + "00" * 20


async def test_stake_is_deposited_delegated_queued_and_completed(chain: Chain) -> None:
    user, eigen = await chain.account(stETH=10), chain.world["eigenlayer"]
    delegation = chain.contract("DelegationManager", "eigenlayer", "delegation_manager")
    manager, steth = chain.contract("StrategyManager", "eigenlayer", "strategy_manager"), chain.token("stETH")
    await chain.send(user, steth.functions.approve(manager.address, 9 * WAD))
    deposit = manager.functions.depositIntoStrategy(eigen["steth_strategy"], steth.address, 9 * WAD)
    assert (await chain.send(user, deposit))["status"] == 1
    assert (await chain.send(user, delegation.functions.delegateTo(eigen["operator"], (b"", 0), b"\0" * 32)))[
        "status"
    ] == 1
    (shares,), _ = await delegation.functions.getWithdrawableShares(user.address, [eigen["steth_strategy"]]).call()
    queue = delegation.functions.queueWithdrawals([([eigen["steth_strategy"]], [shares], NOBODY)])
    receipt = await chain.send(user, queue)
    event = delegation.events.SlashingWithdrawalQueued().process_receipt(receipt, errors=DISCARD)[0]["args"]
    (found,), _ = await delegation.functions.getQueuedWithdrawals(user.address).call()
    assert found == tuple(event["withdrawal"].values())
    complete = delegation.functions.completeQueuedWithdrawal(found, [steth.address], True)  # noqa: FBT003 - the contract's own order
    with pytest.raises(ContractCustomError, match=Web3.keccak(text="WithdrawalDelayNotElapsed()")[:4].to_0x_hex()):
        await complete.call({"from": user.address})
    await chain.controls.rebase("lido", D("1.05"))
    await chain.controls.mine(51)
    assert (await chain.send(user, complete))["status"] == 1
    assert abs(await chain.balance("stETH", user.address) - int(D("10.5") * WAD)) < 3000
    assert (await chain.send(user, complete))["status"] == 0


async def test_slashing_reaches_stake_and_queue(chain: Chain) -> None:
    user, eigen = await chain.account(stETH=10), chain.world["eigenlayer"]
    delegation = chain.contract("DelegationManager", "eigenlayer", "delegation_manager")
    manager, steth = chain.contract("StrategyManager", "eigenlayer", "strategy_manager"), chain.token("stETH")
    await chain.send(user, steth.functions.approve(manager.address, 4 * WAD))
    await chain.send(user, manager.functions.depositIntoStrategy(eigen["steth_strategy"], steth.address, 4 * WAD))
    await chain.send(user, delegation.functions.delegateTo(eigen["operator"], (b"", 0), b"\0" * 32))
    await chain.send(user, delegation.functions.queueWithdrawals([([eigen["steth_strategy"]], [2 * WAD], NOBODY)]))
    await chain.controls.slash(D("0.1"))
    (left,), _ = await delegation.functions.getWithdrawableShares(user.address, [eigen["steth_strategy"]]).call()
    _, ((queued,),) = await delegation.functions.getQueuedWithdrawals(user.address).call()
    assert queued == 18 * WAD // 10
    assert abs(left - 18 * WAD // 10) <= 2


async def test_rewards_are_claimed_by_their_proof_and_only_what_is_new(chain: Chain) -> None:
    user = await chain.account()
    rewards = chain.contract("RewardsCoordinator", "eigenlayer", "rewards_coordinator")
    first = await chain.controls.reward(user.address, 30)
    assert (await chain.send(user, rewards.functions.processClaim(first, user.address)))["status"] == 1
    second = await chain.controls.reward(user.address, D("12.5"))
    forged = second | {"tokenLeaves": [second["tokenLeaves"][0] | {"cumulativeEarnings": 10**24}]}
    assert (await chain.send(user, rewards.functions.processClaim(forged, user.address)))["status"] == 0
    assert (await chain.send(user, rewards.functions.processClaim(second, user.address)))["status"] == 1
    assert (await chain.send(user, rewards.functions.processClaim(second, user.address)))["status"] == 0
    assert await chain.balance("EIGEN", user.address) == int(D("42.5") * WAD)


async def test_flash_sources_hold_what_groups_need(chain: Chain) -> None:
    weth = chain.token("WETH")
    assert await chain.balance("WETH", chain.world["morpho"]["morpho"]) == 100_000 * WAD
    data = chain.contract("AaveProtocolDataProvider", "aave_v3", "data_provider").functions
    assert await data.getFlashLoanEnabled(weth.address).call()
    assert await chain.contract("PoolInstance", "aave_v3", "pool").functions.FLASHLOAN_PREMIUM_TOTAL().call() == 5


async def test_a_safe_runs_two_calls_in_one_transaction(chain: Chain) -> None:
    user, safe = await chain.account(WETH=3), chain.world["safe"]
    factory = chain.contract("SafeProxyFactory", "safe", "proxy_factory")
    single = chain.contract("Safe", "safe", "singleton")
    setup = single.encode_abi(
        "setup", args=[[user.address], 1, NOBODY, b"", safe["fallback_handler"], NOBODY, 0, NOBODY]
    )
    made = await chain.send(user, factory.functions.createProxyWithNonce(single.address, setup, 1))
    address = factory.events.ProxyCreation().process_receipt(made, errors=DISCARD)[0]["args"]["proxy"]
    account, weth = chain.controls.contracts.named("Safe", address), chain.token("WETH")
    await chain.send(user, weth.functions.transfer(address, 3 * WAD))
    calls = b"".join(
        bytes([0]) + bytes.fromhex(weth.address[2:]) + bytes(32) + (68).to_bytes(32, "big")
        + bytes.fromhex(weth.encode_abi("transfer", args=[to, WAD])[2:])
        for to in (user.address, "0x" + "77" * 20)
    )  # fmt: skip
    multisend = chain.contract("MultiSendCallOnly", "safe", "multisend_call_only")
    data = multisend.encode_abi("multiSend", args=[calls])
    by_sender = bytes(12) + bytes.fromhex(user.address[2:]) + bytes(32) + b"\1"
    order = account.functions.execTransaction(multisend.address, 0, data, 1, 0, 0, 0, NOBODY, NOBODY, by_sender)
    assert (await chain.send(user, order))["status"] == 1
    assert await chain.balance("WETH", user.address) == WAD
    assert await chain.balance("WETH", "0x" + "77" * 20) == WAD
