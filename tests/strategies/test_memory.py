"""What a basis book learns from events, that it learns each thing once, and that its memory survives a restart."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import PlanEnded, ReasonCode, Target
from basis_daemon.domain.market import FundingSettled
from basis_daemon.domain.order import Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.strategies.basis import BtcBasis
from basis_daemon.strategies.legs import DAY
from basis_daemon.strategies.memory import BasisMemory
from tests.builders import (
    BINANCE,
    CASH,
    NOW,
    PERP,
    SPOT,
    D,
    book_tick,
    mark_tick,
    parameters,
    settlements,
    signs,
)

BOOK = BtcBasis(parameters())
EMPTY = BOOK.initial_memory()


def told(*events: object, memory: BasisMemory = EMPTY) -> BasisMemory:
    for event in events:
        memory = BOOK.fold(memory, event)
    return memory


def foreign(order_id: str = "") -> Trade:
    return Trade(
        trade_id="t1", order_id=order_id, account="binanceusdm", instrument=PERP, status=TradeStatus.FILLED,
        order_state=OrderState.FILLED, price=D(60_000), qty_base=D("0.1"), venue_time=NOW, recv_time=NOW,
        deltas={PERP: D("0.1")},
    )  # fmt: skip


def ended(reason: ReasonCode, state: PlanState = PlanState.DONE, *targets: Target, **weights: Decimal) -> PlanEnded:
    return PlanEnded("btc_basis", 1, reason, state, NOW, targets, weights)


def test_a_settlement_counts_once_however_often_it_is_told() -> None:
    first, second = settlements(PERP, [D("0.0001"), D("0.0002")])
    memory = told(first, second)
    again = FundingSettled(PERP, second.venue_time + timedelta(milliseconds=3), D("0.0002"), 8)
    assert told(second, first, again, memory=memory) is memory
    assert memory.venues["binance"].settlements == 2


def test_the_average_starts_at_the_first_rate_and_follows_with_the_golden_weight() -> None:
    known = told(*settlements(PERP, [D("0.0001"), D("0.0002")])).venues["binance"]
    assert known.averages[0] == D("0.0001")
    assert known.f_hat is not None
    assert signs((known.f_hat - D("0.0001")) / D("0.0001")) == "0.074125288"  # AL1


def test_four_hourly_rates_count_as_eight_hourly_and_keep_twice_as_many_averages() -> None:
    known = told(*settlements(PERP, [D("0.0001")] * 20, hours=4)).venues["binance"]
    assert known.f_hat == D("0.0002")
    assert len(known.averages) == 6


@pytest.mark.parametrize(
    "event",
    [
        book_tick(PERP, D(60_000)),
        mark_tick(SPOT, D(60_000)),
        FundingSettled(SPOT, NOW, D("0.0001"), 8),
        foreign("ab" * 16),
        object(),
    ],
)
def test_what_teaches_nothing_returns_the_same_object(event: object) -> None:
    assert BOOK.fold(EMPTY, event) is EMPTY


def test_a_mark_inside_the_hours_range_changes_nothing_and_one_outside_widens_it() -> None:
    memory = told(mark_tick(PERP, D(100)), mark_tick(PERP, D(110)), mark_tick(PERP, D(90)))
    assert told(mark_tick(PERP, D(105), NOW + timedelta(minutes=20)), memory=memory) is memory
    (bar,) = memory.venues["binance"].bars
    assert (bar.open, bar.high, bar.low) == (D(100), D(110), D(90))
    assert told(mark_tick(PERP, D(200), NOW - timedelta(hours=2)), memory=memory) is memory


def test_sigma_is_the_root_of_the_averaged_squared_hourly_returns() -> None:
    memory = told(mark_tick(PERP, D(100)), mark_tick(PERP, D(102), NOW + timedelta(hours=1)))
    sigma = memory.venues["binance"].sigma
    assert sigma is not None
    assert signs(sigma) == signs(D("1.02").ln())
    calmer = told(mark_tick(PERP, D(102), NOW + timedelta(hours=2)), memory=memory).venues["binance"].sigma
    assert calmer is not None
    assert calmer < sigma


def test_a_hole_in_the_marks_is_never_bridged_by_one_large_return() -> None:
    memory = told(mark_tick(PERP, D(100)), mark_tick(PERP, D(150), NOW + timedelta(hours=5)))
    assert memory.venues["binance"].sigma is None


def test_the_days_range_is_unknown_until_every_hour_of_it_was_seen() -> None:
    hourly = [mark_tick(PERP, D(100 + hour % 3), NOW + timedelta(hours=hour)) for hour in range(24)]
    known = told(*hourly).venues["binance"]
    now = NOW + timedelta(hours=23)
    assert known.day_range(now) == D("0.02")
    assert told(*hourly[1:]).venues["binance"].day_range(now) is None
    assert known.day_range(now + timedelta(hours=3)) is None


def test_a_fill_without_an_order_of_ours_freezes_its_venue_for_a_day() -> None:
    assert told(foreign()).venues["binance"].frozen_until == NOW + DAY


def test_a_plan_leaves_the_direction_of_its_legs_and_only_a_finished_one_its_targets() -> None:
    target = Target(PERP, D(-1), D(0))
    for state in (PlanState.DONE, PlanState.ABORTED):
        memory = told(ended(ReasonCode.ENTRY, state, target, Target(CASH, D(5), D(9))))
        assert memory.legs == {f"{PERP} {Side.SELL}": NOW}
        assert (memory.executed.get(PERP) == -1) is (state is PlanState.DONE)
    assert memory.moved_within(PERP, Side.SELL, DAY, NOW + DAY - timedelta(seconds=1))
    assert not memory.moved_within(PERP, Side.SELL, DAY, NOW + DAY)
    assert not memory.moved_within(PERP, Side.BUY, DAY, NOW)


def test_weights_change_only_with_a_finished_rotation() -> None:
    aborted = told(ended(ReasonCode.ROTATE, PlanState.ABORTED, binance=D("0.2")))
    assert aborted.weights == EMPTY.weights
    done = told(ended(ReasonCode.ROTATE, PlanState.DONE, binance=D("0.2")))
    assert (done.weights, done.entered_at) == ({"binance": D("0.2")}, NOW)


def test_an_entry_that_ended_early_is_unfinished_until_a_scale_up_is_done() -> None:
    memory = told(ended(ReasonCode.ENTRY, PlanState.ABORTED))
    assert memory.is_unfinished
    assert told(ended(ReasonCode.LIQ_TOPUP), memory=memory).is_unfinished
    assert not told(ended(ReasonCode.SCALE), memory=memory).is_unfinished


def test_a_memory_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="expected BasisMemory"):
        BOOK.fold("text", foreign())
    with pytest.raises(ValueError, match="weights"):
        BOOK.load_memory('{"venues": {}}')


event = st.one_of(
    st.builds(
        lambda hours, rate: FundingSettled(PERP, NOW + timedelta(hours=hours), rate, 8),
        st.integers(0, 400),
        st.decimals(min_value=D("-0.01"), max_value=D("0.01"), places=8),
    ),
    st.builds(
        lambda minutes, mark: mark_tick(PERP, mark, NOW + timedelta(minutes=minutes)),
        st.integers(0, 3000),
        st.decimals(min_value=D(1000), max_value=D(200_000), places=1),
    ),
    st.builds(ended, st.sampled_from(ReasonCode), st.sampled_from(PlanState)),
    st.just(foreign()),
)


@given(st.lists(event, max_size=40))
def test_a_memory_written_and_read_back_goes_on_as_if_it_had_never_been_written(events: list[object]) -> None:
    memory = told(*events)
    text = BOOK.dump_memory(memory)
    back = BOOK.load_memory(text)
    assert back == memory
    assert BOOK.dump_memory(back) == text
    assert told(foreign(), *events, memory=back) == told(foreign(), *events, memory=memory)


def test_the_memory_of_a_busy_month_stays_small() -> None:
    memory = told(*settlements(PERP, [D("0.000123456789")] * 90))
    for hour in range(800):
        memory = told(mark_tick(PERP, D(60_000 + hour), NOW + timedelta(hours=hour)), memory=memory)
    assert len(BOOK.dump_memory(memory)) < 5_000
    assert BINANCE.name in memory.venues
