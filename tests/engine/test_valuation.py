"""Valuations: only of a settled book at fresh prices, every cent explained, a share price that flows do not move."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import FundingSettled
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.engine.codec import load
from basis_daemon.engine.valuation import ValuationRow
from basis_daemon.ports import RecordKind
from basis_daemon.venues.paper.venue import PaperTerms
from tests.builders import POOR, RICH
from tests.engine.support import agrees
from tests.engine.turn_support import COIN_BOOK, PERP_BOOK, PERP_MARK, Room, idle_rig, opened, paired_rig
from tests.venues.paper_support import CASH, COIN, MARGIN, PERP, START, WALLET, D, stamp

ON_ITS_WAY = PositionKey("binance:transit:USDT")
HOUR_S = 3_600
EIGHT_HOURS_S = 8 * HOUR_S


async def valued(room: Room) -> ValuationRow:
    """The valuation taken now, as the journal has it."""
    assert await room.valuer.value_now()
    row = room.rig.journal.latest(RecordKind.VALUATION)
    assert row is not None
    return load(ValuationRow, row.record.payload)


def rows(room: Room) -> int:
    return len(room.rig.journal.read(kinds=frozenset({RecordKind.VALUATION})))


def gained(before: ValuationRow, after: ValuationRow) -> Decimal:
    return after.equity_usdt - before.equity_usdt


# ------------------------------------------------------------------------------------------------- what is on its way
def transfer(amount: Decimal, into: PositionKey) -> Trade:
    """Money of ours that has left the wallet and has not arrived."""
    return Trade(
        trade_id=f"transfer:{amount}", order_id="", account=CASH.venue, instrument=CASH, status=TradeStatus.FILLED,
        order_state=OrderState.SETTLED, venue_time=START, recv_time=START, deltas={CASH: -amount, into: amount},
    )  # fmt: skip


@pytest.mark.feature("T03", part="nav")
async def test_what_is_on_its_way_stays_in_the_equity_in_the_unit_value_and_in_the_exposure() -> None:
    async with opened(Room(paired_rig(cash=10_000), rate=POOR)) as room:
        before = await valued(room)
        room.rig.stage.venue.exchange.wallets.pay(CASH, D(-9_000))
        room.rig.handler.process_trades([transfer(D(9_000), ON_ITS_WAY)])
        row = await valued(room)
        assert (row.equity_usdt, row.unit_value, row.latched) == (before.equity_usdt, before.unit_value, "")
        assert row.holdings[ON_ITS_WAY] == 9_000
        assert row.components["unexplained"] == row.components["flows"] == 0
        _, exposure, _ = room.valuer._survey()
        assert (exposure.equity_usdt, exposure.holdings[ON_ITS_WAY]) == (before.equity_usdt, D(9_000))
        assert room.rig.state.breaks == {}


# ------------------------------------------------------------------------------------------------------ when it is not
async def test_nothing_is_valued_while_a_plan_has_an_order_on_the_wire() -> None:
    async with opened(Room(idle_rig(terms=PaperTerms(downlink_s=1)))) as room:
        room.say(at_s=1)
        room.valuer.due.set()
        await room.rig.clock.advance(0)
        answers: list[bool] = []

        async def ask() -> None:
            answers.append(await room.valuer.value_now())

        room.spawn("valuation", ask())
        await room.rig.clock.advance(3)
        assert answers == [False]
        assert rows(room) == 0
        assert room.valuer.due.is_set()  # it stays due
        await room.rig.clock.advance(10)
        room.say()
        room.spawn("valuation", ask())
        await room.rig.clock.advance(5)
        assert answers == [False, True]


async def test_nothing_is_valued_when_money_moved_while_the_venues_were_asked() -> None:
    """The first account has answered when a deposit arrives there; the second one's answer is of another moment."""
    async with opened(Room(paired_rig(terms=PaperTerms(uplink_s=1)), rate=POOR)) as room:
        answers: list[bool] = []

        async def ask() -> None:
            answers.append(await room.valuer.value_now())

        room.spawn("valuation", ask())
        await room.rig.clock.advance(D("1.5"))
        room.rig.stage.venue.deposit(CASH, D(5))
        room.rig.handler.process_cash_flows(room.rig.stage.venue.exchange.tape.flows("binance"))
        await room.rig.clock.advance(D("0.5"))
        assert answers == [False]


