"""What a strategy does while a stream lags, everything is silent, or an account does not answer: nothing, and says so.

The carry is rich in all of these: a decision on a whole picture would be an entry.
"""

from __future__ import annotations

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, DecisionIds, StreamChanged
from basis_daemon.domain.order import Side
from basis_daemon.engine.codec import DecisionRow
from tests.engine.support import agrees
from tests.engine.turn_support import COIN_BOOK, INTERVAL_S, PERP_BOOK, PERP_MARK, STREAMS, Room, idle_rig, opened
from tests.venues.paper_support import COIN, FUTURES, PERP, WALLET, D, stamp

NAMES = {COIN_BOOK: f"book:{COIN}", PERP_BOOK: f"book:{PERP}", PERP_MARK: f"mark:{PERP}"}


def others(stream: str) -> list[str]:
    return [name for name in STREAMS if name != stream]


async def first_word_after(room: Room, seconds: float, stream: str) -> DecisionRow:
    """The decision after a hole of ``seconds`` in one stream, and the grace for it to catch up."""
    await room.at(seconds, *others(stream))
    assert room.decisions == []
    await room.at(seconds + 0.4, *others(stream))
    assert room.decisions == []  # within the grace it may still come
    await room.at(seconds + 0.6, *others(stream))
    (row,) = room.decisions
    return row


@pytest.mark.feature("D04")
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.fault("F25")
async def test_a_stream_that_lags_is_waited_for_then_named_and_nothing_is_sent(stream: str) -> None:
    async with opened(Room(idle_rig())) as room:
        row = await first_word_after(room, 10, stream)
        assert (row.assessment.reason, row.order_ids) == ("STALE", ())
        assert NAMES[stream] in row.assessment.note
        assert room.sent == []


@pytest.mark.feature("D04")
@pytest.mark.parametrize("stream", STREAMS)
async def test_while_a_stream_lags_it_is_looked_at_once_an_interval(stream: str) -> None:
    async with opened(Room(idle_rig())) as room:
        await first_word_after(room, 10, stream)
        for second in range(11, 60):
            await room.at(second, *others(stream))
        times = [row.assessment.time for row in room.decisions]
        assert times[1:] == [stamp(s) for s in (26, 41, 56)]
        assert set(room.reasons) == {"STALE"}
        assert room.sent == []


@pytest.mark.feature("D04")
@pytest.mark.parametrize("hole_s", [12, 600, 20_000])
@pytest.mark.parametrize("stream", STREAMS)
async def test_when_the_stream_is_back_it_decides_at_once_however_long_the_hole_was(stream: str, hole_s: int) -> None:
    async with opened(Room(idle_rig())) as room:
        await first_word_after(room, hole_s, stream)
        back_s = hole_s + 2
        await room.at(back_s, stream)
        assert room.reasons == ["STALE", "ENTRY", "HOLD"]
        assert room.decisions[1].assessment.time == stamp(back_s)  # long before its interval is over
        assert agrees(room.rig)


@pytest.mark.feature("D04")
@pytest.mark.fault("F25")
async def test_a_stream_is_stale_by_its_stamp_also_where_market_time_runs_and_it_arrived_just_now() -> None:
    """Ten seconds of market time in one of the process: the old mark is young by arrival and old by its stamp."""
    async with opened(Room(idle_rig())) as room:
        for at_s in (9, 10):
            await room.rig.clock.advance(D("0.5"))
            room.say(*others(PERP_MARK), at_s=at_s)
        (row,) = room.decisions
        assert (row.assessment.reason, row.assessment.note) == ("STALE", f"stale: {NAMES[PERP_MARK]}")


@pytest.mark.feature("D04")
async def test_after_a_hole_the_grace_begins_anew() -> None:
    async with opened(Room(idle_rig())) as room:
        await first_word_after(room, 600, PERP_MARK)
        await room.at(601)
        assert room.reasons == ["STALE", "ENTRY", "HOLD"]
        lag_s = 601 + INTERVAL_S
        await room.at(lag_s, *others(PERP_MARK))
        await room.at(lag_s + 0.4, *others(PERP_MARK))
        assert len(room.decisions) == 3
        await room.at(lag_s + 0.5, PERP_MARK)
        assert room.reasons[3:] == ["HOLD"]


