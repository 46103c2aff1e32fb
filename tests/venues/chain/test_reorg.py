"""Blocks that were and are no more: what was booked is taken back, and booked again where it landed."""

from __future__ import annotations

import asyncio

import pytest

from basis_daemon.domain.trade import OrderState
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.endpoint import newest_header
from basis_daemon.venues.chain.heads import Head
from basis_daemon.venues.chain.tracker import TrackPolicy
from tests.chain_support import BareChain
from tests.venues.chain.support import Rig, request, rig_on

SLOW = AccountPolicy(track=TrackPolicy(confirmations=6))


async def mined(rig: Rig) -> str:
    """One order in a block, two blocks above it; returns its raw bytes."""
    handle = await rig.account.submit(request())
    raw = handle.row.raw_hex
    await rig.mine(3)
    assert handle.row.state is OrderState.INCLUDED
    return raw


@pytest.mark.feature("X05", part="reorg")
@pytest.mark.fault("F38")
async def test_a_transaction_that_moved_to_another_block_is_taken_back_and_booked_again(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, SLOW) as rig:
        raw = await mined(rig)
        await bare_chain.rpc("anvil_reorg", 3, [[raw, 1]])
        await rig.follow()
        rows = [event.row for event in rig.events]
        assert rig.steps() == ["SIGNED", "BROADCAST", "INCLUDED", "REORGED", "INCLUDED"]
        assert rows[3].block_hash == rows[2].block_hash != rows[4].block_hash
        assert rig.events[4].receipt is not None
        await rig.mine(5)
        assert rig.steps()[-1] == "FINAL"
        assert len(await rig.on_chain()) == 1


@pytest.mark.feature("X05", part="reorg")
@pytest.mark.fault("F38")
async def test_a_transaction_that_vanished_is_taken_back_and_sent_again(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, SLOW) as rig:
        await mined(rig)
        await bare_chain.rpc("anvil_reorg", 3, [])
        await rig.follow()
        assert rig.steps()[-2:] == ["REORGED", "BROADCAST"]
        await rig.mine(6)
        assert rig.steps()[-2:] == ["INCLUDED", "FINAL"]
        assert len(await rig.on_chain()) == 1
        assert len({event.row.hash for event in rig.events}) == 1


@pytest.mark.fault("F38")
@pytest.mark.parametrize("is_crash", [True, False])
async def test_a_death_before_what_was_taken_back_is_in_a_block_again_loses_nothing(
    bare_chain: BareChain, *, is_crash: bool
) -> None:
    """A crash may lose the row that takes it back as well, which is nothing that has to be durable before a send."""
    async with rig_on(bare_chain, SLOW) as rig:
        await mined(rig)
        await bare_chain.rpc("anvil_reorg", 3, [])
        await rig.follow()
        assert rig.steps()[-2:] == ["REORGED", "BROADCAST"]
        rig.events.clear()
        await rig.restart(is_crash=is_crash)
        assert "INCLUDED" not in rig.steps()
        await rig.mine(6)
        assert rig.steps()[-2:] == ["INCLUDED", "FINAL"]
        assert len(await rig.on_chain()) == 1
        assert len({event.row.hash for event in rig.events}) == 1


@pytest.mark.fault("F38")
async def test_a_reorganisation_while_the_daemon_was_down_is_found_at_the_start(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, SLOW) as rig:
        raw = await mined(rig)
        await bare_chain.rpc("anvil_reorg", 3, [[raw, 2]])
        rig.events.clear()
        await rig.restart()
        assert rig.steps() == ["REORGED", "INCLUDED"]


async def test_an_old_receipt_is_told_again_after_a_restart_with_what_it_moved(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, SLOW) as rig:
        await mined(rig)
        rig.events.clear()
        await rig.restart()
        assert rig.steps() == ["INCLUDED"]
        assert rig.events[0].receipt is not None


@pytest.mark.fault("F38")
async def test_after_a_gap_in_the_heads_every_block_is_looked_at_again(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, SLOW) as rig:
        raw = await mined(rig)
        await bare_chain.rpc("anvil_reorg", 3, [[raw, 1]])
        await rig.account.follow(Head(await rig.rpc.ask("newest", newest_header), is_gap=True))
        assert rig.steps()[-2:] == ["REORGED", "INCLUDED"]


@pytest.mark.fault("F38")
async def test_a_head_that_is_overtaken_hands_on_that_blocks_were_taken_back(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, SLOW) as rig, TaskTree("account") as tree:
        raw = await mined(rig)
        await bare_chain.rpc("anvil_reorg", 3, [[raw, 1]])
        header = await rig.rpc.ask("newest", newest_header)
        rig.account.on_head(Head(header, removed=(header.block,)))
        rig.account.on_head(Head(header))
        tree.spawn("run", rig.account.run())
        async with asyncio.timeout(10):
            await rig.notes.until("transaction_reorged")
        tree.cancel_all()


@pytest.mark.feature("X05", part="final")
async def test_the_block_itself_is_the_first_confirmation(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, AccountPolicy(track=TrackPolicy(confirmations=3))) as rig:
        await rig.account.submit(request())
        await rig.mine(2)
        assert rig.steps()[-1] == "INCLUDED"
        await rig.mine(1)
        assert rig.steps()[-1] == "FINAL"


@pytest.mark.feature("X05", part="final")
async def test_the_chains_own_finality_is_waited_for_where_no_depth_is_configured(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, AccountPolicy(track=TrackPolicy(confirmations=None))) as rig:
        handle = await rig.account.submit(request())
        await rig.mine(1)
        await bare_chain.rpc("anvil_mine", "0x20")
        await rig.follow()
        assert not handle.row.is_final
        await bare_chain.rpc("anvil_mine", "0x20")
        await rig.follow()
        assert handle.row.is_final


@pytest.mark.fault("F36", "F38")
async def test_a_reorganisation_that_gives_the_nonce_to_another_takes_back_and_halts(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain, SLOW) as rig:
        await mined(rig)
        await bare_chain.rpc("anvil_reorg", 3, [])
        await rig.foreign(0)
        await bare_chain.rpc("anvil_mine", "0x1")
        await rig.follow()
        await rig.mine(2)
        assert rig.steps()[-1] == "REORGED"
        assert rig.account.halted is not None
