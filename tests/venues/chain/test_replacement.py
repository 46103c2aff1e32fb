"""Stuck, too late, too dear: what becomes of a transaction that no block takes."""

from __future__ import annotations

import pytest

from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.fees import FeePolicy
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.venues.chain.transactions import order_state_of
from tests.chain_support import BareChain
from tests.venues.chain.support import GWEI, Rig, request, rig_on

PATIENT = AccountPolicy(track=TrackPolicy(confirmations=3, replace_after=2))
DEAR = 500 * GWEI


async def raise_base_fee(rig: Rig, wei: int) -> None:
    """The next block wants this much, which the node holds against what waits in its pool."""
    await rig.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(wei))


@pytest.mark.feature("X02")
@pytest.mark.fault("F35", "F40")
async def test_a_stuck_transaction_is_replaced_and_one_of_the_two_is_mined(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, PATIENT) as rig:
        handle = await rig.account.submit(request())
        first = handle.row
        assert rig.account.signed_for(first.order_id) == {first.hash}
        await raise_base_fee(rig, 100 * GWEI)
        await rig.mine()
        await rig.mine(2)
        assert first.hash in rig.account.signed_for(first.order_id)
        assert len(rig.account.signed_for(first.order_id)) > 1, "any of them may be the one that is mined"
        await rig.mine(6)
        assert rig.account.signed_for(first.order_id) == {handle.row.hash}
        mined = await rig.on_chain()
        last = handle.row
        assert [tx["hash"] for tx in mined] == [last.hash]
        assert last.hash != first.hash
        assert last.is_final
        assert last.max_fee_wei >= first.max_fee_wei * 9 // 8
        assert last.tip_wei >= first.tip_wei * 9 // 8


@pytest.mark.feature("A05", part="cancel")
@pytest.mark.fault("F40")
async def test_a_transaction_beyond_its_cap_is_cancelled_at_the_price_of_a_transfer(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, PATIENT) as rig:
        handle = await rig.account.submit(request(fee_cap_wei=3 * GWEI))
        await raise_base_fee(rig, 50 * GWEI)
        await rig.mine(10)
        mined = await rig.on_chain()
        assert [(tx["to"], tx["value"], tx["input"]) for tx in mined] == [(rig.account.address.lower(), "0x0", "0x")]
        assert handle.row.attempt == "cancel"
        assert handle.row.is_final
        states = [order_state_of(event.row) for event in rig.events]
        assert [state for state in states if state is not None][-1] is OrderState.DROPPED


@pytest.mark.feature("A05", part="deadline")
async def test_a_transaction_past_its_deadline_is_cancelled(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, PATIENT) as rig:
        head = await rig.follow()
        handle = await rig.account.submit(request(deadline=int(head.block.time.timestamp()) + 60))
        await bare_chain.rpc("anvil_dropAllTransactions")
        await bare_chain.rpc("evm_increaseTime", 3600)
        await rig.mine(6)
        assert handle.row.attempt == "cancel"
        assert handle.row.is_final
        assert [tx["value"] for tx in await rig.on_chain()] == ["0x0"]


async def test_an_order_is_cancelled_on_request(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, PATIENT) as rig:
        await rig.follow()
        await rig.account.submit(request())
        handle = await rig.account.cancel("order-1")
        assert handle is not None
        await rig.mine(4)
        assert (handle.row.attempt, handle.row.is_final) == ("cancel", True)
        assert len(await rig.on_chain()) == 1


async def test_a_cancel_that_comes_too_late_changes_nothing(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, PATIENT) as rig:
        handle = await rig.account.submit(request())
        await bare_chain.rpc("anvil_mine", "0x1")  # mined, and the account has not seen it
        await rig.account.cancel("order-1")
        await rig.mine(4)
        assert (handle.row.attempt, handle.row.state) == ("original", OrderState.FINAL)
        assert len(await rig.on_chain()) == 1


async def test_a_cancel_that_is_too_dear_is_told_and_not_sent(bare_chain: BareChain) -> None:
    policy = AccountPolicy(FeePolicy(cancel_fee_max_wei=GWEI), PATIENT.track)
    async with rig_on(bare_chain, policy) as rig:
        await rig.account.submit(request(fee_cap_wei=3 * GWEI))
        await raise_base_fee(rig, 50 * GWEI)
        await rig.mine(5)
        assert "transaction_stuck_alarm" in rig.notes.events
        assert not any(event.row.attempt == "cancel" for event in rig.events)


async def test_orders_behind_a_stuck_one_wait_and_are_mined_unchanged(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, PATIENT) as rig:
        await raise_base_fee(rig, 2 * GWEI)
        await rig.mine()
        handles = [await rig.account.submit(request(f"order-{number}")) for number in range(3)]
        for _ in range(3):
            await bare_chain.rpc("anvil_dropTransaction", handles[0].row.hash)
            await rig.mine()
        await rig.mine(3)
        assert len(await rig.on_chain()) == 3
        assert handles[0].row.attempt == "replacement"
        assert [handle.row.attempt for handle in handles[1:]] == ["original", "original"]


async def test_a_transaction_that_reverts_in_its_block_is_paid_for_and_says_why(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, PATIENT) as rig:
        handle = await rig.account.submit(request(gas_limit=60_000))
        await bare_chain.rpc("anvil_setCode", request().to, "0x63deadbeef6000526004601cfd")
        await rig.mine(4)
        assert (handle.row.state, handle.row.is_final) == (OrderState.REVERTED, True)
        assert handle.row.gas_used > 21_000
        reverted = next(event.row for event in rig.events if event.row.state is OrderState.REVERTED)
        assert await rig.account.revert_data(reverted) == bytes.fromhex("deadbeef")
