"""Brackets: prices around real fills, and live orders that are exactly the bracket of what is held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.bracket import (
    Bracket,
    Cancel,
    Guarding,
    Live,
    Place,
    Width,
    anchored,
    bracket_at,
    entry_price,
    is_naked,
    kept,
)
from tests.builders import D, signs

WIDTH = Width(D(2), D(3), D(10), D(500))
TICK = D("0.1")
STOP, TAKE = Guarding.STOP, Guarding.TAKE_PROFIT
NOW = datetime(2025, 5, 6, 12, tzinfo=UTC)
PRICE = st.decimals(1000, 200_000, places=1)
SIDE = st.sampled_from([1, -1])
SD = st.decimals("0.0001", "0.2", places=5)
SIZE = st.decimals("0.001", 50, places=3)


def test_the_bracket_of_the_specification() -> None:
    found = bracket_at(D(60_000), 1, D("0.0045"), WIDTH)
    assert (signs(found.stop), signs(found.take), signs(WIDTH.even_rate)) == ("59460", "60810", "0.4")  # ML2


def test_it_is_anchored_on_what_the_fills_really_were() -> None:
    fills = [(D("0.5"), D(60_000)), (D("0.333"), D(60_030))]
    entry = entry_price(fills)
    assert signs(sum((quantity * price for quantity, price in fills), D(0))) == "49989.99"  # ML8
    found = bracket_at(entry, 1, D("0.0045"), WIDTH)
    assert (signs(found.stop), signs(found.take)) == ("59471.885", "60822.155")
    planned = bracket_at(D(60_000), 1, D("0.0045"), WIDTH)
    again = anchored(planned, D(60_000), entry)
    assert (signs(again.stop), signs(again.take)) == ("59471.885", "60822.155")


@pytest.mark.parametrize(("told", "used"), [("0.0001", "0.001"), ("0.0045", "0.0045"), ("0.2", "0.05")])
def test_a_spread_beyond_floor_or_cap_is_cut(told: str, used: str) -> None:
    assert WIDTH.sd(D(told)) == D(used)


@given(PRICE, SIDE, SD)
def test_the_stop_stands_on_the_losing_side_and_the_target_on_the_other(entry: Decimal, side: int, sd: Decimal) -> None:
    found = bracket_at(entry, side, sd, WIDTH).on_ticks(TICK, side)
    assert found.stop * side < entry * side < found.take * side
    assert found.stop % TICK == found.take % TICK == 0
    exact = bracket_at(entry, side, sd, WIDTH)
    assert abs(found.stop - entry) <= abs(exact.stop - entry)
    assert abs(found.take - entry) <= abs(exact.take - entry)


@given(PRICE, SIDE, SD, st.decimals("-0.9", 3, places=4))
def test_a_mark_sets_off_at_most_one_half_and_in_doubt_the_stop(
    entry: Decimal, side: int, sd: Decimal, move: Decimal
) -> None:
    found, mark = bracket_at(entry, side, sd, WIDTH), entry * (1 + move)
    fired = found.fired(mark, side)
    is_lost, is_won = (mark - found.stop) * side <= 0, (mark - found.take) * side >= 0
    assert fired is (STOP if is_lost else TAKE if is_won else None)
    assert Bracket(entry, entry).fired(entry, side) is STOP


# ---------------------------------------------------------------------------------------------------------- keeping
def after(live: list[Live], actions: tuple[Place | Cancel, ...]) -> list[Live]:
    gone = {action.order_id for action in actions if isinstance(action, Cancel)}
    new = [Live(f"new{n}", a.half, a.quantity, a.trigger) for n, a in enumerate(actions) if isinstance(a, Place)]
    return [order for order in live if order.order_id not in gone] + new


def test_a_fresh_position_gets_its_stop_first() -> None:
    wanted = Bracket(D(59_460), D(60_810))
    assert kept(D("0.833"), wanted, []) == (
        Place(STOP, D("0.833"), D(59_460)),
        Place(TAKE, D("0.833"), D(60_810)),
    )


def test_a_partial_fill_more_is_guarded_before_the_old_order_goes() -> None:
    live = [Live("a", STOP, D("0.5"), D(59_460)), Live("b", TAKE, D("0.5"), D(60_810))]
    found = kept(D("0.833"), Bracket(D("59471.8"), D("60822.1")), live)
    assert found == (
        Place(STOP, D("0.833"), D("59471.8")),
        Place(TAKE, D("0.833"), D("60822.1")),
        Cancel("a"),
        Cancel("b"),
    )


def test_when_one_half_has_fired_the_other_is_cancelled() -> None:
    survivor = [Live("b", TAKE, D("0.833"), D(60_810))]
    assert kept(D(0), Bracket(D(1), D(2)), survivor) == (Cancel("b"),)


LIVE = st.builds(Live, st.uuids().map(str), st.sampled_from(Guarding), SIZE, st.decimals(1000, 200_000, places=1))


@given(SIZE, SIDE, PRICE, SD, st.lists(LIVE, max_size=5, unique_by=lambda order: order.order_id))
def test_whatever_stands_at_the_venue_it_becomes_one_whole_bracket_and_then_rests(
    size: Decimal, side: int, entry: Decimal, sd: Decimal, live: list[Live]
) -> None:
    position, wanted = size * side, bracket_at(entry, side, sd, WIDTH)
    actions = kept(position, wanted, live)
    standing = after(live, actions)
    assert sorted((o.half.value, o.quantity, o.trigger) for o in standing) == [
        ("stop", size, wanted.stop),
        ("take_profit", size, wanted.take),
    ]
    assert kept(position, wanted, standing) == ()
    assert kept(D(0), wanted, standing) == tuple(Cancel(o.order_id) for o in standing)


@given(st.lists(SIZE, min_size=1, max_size=8), SIDE, PRICE, SD)
def test_through_any_row_of_partial_fills_a_stop_of_the_whole_size_is_never_missing(
    fills: list[Decimal], side: int, entry: Decimal, sd: Decimal
) -> None:
    live: list[Live] = []
    held: list[tuple[Decimal, Decimal]] = []
    for number, size in enumerate(fills):
        held.append((size * side, entry + number))
        position = sum((quantity for quantity, _ in held), D(0))
        wanted = bracket_at(entry_price(held), side, sd, WIDTH)
        for action in kept(position, wanted, live):
            before = [order for order in live if order.half is STOP]
            live = after(live, (action,))
            live = [Live(f"{number}-{place}", o.half, o.quantity, o.trigger) for place, o in enumerate(live)]
            assert not before or any(order.half is STOP for order in live)
        live = after([], tuple(Place(o.half, o.quantity, o.trigger) for o in live if o.quantity == abs(position)))
    assert {order.half for order in live} == {STOP, TAKE}


def test_ten_seconds_without_a_live_stop_are_the_most() -> None:
    take = [Live("b", TAKE, D(1), D(2))]
    long_ago, just_now = NOW - timedelta(seconds=11), NOW - timedelta(seconds=10)
    assert is_naked(D(1), take, long_ago, NOW)
    assert not is_naked(D(1), take, just_now, NOW)
    assert not is_naked(D(1), [Live("a", STOP, D(1), D(2))], long_ago, NOW)
    assert not is_naked(D(0), [], long_ago, NOW)
    assert not is_naked(D(1), [], None, NOW)
