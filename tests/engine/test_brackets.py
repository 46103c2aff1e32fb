"""A position stands between its stop and its take-profit, whatever its fills, its venue and the process do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.bracket import Guarding
from basis_daemon.domain.errors import PlanRefusedError
from basis_daemon.domain.instrument import round_down, round_up
from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.state import BookState
from tests.engine.bracket_support import Guarded
from tests.engine.support import Rig, folded, pair
from tests.venues.paper_support import COIN, FUTURES, PERP, D, mark, trade_order

STOP, TAKE = OrderOperation.STOP, OrderOperation.TAKE_PROFIT
ENTRY = D("60000.5")
"""The ask of the paper book."""


@pytest.mark.feature("O08", part="anchored")
async def test_an_entry_is_between_both_halves_before_its_plan_is_done_anchored_on_its_real_fill() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        assert await book.enter() is PlanState.DONE
        low, high = (round_up(ENTRY * D("0.99"), D("0.1")), round_down(ENTRY * D("1.02"), D("0.1")))
        assert book.venue.log == [f"stop SELL 0.5 at {low}", f"take_profit SELL 0.5 at {high}"]
        assert all(order.reduce_only and order.parent_id == book.entry.order_id for order in book.venue.live.values())


async def test_a_short_is_guarded_from_above() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter(Side.SELL)
        stop, take = book.venue.live["stop"], book.venue.live["take_profit"]
        assert (stop.side, take.side) == (Side.BUY, Side.BUY)
        assert stop.trigger_price is not None
        assert take.trigger_price is not None
        assert take.trigger_price < D(60_000) < stop.trigger_price


@pytest.mark.feature("O08", part="resized")
async def test_more_of_it_moves_both_halves_and_no_old_half_goes_before_the_new_one_stands() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        book.rig.quote(PERP, 60_100)
        book.venue.log.clear()
        await book.enter(amount="0.3")
        assert [line.split(" at ")[0] for line in book.venue.log] == [
            "stop SELL 0.8", "take_profit SELL 0.8", "cancel stop", "cancel take_profit"
        ]  # fmt: skip
        entry = (D("0.5") * ENTRY + D("0.3") * D("60100.5")) / D("0.8")
        assert book.figures()["stop"] == (D("0.8"), round_up(entry * D("0.99"), D("0.1")))


async def test_less_of_it_leaves_halves_of_what_is_left_and_nothing_leaves_none() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        await book.manager.execute_orders(
            book.entry.created_at, [trade_order(PERP, Side.SELL, "0.2", reduce_only=True)], "p"
        )
        await book.second()
        assert {amount for amount, _ in book.figures().values()} == {D("0.3")}
        await book.manager.execute_orders(
            book.entry.created_at, [trade_order(PERP, Side.SELL, "0.3", reduce_only=True)], "p"
        )
        await book.second()
        assert book.held == 0
        assert book.venue.live == {}


async def test_a_reversal_carries_the_bracket_of_its_own_side() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        await book.enter(Side.SELL, "1.0")
        assert book.held == D("-0.5")
        assert {order.side for order in book.venue.live.values()} == {Side.BUY}
        assert {amount for amount, _ in book.figures().values()} == {D("0.5")}


@pytest.mark.feature("O08", part="sibling")
@pytest.mark.parametrize(("fired", "other"), [(STOP, "take_profit"), (TAKE, "stop")])
async def test_when_one_half_fires_the_other_is_taken_away(fired: OrderOperation, other: str) -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        book.venue.log.clear()
        await book.venue.fire(fired)
        await book.second()
        assert book.held == 0
        assert book.venue.log == [f"cancel {other}"]
        assert book.venue.live == {}


async def test_a_half_that_filled_in_part_leaves_the_rest_guarded() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        await book.venue.fire(STOP, share="0.4")
        await book.second()
        assert book.held == D("0.3")
        assert {amount for amount, _ in book.figures().values()} == {D("0.3")}


# ------------------------------------------------------------------------------------------------- what goes wrong
@pytest.mark.feature("O08", part="watchdog")
async def test_a_position_whose_stop_is_refused_is_closed_after_ten_seconds() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        book.venue.refuses = {STOP}
        await book.enter()
        await book.second(1)
        assert book.held == D("0.5")
        await book.second(10)
        assert book.held == D("0.5")
        await book.second(1)
        assert book.held == 0
        assert [(seen.instrument, seen.half) for seen in book.fired] == [(PERP, Guarding.STOP)]
        assert "position closed because no venue guards it" in [what for what, _ in book.rig.alarms]
        await book.second()
        assert book.venue.live == {}


@pytest.mark.feature("O08", part="watchdog")
async def test_a_stop_that_does_not_fire_though_the_mark_is_beyond_it_is_not_believed_for_long() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        book.rig.mailbox.put(mark(59_000))
        await book.second(1)
        await book.second(10)
        assert book.held == D("0.5")
        await book.second(1)
        assert book.held == 0


@pytest.mark.feature("O08", part="watchdog")
@pytest.mark.parametrize(("price", "half"), [(59_000, Guarding.STOP), (61_500, Guarding.TAKE_PROFIT)])
async def test_where_the_venue_holds_no_stops_the_mark_is_watched_here(price: int, half: Guarding) -> None:
    async with Guarded(Rig.adopted(), keeps=False).running() as book:
        assert await book.enter() is PlanState.DONE
        await book.second(60)
        assert book.held == D("0.5")
        book.rig.mailbox.put(mark(price))
        await book.second(1)
        assert book.held == 0
        assert [seen.half for seen in book.fired] == [half]


async def test_a_half_whose_answer_was_lost_is_asked_about_and_never_sent_twice() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        book.venue.loses_answers = 1
        assert await book.enter() is PlanState.DONE
        await book.second(1)
        assert len([line for line in book.venue.log if line.startswith("stop")]) == 1
        assert set(book.venue.live) == {"stop", "take_profit"}


async def test_a_stop_in_doubt_for_too_long_is_no_stop() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        book.venue.loses_answers, book.venue.silent_questions = 1, 8
        entering = book.enter()
        assert book.scope is not None
        ended: list[PlanState] = []

        async def enter() -> None:
            ended.append(await entering)

        book.scope.spawn("plan", enter())
        await book.rig.clock.advance(0)
        await book.second(1)
        await book.second(11)
        assert book.held == 0
        for _ in range(20):
            await book.second(5)
        assert ended == [PlanState.DONE]
        assert book.venue.live == {}


async def test_a_disarmed_daemon_places_nothing() -> None:
    rig = Rig.adopted()
    book = Guarded(rig)
    book.is_armed = False
    async with book.running():
        await book.enter()
        await book.second(30)
        assert book.venue.log == []
        book.is_armed = True
        await book.second()
        assert set(book.venue.live) == {"stop", "take_profit"}


@pytest.mark.feature("O08", part="restart")
async def test_a_life_that_ended_between_entry_and_bracket_is_followed_by_one_that_places_it() -> None:
    rig = Rig.adopted()
    book = Guarded(rig)
    await book.manager.execute_orders(  # no second has passed: nothing was placed
        rig.state.market_time,
        [trade_order(PERP, Side.BUY, "0.5", stop_loss=D(59_400), take_profit=D(61_200))],
        "plan",
    )
    assert (book.held, book.venue.log) == (D("0.5"), [])
    await rig.recorder.flush()
    second = Rig(stage=rig.stage, journal=rig.journal.after_crash())
    async with Guarded(second).running() as again:
        assert set(again.venue.live) == {"stop", "take_profit"}
        assert again.figures()["stop"] == (D("0.5"), round_up(ENTRY * D("0.99"), D("0.1")))


async def test_the_entry_behind_a_bracket_survives_snapshots_and_replay() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        state = book.rig.state
        assert BookState.restore(state.dump()).brackets == state.brackets == folded(book.rig).brackets
        assert state.bracket_of(PERP, Side.BUY) == book.entry
        assert state.bracket_of(PERP, Side.SELL) is None


async def test_a_stop_that_rests_does_not_keep_the_account_from_agreeing() -> None:
    async with Guarded(Rig.adopted()).running() as book:
        await book.enter()
        resting = [life for life in book.rig.state.open_orders() if life.rests]
        assert len(resting) == len(book.rig.state.open_orders()) == 2


def _with(**fields: object) -> list[Order]:
    return [trade_order(PERP, Side.SELL, "0.1", **{"stop_loss": D(61_000), "take_profit": D(59_000), **fields})]


@pytest.mark.parametrize(
    ("orders", "why"),
    [
        (_with(take_profit=None), "half a bracket"),
        (_with(reduce_only=True), "a single order that opens a perp"),
        ([trade_order(COIN, Side.BUY, "0.1", stop_loss=D(59_000), take_profit=D(61_000))], "opens a perp"),
        (pair(stop_loss=D(59_000), take_profit=D(61_000)), "a single order that opens a perp"),
    ],
)
async def test_a_bracket_that_nobody_could_keep_is_refused_before_anything_is_sent(
    orders: list[Order], why: str
) -> None:
    async with Guarded(Rig.adopted()).running() as book:
        with pytest.raises(PlanRefusedError, match=why):
            await book.manager.execute_orders(orders[0].created_at, orders, "plan")
        assert book.rig.sent == []


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from((Side.BUY, Side.SELL)), st.integers(1, 9)), min_size=1, max_size=8))
@pytest.mark.slow
async def test_whatever_is_traded_the_halves_are_those_of_the_position(steps: list[tuple[Side, int]]) -> None:
    async with Guarded(Rig.adopted()).running() as book:
        for side, tenths in steps:
            await book.enter(side, str(D(tenths) / 10))
            await book.second()
            live = book.venue.live
            assert set(live) == ({"stop", "take_profit"} if book.held else set())
            assert {order.quantity for order in live.values()} <= {abs(book.held)}
            assert all(order.side is (Side.SELL if book.held > 0 else Side.BUY) for order in live.values())
        assert len([i for i, state in book.venue.held.items() if state is OrderState.ACKED]) == len(book.venue.live)
        assert {order.venue for order in book.venue.live.values()} <= {FUTURES}
