"""The guard sees over all strategies, once a second of process time, and only ever tightens what may leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.order import Side
from basis_daemon.domain.threats import threats_of
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard_watch import GuardWatch, Sight, WatchLimits
from tests.builders import POOR, RICH
from tests.domain.risk_books import book, loan
from tests.engine.support import BNB, USDC, WATCH, Rig
from tests.engine.turn_support import STREAMS, Room, idle_rig, living, opened, paired_rig
from tests.venues.paper_support import CASH, COIN, FUTURES, MARGIN, PERP, SPOT_BTC, D, Stage, stamp, trade_order

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


async def test_books_that_are_each_within_their_limits_may_not_pass_the_capital_threshold_together() -> None:
    """A perp of 60,000 and a debt of 50,000 in two books: 110,000 of at most 105,000."""
    room = Room(short_with("24000"))
    async with opened(room):
        indebted = replace(room.pictures[0].survey(room.engines[0].strategy)[1], margins=(), prices={"USDT": D(1)})
        indebted = replace(indebted, holdings={PositionKey("aave_v3:vdebt:USDT"): D(50_000)})
        sight = Sight(lambda: [room.pictures[0].survey(room.engines[0].strategy)[1], indebted], lambda: D(0))
        for limit, expected in ((110_000, GuardState.ACTIVE), (105_000, GuardState.REDUCING)):
            limits = replace(WATCH, gross_notional_max_usdt=D(limit))
            rig = room.rig
            GuardWatch(rig.guard, rig.recorder, room.freshness, rig.clock, rig.alarm, sight, limits).look()
            assert state(rig) is expected
        assert "110000.00 USDT, expected at most 105000" in room.rig.guard.why


@pytest.mark.feature("K07", part="backstop")
@pytest.mark.parametrize(
    ("ltv", "expected"),
    [("0.85", GuardState.ACTIVE), ("0.94", GuardState.ACTIVE), ("0.947", GuardState.REDUCING), ("0.949", "HALTED")],
)
async def test_a_debt_near_liquidation_tightens_the_guard_behind_the_strategys_own_ladder(
    ltv: str, expected: GuardState
) -> None:
    """LT .95, shock .025: lambda .94 is z .42, past the strategy's emergency; .947 z .126; .949 z .042."""
    room = Room(idle_rig())
    async with opened(room):
        sight = Sight(list, lambda: D(0), lambda: threats_of(book(loan(ltv))))
        watch = GuardWatch(
            room.rig.guard, room.rig.recorder, room.freshness, room.rig.clock, room.rig.alarm, sight, WATCH
        )
        watch.look()
        assert state(room.rig) == expected


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


def watching(room: Room, drawdown: object, limits: WatchLimits = WATCH) -> GuardWatch:
    rig = room.rig
    sight = Sight(lambda: [room.pictures[0].survey(room.engines[0].strategy)[1]], drawdown)  # type: ignore[arg-type]  # a number by call
    return GuardWatch(rig.guard, rig.recorder, room.freshness, rig.clock, rig.alarm, sight, limits)


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


# --------------------------------------------------------------------------------------------------- the fee coin
def with_bnb(quantity: str) -> Rig:
    """A pair, and some of the coin that pays its fees."""
    held = {COIN: D(1), PERP: D(-1), MARGIN: D(24_000), CASH: D(0), BNB: D(quantity)}
    rig = Rig(stage=Stage(held, open_notional={PERP: D(-60_000)}))
    rig.state.instruments[BNB] = replace(SPOT_BTC, key=BNB, base="BNB")
    return rig


def say_bnb(room: Room, price: int) -> None:
    say_coin(room, BNB, str(price))


def say_coin(room: Room, key: PositionKey, price: str) -> None:
    level = ((D(price), D(100)),)
    room.rig.mailbox.put(BookTick(key, stamp(room.now_s), room.rig.clock.monotonic_ns(), level, level))


