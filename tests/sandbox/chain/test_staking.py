"""Lido and ether.fi as stand-ins: shares, queues, discounts, limits and pauses as their users know them."""

from decimal import Decimal

import pytest
from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract import AsyncContract
from web3.logs import DISCARD

from basis_daemon.sandbox.chain.steering import WAD
from tests.chain_support import Chain

D = Decimal


def error(signature: str) -> str:
    """The selector of a custom error."""
    return Web3.keccak(text=signature)[:4].to_0x_hex()


async def _refused(chain: Chain, call: object, user: LocalAccount, why: str, value: int = 0) -> None:
    with pytest.raises(Exception, match=why):
        await call.call({"from": user.address, "value": value})  # type: ignore[attr-defined]  # a contract's call
    assert (await chain.send(user, call, value=value))["status"] == 0  # type: ignore[arg-type]  # the same


def _lido(chain: Chain) -> tuple[AsyncContract, AsyncContract]:
    return chain.token("stETH"), chain.contract("WithdrawalQueue", "lido", "withdrawal_queue")


def _ether_fi(chain: Chain) -> tuple[AsyncContract, AsyncContract]:
    nft = chain.contract("WithdrawRequestNFT", "etherfi", "withdraw_request_nft")
    return chain.contract("LiquidityPool", "etherfi", "liquidity_pool"), nft


async def _request(chain: Chain, user: LocalAccount, amount: int) -> int:
    steth, queue = _lido(chain)
    await chain.send(user, steth.functions.approve(queue.address, amount))
    receipt = await chain.send(user, queue.functions.requestWithdrawals([amount], user.address))
    assert receipt["status"] == 1
    return int(queue.events.WithdrawalRequested().process_receipt(receipt, errors=DISCARD)[0]["args"]["requestId"])


async def _claimed(chain: Chain, user: LocalAccount, request: int) -> int:
    """Wei that a claim pays, by its event."""
    _, queue = _lido(chain)
    last = await queue.functions.getLastCheckpointIndex().call()
    hints = await queue.functions.findCheckpointHints([request], 1, last).call()
    receipt = await chain.send(user, queue.functions.claimWithdrawals([request], hints))
    assert receipt["status"] == 1
    return int(queue.events.WithdrawalClaimed().process_receipt(receipt, errors=DISCARD)[0]["args"]["amountOfETH"])


async def test_staking_ether_gives_shares_at_the_rate(chain: Chain) -> None:
    user = await chain.account(eth=11)
    steth, _ = _lido(chain)
    assert (await chain.send(user, steth.functions.submit(user.address), value=6 * WAD))["status"] == 1
    assert await steth.functions.sharesOf(user.address).call() == 5 * WAD
    assert await chain.balance("stETH", user.address) == 6 * WAD


async def test_a_claim_pays_what_was_asked_for_after_finalisation(chain: Chain) -> None:
    user = await chain.account(stETH=10)
    request = await _request(chain, user, 5 * WAD)
    _, queue = _lido(chain)
    await _refused(
        chain, queue.functions.claimWithdrawal(request), user, error("RequestNotFoundOrNotFinalized(uint256)")
    )
    await chain.controls.rebase("lido", D("1.01"))  # growth after the request is not the requester's
    assert await chain.controls.finalize("lido") == request
    assert await _claimed(chain, user, request) == 5 * WAD
    await _refused(chain, queue.functions.claimWithdrawal(request), user, error("RequestAlreadyClaimed(uint256)"))


async def test_a_loss_before_finalisation_is_the_requesters_too(chain: Chain) -> None:
    user = await chain.account(stETH=10)
    request = await _request(chain, user, 5 * WAD)
    await chain.controls.rebase("lido", D("0.9"))
    await chain.controls.finalize("lido")
    assert abs(await _claimed(chain, user, request) - int(D("4.5") * WAD)) <= 10


async def test_a_discount_at_finalisation_is_paid_less(chain: Chain) -> None:
    user = await chain.account(stETH=10)
    first = await _request(chain, user, 5 * WAD)
    await chain.controls.finalize("lido", D("0.02"))
    second = await _request(chain, user, WAD)
    await chain.controls.finalize("lido")
    assert abs(await _claimed(chain, user, first) - int(D("4.9") * WAD)) <= 10
    assert await _claimed(chain, user, second) in {WAD, WAD - 1}


async def test_the_queue_knows_whose_requests_are_open(chain: Chain) -> None:
    user = await chain.account(stETH=10)
    _, queue = _lido(chain)
    ids = [await _request(chain, user, amount * WAD) for amount in (1, 2)]
    await chain.controls.finalize("lido")
    later = await _request(chain, user, WAD)
    assert await queue.functions.getWithdrawalRequests(user.address).call() == [*ids, later]
    statuses = await queue.functions.getWithdrawalStatus([*ids, later]).call()
    assert [(s[0], s[2], s[4], s[5]) for s in statuses] == [
        (WAD, user.address, True, False), (2 * WAD, user.address, True, False), (WAD, user.address, False, False),
    ]  # fmt: skip
    assert await queue.functions.unfinalizedStETH().call() == WAD


async def test_only_the_owner_claims(chain: Chain) -> None:
    user, stranger = await chain.account(stETH=10), await chain.account()
    request = await _request(chain, user, WAD)
    await chain.controls.finalize("lido")
    _, queue = _lido(chain)
    await _refused(chain, queue.functions.claimWithdrawal(request), stranger, error("NotOwner(address,address)"))


