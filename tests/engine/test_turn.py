"""A strategy's turn on real parts: when it is woken, what it stores, what it sends, and what keeps it from sending."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from basis_daemon.domain.decision import Assessment, Exposure, RiskView
from basis_daemon.domain.market import DecisionIds, FundingSettled, MarketSnapshot
from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.state import recover
from basis_daemon.ports import RecordKind
from basis_daemon.strategies.basis import BtcBasis
from basis_daemon.venues.paper.venue import PaperTerms
from tests.builders import POOR, parameters
from tests.engine.support import Rig, agrees
from tests.engine.turn_support import INTERVAL_S, Room, idle_rig, opened, paired_rig
from tests.venues.paper_support import CASH, COIN, MARGIN, PERP, PERP_BTC, START, D, stamp

SLOW = PaperTerms(uplink_s=1)


class Stumbler(BtcBasis):
    """A strategy with a fault in it."""

    def __init__(self) -> None:
        super().__init__(parameters(), "stumbler")

    def assess(
        self, timestamp: object, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        raise ValueError(f"price {exposure.prices['BTC']} is not what was expected")


# --------------------------------------------------------------------------------------------------- when and what
async def test_a_strategy_is_woken_by_the_first_price_after_its_interval_of_market_time() -> None:
    async with opened(Room(idle_rig(), rate=POOR)) as room:
        for second in range(1, 41):
            await room.at(second)
        assert [row.assessment.time for row in room.decisions] == [stamp(s) for s in (1, 16, 31)]
        assert {row.assessment.trigger for row in room.decisions} == {"market"}


async def test_the_interval_is_market_time_also_where_process_time_stands_still() -> None:
    async with opened(Room(idle_rig(), rate=POOR)) as room:
        for at_s in (1, 15, 16, 30, 31, 3_600):
            room.say(at_s=at_s)
        assert [row.assessment.time for row in room.decisions] == [stamp(s) for s in (1, 16, 31, 3_600)]


@pytest.mark.feature("S13")
async def test_a_hold_is_stored_with_what_was_looked_at_and_what_stopped_every_rule() -> None:
    async with opened(Room(idle_rig(), rate=POOR)) as room:
        await room.at(1)
        (row,) = room.decisions
        held = row.assessment
        assert (row.decision, held.reason, row.order_ids, row.denied) == (1, "HOLD", (), ())
        assert {f"book:{COIN}", f"mark:{PERP}", "equity_usdt", "f_hat:binance"} <= held.inputs.keys()
        assert held.thresholds["f_entry:binance"] > held.inputs["f_hat:binance"].value == POOR
        assert "f_hat" in next(item.why for item in held.rejected if item.rule == "ENTRY")
        assert held == room.rig.state.last_decision["btc_basis"].assessment
        assert room.sent == []


@pytest.mark.feature("S01", part="engine")
async def test_a_rich_carry_is_entered_through_the_venue_and_ends_hedged_at_its_target_margin() -> None:
    async with opened(Room(idle_rig())) as room:
        await room.at(1)
        rig = room.rig
        assert room.reasons == ["ENTRY", "HOLD"]
        assert [row.state for row in room.plans] == [PlanState.RUNNING, PlanState.DONE]
        assert rig.held(PERP) == D("-1.186")
        assert 0 <= rig.held(COIN) + rig.held(PERP) < PERP_BTC.quantity_step
        assert rig.held(MARGIN) > D("0.4") * D("1.186") * 60_000 > rig.held(CASH)
        assert agrees(rig)
        assert room.sent[0].operation is OrderOperation.TRANSFER
        assert [order.side for order in room.sent[1:]] == [Side.BUY, Side.SELL] * 3  # three clips, each hedged at once
        assert not room.alarms


async def test_while_a_plan_is_in_flight_every_look_says_so_and_sends_nothing() -> None:
    async with opened(Room(idle_rig(terms=SLOW))) as room:
        room.say(at_s=1)
        await room.rig.clock.advance(D("0.5"))
        for at_s in (20, 40, 60):
            room.say(at_s=at_s)
        assert room.reasons == ["ENTRY", "IN_FLIGHT", "IN_FLIGHT", "IN_FLIGHT"]
        assert {row.assessment.note for row in room.decisions[1:]} == {"a plan is in flight"}
        (engine,) = room.engines
        assert engine.plans_in_flight == 1
        assert [order.operation for order in room.sent] == [OrderOperation.TRANSFER]
        for _ in range(8):
            await room.rig.clock.advance(1)
            room.say(at_s=60)
        assert engine.plans_in_flight == 0
        assert room.reasons[-1] == "HOLD"
        assert len({row.plan_id for row in room.plans}) == 1


# ------------------------------------------------------------------------------------------------- what it remembers
async def _six_hours(rig: Rig) -> Room:
    async with opened(Room(rig)) as room:
        for hour in range(7):
            price = 60_000 + 150 * hour
            await room.at(1 + 3_600 * hour, price=price)
    return room


async def test_the_same_events_give_the_same_decisions_and_the_same_orders() -> None:
    one, other = await _six_hours(idle_rig()), await _six_hours(idle_rig())
    assert one.decisions == other.decisions
    assert len(one.decisions) == 8
    assert one.sent == other.sent != []
    assert one.rig.state.memories == other.rig.state.memories


async def test_after_a_crash_a_strategy_goes_on_from_what_it_remembered_and_counts_its_decisions_on() -> None:
    rig = idle_rig()
    async with opened(Room(rig)) as room:
        await room.at(1)
        await rig.recorder.flush()
        remembered = rig.state.memories["btc_basis"]
    again = Room(Rig(stage=rig.stage, journal=rig.journal.after_crash()), has_seed=False)
    async with opened(again):
        assert again.rig.state.memories["btc_basis"] == remembered
        await again.at(2)
        row = again.decisions[-1]
        assert (row.decision, row.assessment.reason, again.rig.recorder.epoch) == (3, "HOLD", 2)
        assert row.assessment.inputs["f_hat:binance"].value == room.rate
        assert agrees(again.rig)


async def test_without_its_memory_it_would_have_known_nothing_of_the_carry() -> None:
    async with opened(Room(idle_rig(), has_seed=False)) as room:
        await room.at(1)
        assert room.reasons == ["STALE"]
        assert "funding" in room.decisions[0].assessment.note


async def test_a_settlement_is_remembered_at_once() -> None:
    async with opened(Room(idle_rig(), rate=POOR)) as room:
        before = len(room.rig.journal.read(kinds=frozenset({RecordKind.MEMORY})))
        room.hear(FundingSettled(PERP, START + timedelta(hours=8), D("0.0007"), 8))
        rows = room.rig.journal.read(kinds=frozenset({RecordKind.MEMORY}))[before:]
        assert rows[0].record.causation_id == "FundingSettled"
        assert recover(room.rig.journal).memories == room.rig.state.memories


@pytest.mark.fault("F17")
async def test_a_fill_of_nobody_on_a_declared_key_freezes_new_entries_there_for_a_day() -> None:
    """Somebody closed a part of the short (ADL, a hand): without that, its idle cash would be scaled in at once."""
    async with opened(Room(paired_rig(cash=30_000))) as room:
        room.rig.stage.venue.trade_by_hand(PERP, Side.BUY, D("0.001"))
        await room.at(1)
        (row,) = room.decisions
        assert row.assessment.reason == "HOLD"
        assert any("is frozen until 2024-03-02" in item.why for item in row.assessment.rejected)
        assert room.sent == []
        assert "fill of an order that is not ours" in room.alarms


# ------------------------------------------------------------------------------------------------ what restrains it
async def test_a_plan_the_gate_denies_is_stored_with_every_reason_and_nothing_is_sent() -> None:
    async with opened(Room(idle_rig(), is_armed=bool)) as room:
        await room.at(1)
        await room.at(1 + INTERVAL_S)
        first, second = room.decisions
        assert (first.assessment.reason, second.assessment.reason) == ("ENTRY", "ENTRY")
        assert len(first.order_ids) == 3
        assert all("DISARMED" in why.upper() for why in first.denied)
        assert len(first.denied) == 3
        assert (room.sent, room.plans) == ([], [])
        assert room.alarms == ["plan denied"]  # once a minute


@pytest.mark.fault("F56")
async def test_a_strategy_that_fails_is_frozen_by_name_and_the_others_trade_on() -> None:
    async with opened(Room(idle_rig(), Stumbler(), BtcBasis(parameters()))) as room:
        await room.at(1)
        faulty, sound = room.engines
        assert (faulty.is_frozen, sound.is_frozen) == (True, False)
        assert room.rig.alarms[0] == (
            "strategy frozen",
            {"strategy": "stumbler", "error": "ValueError: price 60000.0 is not what was expected"},
        )
        assert {row.strategy for row in room.decisions} == {"btc_basis"}
        assert room.plans[-1].state is PlanState.DONE
        await room.at(1 + INTERVAL_S)
        assert room.alarms == ["strategy frozen"]


class Babbler(BtcBasis):
    """Answers with whatever it was given."""

    def __init__(self, answer: Callable[[list[Order]], object]) -> None:
        super().__init__(parameters(), "babbler")
        self._answer = answer

    def make_strategy_decision(self, *question: Any) -> list[Order]:  # noqa: ANN401  handed on as it came
        return self._answer(super().make_strategy_decision(*question))  # type: ignore[return-value]  # the fault


@pytest.mark.fault("F56")
@pytest.mark.parametrize(
    "answer",
    [
        lambda _: None,
        lambda _: "BUY",
        lambda orders: [*orders, None],
        lambda orders: orders * 5_000,
        lambda orders: [Order(**orders[0].model_dump() | {"amount": D("NaN")})],
        lambda orders: [Order(**orders[0].model_dump() | {"amount": D(-1)})],
        lambda orders: orders[99].missing,
    ],
    ids=["none", "text", "a hole", "thousands", "nan", "negative", "lookup"],
)
async def test_a_strategy_that_answers_garbage_is_frozen_sends_nothing_and_the_others_trade_on(
    answer: Callable[[list[Order]], object],
) -> None:
    async with opened(Room(idle_rig(), Babbler(answer), BtcBasis(parameters()))) as room:
        await room.at(1)
        assert [engine.is_frozen for engine in room.engines] == [True, False]
        assert {row.assessment.strategy for row in room.decisions} == {"btc_basis"}
        assert {order.strategy for order in room.sent} == {"btc_basis"}
        assert room.plans[-1].state is PlanState.DONE


@pytest.mark.fault("F56")
async def test_an_order_of_a_size_beyond_reason_is_denied_whole() -> None:
    huge = Babbler(lambda orders: [Order(**o.model_dump() | {"amount": o.quantity * 10**9}) for o in orders])
    async with opened(Room(idle_rig(), huge)) as room:
        await room.at(1)
        assert room.sent == []
        assert any("NOTIONAL_CAP" in why.upper() for why in room.decisions[-1].denied)


@pytest.mark.fault("F57")
async def test_nothing_that_a_strategy_is_shown_can_be_changed_by_it() -> None:
    async with opened(Room(paired_rig())) as room:
        (engine,), (pictures,) = room.engines, room.pictures
        await room.at(1)
        memory = engine.strategy.load_memory(room.rig.state.memories["btc_basis"])
        shown = pictures.take(engine.strategy, memory, DecisionIds("test", 1, 9), ())
        views = [shown.market.books, shown.market.marks, shown.market.instruments, shown.market.ages,
                 shown.exposure.holdings, shown.exposure.prices, shown.exposure.net_delta,
                 shown.risk.defence_in_flight, shown.risk.halted_instruments]  # fmt: skip
        for view in views:
            with pytest.raises(TypeError):
                view[PERP] = None  # type: ignore[index]  # what must not be possible
        for part in (shown.market, shown.exposure, shown.risk):
            with pytest.raises((AttributeError, TypeError)):
                part.time = None  # type: ignore[union-attr, misc]  # what must not be possible


@pytest.mark.parametrize("state", [GuardState.REDUCING, GuardState.HALTED])
async def test_a_guard_that_has_tightened_lets_no_entry_through(state: GuardState) -> None:
    async with opened(Room(idle_rig())) as room:
        room.rig.guard.tighten(state, "drill")
        await room.at(1)
        (row,) = room.decisions
        assert (row.assessment.reason, row.assessment.note) == ("STALE", "kill switch is on")
        assert room.sent == []


async def test_a_halted_guard_denies_at_the_gate_what_a_strategy_asks_for_all_the_same() -> None:
    """The picture was taken before the guard was halted: the gate looks again."""
    async with opened(Room(idle_rig(), is_armed=bool)) as room:
        (engine,), (desk,), (pictures,) = room.engines, room.desks, room.pictures
        await room.at(1)
        (row,) = room.decisions
        memory = engine.strategy.load_memory(room.rig.state.memories["btc_basis"])
        picture = pictures.take(engine.strategy, memory, DecisionIds("test", 1, 9), ())
        orders = engine.strategy.make_strategy_decision(
            picture.market.time, "market", picture.market, picture.exposure, picture.risk
        )
        assert len(orders) == 3
        room.rig.guard.tighten(GuardState.HALTED, "drill")
        denied = desk.gate(orders, picture, row.assessment)
        assert sum("guard_halted" in why.lower() for why in denied) == 3


async def test_a_halt_during_an_entry_ends_it_hedged_after_the_clip_it_is_in() -> None:
    async with opened(Room(idle_rig(terms=SLOW))) as room:
        room.say(at_s=1)
        await room.rig.clock.advance(D("1.5"))
        assert len(room.sent) == 2  # the transfer, and the first clip's coin on its way
        room.rig.guard.tighten(GuardState.HALTED, "drill")
        await room.rig.clock.advance(10)
        assert [order.side for order in room.sent] == [None, Side.BUY, Side.SELL]
        assert 0 <= room.rig.held(COIN) + room.rig.held(PERP) < PERP_BTC.quantity_step
        assert room.plans[-1].state is PlanState.ABORTED


async def test_a_defence_stops_what_an_ordinary_plan_has_not_sent_yet() -> None:
    """A pair is being scaled up when the price leaps by a fifth: margin comes first, the new legs never leave."""
    async with opened(Room(paired_rig(cash=60_000, terms=SLOW))) as room:
        room.say(at_s=1)
        assert room.reasons == ["SCALE"]
        await room.rig.clock.advance(D("0.5"))
        room.say(at_s=20, price=72_000)
        assert room.reasons == ["SCALE", "LIQ_TOPUP"]
        assert sum(engine.plans_in_flight for engine in room.engines) == 2
        await room.rig.clock.advance(5)
        ends = {row.reason: row.state for row in room.plans}
        assert ends == {"SCALE": PlanState.ABORTED, "LIQ_TOPUP": PlanState.DONE}
        assert {order.operation for order in room.sent} == {OrderOperation.TRANSFER}
        assert [order.reason for order in room.sent] == ["SCALE", "LIQ_TOPUP"]
        assert agrees(room.rig)
