"""Every block is told once and in order, whatever becomes of the connection or of the chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.endpoint import EndpointOptions, newest_header
from basis_daemon.venues.chain.heads import ChainWalk, Head, HeadOptions, HeadStream
from basis_daemon.venues.chain.rpc import RpcPool
from tests.chain_support import BareChain
from tests.venues.chain.proxy import ProxyNode
from tests.venues.chain.support import Notes, endpoint, identity_of, pool_of

PUSHED = HeadOptions(poll_s=0.05, silence_s=30.0)
ASKED = HeadOptions(poll_s=0.02, silence_s=30.0)
WAIT_S = 10


class Heads:
    """What the sink was told; a test waits for a block, never for a time."""

    def __init__(self) -> None:
        self.told: list[Head] = []
        self.notes = Notes()
        self._queue: asyncio.Queue[Head] = asyncio.Queue()

    def sink(self, head: Head) -> None:
        self.told.append(head)
        self._queue.put_nowait(head)

    async def until(self, number: int) -> Head:
        async with asyncio.timeout(WAIT_S):
            while (head := await self._queue.get()).block.number != number or head.added[-1] != head.block:
                pass
            return head

    @property
    def chain(self) -> list[int]:
        """Numbers of the blocks that hold at the end of all that was told."""
        blocks: list[str] = []
        numbers: dict[str, int] = {}
        for head in self.told:
            for gone in head.removed:
                blocks.remove(gone.hash)
            for added in head.added:
                blocks.append(added.hash)
                numbers[added.hash] = added.number
        return [numbers[block] for block in blocks]


@asynccontextmanager
async def heads_of(chain: BareChain, options: EndpointOptions, how: HeadOptions) -> AsyncIterator[Heads]:
    heads = Heads()
    async with TaskTree("test") as tree:
        pool = RpcPool([options], await identity_of(chain), SystemClock(), tree)
        try:
            await pool.start()
            stream = HeadStream(pool, SystemClock(), tree, heads.sink, how, heads.notes)
            tree.spawn("heads", stream.run())
            await heads.until(0)
            yield heads
        finally:
            tree.cancel_all()
            await pool.close()


def pushing(chain: BareChain) -> EndpointOptions:
    return endpoint(chain.rpc_url, ws_url=SecretStr(chain.ws_url))


@pytest.mark.parametrize("is_pushed", [True, False])
async def test_blocks_are_told_in_order(bare_chain: BareChain, is_pushed: bool) -> None:
    options = pushing(bare_chain) if is_pushed else endpoint(bare_chain.rpc_url)
    async with heads_of(bare_chain, options, PUSHED if is_pushed else ASKED) as heads:
        for number in range(1, 6):
            await bare_chain.rpc("anvil_mine", "0x1")
            head = await heads.until(number)
            assert head.header.base_fee_wei > 0
        assert heads.chain == [0, 1, 2, 3, 4, 5]


async def newest(chain: BareChain, pool: RpcPool, walk: ChainWalk, mined: int = 0) -> Head | None:
    if mined:
        await chain.rpc("anvil_mine", hex(mined))
    return await walk.step_to(await pool.ask("newest", newest_header))


async def test_blocks_that_were_missed_are_fetched(bare_chain: BareChain) -> None:
    async with pool_of(bare_chain, [endpoint(bare_chain.rpc_url)]) as pool:
        walk = ChainWalk(pool, HeadOptions())
        await newest(bare_chain, pool, walk)
        head = await newest(bare_chain, pool, walk, mined=40)
        assert head is not None
        assert [block.number for block in head.added] == list(range(1, 41))
        assert await newest(bare_chain, pool, walk) is None, "told once"


async def test_a_pause_longer_than_is_fetched_is_told_as_a_gap(bare_chain: BareChain) -> None:
    async with pool_of(bare_chain, [endpoint(bare_chain.rpc_url)]) as pool:
        walk = ChainWalk(pool, HeadOptions(backfill_max=8))
        await newest(bare_chain, pool, walk)
        head = await newest(bare_chain, pool, walk, mined=40)
        assert head is not None
        assert (head.is_gap, head.removed) == (True, ())
        assert [block.number for block in head.added] == [40]


@pytest.mark.fault("F38")
async def test_a_fork_older_than_what_is_known_takes_back_all_that_is(bare_chain: BareChain) -> None:
    await bare_chain.rpc("anvil_mine", "0x5")
    async with pool_of(bare_chain, [endpoint(bare_chain.rpc_url)]) as pool:
        walk = ChainWalk(pool, HeadOptions(backfill_max=4))
        await newest(bare_chain, pool, walk)
        await newest(bare_chain, pool, walk, mined=1)
        await bare_chain.rpc("anvil_reorg", 5, [])
        head = await newest(bare_chain, pool, walk)
        assert head is not None
        assert head.is_gap
        assert [block.number for block in head.removed] == [5, 6]


@pytest.mark.feature("X05", part="heads")
@pytest.mark.fault("F38")
@pytest.mark.parametrize("is_pushed", [True, False])
async def test_a_reorganisation_names_what_went_and_what_came(bare_chain: BareChain, is_pushed: bool) -> None:
    options = pushing(bare_chain) if is_pushed else endpoint(bare_chain.rpc_url)
    async with heads_of(bare_chain, options, PUSHED if is_pushed else ASKED) as heads:
        await bare_chain.rpc("anvil_mine", "0x5")
        await heads.until(5)
        before = {block.number: block.hash for head in heads.told for block in head.added}
        await bare_chain.rpc("anvil_reorg", 3, [])
        await heads.until(5)
        assert heads.chain == [0, 1, 2, 3, 4, 5]
        removed = [block for head in heads.told for block in head.removed]
        assert {block.hash for block in removed} >= {before[3], before[4], before[5]}
        assert not {block.number for block in removed} & {0, 1, 2}
        assert "reorganised" in heads.notes.events


async def test_a_chain_that_was_set_back_is_followed_from_its_next_block(bare_chain: BareChain) -> None:
    async with heads_of(bare_chain, endpoint(bare_chain.rpc_url), ASKED) as heads:
        await bare_chain.rpc("anvil_mine", "0x2")
        await heads.until(2)
        snapshot = await bare_chain.rpc("evm_snapshot")
        await bare_chain.rpc("anvil_mine", "0x3")
        await heads.until(5)
        assert await bare_chain.rpc("evm_revert", snapshot)
        await bare_chain.rpc("evm_increaseTime", 100)
        await bare_chain.rpc("anvil_mine", "0x1")
        head = await heads.until(3)
        assert [block.number for block in head.removed] == [3, 4, 5]
        assert heads.chain == [0, 1, 2, 3]


@pytest.mark.fault("F23")
async def test_a_push_that_ends_is_taken_up_again_and_nothing_is_missed(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    options = endpoint(proxy.url, ws_url=SecretStr(proxy.ws_url))
    async with heads_of(bare_chain, options, PUSHED) as heads:
        await bare_chain.rpc("anvil_mine", "0x2")
        await heads.until(2)
        await proxy.cut()
        await bare_chain.rpc("anvil_mine", "0x3")
        await heads.until(5)
        await proxy.opened(2)
        await bare_chain.rpc("anvil_mine", "0x1")
        await heads.until(6)
        assert heads.chain == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.fault("F23")
async def test_a_push_that_falls_silent_is_asked_about(bare_chain: BareChain, proxy: ProxyNode) -> None:
    options = endpoint(proxy.url, ws_url=SecretStr(proxy.ws_url))
    async with heads_of(bare_chain, options, HeadOptions(poll_s=0.02, silence_s=0.2)) as heads:
        await bare_chain.rpc("anvil_mine", "0x1")
        await heads.until(1)
        proxy.is_mute = True
        await bare_chain.rpc("anvil_mine", "0x2")
        await heads.until(3)
        assert heads.chain == [0, 1, 2, 3]
        async with asyncio.timeout(WAIT_S):
            await proxy.opened(2)


@pytest.mark.feature("X03", part="identity")
async def test_a_push_of_another_chain_is_not_listened_to(bare_chain: BareChain, proxy: ProxyNode) -> None:
    options = endpoint(bare_chain.rpc_url, ws_url=SecretStr(proxy.ws_url))
    proxy.ws_bends = {"0x7a69": "0x1"}
    async with heads_of(bare_chain, options, ASKED) as heads:
        await bare_chain.rpc("anvil_mine", "0x2")
        await heads.until(2)
        assert heads.chain[-1] == 2
        await heads.notes.until("heads_push_ended")
        facts = dict(heads.notes.told)["heads_push_ended"]
        assert "chain id and genesis" in str(facts["why"])


async def test_a_poll_that_fails_does_not_end_the_stream(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with heads_of(bare_chain, endpoint(proxy.url), ASKED) as heads:
        proxy.refuses("eth_getBlockByNumber", "overloaded")
        await heads.notes.until("heads_unreadable")
        proxy.is_honest()
        await bare_chain.rpc("anvil_mine", "0x1")
        await heads.until(1)
