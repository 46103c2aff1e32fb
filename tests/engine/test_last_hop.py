"""The last look before the wire: one send per durable intent, and a caller with a bug halts before anything leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from basis_daemon.domain.errors import LastHopError
from basis_daemon.domain.order import ExecutionMode, Order, Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GuardState
from tests.engine.support import COLLARS, Rig, pair
from tests.venues.paper_support import COIN, PERP, START, D, cancel_order, limit_order, trade_order


class Forgetful:
    """A caller with a bug: it sends what it remembers, whatever became of it."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    async def send(self, order: Order) -> None:
        await self._rig.interfaces.route_order(order, START)


def halted(rig: Rig, why: str) -> None:
    """The guard is latched at HALTED for this, a person was paged, and nothing left beyond what had to."""
    assert rig.guard.state is GuardState.HALTED
    assert why in rig.guard.why
    assert [facts["guard"] for what, facts in rig.alarms if what == "page"] == ["HALTED"]


async def test_an_order_without_an_intent_never_leaves_and_halts() -> None:
    rig, order = Rig.adopted(), trade_order(COIN, Side.BUY, "0.1")
    with pytest.raises(LastHopError, match="has no intent in the journal"):
        await Forgetful(rig).send(order)
    assert rig.sent == []
    halted(rig, order.order_id)


async def test_an_order_sent_once_is_not_sent_again_by_a_caller_that_lost_count() -> None:
    """Knight 2012: old orders going out again and again, with nobody between them and the market."""
    rig, order = Rig.adopted(), trade_order(COIN, Side.BUY, "0.1")
    await rig.run(order)
    with pytest.raises(LastHopError, match="sent before"):
        await Forgetful(rig).send(order)
    assert [sent.order_id for sent in rig.sent] == [order.order_id]
    halted(rig, order.order_id)


async def test_an_order_of_an_earlier_life_is_not_sent_by_a_later_one() -> None:
    rig, order = Rig.adopted(), trade_order(COIN, Side.BUY, "0.1")
    await rig.recorder.intents([order])
    again = Rig(stage=rig.stage, journal=rig.journal)
    with pytest.raises(LastHopError, match="sent before or its intent is not durable"):
        await Forgetful(again).send(order)
    assert again.sent == []
    halted(again, order.order_id)


async def test_an_order_that_grew_between_its_intent_and_the_wire_never_leaves() -> None:
    rig, order = Rig.adopted(), trade_order(COIN, Side.BUY, "0.1")
    await rig.recorder.intents([order])
    with pytest.raises(LastHopError, match="differs from its durable intent"):
        await Forgetful(rig).send(order.model_copy(update={"amount": D(100)}))
    assert rig.sent == []
    halted(rig, order.order_id)


async def test_a_reducing_order_without_an_intent_is_kept_too() -> None:
    rig = Rig.adopted()
    with pytest.raises(LastHopError, match="no intent"):
        await Forgetful(rig).send(trade_order(PERP, Side.BUY, "0.1", reduce_only=True))
    assert rig.sent == []


async def test_one_order_more_than_a_minute_may_hold_halts_and_the_next_minute_begins_anew() -> None:
    rig = Rig.adopted(collars=replace(COLLARS, orders_per_minute_max=2))
    for _ in range(2):
        await rig.run(trade_order(COIN, Side.BUY, "0.01"))
    await rig.clock.advance(61)
    for key in (COIN, PERP):
        rig.quote(key, at_s=61)
    for _ in range(2):
        await rig.run(trade_order(COIN, Side.BUY, "0.01"))
    assert rig.guard.state is GuardState.ACTIVE
    life = await rig.run(trade_order(COIN, Side.BUY, "0.01"))
    assert (life.state, len(rig.sent), rig.last_hop.orders_out) == (OrderState.NEVER_ACCEPTED, 4, 4)
    halted(rig, "is number 3 within a minute, expected at most 2")


async def test_more_notional_than_a_minute_may_hold_halts_but_what_reduces_still_leaves() -> None:
    rig = Rig.adopted(collars=replace(COLLARS, notional_per_minute_max_usdt=D(20_000)))
    await rig.run(trade_order(PERP, Side.SELL, "0.2"))
    life = await rig.run(trade_order(COIN, Side.BUY, "0.2"))
    assert life.state is OrderState.NEVER_ACCEPTED
    halted(rig, "USDT within a minute, expected at most 20000")
    assert (await rig.run(trade_order(PERP, Side.BUY, "0.2", reduce_only=True))).state is OrderState.FILLED
    assert rig.held(PERP) == 0


