"""The kill switch: the whole book closed on an operator's word, whatever else restricts it, and never onto one leg."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.flatten import FlattenDesk
from basis_daemon.engine.guard import GuardLatchedError
from basis_daemon.venues.paper.faults import Fault, FaultKind
from basis_daemon.venues.paper.venue import PaperTerms
from tests.engine.support import BUDGET, Rig
from tests.engine.turn_support import Room, opened, paired_rig
from tests.venues.paper_support import COIN, PERP, PERP_BTC, D, stamp

pytestmark = pytest.mark.feature("K09")
SLOW = PaperTerms(uplink_s=0.05, downlink_s=0.05)
WHY = "operator: leaving"


def desk_of(room: Room) -> FlattenDesk:
    return FlattenDesk(room.rig.guard, room.engines, room.rig.recorder, tuple)


def is_reducing(order: Order) -> bool:
    """What shrinks a pair: a buy-back that cannot open, a sale of the coin, money that goes home."""
    is_sale = order.operation is OrderOperation.SPOT_TRADE and order.side is Side.SELL
    return order.reduce_only or is_sale or order.operation is OrderOperation.TRANSFER


def naked(room: Room) -> Decimal:
    """Base units by which the venue's own ledger is off its hedge."""
    stage = room.rig.stage
    return abs(stage.balance(COIN) + stage.balance(PERP))


def is_flat(room: Room) -> bool:
    held = room.rig.held
    return not held(PERP) and abs(held(COIN)) < PERP_BTC.quantity_step


async def pressed_on(room: Room, since_s: int, until_s: int) -> Decimal:
    """Every second the market speaks and the accounts are heard; the worst naked notional at the venue, USDT."""
    worst, clock = D(0), room.rig.clock
    for second in range(since_s, until_s):
        await clock.advance_to(stamp(second))
        for reconciler in room.reconcilers:
            room.freshness.answered(reconciler.account, clock.monotonic_ns())
        room.say()
        for _ in range(10):
            worst = max(worst, naked(room) * 60_000)
            await clock.advance(D("0.09"))
    return worst