async def test_a_report_that_came_while_another_account_was_asked_is_not_mixed_into_what_was_checked() -> None:
    """It holds what nobody has booked yet: the valuation would be of two moments, and its change unexplained."""
    async with opened(Room(paired_rig(cash=500, terms=PaperTerms(uplink_s=1)), rate=POOR)) as room:
        venue = room.rig.stage.venue
        answers: list[ValuationRow] = []

        async def ask() -> None:
            answers.append(await valued(room))

        room.spawn("valuation", ask())
        await room.rig.clock.advance(3)
        room.say()
        room.spawn("valuation", ask())
        await room.rig.clock.advance(D("1.5"))
        venue.exchange.wallets.pay(CASH, D(5))
        room.reconcilers[0].last = venue.exchange.report(WALLET)
        await room.rig.clock.advance(D("1.5"))
        _, row = answers
        assert (row.components["unexplained"], row.equity_usdt) == (D(0), D(84_500))


@pytest.mark.parametrize("stream", [COIN_BOOK, PERP_MARK])
async def test_nothing_is_valued_while_the_price_of_something_held_is_behind(stream: str) -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        fresh = [name for name in (COIN_BOOK, PERP_BOOK, PERP_MARK) if name != stream]
        await room.at(6, *fresh)
        assert not await room.valuer.value_now()
        assert rows(room) == 0
        room.say(stream)
        assert (await valued(room)).equity_usdt == 84_000


async def test_a_stale_mark_of_a_perp_that_is_not_held_hinders_nothing() -> None:
    async with opened(Room(paired_rig(), rate=POOR, is_armed=bool)) as room:
        room.rig.stage.venue.trade_by_hand(PERP, Side.BUY, D(1))
        await room.at(6, COIN_BOOK)
        assert room.rig.held(PERP) == 0
        assert (await valued(room)).holdings[COIN] == 1


async def test_nothing_is_valued_while_a_venue_disagrees_or_is_silent() -> None:
    async with opened(Room(paired_rig(cash=500), rate=POOR)) as room:
        room.rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
        assert not await room.valuer.value_now()
        room.rig.stage.venue.exchange.wallets.pay(CASH, D(50))
        room.rig.faults.silence(1)
        assert not await room.valuer.value_now()
        assert (await valued(room)).equity_usdt == 84_500


@pytest.mark.fault("F19", "venue_lies")
async def test_a_wrong_number_within_tolerance_is_valued_only_when_it_lasts() -> None:
    """Told once, it would be a gain of nothing now and a loss of nothing in the next valuation."""
    async with opened(Room(paired_rig(cash=500), rate=POOR)) as room:
        wallets = room.rig.stage.venue.exchange.wallets
        before = await valued(room)
        wallets.pay(CASH, D("0.5"))
        assert not await room.valuer.value_now()
        wallets.pay(CASH, D("-0.5"))
        told_once = await valued(room)
        assert gained(before, told_once) == told_once.components["unexplained"] == 0
        wallets.pay(CASH, D("0.5"))
        assert not await room.valuer.value_now()
        lasting = await valued(room)
        assert (gained(told_once, lasting), lasting.components["unexplained"]) == (D("0.5"), D("0.5"))


async def test_something_held_without_a_price_is_told_once_and_never_taken_for_nothing() -> None:
    room = Room(paired_rig(), rate=POOR)
    room.rig.mailbox.books.pop(COIN)
    for account in room.rig.stage.venue.accounts:
        room.rig.handler.adopt(room.rig.stage.venue.exchange.report(account))
    for _ in range(20):
        assert not await room.valuer.value_now()
    assert [what for what in room.alarms if "equity unknown" in what] == [room.alarms[0]]
    assert room.valuer.last is None


@pytest.mark.fault("F45")
async def test_a_perp_that_was_closed_since_and_has_no_mark_yet_is_waited_for() -> None:
    """A life begins on a book whose short is gone: the split of its change needs the mark all the same."""
    async with opened(Room(paired_rig(), rate=POOR, is_armed=bool)) as room:
        await valued(room)
        room.rig.stage.venue.trade_by_hand(PERP, Side.BUY, D(1))
        await room.at(3_600)
        mark = room.rig.mailbox.marks.pop(PERP)
        assert room.rig.held(PERP) == 0
        assert not await room.valuer.value_now()
        room.rig.mailbox.marks[PERP] = mark
        assert (await valued(room)).components["unexplained"] == 0