async def test_a_leg_that_hedges_one_that_has_filled_is_not_what_runs_away() -> None:
    rig = Rig.adopted(collars=replace(COLLARS, orders_per_minute_max=1))
    await rig.manager.execute_orders(START, pair("0.1"), "plan")
    assert [order.instrument for order in rig.sent] == [COIN, PERP]
    assert rig.guard.state is GuardState.ACTIVE


@pytest.mark.fault("F30")
async def test_an_order_far_from_what_other_sources_say_is_kept_without_a_halt() -> None:
    """F30: the book that an order was priced from may itself be wrong."""
    rig = Rig.adopted()
    rig.quote(COIN, mid=64_000)
    life = await rig.run(trade_order(COIN, Side.BUY, "0.1", ref_price=D(64_000)))
    assert life.state is OrderState.NEVER_ACCEPTED
    assert rig.sent == []
    assert rig.guard.state is GuardState.ACTIVE
    (said,) = [facts["why"] for what, facts in rig.alarms if what == "order stopped by a collar"]
    assert "price bound 64640" in said
    assert "against 60000.0 of the second source, expected within 500 bp" in said


@pytest.mark.fault("F30")
async def test_without_a_fresh_second_source_nothing_that_adds_risk_leaves() -> None:
    rig = Rig.adopted()
    await rig.clock.advance(6)
    rig.quote(COIN, at_s=6)
    kept = await rig.run(trade_order(COIN, Side.BUY, "0.1"))
    assert kept.state is OrderState.NEVER_ACCEPTED
    short = await rig.run(trade_order(PERP, Side.SELL, "0.1"))
    assert short.state is OrderState.FILLED
    assert (await rig.run(trade_order(PERP, Side.BUY, "0.1", reduce_only=True))).state is OrderState.FILLED


async def test_what_takes_a_lone_leg_back_leaves_although_the_venue_of_the_other_one_has_died() -> None:
    """The second source is the venue that died: waiting for it would keep the book naked for as long as it is dead."""
    rig = Rig.adopted()
    bought = await rig.run(trade_order(COIN, Side.BUY, "0.1"))
    await rig.clock.advance(6)
    rig.quote(COIN, at_s=6)
    group: dict[str, object] = {"group_id": "pair", "execution_mode": ExecutionMode.PARALLEL}
    assert (await rig.run(trade_order(COIN, Side.BUY, "0.1", **group))).state is OrderState.NEVER_ACCEPTED
    undo = await rig.run(trade_order(COIN, Side.SELL, "0.09", **group | {"sequence_in_group": 1}))
    assert undo.state is OrderState.FILLED
    assert rig.held(COIN) == bought.deltas[COIN] - D("0.09")


async def test_what_takes_a_lone_leg_back_is_kept_where_another_source_contradicts_its_price() -> None:
    rig = Rig.adopted()
    group: dict[str, object] = {"group_id": "pair", "execution_mode": ExecutionMode.PARALLEL, "sequence_in_group": 1}
    rig.quote(COIN, mid=64_000)
    life = await rig.run(trade_order(COIN, Side.BUY, "0.1", ref_price=D(64_000), **group))
    assert life.state is OrderState.NEVER_ACCEPTED


async def test_an_order_larger_than_one_order_may_be_is_kept() -> None:
    rig = Rig.adopted(collars=replace(COLLARS, order_notional_max_usdt=D(5_000)))
    assert (await rig.run(trade_order(PERP, Side.SELL, "0.1"))).state is OrderState.NEVER_ACCEPTED
    assert (await rig.run(limit_order(PERP, Side.SELL, "0.05", "59900"))).was_sent
    assert len(rig.sent) == 1


async def test_a_cancel_needs_no_second_source() -> None:
    rig = Rig.adopted()
    resting = limit_order(COIN, Side.BUY, "0.1", "59000")
    await rig.run(resting)
    await rig.clock.advance(60)
    await rig.run(cancel_order(resting))
    assert rig.state.orders[resting.order_id].state is OrderState.CANCELLED