async def test_a_pair_is_closed_in_clips_of_both_legs_and_stays_flat_and_halted_until_rearmed() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        desk = desk_of(room)
        before = len(room.sent)
        desk.begin(WHY)
        with pytest.raises(GuardLatchedError, match="not flat yet"):
            desk.check_rearm()
        await room.breathe()
        sent = room.sent[before:]
        assert all(is_reducing(order) for order in sent)
        trades = [order for order in sent if order.operation is not OrderOperation.TRANSFER]
        assert [order.instrument for order in trades] == [PERP, COIN] * (len(trades) // 2)
        assert len(trades) >= 6  # 60,000 USDT in clips of at most 25,000
        assert all(order.quantity * 60_000 <= BUDGET.clip_usdt for order in trades)
        await room.at(20)
        assert is_flat(room)
        assert room.reasons[-1] == "FLAT"
        assert desk.state() == {"is_on": True, "why": WHY, "remains": []}
        assert room.rig.guard.state is GuardState.HALTED
        desk.check_rearm()
        room.rig.guard.rearm("operator: done")
        assert (room.rig.guard.state, desk.state()["is_on"]) == (GuardState.ACTIVE, False)


async def test_what_would_leave_is_shown_before_and_recorded_nowhere() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        rows, memory = room.rig.state.sequence, dict(room.rig.state.memories)
        plan = desk_of(room).plan()
        (shown,) = plan["strategies"]
        assert (shown["reason"], shown["is_flat"], shown["clip_usdt_max"]) == ("FLATTEN", False, "25000")
        legs = [(row["instrument"], row["side"], row["amount"]) for row in shown["orders"] if row["side"]]
        assert legs == [(PERP, "BUY", "1"), (COIN, "SELL", "1")]
        assert {row["value_usdt"] for row in shown["orders"] if row["side"]} == {"60000"}
        assert (room.rig.state.sequence, room.rig.state.memories) == (rows, memory)
        assert room.rig.guard.state is GuardState.ACTIVE
        assert room.sent == []


async def test_a_death_in_the_middle_ends_flat_because_the_latch_is_in_the_journal() -> None:
    """Between the two legs of a clip: the next life closes what stands alone first, then the rest of the pair."""
    first = Room(paired_rig())
    async with opened(first) as room:
        room.say(at_s=1)
        room.rig.faults.add(2, Fault(FaultKind.UNREACHABLE))
        desk_of(room).begin(WHY)
        await room.breathe()  # the first leg has filled, the second could not leave yet
        assert 0 < naked(room) * 60_000 <= BUDGET.clip_usdt
        await room.rig.recorder.flush()
        survived = room.rig.journal.after_crash()
    rig = Rig(stage=first.rig.stage, journal=survived)
    assert (rig.guard.state, rig.guard.flattens) == (GuardState.HALTED, WHY)
    async with opened(Room(rig)) as again:
        assert await pressed_on(again, 60, 90) <= BUDGET.clip_usdt
        assert is_flat(again)
        assert again.reasons[-1] == "FLAT"
        assert all(is_reducing(order) for order in again.sent)


async def test_what_an_earlier_life_called_flat_is_not_flat_before_this_one_has_looked() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        desk_of(room).begin(WHY)
        await room.at(20)
        assert desk_of(room).remains() == ()
        await room.rig.recorder.flush()
    again = Room(Rig(stage=room.rig.stage, journal=room.rig.journal.after_crash()))
    assert desk_of(again).remains() == ("btc_basis: has not decided yet",)
    async with opened(again):
        with pytest.raises(GuardLatchedError, match="has not decided yet"):
            desk_of(again).check_rearm()
        await pressed_on(again, 60, 65)
        desk_of(again).check_rearm()


@pytest.mark.parametrize("state", [GuardState.REDUCING, GuardState.HALTED])
async def test_a_guard_that_has_tightened_by_itself_does_not_keep_the_book_from_being_closed(state: GuardState) -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        room.rig.guard.tighten(state, "drill")
        desk_of(room).begin(WHY)
        await room.breathe()
        await room.at(20)
        assert is_flat(room)


async def test_of_a_leg_in_dispute_what_book_and_venue_both_know_is_closed_and_the_rest_stays_open() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        room.rig.stage.venue.exchange.wallets.pay(COIN, D("-0.4"))
        for second in (3, 6, 9):
            await room.at(second)
        assert [item.key for item in room.rig.state.breaks.values()] == [COIN]
        before = len(room.sent)
        desk = desk_of(room)
        desk.begin(WHY)
        await pressed_on(room, 12, 60)
        assert all(is_reducing(order) for order in room.sent[before:])
        assert room.rig.stage.balance(COIN) < PERP_BTC.quantity_step
        assert room.rig.stage.balance(PERP) == 0
        assert desk.remains() == (f"break at {COIN}",)
        with pytest.raises(GuardLatchedError, match="break at"):
            desk.check_rearm()


async def test_a_leg_whose_venue_is_silent_waits_with_its_hedge_and_goes_once_it_is_heard_again() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        await room.rig.clock.advance(30)  # every quote is old by now
        desk = desk_of(room)
        desk.begin(WHY)
        assert room.sent == []
        assert "stale" in desk.remains()[0]
        await pressed_on(room, 40, 70)
        assert is_flat(room)


async def test_an_order_in_doubt_keeps_its_own_pair_alone_until_the_doubt_ends() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        room.rig.faults.add(1, Fault(FaultKind.LOST_AFTER_ACCEPT))
        room.rig.faults.silence(3)
        desk = desk_of(room)
        desk.begin(WHY)
        assert await pressed_on(room, 2, 60) <= BUDGET.clip_usdt
        assert is_flat(room)


async def test_a_sale_that_the_venue_refuses_leaves_at_most_a_clip_alone_and_is_tried_first_again() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        for ahead in range(2, 9):
            room.rig.faults.add(ahead, Fault(FaultKind.REJECT))
        desk = desk_of(room)
        desk.begin(WHY)
        await room.breathe()
        assert room.plans[-1].state is PlanState.ABORTED
        assert naked(room) * 60_000 <= BUDGET.clip_usdt
        assert await pressed_on(room, 2, 60) <= BUDGET.clip_usdt
        assert is_flat(room)
        waits = [row for row in room.decisions if any("next attempt" in why for why in row.denied)]
        assert waits  # it does not hammer a venue that refuses


async def test_a_failed_attempt_is_made_again_when_its_pause_is_over_though_no_market_moves() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        for ahead in range(2, 7):
            room.rig.faults.add(ahead, Fault(FaultKind.REJECT))
        desk_of(room).begin(WHY)
        await room.breathe()
        tried = len(room.sent)
        await room.rig.clock.advance(3)
        for engine in room.engines:
            engine.tick()
        await room.breathe()
        assert len(room.sent) > tried


async def test_a_halt_stops_a_flattening_where_it_is_and_hedged() -> None:
    async with opened(Room(paired_rig(terms=SLOW))) as room:
        room.say(at_s=1)
        desk_of(room).begin(WHY)
        await room.rig.clock.advance(D("0.05"))
        desk_of(room).halt("operator: no, wait")
        assert room.rig.guard.flattens == ""
        await room.rig.clock.advance(5)
        assert room.rig.stage.balance(PERP) < 0
        assert naked(room) < PERP_BTC.quantity_step
        await pressed_on(room, 20, 40)
        assert room.rig.stage.balance(PERP) < 0
        assert room.reasons[-1] == "STALE"  # killed: nothing but defence


async def test_a_drain_ends_a_flattening_behind_its_clip_and_leaves_the_rest_to_the_next_life() -> None:
    async with opened(Room(paired_rig(terms=SLOW))) as room:
        room.say(at_s=1)
        desk_of(room).begin(WHY)
        await room.rig.clock.advance(D("0.05"))
        for engine in room.engines:
            engine.close()
        await room.rig.clock.advance(5)
        assert room.rig.stage.balance(PERP) < 0
        assert naked(room) < PERP_BTC.quantity_step
        assert room.rig.guard.flattens == WHY


async def test_a_frozen_strategy_leaves_too() -> None:
    async with opened(Room(paired_rig())) as room:
        await room.at(1)
        room.engines[0].is_frozen = True
        desk_of(room).begin(WHY)
        await room.breathe()
        await room.at(20)
        assert is_flat(room)


async def test_a_reducing_book_takes_no_new_pair_and_keeps_defending_the_one_it_has() -> None:
    async with opened(Room(paired_rig(cash=60_000))) as room:
        room.rig.guard.tighten(GuardState.REDUCING, "operator: no new risk")
        await room.at(1)
        await room.at(20, price=72_000)
        assert set(room.reasons) == {"STALE", "LIQ_TOPUP"}
        assert all(is_reducing(order) for order in room.sent)