# ------------------------------------------------------------------------------------------------ what it accounts for
async def test_an_entry_costs_its_fees_and_its_spread_and_nothing_else() -> None:
    async with opened(Room(idle_rig())) as room:
        before = await valued(room)
        await room.at(1)
        assert room.reasons[0] == "ENTRY"
        after = await valued(room)
        assert after.components["unexplained"] == 0
        assert after.components["trading"] == 0
        assert after.components["fees"] + after.components["slippage"] == gained(before, after) < 0
        assert after.components["slippage"] < 0
        assert after.net_delta["BTC"] == room.rig.held(COIN) + room.rig.held(PERP)
        (margin,) = after.margins
        assert margin.ratio is not None
        assert D("0.40") <= margin.ratio < D("0.41")


async def test_entry_funding_leap_and_top_up_leave_nothing_unexplained() -> None:
    """Every interval's components sum to its change of equity, and what is left over is zero to the last digit."""
    async with opened(Room(idle_rig(110_000))) as room:
        series = [await valued(room)]
        await room.at(1)
        series.append(await valued(room))
        await room.at(EIGHT_HOURS_S)
        room.hear(FundingSettled(PERP, START + timedelta(seconds=EIGHT_HOURS_S), RICH, 8))
        await room.at(EIGHT_HOURS_S + 1)
        series.append(await valued(room))
        room.rig.stage.venue.deposit(CASH, D(40_000))
        await room.at(EIGHT_HOURS_S + 2)
        series.append(await valued(room))
        await room.at(EIGHT_HOURS_S + 20, price=75_000)
        series.append(await valued(room))
        for before, after in pairwise(series):
            assert after.components["unexplained"] == 0
            assert sum(after.components.values()) == gained(before, after)
        short = -series[1].holdings[PERP]
        assert series[2].components["funding"] == short * 60_000 * RICH
        assert series[3].components["flows"] == 40_000
        assert room.reasons.count("LIQ_TOPUP") == 1
        assert series[4].holdings[MARGIN] > series[3].holdings[MARGIN]
        assert "equity change unexplained" not in room.alarms
        assert agrees(room.rig)


async def test_a_transfer_between_own_wallets_is_no_profit_and_no_flow() -> None:
    async with opened(Room(paired_rig(cash=60_000), rate=POOR)) as room:
        before = await valued(room)
        await room.at(1, price=72_000)
        assert room.reasons[0] == "LIQ_TOPUP"
        after = await valued(room)
        assert gained(before, after) == 0  # coin and short moved against each other
        assert {name: amount for name, amount in after.components.items() if amount} == {}
        assert after.holdings[CASH] == 60_000 - 16_800


@pytest.mark.parametrize("amount", [D(25_000), D(-25_000), D("0.01")])
async def test_money_that_comes_or_goes_changes_the_units_and_not_the_share_price(amount: Decimal) -> None:
    async with opened(Room(paired_rig(cash=60_000), rate=POOR)) as room:
        first = await valued(room)
        await room.at(20, price=61_000)
        before = await valued(room)
        room.rig.stage.venue.deposit(CASH, amount)
        await room.at(21, price=61_000)
        after = await valued(room)
        assert first.unit_value == 1
        assert first.units == first.equity_usdt
        assert after.components["flows"] == gained(before, after) == amount
        assert round(after.unit_value - before.unit_value, 40) == 0
        assert round(after.units * before.unit_value - before.units * before.unit_value - amount, 40) == 0
        assert after.unit_value_high == max(first.unit_value_high, before.unit_value)


# --------------------------------------------------------------------------------------------------- when it is due
async def test_it_is_due_at_once_and_then_whenever_market_time_crosses_the_hour() -> None:
    async with opened(Room(paired_rig(), rate=POOR)) as room:
        assert room.valuer.due.is_set()
        await room.at(10)
        await valued(room)
        room.say(at_s=HOUR_S - 1)
        assert not room.valuer.due.is_set()
        room.say(at_s=HOUR_S)
        assert room.valuer.due.is_set()
        assert (await valued(room)).time == stamp(HOUR_S)


async def test_a_day_begins_with_what_the_day_before_left_and_keeps_it_until_the_next() -> None:
    async with opened(Room(idle_rig())) as room:
        assert (await valued(room)).unit_value_of_day == 1
        await room.at(1)
        entered = await valued(room)
        assert entered.unit_value < 1
        assert entered.unit_value_of_day == room.valuer.unit_value_of_day == 1
        await room.at(24 * HOUR_S + 5)
        later = await valued(room)
        assert later.time.date() > entered.time.date()
        assert later.unit_value_of_day == max(entered.unit_value, later.unit_value) < 1
