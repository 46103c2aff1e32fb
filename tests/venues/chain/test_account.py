"""One address, its nonces and their transactions, on a real node."""

from __future__ import annotations

import asyncio

import pytest

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError, VenueUnreachableError
from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.chain.errors import ForeignNonceError, SimulationRevertedError
from basis_daemon.venues.chain.receipts import count_at
from tests.chain_support import BareChain
from tests.venues.chain.support import ELSEWHERE, ETHER, GWEI, request, rig_on


async def test_a_transaction_is_journalled_sent_mined_and_final(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        handle = await rig.account.submit(request())
        assert handle.row.state is OrderState.BROADCAST
        await rig.mine(3)
        row = await handle.final()
        assert rig.steps() == ["SIGNED", "BROADCAST", "INCLUDED", "FINAL"]
        assert (row.nonce, row.gas_used, row.is_final) == (0, 21_000, True)
        assert [tx["hash"] for tx in await rig.on_chain()] == [row.hash]


@pytest.mark.feature("X01", part="pipeline")
async def test_fifty_orders_in_flight_are_mined_in_their_order(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        for number in range(50):
            await rig.account.submit(request(f"order-{number}", value=number))
        await rig.mine(4)
        mined = await rig.on_chain()
        assert [int(str(tx["value"]), 16) for tx in mined] == list(range(50))
        rows = [(await rig.account.submit(request(f"order-{number}"))).row for number in range(50)]
        assert [row.nonce for row in rows] == list(range(50))
        assert all(row.is_final for row in rows)


async def test_orders_that_come_at_the_same_time_get_nonces_without_a_gap(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig, asyncio.TaskGroup() as group:
        tasks = [group.create_task(rig.account.submit(request(f"order-{number}"))) for number in range(10)]
        nonces = [(await task).row.nonce for task in tasks]
        assert sorted(nonces) == list(range(10))


async def test_the_same_order_again_is_the_same_transaction(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        first = await rig.account.submit(request())
        again = await rig.account.submit(request())
        assert again.row.hash == first.row.hash
        await rig.mine()
        assert len(await rig.on_chain()) == 1


async def test_an_order_that_is_asked_for_twice_at_the_same_time_is_signed_once(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rig.account.submit(request())) for _ in range(5)]
        assert len({task.result().row.hash for task in tasks}) == 1
        await rig.mine()
        assert len(await rig.on_chain()) == 1


async def test_an_order_that_was_sent_is_known_although_it_would_revert_now(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        first = await rig.account.submit(request())
        await bare_chain.rpc("anvil_setCode", ELSEWHERE, "0x63deadbeef6000526004601cfd")
        assert (await rig.account.submit(request())).row.hash == first.row.hash


@pytest.mark.feature("X06", part="account")
async def test_a_call_that_reverts_is_not_signed_and_its_data_is_handed_on(bare_chain: BareChain) -> None:
    await bare_chain.rpc("anvil_setCode", ELSEWHERE, "0x63deadbeef6000526004601cfd")
    async with rig_on(bare_chain) as rig:
        with pytest.raises(SimulationRevertedError) as caught:
            await rig.account.submit(request())
        assert caught.value.revert_data == bytes.fromhex("deadbeef")
        assert rig.account.find("order-1") is None
        assert rig.events == []


async def test_the_estimate_gets_a_margin_and_a_limit_of_the_order_none(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        estimated = await rig.account.submit(request())
        limited = await rig.account.submit(request("order-2", gas_limit=77_777))
        await rig.mine()
        assert [int(str(tx["gas"]), 16) for tx in await rig.on_chain()] == [24_150, 77_777]  # 21,000 and 15 %
        assert estimated.row.gas_used == limited.row.gas_used == 21_000


async def test_nonces_are_counted_up_to_a_block_and_not_beyond(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        before = await rig.follow()
        await rig.account.submit(request())
        await rig.mine()
        after = await rig.follow()
        counts = [await rig.rpc.ask("nonce", count_at(rig.account.address, head.block)) for head in (before, after)]
        assert counts == [0, 1]


async def test_an_order_beyond_the_balance_is_refused_before_it_is_signed(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        with pytest.raises(OrderRejectedError) as caught:
            await rig.account.submit(request(value=101 * ETHER))
        assert caught.value.error_class is ErrorClass.INSUFFICIENT
        assert rig.events == []


@pytest.mark.feature("A05", part="base-fee-cap")
async def test_nothing_is_signed_while_the_base_fee_is_above_the_cap(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        with pytest.raises(OrderRejectedError, match="base fee") as caught:
            await rig.account.submit(request(fee_cap_wei=GWEI // 2))
        assert caught.value.error_class is ErrorClass.RETRYABLE
        assert rig.events == []


@pytest.mark.fault("F34")
async def test_a_dropped_transaction_is_sent_again_byte_for_byte(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        handle = await rig.account.submit(request())
        await bare_chain.rpc("anvil_dropAllTransactions")
        await rig.mine(4)
        assert [tx["hash"] for tx in await rig.on_chain()] == [handle.row.hash]
        assert "replacement:SIGNED" not in rig.steps()


@pytest.mark.fault("F37")
async def test_a_dropped_lowest_nonce_does_not_hold_up_those_behind_it(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        handles = [await rig.account.submit(request(f"order-{number}")) for number in range(3)]
        await bare_chain.rpc("anvil_dropTransaction", handles[0].row.hash)
        await rig.mine(5)
        assert [tx["hash"] for tx in await rig.on_chain()] == [handle.row.hash for handle in handles]


@pytest.mark.feature("X01", part="foreign")
@pytest.mark.fault("F36")
async def test_a_nonce_used_by_another_hand_halts_the_account(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        handle = await rig.account.submit(request())
        await bare_chain.rpc("anvil_dropAllTransactions")
        await rig.foreign(0)
        await rig.mine(2)
        with pytest.raises(ForeignNonceError, match="somebody else signs with this key"):
            await handle.in_chain()
        with pytest.raises(OrderRejectedError, match="nothing was signed, the account is halted") as caught:
            await rig.account.submit(request("order-2"))
        assert caught.value.error_class is ErrorClass.AUTH
        assert await rig.account.cancel("order-1") is not None, "it signs no cancel, and says what it knows"
        assert rig.steps() == ["SIGNED", "BROADCAST"]
        assert "account_halted_alarm" in rig.notes.events


@pytest.mark.feature("X01", part="foreign")
@pytest.mark.fault("F36")
async def test_a_foreign_transaction_is_noticed_by_the_next_order(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.foreign(0)
        await rig.mine()
        with pytest.raises(OrderRejectedError, match="somebody else signs with this key"):
            await rig.account.submit(request())
        assert isinstance(rig.account.halted, ForeignNonceError)
        assert rig.steps() == ["SIGNED", "DROPPED"]


async def test_a_foreign_transaction_while_the_daemon_was_down_is_noticed_at_the_start(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.foreign(0)
        await rig.mine()
        with pytest.raises(ForeignNonceError):
            await rig.restart()


async def test_nothing_is_signed_before_the_nonce_is_known(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        rig.account = rig.new_account()
        with pytest.raises(VenueUnreachableError, match="is not started"):
            await rig.account.submit(request())
