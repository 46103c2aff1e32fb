"""The account behind endpoints that fail it, each in its own way: one transaction is mined, no false alarm given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ErrorClass, IntegrityError, OrderRejectedError, VenueUnreachableError
from basis_daemon.domain.trade import OrderState
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.errors import ForeignNonceError
from basis_daemon.venues.chain.heads import HeadOptions, HeadStream
from basis_daemon.venues.chain.tracker import TrackPolicy
from tests.chain_support import BareChain
from tests.venues.chain.proxy import GethPool, ProxyNode
from tests.venues.chain.support import GWEI, OWNER, QUICK, SHORT, Rig, endpoint, request, rig_on

SEND = "eth_sendRawTransaction"
PATIENT = AccountPolicy(track=TrackPolicy(confirmations=3, replace_after=2))


@asynccontextmanager
async def rig_behind(
    chain: BareChain, proxy: ProxyNode, policy: AccountPolicy = QUICK, *, second: bool = False
) -> AsyncIterator[Rig]:
    """An account whose only endpoint, or whose first of two, is the proxy."""
    others = [endpoint(chain.rpc_url, "other")] if second else []
    async with rig_on(chain, policy, [endpoint(proxy.url, "proxy", **SHORT), *others]) as rig:
        yield rig


async def hashes(rig: Rig) -> list[object]:
    return [tx["hash"] for tx in await rig.on_chain()]


@pytest.mark.fault("F41", "F46")
@pytest.mark.parametrize("is_broken_off", [True, False])
async def test_a_send_whose_answer_was_lost_is_followed_and_never_signed_again(
    bare_chain: BareChain, proxy: ProxyNode, is_broken_off: bool
) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        if is_broken_off:
            proxy.breaks(SEND, is_taken=True)
        else:
            proxy.takes_and_hangs(SEND)
        handle = await rig.account.submit(request())
        assert handle.row.state is OrderState.BROADCAST
        assert "transaction_in_doubt" in rig.notes.events
        proxy.is_honest()
        await rig.mine(3)
        assert handle.row.is_final
        assert await hashes(rig) == [handle.row.hash]


@pytest.mark.fault("F41", "F46")
async def test_a_send_that_was_lost_goes_out_again_byte_for_byte(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        proxy.hangs(SEND)
        handle = await rig.account.submit(request())
        proxy.is_honest()
        await rig.mine(6)
        assert handle.row.is_final
        assert await hashes(rig) == [handle.row.hash]
        assert "replacement:SIGNED" not in rig.steps()


@pytest.mark.fault("F41", "F42", "F46")
@pytest.mark.parametrize("is_taken", [True, False])
async def test_an_error_that_says_nothing_of_the_transaction_is_no_refusal(
    bare_chain: BareChain, proxy: ProxyNode, is_taken: bool
) -> None:
    """A gateway says `internal error` when its node did not answer it: the pool may have the transaction."""
    async with rig_behind(bare_chain, proxy) as rig:
        proxy.errs(SEND, "internal error", code=-32603, is_taken=is_taken)
        handle = await rig.account.submit(request())
        assert "transaction_in_doubt" in rig.notes.events
        proxy.is_honest()
        behind = await rig.account.submit(request("order-2"))
        await rig.mine(6)
        assert [handle.row.is_final, behind.row.is_final] == [True, True]
        assert [handle.row.nonce, behind.row.nonce] == [0, 1]
        assert await hashes(rig) == [handle.row.hash, behind.row.hash]
        assert rig.account.halted is None


@pytest.mark.fault("F42")
async def test_what_no_node_would_ever_take_gives_its_nonce_to_the_next_order(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        proxy.refuses(SEND, "exceeds block gas limit")
        with pytest.raises(OrderRejectedError, match="refused by every endpoint: invalid") as caught:
            await rig.account.submit(request("order-0"))
        assert caught.value.error_class is ErrorClass.BAD_PARAMS
        proxy.is_honest()
        handle = await rig.account.submit(request())
        await rig.mine(3)
        assert await hashes(rig) == [handle.row.hash]
        assert handle.row.nonce == 0


@pytest.mark.fault("F41")
async def test_the_second_endpoint_takes_over_while_the_first_hangs(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy, second=True) as rig:
        proxy.hangs()
        handle = await rig.account.submit(request())
        await rig.mine()
        assert handle.row.state is OrderState.INCLUDED
        await rig.mine(3)
        assert "FINAL" not in rig.steps(), "that it is final takes two"
        behind = await rig.account.submit(request("order-2"))
        await rig.mine(3)
        assert behind.row.state is OrderState.INCLUDED, "that one cannot be final yet does not hold up the next"
        proxy.is_honest()
        await rig.mine()
        assert handle.row.is_final
        assert behind.row.is_final


@pytest.mark.fault("F42")
async def test_a_pool_that_is_full_gives_the_nonce_to_the_next_order(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        proxy.refuses(SEND, "txpool is full")
        with pytest.raises(OrderRejectedError, match="pool_full") as caught:
            await rig.account.submit(request())
        assert caught.value.error_class is ErrorClass.RETRYABLE
        assert rig.steps() == ["SIGNED", "DROPPED"]
        proxy.is_honest()
        handle = await rig.account.submit(request("order-2"))
        await rig.mine(3)
        assert (handle.row.nonce, await hashes(rig)) == (0, [handle.row.hash])


async def leap(chain: BareChain, base_fee_wei: int) -> None:
    """A block that the account hears nothing of, and whose base fee is this."""
    await chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee_wei))
    await chain.rpc("evm_mine")


@pytest.mark.fault("F42")
async def test_a_fee_that_rose_behind_our_head_is_offered_anew_at_once_and_not_given_up(bare_chain: BareChain) -> None:
    """A leg that hedges another must not wait for the next decision because the last block is a second old."""
    async with rig_on(bare_chain) as rig:
        await leap(bare_chain, 50 * GWEI)
        handle = await rig.account.submit(request())
        assert rig.steps() == ["SIGNED", "BROADCAST", "REPLACED", "replacement:SIGNED", "replacement:BROADCAST"]
        await rig.mine(3)
        assert handle.row.is_final
        assert handle.row.max_fee_wei >= 50 * GWEI
        assert await hashes(rig) == [handle.row.hash]


@pytest.mark.fault("F42")
async def test_a_fee_beyond_the_orders_cap_is_not_paid_and_its_nonce_is_the_next_orders(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await leap(bare_chain, 50 * GWEI)
        with pytest.raises(OrderRejectedError, match="fee_too_low") as caught:
            await rig.account.submit(request(fee_cap_wei=40 * GWEI))
        assert caught.value.error_class is ErrorClass.RETRYABLE
        assert rig.steps() == ["SIGNED", "DROPPED"]
        handle = await rig.account.submit(request("order-2"))
        await rig.mine(3)
        assert (handle.row.nonce, await hashes(rig)) == (0, [handle.row.hash])


@pytest.mark.fault("F42")
async def test_an_order_that_is_too_cheap_twice_is_given_up_with_both_its_attempts(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        proxy.refuses(SEND, "transaction underpriced")
        with pytest.raises(OrderRejectedError, match="fee_too_low"):
            await rig.account.submit(request())
        steps, slot, head = rig.steps(), rig.account._recorder.book.slot(0), rig.account._head
        assert steps[-2:] == ["DROPPED", "replacement:DROPPED"]
        assert not rig.account.is_busy()
        assert head is not None
        assert slot.newest is None
        await rig.account._tracker._follow_waiting(slot, head, is_lowest=True)  # it had waited for the sender's lock
        await rig.account._tracker._offer_again(slot, slot.attempts[next(iter(slot.attempts))], head)
        await rig.account._tracker._replace(slot, head)
        await rig.account._tracker.cancel(slot, head, "asked for")
        assert rig.steps() == steps
        proxy.is_honest()
        handle = await rig.account.submit(request("order-2"))
        await rig.mine(3)
        assert (handle.row.nonce, await hashes(rig)) == (0, [handle.row.hash])


async def test_a_transaction_that_everyone_refused_and_that_is_mined_all_the_same_halts(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        sent: list[str] = []

        async def keep(params: list[str]) -> dict[str, object]:
            sent.extend(params)
            return {"error": {"code": -32000, "message": "txpool is full"}}

        proxy.answers[SEND] = keep
        with pytest.raises(OrderRejectedError):
            await rig.account.submit(request())
        proxy.hangs(SEND)
        await rig.account.submit(request("order-2", value=2))
        await bare_chain.rpc(SEND, sent[0])
        proxy.is_honest()
        await rig.mine()
        assert isinstance(rig.account.halted, IntegrityError)
        assert "was refused by every endpoint, and is in block" in str(rig.account.halted)


@pytest.mark.feature("X02", part="geth")
@pytest.mark.fault("F40", "F42")
async def test_a_pool_with_geths_rules_takes_every_replacement(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy, PATIENT) as rig:
        pool = GethPool(proxy, base_fee_wei=20 * GWEI)
        handle = await rig.account.submit(request())
        first = handle.row
        await rig.mine(60)
        assert pool.refused == 0, "every bump was high enough"
        assert handle.row.is_final
        assert handle.row.max_fee_wei >= 20 * GWEI > first.max_fee_wei
        assert await hashes(rig) == [handle.row.hash]


@pytest.mark.fault("F36", "F42")
async def test_another_hand_that_is_pending_on_our_nonce_halts_the_account(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig:
        await rig.foreign(0)
        with pytest.raises(OrderRejectedError, match="underpriced_replacement"):
            await rig.account.submit(request())
        assert isinstance(rig.account.halted, ForeignNonceError)
        assert rig.steps() == ["SIGNED", "DROPPED"]


@pytest.mark.fault("F41", "F42")
async def test_a_nonce_called_too_low_by_a_node_that_then_falls_silent_stays_in_doubt(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    async with rig_behind(bare_chain, proxy) as rig:

        async def taken_and_denied(params: list[str]) -> dict[str, object]:
            await proxy.forward(SEND, params)
            proxy.hangs()
            return {"error": {"code": -32000, "message": "nonce too low"}}

        proxy.answers[SEND] = taken_and_denied
        handle = await rig.account.submit(request())
        assert handle.row.state is OrderState.SIGNED, "it may be mined: nobody may call it dead"
        assert "transaction_in_doubt" in rig.notes.events
        proxy.is_honest()
        await rig.mine(3)
        assert handle.row.is_final
        assert await hashes(rig) == [handle.row.hash]


@pytest.mark.fault("F41")
async def test_a_receipt_that_comes_a_block_late_is_no_foreign_nonce(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        handle = await rig.account.submit(request())
        proxy.says("eth_getTransactionReceipt", None)
        await rig.mine()
        proxy.is_honest()
        await rig.mine(3)
        assert rig.account.halted is None
        assert handle.row.is_final


@pytest.mark.fault("F41")
async def test_one_endpoint_that_lies_about_a_nonce_does_not_halt_the_account(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    async with rig_behind(bare_chain, proxy, second=True) as rig:
        handle = await rig.account.submit(request())
        proxy.bends("eth_getTransactionCount", lambda _: "0x9")
        proxy.says("eth_getTransactionReceipt", None)
        await bare_chain.rpc("anvil_dropAllTransactions")
        await rig.mine(3)
        assert rig.account.halted is None
        proxy.is_honest()
        await rig.mine(4)
        assert handle.row.is_final


@pytest.mark.fault("F41")
async def test_one_endpoint_that_invents_a_receipt_makes_nothing_final(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy, second=True) as rig:
        handle = await rig.account.submit(request())
        proxy.bends("eth_getTransactionReceipt", lambda receipt: receipt and {**receipt, "gasUsed": "0x1"})
        await rig.mine(4)
        assert not handle.row.is_final
        assert "chain_unreadable" in rig.notes.events


async def test_a_nonce_becomes_final_after_those_before_it(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy, second=True) as rig:
        first, second = [await rig.account.submit(request(f"order-{number}")) for number in (1, 2)]

        async def hide_the_first(params: list[str]) -> dict[str, object]:
            hidden: dict[str, object] = {"result": None}
            true = await proxy.forward("eth_getTransactionReceipt", params)
            return hidden if params[0] == first.row.hash and rig.steps()[-1] == "INCLUDED" else true

        proxy.answers["eth_getTransactionReceipt"] = hide_the_first
        await rig.mine(5)
        assert [rig.steps()[-1], rig.steps("order-2")[-1]] == ["INCLUDED", "INCLUDED"]
        proxy.is_honest()
        await rig.mine()
        assert first.row.is_final
        assert second.row.is_final
        await rig.restart()
        assert (await rig.account.submit(request("order-3"))).row.nonce == 2


@pytest.mark.fault("F41")
async def test_figures_that_one_endpoint_made_up_are_taken_back_when_two_know_better(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    others = [endpoint(bare_chain.rpc_url, "other"), endpoint(bare_chain.rpc_url, "third")]
    async with rig_on(bare_chain, QUICK, [endpoint(proxy.url, "liar", **SHORT), *others]) as rig:
        handle = await rig.account.submit(request())
        proxy.bends("eth_getTransactionReceipt", lambda receipt: receipt and {**receipt, "gasUsed": "0x1"})
        await rig.mine(4)
        told = [(event.row.state, event.row.gas_used) for event in rig.events[2:]]
        assert told == [
            (OrderState.INCLUDED, 1),
            (OrderState.REORGED, 1),
            (OrderState.INCLUDED, 21_000),
            (OrderState.FINAL, 21_000),
        ]
        assert handle.row.is_final


@pytest.mark.feature("X04", part="deadline")
@pytest.mark.feature("A05", part="relay")
async def test_a_private_order_that_no_relay_includes_is_cancelled_at_its_deadline(
    bare_chain: BareChain, proxy: ProxyNode
) -> None:
    proxy.swallows(SEND)
    relay = endpoint(proxy.url, "relay", is_private=True)
    async with rig_on(bare_chain, PATIENT, [endpoint(bare_chain.rpc_url, "public"), relay]) as rig:
        head = await rig.follow()
        deadline = int(head.block.time.timestamp()) + 60
        handle = await rig.account.submit(request(is_private=True, deadline=deadline))
        pool = await bare_chain.rpc("txpool_status")
        assert pool == {"pending": "0x0", "queued": "0x0"}, "nobody but the relay has seen it"
        await bare_chain.rpc("evm_increaseTime", 3600)
        await rig.mine(5)
        assert (handle.row.attempt, handle.row.is_final) == ("cancel", True)
        assert [tx["to"] for tx in await rig.on_chain()] == [OWNER.lower()]
        assert proxy.asked.count(SEND) >= 2, "the relay hears of the cancel too"


async def test_nothing_is_signed_while_nobody_answers(bare_chain: BareChain, proxy: ProxyNode) -> None:
    async with rig_behind(bare_chain, proxy) as rig:
        proxy.hangs()
        with pytest.raises(VenueUnreachableError):
            await rig.account.submit(request())
        assert rig.events == []


@pytest.mark.feature("X01", part="stream")
async def test_a_running_account_follows_the_streams_heads_to_the_end(bare_chain: BareChain) -> None:
    async with rig_on(bare_chain) as rig, TaskTree("stream") as tree:
        stream = HeadStream(rig.rpc, SystemClock(), tree, rig.account.on_head, HeadOptions(poll_s=0.01))
        tree.spawn("heads", stream.run())
        tree.spawn("account", rig.account.run())
        await bare_chain.rpc("evm_setIntervalMining", 1)
        handles = [await rig.account.submit(request(f"order-{number}")) for number in range(3)]
        async with asyncio.timeout(20):
            rows = [await handle.final() for handle in handles]
        assert [row.nonce for row in rows] == [0, 1, 2]
        await bare_chain.rpc("evm_setIntervalMining", 0)
        tree.cancel_all()
