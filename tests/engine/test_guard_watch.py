"""The guard sees over all strategies, once a second of process time, and only ever tightens what may leave."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard_watch import GuardWatch, Sight
from tests.engine.support import WATCH, Rig
from tests.engine.turn_support import STREAMS, Room, living, opened, paired_rig
from tests.venues.paper_support import CASH, COIN, FUTURES, MARGIN, PERP, D, Stage, stamp, trade_order

SILENT_S = 60


def state(rig: Rig) -> GuardState:
    return rig.guard.state


def pages(rig: Rig) -> list[str]:
    return [facts["guard"] for what, facts in rig.alarms if what == "page"]


def short_with(margin: str) -> Rig:
    """A short of one coin at 60,000 with so much margin, and no long leg that could defend it."""
    held = {PERP: D(-1), MARGIN: D(margin), COIN: D(0), CASH: D(0)}
    return Rig(stage=Stage(held, open_notional={PERP: D(-60_000)}))


# ----------------------------------------------------------------------------------------------------------- margin
@pytest.mark.feature("K06", part="margin")
@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        ("24000", GuardState.ACTIVE),
        ("3600", GuardState.ACTIVE),
        ("2600", GuardState.REDUCING),
        ("1200", GuardState.HALTED),
    ],
)
async def test_an_account_near_liquidation_tightens_the_guard_behind_the_strategys_own_ladder(
    margin: str, expected: GuardState
) -> None:
    """Mm .01 and shock .20: m .06 is z .248, where the strategy still acts by itself; .0433 z .165; .025 z .074."""
    room = Room(short_with(margin))
    async with opened(room):
        room.watch.look()
        assert state(room.rig) is expected
        assert pages(room.rig) == ([] if expected is GuardState.ACTIVE else [expected.value])


async def test_a_flat_book_is_nowhere_near_liquidation() -> None:
    room = Room(Rig(stage=Stage({CASH: D(100), MARGIN: D(0)})))
    async with opened(room):
        room.watch.look()
        assert state(room.rig) is GuardState.ACTIVE


# --------------------------------------------------------------------------------------------------------- drawdown
@pytest.mark.feature("K06", part="drawdown")
@pytest.mark.parametrize(
    ("drawdown", "expected"),
    [("0.08", GuardState.ACTIVE), ("0.0801", GuardState.REDUCING), ("0.1201", GuardState.HALTED)],
)
async def test_a_drawdown_beyond_the_strategies_own_tightens_the_guard(drawdown: str, expected: GuardState) -> None:
    room = Room(paired_rig())
    async with opened(room):
        watch = watching(room, lambda: D(drawdown))
        watch.look()
        assert state(room.rig) is expected


def watching(room: Room, drawdown: object) -> GuardWatch:
    rig = room.rig
    sight = Sight(lambda: [room.pictures[0].survey(room.engines[0].strategy)[1]], drawdown)  # type: ignore[arg-type]  # a number by call
    return GuardWatch(rig.guard, rig.recorder, room.freshness, rig.clock, sight, WATCH)


# -------------------------------------------------------------------------------------------------------- staleness
async def awake(room: Room, until_s: int, streams: Sequence[str]) -> None:
    """Process time second by second, the guard looking at each, and only these streams speaking."""
    room.watch.look()
    for second in range(int(room.now_s) + 1, until_s + 1):
        await room.at(second, *streams)
        room.watch.look()


@pytest.mark.feature("K06", part="staleness")
@pytest.mark.parametrize("silent", STREAMS)
async def test_a_price_stream_of_something_held_that_stays_silent_leaves_the_book_reducing(silent: str) -> None:
    room = Room(paired_rig())
    async with opened(room):
        others = [name for name in STREAMS if name != silent]
        await awake(room, SILENT_S, others)
        assert state(room.rig) is GuardState.ACTIVE
        await awake(room, SILENT_S + 1, others)
        assert state(room.rig) is GuardState.REDUCING
        assert "has been silent for 61 s, expected at most 60 s" in room.rig.guard.why


@pytest.mark.feature("K06", part="staleness")
async def test_an_account_that_does_not_answer_leaves_the_book_reducing() -> None:
    room = Room(paired_rig())
    async with opened(room):
        room.watch.look()
        for second in range(1, SILENT_S + 2):
            await room.rig.clock.advance_to(stamp(second))
            await room.reconcilers[0].reconcile()
            room.say()
            room.watch.look()
        assert state(room.rig) is GuardState.REDUCING
        assert f"account:{FUTURES}" in room.rig.guard.why


async def test_silence_of_what_is_not_held_is_nobodys_concern() -> None:
    room = Room(Rig(stage=Stage({CASH: D(100), MARGIN: D(0)})))
    async with opened(room):
        await awake(room, SILENT_S * 2, ())
        assert state(room.rig) is GuardState.ACTIVE


async def test_a_process_that_was_halted_itself_does_not_blame_the_streams() -> None:
    """F33: ten minutes of SIGSTOP. Everything is old when it wakes, and has a minute to speak."""
    room = Room(paired_rig())
    async with opened(room):
        room.watch.look()
        await room.rig.clock.advance_to(stamp(600))
        room.watch.look()
        assert state(room.rig) is GuardState.ACTIVE
        for second in range(601, 600 + SILENT_S + 2):
            await room.rig.clock.advance_to(stamp(second))
            room.watch.look()
        assert state(room.rig) is GuardState.REDUCING


# ------------------------------------------------------------------------------------------ breaks that persist
@pytest.mark.feature("K06", part="breaks")
async def test_a_break_that_stays_open_freezes_first_and_leaves_the_book_reducing_after_a_minute() -> None:
    room = Room(paired_rig())
    async with opened(room):
        room.rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
        await awake(room, 4, STREAMS)
        assert set(room.rig.state.breaks) == {CASH}
        await awake(room, SILENT_S, STREAMS)
        assert state(room.rig) is GuardState.ACTIVE
        await awake(room, SILENT_S + 5, STREAMS)
        assert state(room.rig) is GuardState.REDUCING
        assert f"book holds 0 of {CASH}, its venue says -50" in room.rig.guard.why


async def test_a_break_that_heals_is_forgotten() -> None:
    room = Room(paired_rig())
    async with opened(room):
        room.rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
        await awake(room, 50, STREAMS)
        room.rig.stage.venue.exchange.wallets.pay(CASH, D(50))
        await awake(room, SILENT_S * 2, STREAMS)
        assert state(room.rig) is GuardState.ACTIVE


# ------------------------------------------------------------------------------------------------------- the engine
@pytest.mark.feature("K06", part="latch")
@pytest.mark.feature("K12", part="rearm")
async def test_it_looks_by_itself_does_not_loosen_by_itself_and_a_rearm_holds_only_while_all_is_well() -> None:
    room = Room(short_with("24000"), is_armed=lambda: False)
    async with living(room):
        await room.rig.clock.advance(1)
        assert state(room.rig) is GuardState.ACTIVE
        room.say(price=80_500)  # 3,500 of margin are left at a notional of 80,500: z .19
        await room.rig.clock.advance(1)
        assert state(room.rig) is GuardState.REDUCING
        room.say(price=60_000)
        await room.rig.clock.advance(5)
        assert state(room.rig) is GuardState.REDUCING
        room.rig.guard.rearm("operator: prices are back")
        await room.rig.clock.advance(2)
        assert state(room.rig) is not GuardState.REDUCING
        room.say(price=83_000)
        await room.rig.clock.advance(1)
        room.rig.guard.rearm("operator: wishful")
        await room.rig.clock.advance(1)
        assert state(room.rig) is GuardState.HALTED


@pytest.mark.feature("K06", part="orders")
async def test_reducing_keeps_what_adds_risk_and_lets_out_what_takes_it_away() -> None:
    room = Room(paired_rig(cash=50_000))
    async with opened(room):
        room.rig.guard.tighten(GuardState.REDUCING, "drill")
        await room.at(20)
        assert room.sent == []
        life = await room.rig.run(trade_order(PERP, Side.BUY, "0.1", reduce_only=True))
        assert life.state is OrderState.FILLED
        assert room.rig.sent == [life.order]


@pytest.mark.feature("K12", part="restart")
async def test_the_latch_of_the_watch_holds_over_a_restart_until_an_operator_rearms() -> None:
    room = Room(short_with("2600"))
    async with opened(room):
        room.watch.look()
    again = Rig(stage=room.rig.stage, journal=room.rig.journal)
    assert state(again) is GuardState.REDUCING
    assert str(PERP) in again.guard.why
    again.guard.rearm("operator: margin was added")
    assert state(again) is not GuardState.REDUCING


async def test_it_invents_no_trades() -> None:
    room = Room(short_with("1200"))
    async with opened(room):
        room.watch.look()
        assert room.rig.sent == room.sent == []