@pytest.mark.feature("D04")
async def test_a_stream_that_catches_up_within_the_grace_costs_nothing() -> None:
    async with opened(Room(idle_rig())) as room:
        await room.at(10, *others(PERP_BOOK))
        await room.at(10.3, PERP_BOOK)
        assert room.reasons == ["ENTRY", "HOLD"]


@pytest.mark.feature("D04")
@pytest.mark.fault("F23")
async def test_when_nothing_arrives_any_more_only_process_time_can_tell_and_it_is_said_once() -> None:
    async with opened(Room(idle_rig())) as room:
        (engine,) = room.engines
        await room.rig.clock.advance(5)
        engine.tick()
        assert room.decisions == []
        for _ in range(20):
            await room.rig.clock.advance(1)
            engine.tick()
        (row,) = room.decisions
        assert (row.assessment.reason, row.assessment.trigger) == ("STALE", "silence")
        assert all(name in row.assessment.note for name in NAMES.values())
        assert room.sent == []


@pytest.mark.feature("D04")
@pytest.mark.fault("F33")
async def test_after_a_silence_the_first_whole_picture_is_acted_on() -> None:
    async with opened(Room(idle_rig())) as room:
        (engine,) = room.engines
        await room.rig.clock.advance(60)
        engine.tick()
        await room.at(60 + INTERVAL_S)
        assert room.reasons == ["STALE", "ENTRY", "HOLD"]


@pytest.mark.feature("D04")
@pytest.mark.fault("F20", "F33")
async def test_an_account_that_has_not_answered_for_too_long_forbids_new_risk() -> None:
    async with opened(Room(idle_rig())) as room:
        await room.rig.clock.advance(21)
        room.say()
        (row,) = room.decisions
        assert row.assessment.reason == "STALE"
        assert f"account:{WALLET}" in row.assessment.note
        assert f"account:{FUTURES}" in row.assessment.note
        await room.at(21 + INTERVAL_S)  # asked again, and heard
        assert room.reasons == ["STALE", "ENTRY", "HOLD"]


@pytest.mark.feature("D04")
async def test_an_account_is_stale_while_one_of_its_streams_is_down_though_another_is_up() -> None:
    async with opened(Room(idle_rig())) as room:
        say = room.supervisor.deliver
        say(StreamChanged(FUTURES, "user", is_up=False, received_ns=0, why="listen key"))
        say(StreamChanged(FUTURES, "market", is_up=True, received_ns=0))
        await room.at(1)
        (row,) = room.decisions
        assert (row.assessment.reason, row.assessment.note) == ("STALE", f"stale: account:{FUTURES}")
        say(StreamChanged(FUTURES, "user", is_up=True, received_ns=0))
        await room.at(1 + INTERVAL_S)
        assert room.reasons == ["STALE", "ENTRY", "HOLD"]
        assert room.alarms == ["stream down"]


@pytest.mark.feature("D04")
async def test_a_strategy_that_wants_to_trade_on_an_old_price_is_stopped_at_the_gate() -> None:
    async with opened(Room(idle_rig())) as room:
        (engine,), (desk,), (pictures,) = room.engines, room.desks, room.pictures
        await room.at(1)
        entry = room.decisions[0]
        bought = next(order for order in room.sent if order.side is Side.BUY)
        await room.rig.clock.advance(30)
        picture = pictures.take(engine.strategy, engine.strategy.initial_memory(), DecisionIds("test", 1, 9), ())
        denied = desk.gate([bought], picture, entry.assessment)
        assert any("stale_input" in why.lower() and f"book:{COIN}" in why for why in denied)


@pytest.mark.parametrize("coin", ["binance:spot:BNB", "elsewhere:spot:BNB"])
async def test_a_fee_coin_that_is_ahead_makes_no_leg_look_old(coin: str) -> None:
    """What is not traded says nothing about what is, and another venue's clock nothing about this one's."""
    async with opened(Room(idle_rig())) as room:
        key = PositionKey(coin)
        room.pictures[0]._coins = frozenset({key})
        room.rig.mailbox.put(
            BookTick(key, stamp(60), room.rig.clock.monotonic_ns(), ((D(499), D(9)),), ((D(501), D(9)),))
        )
        await room.at(16)
        row = room.decisions[0]
        assert row.assessment.reason == "ENTRY"
        assert row.assessment.time == stamp(16)
