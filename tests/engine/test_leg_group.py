"""Two legs where nothing is atomic: clips, a follower sized by what the leader really got, and a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from basis_daemon.domain.order import Order, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GroupRow, load
from basis_daemon.engine.leg_group import GroupEnd
from basis_daemon.ports import RecordKind
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.faults import Fault, FaultKind
from basis_daemon.venues.paper.venue import PaperTerms
from tests.engine.support import BUDGET, Rig, agrees, pair
from tests.venues.paper_support import COIN, PERP, START, D, trade_order

REJECT = Fault(FaultKind.REJECT)


async def execute(rig: Rig, orders: list[Order]) -> tuple[PlanState, GroupRow]:
    state = await rig.manager.execute_orders(START, orders, "plan")
    return state, group_row(rig)


def group_row(rig: Rig) -> GroupRow:
    row = rig.journal.latest(RecordKind.GROUP)
    assert row is not None
    return load(GroupRow, row.record.payload)


def sizes(rig: Rig, key: str) -> list[float]:
    return [float(order.quantity) for order in rig.sent if order.instrument == key]


@pytest.mark.feature("O07", part="cex")
async def test_a_pair_is_cut_into_clips_and_the_short_follows_the_coin_that_really_came() -> None:
    """25,000 USDT a clip at 60,000 is .416; the fee of .1 % is paid in coin, so .415584 is hedged with .415."""
    rig = Rig.adopted()
    state, row = await execute(rig, pair("1"))
    assert (state, row.how) == (PlanState.DONE, GroupEnd.HEDGED)
    assert sizes(rig, COIN) == [0.416, 0.416, 0.168]
    assert sizes(rig, PERP) == [0.415, 0.416, 0.168]
    assert (rig.held(COIN), rig.held(PERP)) == (D("0.999"), D("-0.999"))
    assert row.naked_notional_max == D("0.416168") * 60_000
    assert agrees(rig)


async def test_every_clip_names_its_parent_and_has_an_id_of_its_own() -> None:
    rig = Rig.adopted()
    lead, follow = pair("1")
    await execute(rig, [lead, follow])
    assert {order.parent_id for order in rig.sent} == {lead.order_id, follow.order_id}
    assert len({order.order_id for order in rig.sent}) == 6
    assert [order.clip for order in rig.witnesses["binance"].sent] == [1, 2, 3]


async def test_a_clip_is_a_share_of_what_rests_near_the_mid_of_the_thinner_leg() -> None:
    rig = Rig.adopted()
    rig.quote(PERP, size="0.5", at_s=1)  # 1.0 within 20 bp: a tenth of it is .1
    await execute(rig, pair("0.25"))
    assert sizes(rig, COIN) == [0.1, 0.1, 0.05]


@pytest.mark.fault("F09")
async def test_a_partial_leader_is_followed_as_far_as_it_came() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.PARTIAL, share=D("0.25")))
    state, _ = await execute(rig, pair("0.4"))
    assert state is PlanState.DONE
    assert sizes(rig, COIN) == [0.4, 0.3]
    assert sizes(rig, PERP) == [0.099, 0.3]  # .0999, then .0009 + .2997
    assert rig.held(COIN) + rig.held(PERP) == D("0.0006")
    assert agrees(rig)


async def test_a_short_follower_is_completed_in_the_wider_band() -> None:
    rig = Rig.adopted()
    rig.faults.add(2, Fault(FaultKind.PARTIAL, share=D("0.5")))
    state, row = await execute(rig, pair("0.4"))
    assert (state, row.how) == (PlanState.DONE, GroupEnd.HEDGED)
    follower = rig.witnesses["binanceusdm"].sent
    assert [(order.amount, order.max_slippage_bp) for order in follower] == [(D("0.399"), D(10)), (D("0.2"), D(100))]


@pytest.mark.feature("O07", part="cex")
async def test_a_refused_follower_is_completed_at_market() -> None:
    rig = Rig.adopted()
    rig.faults.add(2, REJECT)
    state, row = await execute(rig, pair("1"))
    assert (state, row.how) == (PlanState.ABORTED, GroupEnd.COMPLETED_MARKETABLE)
    assert sizes(rig, COIN) == [0.416]  # the remaining clips are cancelled
    assert rig.held(PERP) == D("-0.415")
    assert agrees(rig)


@pytest.mark.feature("O07", part="cex")
@pytest.mark.fault("F21")
async def test_a_follower_refused_twice_reverses_the_leader() -> None:
    rig = Rig.adopted()
    rig.faults.add(2, REJECT)
    rig.faults.add(3, REJECT)
    state, row = await execute(rig, pair("1"))
    assert (state, row.how) == (PlanState.ABORTED, GroupEnd.REVERSED)
    undone = rig.witnesses["binance"].sent[-1]
    assert (undone.side, undone.amount, undone.max_slippage_bp) == (Side.SELL, D("0.415"), D(100))
    assert undone.expected_deltas[COIN] == D("-0.415")
    assert (rig.held(COIN), rig.held(PERP)) == (D("0.000584"), D(0))
    assert agrees(rig)


async def test_a_perp_leader_is_reversed_reduce_only() -> None:
    rig = Rig.adopted()
    rig.faults.add(2, REJECT)
    rig.faults.add(3, REJECT)
    lead, follow = pair("0.4")
    swapped = [follow.model_copy(update={"sequence_in_group": 0}), lead.model_copy(update={"sequence_in_group": 1})]
    _, row = await execute(rig, swapped)
    assert row.how == GroupEnd.REVERSED
    assert rig.witnesses["binanceusdm"].sent[-1].reduce_only
    assert rig.held(PERP) == 0


async def test_a_leg_that_can_neither_be_completed_nor_reversed_is_called_naked() -> None:
    rig = Rig.adopted()
    for ahead in range(2, 10):
        rig.faults.add(ahead, REJECT)
    state, row = await execute(rig, pair("1"))
    assert (state, row.how) == (PlanState.ABORTED, GroupEnd.NAKED)
    assert row.naked_notional_max == D("0.415584") * 60_000
    assert len(rig.sent) == 6  # the leg, its follower twice, three attempts to undo


@pytest.mark.fault("F21")
async def test_a_follower_without_a_market_in_the_band_is_given_up_when_its_time_is_over() -> None:
    """Each request takes a second; after 2 seconds the budget is over, one last attempt, then the leader is undone."""
    rig = Rig.adopted(terms=PaperTerms(uplink_s=1), budget=replace(BUDGET, unhedged_max_s=D(2)))
    rig.stage.quote(PERP, 59_000)  # the venue's book has gone; our last quote has not
    async with TaskTree("test") as tree:
        tree.spawn("plan", _plan(rig, pair("0.4")))
        await rig.clock.advance(60)
    row = group_row(rig)
    assert row.how == GroupEnd.REVERSED
    assert row.naked_s_max == D(5)  # three attempts, the last one, and the reversal
    assert sizes(rig, PERP) == [0.399] * 4
    assert agrees(rig)


async def test_without_time_passing_the_attempts_are_counted() -> None:
    rig = Rig.adopted()
    rig.stage.quote(PERP, 59_000)
    _, row = await execute(rig, pair("0.4"))
    assert row.how == GroupEnd.REVERSED
    assert len(rig.witnesses["binanceusdm"].sent) == 12


async def _plan(rig: Rig, orders: list[Order]) -> None:
    await rig.manager.execute_orders(START, orders, "plan")


async def test_pairs_of_one_group_run_side_by_side_and_none_waits_for_another() -> None:
    rig = Rig.adopted(terms=PaperTerms(uplink_s=0.5, downlink_s=0.25))
    lead, follow = pair("0.4")
    second = [
        order.model_copy(update={"order_id": f"{place:032x}", "leg": place, "sequence_in_group": place})
        for place, order in enumerate((lead, follow), start=2)
    ]
    ends: list[PlanState] = []
    async with TaskTree("test") as tree:

        async def plan() -> None:
            ends.append(await rig.manager.execute_orders(START, [lead, follow, *second], "plan", scope=tree))

        tree.spawn("plan", plan())
        await rig.clock.advance(0.4)
        assert len(rig.witnesses["binance"].sent) == 2  # both first legs are on the wire before either has filled
        await rig.clock.advance(30)
    assert ends == [PlanState.DONE]
    assert [order.closes_a_gap for order in rig.witnesses["binance"].sent] == [False, False]
    assert all(order.closes_a_gap for order in rig.witnesses["binanceusdm"].sent)
    assert agrees(rig)


async def test_the_seconds_of_a_naked_leg_are_recorded() -> None:
    rig = Rig.adopted(terms=PaperTerms(uplink_s=0.5, downlink_s=0.25))
    async with TaskTree("test") as tree:
        tree.spawn("plan", _plan(rig, pair("1")))
        await rig.clock.advance(30)
    row = group_row(rig)
    assert (row.how, row.naked_s_max) == (GroupEnd.HEDGED, D("0.75"))


async def test_when_nothing_fills_the_group_is_aborted_and_nothing_is_naked() -> None:
    rig = Rig.adopted()
    rig.stage.quote(COIN, 61_000)
    state, row = await execute(rig, pair("1"))
    assert (state, row.how) == (PlanState.ABORTED, GroupEnd.ABORTED)
    assert row.naked_notional_max == 0
    assert [life.state for life in rig.state.orders.values()] == [OrderState.EXPIRED] * 3


async def test_without_a_quote_nothing_is_done_and_nothing_is_called_hedged() -> None:
    rig = Rig.adopted()
    rig.mailbox.books.clear()
    state, row = await execute(rig, pair("1"))
    assert (state, row.how) == (PlanState.ABORTED, GroupEnd.ABORTED)
    assert rig.sent == []


async def test_a_stopped_plan_finishes_its_clip_and_sends_no_other() -> None:
    rig = Rig.adopted(terms=PaperTerms(uplink_s=1))
    ended: list[PlanState] = []

    async def plan() -> None:
        ended.append(await rig.manager.execute_orders(START, pair("1"), "plan"))

    async with TaskTree("test") as tree:
        tree.spawn("plan", plan())
        await rig.clock.until_sleepers(1)
        rig.manager.stop("plan")
        await rig.clock.advance(30)
    assert ended == [PlanState.ABORTED]
    assert (sizes(rig, COIN), sizes(rig, PERP)) == ([0.416], [0.415])


async def test_an_exit_buys_back_what_was_really_sold() -> None:
    rig = Rig.adopted()
    await execute(rig, pair("1"))
    group = {"group_id": "exit", "execution_mode": pair()[0].execution_mode, "max_slippage_bp": D(10)}
    lead = trade_order(PERP, Side.BUY, "0.999", decision=2, reduce_only=True, **group)
    follow = trade_order(COIN, Side.SELL, "0.999", decision=2, leg=1, sequence_in_group=1, **group)
    state, row = await execute(rig, [lead, follow])
    assert (state, row.how) == (PlanState.DONE, GroupEnd.HEDGED)
    assert (rig.held(COIN), rig.held(PERP)) == (D(0), D(0))
    assert rig.state.ledger.open_notional(PERP, "USDT") == 0
    assert agrees(rig)


async def test_an_exit_whose_sale_is_refused_stands_hedged_again_as_it_was() -> None:
    """The short that was bought back first is sold again: the coin that it stood against is still there."""
    rig = Rig.adopted()
    await execute(rig, pair("0.4"))
    held, short = rig.held(COIN), rig.held(PERP)
    for ahead in (2, 3):
        rig.faults.add(ahead, REJECT)
    group = {"group_id": "exit", "execution_mode": pair()[0].execution_mode, "max_slippage_bp": D(10)}
    lead = trade_order(PERP, Side.BUY, "0.399", decision=2, reduce_only=True, **group)
    follow = trade_order(COIN, Side.SELL, "0.399", decision=2, leg=1, sequence_in_group=1, **group)
    state, row = await execute(rig, [lead, follow])
    assert (state, row.how) == (PlanState.ABORTED, GroupEnd.REVERSED)
    assert (rig.held(COIN), rig.held(PERP)) == (held, short)
    assert agrees(rig)


async def test_a_follower_does_no_more_than_was_asked_of_it_however_much_the_leader_got() -> None:
    """The short is a little larger than the coin behind it: to sell as much as was bought back would be refused."""
    rig = Rig.adopted()
    await execute(rig, pair("0.4"))
    held = rig.held(COIN)
    group = {"group_id": "exit", "execution_mode": pair()[0].execution_mode, "max_slippage_bp": D(10)}
    lead = trade_order(PERP, Side.BUY, "0.399", decision=2, reduce_only=True, **group)
    follow = trade_order(COIN, Side.SELL, "0.398", decision=2, leg=1, sequence_in_group=1, **group)
    state, row = await execute(rig, [lead, follow])
    assert (state, row.how) == (PlanState.DONE, GroupEnd.HEDGED)
    assert (rig.held(PERP), rig.held(COIN)) == (D(0), held - D("0.398"))


async def test_a_follower_that_cannot_leave_is_tried_again_within_the_budget_before_anything_is_undone() -> None:
    """F22: the venue is out of reach for four tries, 3 seconds; the budget is 20, and the pair is completed."""
    rig = Rig.adopted()
    for ahead in range(2, 6):
        rig.faults.add(ahead, Fault(FaultKind.UNREACHABLE))
    async with TaskTree("test") as tree:
        tree.spawn("plan", _plan(rig, pair("0.4")))
        await rig.clock.advance(60)
    row = group_row(rig)
    assert row.how == GroupEnd.HEDGED
    assert row.naked_s_max == D(3)  # .2 + .4 + .8 + 1.6
    assert row.legging_usdt_s == D("0.3996") * 60_000 * 3
    assert len({order.order_id for order in rig.sent}) == len(rig.sent)
    assert agrees(rig)


async def test_what_closes_a_gap_says_so_and_a_first_leg_does_not() -> None:
    rig = Rig.adopted()
    rig.faults.add(2, REJECT)
    rig.faults.add(3, REJECT)
    await execute(rig, pair("0.4"))
    assert [order.closes_a_gap for order in rig.witnesses["binance"].sent] == [False, True]
    assert all(order.closes_a_gap for order in rig.witnesses["binanceusdm"].sent)
