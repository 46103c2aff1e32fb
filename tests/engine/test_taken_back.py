"""An order that a block had ended is open again once that block is gone, until another one holds its transaction."""

from __future__ import annotations

import pytest

from basis_daemon.domain.order import Order, Side
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.venues.chain.chain_trades import taken_back
from tests.engine.support import Rig, folded
from tests.venues.paper_support import COIN, D, trade_order

pytestmark = pytest.mark.feature("X05", part="orders")


_END = {"trade_id": "0xa:1:0/1", "deltas": {}, "qty_base": D(0), "price": None}
"""What another order of a group hears: the end, and no money."""


async def ended(rig: Rig, state: OrderState) -> tuple[Order, Trade]:
    """An order that was sent, and the trade that ended it so."""
    order = trade_order(COIN, Side.BUY, D(1))
    await rig.recorder.intents([order])
    rig.recorder.move(order, OrderState.SUBMITTED, at=rig.clock.wall())
    return order, told(rig, order, state, "0xa:1:0")


def told(rig: Rig, order: Order, state: OrderState, trade_id: str) -> Trade:
    """Booked as a transaction is: gas when it reverted, what it moved besides when it did not."""
    filled = state is OrderState.FILLED
    trade = Trade(
        trade_id=trade_id,
        order_id=order.order_id,
        account=order.venue,
        instrument=order.instrument,
        status=TradeStatus.FILLED if filled else TradeStatus.FAILED,
        order_state=state,
        qty_base=D(filled),
        price=D(60_000) if filled else None,
        venue_time=rig.clock.wall(),
        recv_time=rig.clock.wall(),
        deltas={order.instrument: D(1)} if filled else {order.instrument: D("-0.001")},
    )
    rig.handler.process_trades([trade])
    return trade


@pytest.mark.parametrize(("first", "then"), [("FILLED", "REJECTED"), ("REJECTED", "FILLED"), ("FILLED", "FILLED")])
async def test_an_order_follows_its_transaction_out_of_one_block_and_into_another(first: str, then: str) -> None:
    rig = Rig.adopted()
    held = rig.held(COIN)
    order, trade = await ended(rig, OrderState(first))
    life = rig.state.orders[order.order_id]
    assert (life.state, life.ended_at is None, rig.state.open_orders()) == (first, False, [])

    undoing = taken_back(trade, rig.clock.wall())
    rig.handler.process_trades([undoing, undoing])
    assert rig.held(COIN) == held
    assert (life.state, life.ended_at) == (OrderState.SUBMITTED, None)
    assert rig.state.in_doubt() == (order.order_id,), "nothing more is asked for on its leg meanwhile"
    await rig.recorder.flush()
    assert folded(rig).dump() == rig.state.dump(), "whoever dies here leaves it open"

    told(rig, order, OrderState(then), "0xa:2:0")
    assert (life.state, life.ended_at is None, rig.state.open_orders()) == (then, False, [])
    rig.handler.process_trades([undoing])
    assert life.state == then, "it is taken back once"
    await rig.recorder.flush()
    assert folded(rig).dump() == rig.state.dump()


@pytest.mark.parametrize("then", ["REJECTED", "FILLED"])
async def test_a_group_goes_back_and_comes_again_as_one(then: str) -> None:
    """Its transaction is told under the first order; the others had only heard that they were filled."""
    rig = Rig.adopted()
    first, second = (
        trade_order(COIN, Side.BUY, D(1)).model_copy(update={"group_id": "one"}),
        trade_order(COIN, Side.SELL, D(1)).model_copy(update={"group_id": "one"}),
    )
    await rig.recorder.intents([first, second])
    for order in (first, second):
        rig.recorder.move(order, OrderState.SUBMITTED, at=rig.clock.wall())
    trade = told(rig, first, OrderState.FILLED, "0xa:1:0")
    rig.handler.process_trades([trade.model_copy(update=_END | {"order_id": second.order_id})])
    lives = [rig.state.orders[order.order_id] for order in (first, second)]
    assert [life.state for life in lives] == ["FILLED", "FILLED"]

    rig.handler.process_trades([taken_back(trade, rig.clock.wall())])
    assert set(rig.state.in_doubt()) == {first.order_id, second.order_id}

    told(rig, first, OrderState(then), "0xa:2:0")
    assert [life.state for life in lives] == [then, then]
    assert rig.state.open_orders() == []
    await rig.recorder.flush()
    assert folded(rig).dump() == rig.state.dump()


async def test_what_a_transaction_did_beside_its_order_says_nothing_of_how_that_ended() -> None:
    """As its approval, whose block may go while the order ended long ago, or was never signed."""
    rig = Rig.adopted()
    order, _ = await ended(rig, OrderState.REJECTED)
    beside = told(rig, order, OrderState.SUBMITTED, "0xb:1:0")
    rig.handler.process_trades([taken_back(beside, rig.clock.wall())])
    assert rig.state.orders[order.order_id].state is OrderState.REJECTED