async def test_what_pays_the_fees_has_its_own_price_and_equity_stays_known() -> None:
    room = Room(with_bnb("0.5"), rate=POOR)
    async with opened(room):
        await room.at(16)
        assert room.decisions[-1].assessment.reason == "STALE"
        assert "price:BNB" in room.decisions[-1].assessment.note
        say_bnb(room, 600)
        await room.at(32)
        assert room.decisions[-1].assessment.reason == "HOLD"
        assert room.decisions[-1].assessment.inputs["equity_usdt"].value == 84_000 + 300
        assert not await room.valuer.value_now(), "no share price is made of an old quote"
        say_bnb(room, 610)
        assert await room.valuer.value_now()
        assert room.valuer.last is not None
        assert room.valuer.last.equity_usdt == 84_305


async def test_a_fee_coin_that_runs_low_is_an_alarm_once_until_it_is_filled_up() -> None:
    room = Room(with_bnb("0.03"))
    async with opened(room):
        room.watch.look()
        assert "fee coin runs low" not in room.alarms, "without a price nothing is known"
        say_bnb(room, 600)
        for _ in range(3):
            room.watch.look()
        assert room.alarms.count("fee coin runs low") == 1
        say_bnb(room, 700)
        room.watch.look()
        say_bnb(room, 600)
        room.watch.look()
        assert room.alarms.count("fee coin runs low") == 2
        assert state(room.rig) is GuardState.ACTIVE


async def test_the_silence_of_the_fee_coins_book_reduces_nothing() -> None:
    room = Room(with_bnb("1"))
    async with opened(room):
        say_bnb(room, 600)
        await awake(room, SILENT_S * 2, STREAMS)
        assert state(room.rig) is GuardState.ACTIVE


# -------------------------------------------------------------------------------------------------------- the peg
@pytest.mark.parametrize(("usdc", "usd"), [("1.0152", ""), ("1.0153", "0.9849"), ("1.10", "0.9091")])
async def test_usdt_below_its_floor_adds_no_risk_until_it_is_back_and_reduces_nothing(usdc: str, usd: str) -> None:
    room = Room(idle_rig(), rate=RICH)
    room.rig.state.instruments[USDC] = replace(SPOT_BTC, key=USDC, base="USDC")
    async with opened(room):
        watch = watching(room, lambda: D(0), replace(WATCH, usdt_proxy=USDC))
        say_coin(room, USDC, usdc)
        watch.look()
        assert room.rig.guard.caution == (f"USDT is at {usd} USD, expected at least 0.985" if usd else "")
        await room.at(1)
        assert bool(room.sent) is not bool(usd)
        assert any("guard_caution" in text for text in room.decisions[0].denied) is bool(usd)
        assert state(room.rig) is GuardState.ACTIVE
        if usd:
            say_coin(room, USDC, "1.0001")
            watch.look()
            await room.at(20)
            assert room.sent


async def test_usdt_that_nobody_prices_is_no_reason_to_enter() -> None:
    room = Room(idle_rig(), rate=RICH)
    async with opened(room):
        watching(room, lambda: D(0), replace(WATCH, usdt_proxy=USDC)).look()
        assert "USDT/USD is unknown" in room.rig.guard.caution
        await room.at(1)
        assert room.sent == []
        assert room.alarms.count("no new risk") == 1


async def test_the_peg_is_read_wherever_a_book_sees_its_pair() -> None:
    """The first book has no account at the venue that names the price."""
    room = Room(idle_rig(), rate=RICH)
    room.rig.state.instruments[USDC] = replace(SPOT_BTC, key=USDC, base="USDC")
    async with opened(room):
        rig, survey = room.rig, room.pictures[0].survey
        blind = replace(survey(room.engines[0].strategy)[1], prices={})
        sight = Sight(lambda: [blind, survey(room.engines[0].strategy)[1]], lambda: D(0))
        limits = replace(WATCH, usdt_proxy=USDC)
        watch = GuardWatch(rig.guard, rig.recorder, room.freshness, rig.clock, rig.alarm, sight, limits)
        say_coin(room, USDC, "1.0001")
        watch.look()
        assert rig.guard.caution == ""
