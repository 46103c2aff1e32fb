"""One order: durable before it leaves, sent once, and in doubt until the venue has told what became of it."""

from __future__ import annotations

import pytest

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.order import Order, Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import RecordKind
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.faults import Fault, FaultKind
from tests.engine.support import Rig, agrees, rows_of
from tests.venues.paper_support import COIN, PERP, D, cancel_order, limit_order, trade_order


async def run(rig: Rig, order: Order) -> None:
    await rig.run(order)


async def test_the_intent_is_durable_before_the_venue_is_asked() -> None:
    rig = Rig.adopted()
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    assert rig.witnesses["binance"].durable_at_send == [OrderState.PERSISTED]
    assert life.state is OrderState.FILLED
    assert rig.probes == ["before_intent", "after_intent", "after_send", "after_fill"]
    assert rows_of(rig)[-3:] == ["intent", "order_state", "trade"]
    assert agrees(rig)


async def test_each_row_of_an_order_names_the_plan_behind_it() -> None:
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "0.5", group_id="group")
    await rig.run(order)
    rows = [row.record for row in rig.journal.read() if row.record.kind is not RecordKind.OPENING][1:]
    plan_id = f"{order.strategy}:{rig.recorder.epoch}:{order.decision}"
    assert [(row.kind, row.correlation_id) for row in rows] == [
        (RecordKind.INTENT, plan_id),
        (RecordKind.ORDER_STATE, plan_id),
        (RecordKind.TRADE, plan_id),
    ]


async def test_a_refused_order_is_dead_and_moves_nothing() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.REJECT, error_class=ErrorClass.INSUFFICIENT))
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    assert (life.state, life.cum_filled) == (OrderState.REJECTED, D(0))
    assert rig.state.in_doubt() == ()
    assert agrees(rig)


async def test_an_unreachable_venue_never_took_the_order() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.UNREACHABLE))
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    assert (life.state, life.was_sent) == (OrderState.NEVER_ACCEPTED, False)


@pytest.mark.feature("O04")
@pytest.mark.fault("F01")
async def test_an_unknown_outcome_that_was_a_fill_is_found_by_asking() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.LOST_AFTER_ACCEPT))
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    assert life.state is OrderState.FILLED
    assert rig.held(COIN) == D("0.4995")
    assert len(rig.sent) == 1
    assert agrees(rig)


@pytest.mark.feature("O04")
@pytest.mark.fault("F02")
async def test_an_unknown_outcome_stays_in_doubt_until_absence_is_proved() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.LOST_BEFORE_ACCEPT))
    order = trade_order(COIN, Side.BUY, "0.5")
    async with TaskTree("test") as tree:
        tree.spawn("run", run(rig, order))
        await rig.clock.until_sleepers(1)
        assert list(rig.monitor.book.in_doubt) == [order.order_id]
        await rig.clock.advance(5)
        assert rig.state.in_doubt() == (order.order_id,)
        await rig.clock.advance(10)
    assert rig.state.orders[order.order_id].state is OrderState.NEVER_ACCEPTED
    assert not rig.monitor.book.in_doubt
    assert len(rig.sent) == 1
    assert rig.held(COIN) == 0


async def test_a_venue_that_does_not_answer_leaves_the_order_in_doubt_and_raises_the_alarm() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.LOST_AFTER_ACCEPT))
    rig.faults.silence(12)
    order = trade_order(COIN, Side.BUY, "0.5")
    async with TaskTree("test") as tree:
        tree.spawn("run", run(rig, order))
        await rig.clock.advance(60)
    assert rig.alarms == [("order still in doubt", {"order_id": order.order_id, "asked": "10"})]
    assert rig.state.orders[order.order_id].state is OrderState.FILLED
    assert agrees(rig)


@pytest.mark.feature("O10")
@pytest.mark.fault("F07")
async def test_a_fill_said_twice_is_booked_once() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.DUPLICATE_FILL))
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    assert (life.state, life.cum_filled) == (OrderState.FILLED, D("0.5"))
    assert rig.state.trade_count == 1
    assert agrees(rig)


@pytest.mark.fault("F06", "F08")
async def test_an_acknowledgement_after_the_fill_does_not_lead_back() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, Fault(FaultKind.FILL_BEFORE_ACK))
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    assert (life.state, life.cum_filled) == (OrderState.FILLED, D("0.5"))


async def test_what_fills_while_an_order_rests_reaches_its_life() -> None:
    rig = Rig.adopted()
    life = await rig.run(limit_order(PERP, Side.SELL, "1", "60100"))
    assert life.state is OrderState.ACKED
    rig.quote(PERP, 60_200, size="0.2", at_s=1)
    assert (life.state, life.cum_filled) == (OrderState.PARTIAL, D("0.4"))
    rig.quote(PERP, 60_200, at_s=2)
    assert (life.state, life.cum_filled) == (OrderState.FILLED, D(1))
    assert agrees(rig)


async def test_what_was_expected_and_what_came_stand_side_by_side() -> None:
    rig = Rig.adopted()
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    assert life.order.expected_deltas == {COIN: D("0.5")}
    assert life.deltas[COIN] == D("0.4995")


@pytest.mark.fault("F45")
async def test_an_intent_found_after_a_crash_is_asked_about_and_never_sent_again() -> None:
    """The row that says `submitted` is lazy: after a kill the order may live although the book only has its intent."""
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "0.5")
    await rig.run(order)
    again = Rig(stage=rig.stage, journal=rig.journal.after_crash())
    life = again.state.orders[order.order_id]
    assert (life.state, life.cum_filled) == (OrderState.PERSISTED, D(0))
    await again.runner.resolve(life)
    assert (life.state, life.cum_filled) == (OrderState.FILLED, D("0.5"))
    assert again.sent == []
    assert agrees(again)


@pytest.mark.fault("F45")
async def test_an_intent_that_never_left_ends_as_never_accepted() -> None:
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "0.5")
    await rig.recorder.intents([order])
    again = Rig(stage=rig.stage, journal=rig.journal.after_crash())
    life = again.state.orders[order.order_id]
    async with TaskTree("test") as tree:
        tree.spawn("resolve", again.runner.resolve(life))
        await again.clock.advance(15)
    assert life.state is OrderState.NEVER_ACCEPTED
    assert again.sent == []


@pytest.mark.parametrize("fault", [None, Fault(FaultKind.LOST_AFTER_ACCEPT)])
@pytest.mark.fault("F04", "F09")
async def test_a_cancel_ends_its_target_and_leaves_no_doubt_about_itself(fault: Fault | None) -> None:
    rig = Rig.adopted()
    target = await rig.run(limit_order(PERP, Side.SELL, "1", "60100"))
    if fault is not None:
        rig.faults.add(1, fault)
    cancel = await rig.run(cancel_order(target.order))
    assert (target.state, cancel.state) == (OrderState.CANCELLED, OrderState.FILLED)
    assert rig.state.in_doubt() == ()
    assert rig.state.open_orders() == []
