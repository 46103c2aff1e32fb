"""From any row of an entry back to the price that caused it, and from an order to what it should have done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.engine.codec import DecisionRow, GroupRow, TradeRow, load
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.views import variance
from basis_daemon.ports import Record, RecordKind
from basis_daemon.venues.paper.faults import Fault, FaultKind
from tests.engine.support import Rig
from tests.engine.turn_support import Room, idle_rig, opened
from tests.venues.paper_support import CASH, COIN, MARGIN, PERP, PERP_BTC, SPOT_BTC, D

K = RecordKind
OF_A_PLAN = frozenset({K.DECISION, K.PLAN, K.INTENT, K.ORDER_STATE, K.TRADE, K.GROUP})
PLAN = "btc_basis:1:1"
MID = D(60_000)


async def entered(rig: Rig) -> Room:
    """A room after its entry."""
    async with opened(Room(rig)) as room:
        await room.at(1)
    return room


def rows_of_plan(room: Room) -> list[Record]:
    """Rows of the first decision and of all that followed from it; the next look at the book is another one."""
    rows = [row.record for row in room.rig.journal.read(kinds=OF_A_PLAN)]
    return [row for row in rows if row.kind is not K.DECISION or load(DecisionRow, row.payload).decision == 1]


def chain(row: Record, rows: Sequence[Record]) -> Iterator[str]:
    """The kinds on the way from a row to what triggered it, following nothing but causation ids; then the trigger."""
    intents = {load(Order, r.payload).order_id: r for r in rows if r.kind is K.INTENT}
    plan = next(r for r in rows if r.kind is K.PLAN)
    legs = load(DecisionRow, next(r for r in rows if r.kind is K.DECISION).payload).order_ids
    cause = row.causation_id
    while cause in intents:
        yield "order"
        cause = intents[cause].causation_id
    if cause in legs:
        yield "leg"
        cause = plan.correlation_id
    if cause == plan.correlation_id:
        yield "plan"
        cause = plan.causation_id
    yield cause


# ----------------------------------------------------------------------------------------------------- correlation
@pytest.mark.feature("O11")
async def test_every_row_of_an_entry_carries_the_id_of_its_plan_and_a_cause() -> None:
    room = await entered(idle_rig())
    rows = rows_of_plan(room)
    assert {row.kind for row in rows} == OF_A_PLAN
    assert {row.correlation_id for row in rows} == {PLAN}
    assert all(row.causation_id for row in rows)


@pytest.mark.feature("O11")
async def test_every_trade_leads_over_order_leg_and_plan_to_the_price_that_triggered_it() -> None:
    room = await entered(idle_rig())
    rows = rows_of_plan(room)
    trades = [row for row in rows if row.kind is K.TRADE]
    ways = {load(TradeRow, row.payload).trade.instrument: tuple(chain(row, rows)) for row in trades}
    assert ways == {
        CASH: ("order", "plan", "market"),  # the transfer is executed as it was asked for
        COIN: ("order", "leg", "plan", "market"),  # legs are cut into clips
        PERP: ("order", "leg", "plan", "market"),
    }


@pytest.mark.feature("O11")
async def test_steps_of_an_order_lead_to_it_and_a_group_names_what_its_orders_share() -> None:
    room = await entered(idle_rig())
    rows = rows_of_plan(room)
    orders = [load(Order, row.payload) for row in rows if row.kind is K.INTENT]
    steps = [row.causation_id for row in rows if row.kind is K.ORDER_STATE]
    assert set(steps) == {order.order_id for order in orders}
    (group,) = [row for row in rows if row.kind is K.GROUP]
    assert {group.causation_id} == {order.group_id for order in orders if order.parent_id}
    assert load(GroupRow, group.payload).group_id == group.causation_id


@pytest.mark.feature("O11")
async def test_what_follows_from_the_end_of_a_plan_says_so() -> None:
    room = await entered(idle_rig())
    last = room.rig.journal.latest(K.DECISION)
    assert last is not None
    assert (last.record.correlation_id, last.record.causation_id) == ("btc_basis:1:2", "plan_ended")


@pytest.mark.feature("O11")
async def test_an_order_whose_outcome_had_to_be_asked_for_is_told_under_the_same_ids() -> None:
    rig = idle_rig()
    rig.faults.add(2, Fault(FaultKind.LOST_AFTER_ACCEPT))
    room = await entered(rig)
    rows = rows_of_plan(room)
    assert "UNKNOWN" in "".join(row.payload for row in rows if row.kind is K.ORDER_STATE)
    assert {row.correlation_id for row in rows} == {PLAN}
    trades = [row for row in rows if row.kind is K.TRADE]
    assert {tuple(chain(row, rows))[-2:] for row in trades} == {("plan", "market")}


# ----------------------------------------------------------------------------------------- expected against actual
def clips(room: Room, key: PositionKey) -> list[OrderLife]:
    return [life for life in room.rig.state.orders.values() if life.order.instrument == key and life.order.parent_id]


def priced(room: Room, life: OrderLife) -> Iterator[tuple[D, D]]:
    """(quantity, price) of every fill of an order."""
    for row in room.rig.journal.read(kinds=frozenset({K.TRADE})):
        trade = load(TradeRow, row.record.payload).trade
        if trade.order_id == life.order.order_id and trade.price is not None:
            yield trade.qty_base, trade.price


@pytest.mark.feature("O06")
@pytest.mark.parametrize("cash", [100_000, 130_010, 172_016, 235_025])
async def test_a_spot_leg_differs_from_what_was_expected_by_its_price_alone(cash: int) -> None:
    """The fee in coin was expected to the digit: what is left is paid in quote, the fill price over the mid."""
    room = await entered(idle_rig(cash))
    legs = clips(room, COIN)
    assert len(legs) >= 3
    for life in legs:
        quantity = life.order.quantity
        assert life.order.expected_deltas == {COIN: quantity * (1 - SPOT_BTC.taker_fee), CASH: -quantity * MID}
        worse = sum((filled * (price - MID) for filled, price in priced(room, life)), D(0))
        assert variance(life) == {COIN: D(0), CASH: -worse}
        assert worse == quantity / 2  # half a dollar each: the spread


@pytest.mark.feature("O06")
@pytest.mark.parametrize("cash", [100_000, 130_010, 172_016, 235_025])
async def test_a_perp_leg_has_exactly_the_quantity_that_was_expected(cash: int) -> None:
    room = await entered(idle_rig(cash))
    legs = clips(room, PERP)
    assert len(legs) >= 3
    for life in legs:
        found = variance(life)
        better = sum((filled * (MID - price) for filled, price in priced(room, life)), D(0))
        assert found == {PERP: D(0), MARGIN: better * PERP_BTC.taker_fee}  # a lower price pays less fee


@pytest.mark.feature("O06")
async def test_a_transfer_moves_what_was_expected_and_an_order_without_outcome_has_no_variance() -> None:
    rig = idle_rig()
    rig.faults.add(2, Fault(FaultKind.REJECT))
    async with opened(Room(rig)) as room:
        room.say(at_s=1)
        await room.breathe()
        moved, refused, *_ = room.rig.state.orders.values()
        assert moved.order.operation is OrderOperation.TRANSFER
        assert variance(moved) == {CASH: D(0), MARGIN: D(0)}
        assert variance(refused) == {}
        assert room.plans[0].reason is ReasonCode.ENTRY