@pytest.mark.parametrize(
    ("amount", "why"), [(99, "RequestAmountTooSmall(uint256)"), (1001 * WAD, "RequestAmountTooLarge(uint256)")]
)
async def test_the_queue_has_bounds(chain: Chain, amount: int, why: str) -> None:
    user = await chain.account(stETH=2000)
    steth, queue = _lido(chain)
    await chain.send(user, steth.functions.approve(queue.address, amount))
    await _refused(chain, queue.functions.requestWithdrawals([amount], user.address), user, error(why))


async def test_lido_refuses_while_paused_and_above_its_limit(chain: Chain) -> None:
    user = await chain.account(eth=400_000)
    steth, queue = _lido(chain)
    submit = steth.functions.submit(user.address)
    assert await steth.functions.getCurrentStakeLimit().call() == 150_000 * WAD
    await _refused(chain, submit, user, "STAKE_LIMIT", value=150_001 * WAD)
    await chain.controls.pause("lido_staking", on=True)
    await _refused(chain, submit, user, "STAKING_PAUSED", value=WAD)
    await chain.controls.pause("lido_staking", on=False)
    assert (await chain.send(user, submit, value=WAD))["status"] == 1
    await chain.controls.pause("lido_queue", on=True)
    await _refused(chain, queue.functions.requestWithdrawals([WAD], user.address), user, error("ResumedExpected()"))
    await chain.controls.pause("lido", on=True)
    await _refused(chain, steth.functions.transfer(queue.address, WAD // 2), user, "CONTRACT_IS_STOPPED")


async def test_wrapping_keeps_shares_and_unwrapping_gives_them_back(chain: Chain) -> None:
    user = await chain.account(stETH=12)
    steth, wsteth = chain.token("stETH"), chain.contract("WstEth", "lido", "wsteth")
    await chain.send(user, steth.functions.approve(wsteth.address, 12 * WAD))
    await chain.send(user, wsteth.functions.wrap(12 * WAD))
    assert await chain.balance("wstETH", user.address) == 10 * WAD
    await chain.controls.rebase("lido", D("1.05"))
    await chain.send(user, wsteth.functions.unwrap(10 * WAD))
    assert abs(await chain.balance("stETH", user.address) - int(D("12.6") * WAD)) <= 2


async def test_ether_fi_deposits_wraps_and_pays_claims(chain: Chain) -> None:
    user = await chain.account(eth=100)
    pool, eeth = chain.contract("LiquidityPool", "etherfi", "liquidity_pool"), chain.token("eETH")
    weeth, nft = (
        chain.contract("WeEth", "etherfi", "weeth"),
        chain.contract("WithdrawRequestNFT", "etherfi", "withdraw_request_nft"),
    )
    await chain.send(user, pool.get_function_by_signature("deposit()")(), value=10 * WAD)
    held = await chain.balance("eETH", user.address)
    assert 10 * WAD - 1 <= held <= 10 * WAD
    await chain.send(user, eeth.functions.approve(weeth.address, 5 * WAD))
    await chain.send(user, weeth.functions.wrap(5 * WAD))
    assert abs(await chain.balance("weETH", user.address) - int(5 * WAD / D("1.0668"))) <= 1
    await chain.send(user, eeth.functions.approve(pool.address, 4 * WAD))
    receipt = await chain.send(user, pool.functions.requestWithdraw(user.address, 4 * WAD))
    request = nft.events.WithdrawRequestCreated().process_receipt(receipt, errors=DISCARD)[0]["args"]["requestId"]
    assert not await nft.functions.isFinalized(request).call()
    await _refused(chain, nft.functions.claimWithdraw(request), user, "Request is not finalized")
    await chain.controls.finalize("etherfi")
    assert await nft.functions.isFinalized(request).call()
    before = await chain.balance("ETH", user.address)
    paid = await chain.send(user, nft.functions.claimWithdraw(request))
    gas = paid["gasUsed"] * paid["effectiveGasPrice"]
    assert await chain.balance("ETH", user.address) - before + gas in {4 * WAD, 4 * WAD - 1}
    await chain.controls.pause("etherfi", on=True)
    await _refused(chain, pool.get_function_by_signature("deposit()")(), user, "Pausable: paused", value=WAD)


async def test_a_loss_of_ether_fi_reaches_a_claim_that_waits(chain: Chain) -> None:
    user = await chain.account(eETH=10)
    pool, nft = _ether_fi(chain)
    await chain.send(user, chain.token("eETH").functions.approve(pool.address, 4 * WAD))
    receipt = await chain.send(user, pool.functions.requestWithdraw(user.address, 4 * WAD))
    request = nft.events.WithdrawRequestCreated().process_receipt(receipt, errors=DISCARD)[0]["args"]["requestId"]
    await chain.controls.rebase("etherfi", D("0.99"))
    await chain.controls.finalize("etherfi")
    assert abs(await nft.functions.getClaimableAmount(request).call() - int(D("3.96") * WAD)) <= 4
    with pytest.raises(ValueError, match="no discount"):
        await chain.controls.finalize("etherfi", D("0.1"))


async def test_usdt_returns_nothing_and_wants_zero_between_approvals(chain: Chain) -> None:
    user, usdt = await chain.account(USDT=10), chain.token("USDT")
    spender = chain.world["aave_v3"]["pool"]
    assert (await chain.send(user, usdt.functions.approve(spender, 5)))["status"] == 1
    assert (await chain.send(user, usdt.functions.approve(spender, 6)))["status"] == 0
    assert (await chain.send(user, usdt.functions.approve(spender, 0)))["status"] == 1
    assert (await chain.send(user, usdt.functions.approve(spender, 6)))["status"] == 1
    order = {"from": user.address, "to": usdt.address, "data": usdt.encode_abi("transfer", args=[spender, 1])}
    assert await chain.client.eth.call(order) == b""  # type: ignore[arg-type]  # plain text addresses
