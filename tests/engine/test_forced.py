"""A leg that the venue takes away: booked with its cause, repaired at once by the other leg, not entered again."""

from __future__ import annotations

import pytest

from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import Origin
from basis_daemon.engine.codec import GroupRow, GuardState, TradeRow, load
from basis_daemon.ports import RecordKind
from basis_daemon.venues.paper.venue import PaperTerms
from tests.builders import POOR
from tests.engine.support import agrees
from tests.engine.turn_support import Room, opened, paired_rig
from tests.venues.paper_support import COIN, PERP, PERP_BTC, D

SLOW = PaperTerms(uplink_s=2, downlink_s=1)
HALF = D("0.5")


def take_short_away(room: Room, quantity: str = "0.5", origin: Origin = Origin.ADL) -> None:
    room.rig.stage.venue.trade_by_hand(PERP, Side.BUY, D(quantity), origin)


def groups(room: Room) -> list[GroupRow]:
    """The leg risk that was run, as the journal has it."""
    return [load(GroupRow, row.record.payload) for row in room.rig.journal.read(kinds=frozenset({RecordKind.GROUP}))]


async def seconds_pass(room: Room, count: int) -> None:
    """Process and market time, with prices every second; a slow venue is not asked for its account."""
    for _ in range(count):
        await room.rig.clock.advance(1)
        room.say()


def delta_share(room: Room) -> float:
    """Net delta as a fraction of equity, both legs at the same price."""
    return float((room.rig.held(COIN) + room.rig.held(PERP)) * 60_000 / 84_000)


@pytest.mark.feature("C11")
@pytest.mark.parametrize("origin", [Origin.ADL, Origin.LIQUIDATION, Origin.SETTLEMENT])
async def test_half_of_a_short_taken_away_is_repaired_by_selling_the_coin_before_the_next_price(origin: Origin) -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        take_short_away(room, origin=origin)
        await room.breathe()
        assert room.rig.held(PERP) == -HALF
        (sold,) = room.sent
        assert (sold.instrument, sold.side) == (COIN, Side.SELL)
        assert abs(delta_share(room)) <= 0.01
        assert [row.assessment.trigger for row in room.decisions] == [origin, "plan_ended"]
        assert room.decisions[0].assessment.reason == "DELTA"
        assert agrees(room.rig)
        assert not room.rig.monitor.book.breaks


@pytest.mark.feature("C11")
async def test_the_fill_is_booked_with_its_cause_and_told() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        take_short_away(room)
        (row,) = (load(TradeRow, r.record.payload) for r in room.rig.journal.read(kinds=frozenset({RecordKind.TRADE})))
        assert (row.trade.origin, row.trade.is_forced) == (Origin.ADL, True)
        assert row.entry is not None
        told = dict(room.rig.alarms)["position reduced by the venue"]
        assert (told["cause"], told["instrument"], told["quantity"]) == ("adl", PERP, "0.5")


@pytest.mark.feature("C11")
async def test_the_time_unhedged_runs_from_the_event_to_the_repair_and_is_kept() -> None:
    async with opened(Room(paired_rig(terms=SLOW), rate=POOR)) as room:
        take_short_away(room)
        await seconds_pass(room, 4)
        (gap,) = groups(room)
        assert gap.how == "adl repaired"
        assert 3 <= gap.naked_s_max <= 4 < room.engines[0]._venue_manager.unhedged_max_s
        assert gap.naked_notional_max == pytest.approx(D(30_000), rel=D("0.001"))


@pytest.mark.feature("C11")
async def test_a_gap_that_outlives_the_leg_budget_is_told_once() -> None:
    async with opened(Room(paired_rig(), rate=POOR, is_armed=bool)) as room:
        take_short_away(room)
        for second in (5, 15, 21, 26, 40):
            await room.at(second)
            room.engines[0].tick()
        late = [facts for what, facts in room.rig.alarms if what == "forced reduction not repaired in time"]
        assert [(facts["cause"], facts["max"]) for facts in late] == [("adl", "20")]
        assert groups(room) == []


@pytest.mark.feature("C11")
async def test_a_reduction_that_no_stream_told_of_is_acted_on_when_asking_finds_it() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        room.rig.stage.venue.connect(None)
        take_short_away(room)
        assert room.sent == []
        for reconciler in room.reconcilers:
            await reconciler.reconcile()
        await room.breathe()
        assert abs(delta_share(room)) <= 0.01
        assert "position reduced by the venue" in room.alarms


@pytest.mark.feature("C11")
async def test_the_venue_is_not_entered_again_for_a_day() -> None:
    """Funding is rich and half the capital idle: without the freeze the pair would be opened again at once."""
    async with opened(Room(paired_rig(cash=30_000))) as room:
        take_short_away(room)
        await room.breathe()
        await room.at(16)
        assert {order.instrument for order in room.sent} == {COIN}
        assert any("is frozen until" in item.why for item in room.decisions[-1].assessment.rejected)


@pytest.mark.parametrize("state", [GuardState.REDUCING, GuardState.HALTED])
@pytest.mark.feature("C11")
async def test_a_guard_that_has_tightened_lets_the_repair_through(state: GuardState) -> None:
    """A liquidation is what makes it tighten; the coin that is left naked must go all the same."""
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        room.rig.guard.tighten(state, "margin")
        take_short_away(room, "1", Origin.LIQUIDATION)
        await room.breathe()
        assert abs(delta_share(room)) <= 0.01
        assert room.rig.held(PERP) == 0


@pytest.mark.feature("C11")
async def test_an_entry_in_flight_begins_no_further_clip_and_the_repair_follows_it() -> None:
    async with opened(Room(paired_rig(cash=60_000, terms=SLOW))) as room:
        await seconds_pass(room, 1)
        assert room.reasons == ["SCALE"]
        take_short_away(room)
        await seconds_pass(room, 40)
        repairs = [row for row in room.decisions if row.assessment.reason == "DELTA" and row.order_ids]
        assert repairs
        assert abs((room.rig.held(COIN) + room.rig.held(PERP)) * 60_000) < D("0.01") * 140_000 + PERP_BTC.quantity_step
        assert len([order for order in room.sent if order.parent_id]) <= 2
