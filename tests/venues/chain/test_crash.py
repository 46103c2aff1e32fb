"""The process ends at every named point, and the next one goes on: one transaction of the order is mined, never two."""

from __future__ import annotations

import pytest

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import KillPoint
from basis_daemon.venues.chain.account import Adopted
from tests.chain_support import BareChain
from tests.venues.chain.support import GWEI, KilledError, MemoryTxJournal, request, rig_on

BEFORE_A_BLOCK = (KillPoint.TX_SIGNED, KillPoint.TX_JOURNALLED, KillPoint.TX_BROADCAST)


@pytest.mark.feature("X01", part="crash")
@pytest.mark.fault("F45", "F46")
@pytest.mark.parametrize("point", BEFORE_A_BLOCK)
@pytest.mark.parametrize("is_mined_meanwhile", [False, True])
async def test_a_crash_before_the_block_leaves_one_transaction(
    bare_chain: BareChain, point: KillPoint, is_mined_meanwhile: bool
) -> None:
    async with rig_on(bare_chain) as rig:
        rig.killer.point = point
        with pytest.raises(KilledError):
            await rig.account.submit(request())
        if is_mined_meanwhile:
            await bare_chain.rpc("anvil_mine", "0x1")
        await rig.restart()
        known = rig.account.find("order-1")
        assert (known is None) is (point is KillPoint.TX_SIGNED)
        handle = known or await rig.account.submit(request())
        await rig.mine(4)
        assert handle.row.state is OrderState.FINAL
        assert [tx["hash"] for tx in await rig.on_chain()] == [handle.row.hash]


@pytest.mark.feature("X01", part="crash")
@pytest.mark.fault("F47")
async def test_a_crash_after_the_block_books_it_once_more_and_sends_nothing(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.account.submit(request())
        rig.killer.point = KillPoint.TX_INCLUDED
        with pytest.raises(KilledError):
            await rig.mine()
        rig.events.clear()
        await rig.restart()
        await rig.mine(3)
        assert rig.steps() == ["INCLUDED", "FINAL"]
        assert len(await rig.on_chain()) == 1


@pytest.mark.fault("F35")
@pytest.mark.parametrize("point", BEFORE_A_BLOCK)
async def test_a_crash_in_a_replacement_leaves_one_transaction(bare_chain: BareChain, point: KillPoint) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.account.submit(request())
        rig.killer.point = point
        with pytest.raises(KilledError):
            await rig.account.cancel("order-1")
        await rig.restart()
        await rig.mine(4)
        handle = rig.account.find("order-1")
        assert handle is not None
        assert handle.row.is_final
        assert [tx["hash"] for tx in await rig.on_chain()] == [handle.row.hash]


async def test_several_orders_in_flight_survive_a_crash_in_their_order(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        hashes = [(await rig.account.submit(request(f"order-{number}"))).row.hash for number in range(5)]
        await bare_chain.rpc("anvil_dropAllTransactions")
        await rig.restart()
        await rig.mine(2)
        assert [tx["hash"] for tx in await rig.on_chain()] == hashes
        assert (await rig.account.submit(request("order-5"))).row.nonce == 5


async def test_a_journal_of_another_chain_is_refused(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.account.submit(request())
        await rig.mine(4)
        await bare_chain.rpc("anvil_setNonce", rig.account.address, "0x0")
        await bare_chain.rpc("anvil_mine", "0x1")
        with pytest.raises(IntegrityError, match="another chain"):
            await rig.restart()


async def test_an_address_with_a_past_begins_where_the_chain_is(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.foreign(0)
        await rig.mine()
        rig.journal = MemoryTxJournal()
        await rig.restart()
        assert (await rig.account.submit(request())).row.nonce == 1


async def test_a_foreign_nonce_may_be_adopted_by_an_operator(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.account.submit(request())
        await bare_chain.rpc("anvil_dropAllTransactions")
        await rig.foreign(0, fee_wei=200 * GWEI)
        await rig.mine(3)
        assert rig.account.halted is not None
        rig.account = rig.new_account()
        assert await rig.account.adopt("the operator did it") == Adopted(1, 1, ("order-1",))
        assert rig.steps()[-1] == "DROPPED"
        await rig.restart()
        assert (await rig.account.submit(request("order-2"))).row.nonce == 1


async def test_there_is_nothing_to_adopt_where_every_nonce_is_ours(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        handle = await rig.account.submit(request())
        await rig.mine()
        rig.account = rig.new_account()
        assert await rig.account.adopt("to be sure") == Adopted(1, 0, ())
        await rig.restart()
        await rig.mine(3)
        assert rig.account.find("order-1") is not None
        assert rig.steps()[-1] == "FINAL", f"{handle.row.hash} is followed on"
