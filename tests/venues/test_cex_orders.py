"""Orders on the wire of the sandbox exchange beyond the venue contract: doubt, duplicates, limits, cancellation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.errors import (
    ErrorClass,
    InvalidOrderError,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side, TimeInForce
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.ports import Finding
from tests.venue_contract import cancel_of, holdings, ids, order_for, small
from tests.venues.rig import PERP_BTC, QUIET, SPOT_BTC, AccountUnderTest, Rig

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("key", [SPOT_BTC, PERP_BTC], ids=["spot", "perp"])


def placed(rig: Rig, key: PositionKey, order: Order) -> int:
    """How often the venue took an order of this id."""
    account = next(iter(rig.exchange.venue.accounts.values()))
    store = account.store("spot" if key == SPOT_BTC else "usdm")
    return sum(row.client_id == order.order_id for row in store.orders.values())


async def settled_by_asking(account: AccountUnderTest, order: Order) -> Trade:
    evidence = await account.interface.find_order(order, account.wall)
    assert evidence.finding is Finding.FOUND
    assert evidence.trade is not None
    return evidence.trade


@BOTH
@pytest.mark.feature("O04", part="wire")
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "accept_then_drop"},
        {"kind": "garbage"},
        {"kind": "delay_response_s", "seconds": 2.0},
    ],
    ids=lambda fault: fault["kind"],
)
@pytest.mark.fault("F01", "accept_then_drop")
async def test_accepted_without_an_answer_is_doubt_and_never_a_second_order(
    tmp_path: Path, key: PositionKey, fault: dict[str, object]
) -> None:
    async with Rig(tmp_path, replace(QUIET, order_timeout_s=0.5)) as rig:
        account = AccountUnderTest(await rig.listen(), key)
        order = order_for(account, Side.BUY, small(account))
        rig.arm(**fault, method="POST", path="/order")  # type: ignore[arg-type]  # the fields of a fault

        with pytest.raises(OutcomeUnknownError):
            await account.interface.execute_order(order, account.wall)
        trade = await settled_by_asking(account, order)

        assert (trade.status, trade.cum_filled) == (TradeStatus.FILLED, order.quantity)
        assert placed(rig, key, order) == 1


@BOTH
@pytest.mark.feature("C03")
@pytest.mark.fault("F02")
async def test_after_silence_the_venue_is_asked_by_our_id_before_anything_else(
    listening: Rig, key: PositionKey
) -> None:
    account = AccountUnderTest(listening, key)
    order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
    listening.arm("accept_then_drop", method="POST", path="/order")
    listening.arm("unavailable", method="GET", path="/order")

    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(order, account.wall)
    with pytest.raises(VenueUnreachableError):  # the question too was lost: still in doubt
        await account.interface.find_order(order, sent_at)
    trade = await settled_by_asking(account, order)

    assert trade.cum_filled == order.quantity
    assert placed(listening, key, order) == 1


@BOTH
@pytest.mark.fault("F01")
async def test_an_order_cancelled_in_mid_call_is_found_afterwards(listening: Rig, key: PositionKey) -> None:
    account = AccountUnderTest(listening, key)
    order = order_for(account, Side.BUY, small(account))
    listening.arm("delay_response_s", method="POST", path="/order")

    async def cut_once_filled() -> None:
        await listening.until(lambda: bool(listening.of(Trade)))
        call.reschedule(asyncio.get_running_loop().time())

    listening.spawn("impatience", cut_once_filled())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as call:
            await account.interface.execute_order(order, account.wall)

    listening.exchange.faults.clear()
    assert (await settled_by_asking(account, order)).cum_filled == order.quantity


@pytest.mark.feature("C03", part="clock")
@pytest.mark.fault("F31")
async def test_a_wall_clock_that_jumps_proves_no_absence(listening: Rig) -> None:
    account = AccountUnderTest(listening, SPOT_BTC)
    order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
    account.lose_request()
    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(order, account.wall)

    listening.clock.wall_jump = timedelta(hours=1)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET
    account.pass_time(account.interface.absence_proof_s)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.ABSENT


@pytest.mark.fault("F31")
@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)], ids=["forward", "back"])
async def test_nor_does_it_keep_or_hurry_the_proof_for_an_order_of_an_earlier_life(
    listening: Rig, jump: timedelta
) -> None:
    account = AccountUnderTest(listening, SPOT_BTC)
    order, asked_since = order_for(account, Side.BUY, small(account)), account.wall
    assert (await account.interface.find_order(order, asked_since)).finding is Finding.NOT_YET
    listening.clock.wall_jump = jump
    assert (await account.interface.find_order(order, asked_since)).finding is Finding.NOT_YET
    account.pass_time(account.interface.absence_proof_s)
    assert (await account.interface.find_order(order, asked_since)).finding is Finding.ABSENT


@pytest.mark.fault("F02")
async def test_absence_is_not_proved_by_an_unanswered_question(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
    account.pass_time(3_600)
    listening.arm("unavailable", method="GET", path="/userTrades")

    with pytest.raises(VenueUnreachableError):
        await account.interface.find_order(order, sent_at)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.ABSENT


@BOTH
@pytest.mark.fault("F05")
async def test_a_repeated_id_of_a_living_order_is_answered_with_that_order(listening: Rig, key: PositionKey) -> None:
    account = AccountUnderTest(listening, key)
    price = account.book().bids[1][0]
    order = order_for(account, Side.BUY, small(account), price=price, tif=TimeInForce.GTC)
    await account.interface.execute_order(order, account.wall)

    again = await account.interface.execute_order(order, account.wall)

    assert (again.order_id, again.order_state) == (order.order_id, OrderState.ACKED)
    assert placed(listening, key, order) == 1
    assert account.interface.idempotency == "open_only"


@BOTH
async def test_a_post_only_order_that_would_take_is_refused_for_its_price_only(
    listening: Rig, key: PositionKey
) -> None:
    account = AccountUnderTest(listening, key)
    ask = account.book().ask
    order = order_for(account, Side.BUY, small(account), price=ask, tif=TimeInForce.POST_ONLY)

    with pytest.raises(OrderRejectedError) as refusal:
        await account.interface.execute_order(order, account.wall)
    assert refusal.value.error_class is ErrorClass.RETRYABLE


@BOTH
async def test_a_resting_order_that_fills_later_comes_over_the_stream_as_maker(
    listening: Rig, key: PositionKey
) -> None:
    account = AccountUnderTest(listening, key)
    for side, price in ((Side.BUY, account.book().bid), (Side.SELL, account.book().ask)):
        order = order_for(account, side, small(account), price=price, tif=TimeInForce.POST_ONLY)
        await account.interface.execute_order(order, account.wall)

    for _ in range(600):  # the market walks until it crosses one of the prices
        if listening.of(Trade):
            break
        await listening.exchange.advance(60)

    streamed = listening.of(Trade)
    assert {t.liquidity for t in streamed} == {"maker"}
    assert {t.order_state for t in streamed} <= {OrderState.PARTIAL, OrderState.FILLED}
    assert listening.trades == []  # nobody asked


@pytest.mark.fault("F17")
async def test_an_order_cancelled_by_hand_is_told_by_the_stream(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    price = account.book().bids[1][0]
    order = order_for(account, Side.BUY, small(account), price=price, tif=TimeInForce.GTC)
    await account.interface.execute_order(order, account.wall)

    desk = listening.venue.desks["binanceusdm"]
    await desk.ask(desk.data, "cancel_all_orders", "BTC/USDT:USDT", read=lambda answer: answer)

    await listening.until(lambda: any(t.order_id == order.order_id for t in listening.of(Trade)))
    (told,) = [t for t in listening.of(Trade) if t.order_id == order.order_id]
    assert (told.order_state, told.is_fill, told.remaining) == (OrderState.CANCELLED, False, order.quantity)


@BOTH
@pytest.mark.fault("F04")
async def test_an_unanswered_cancel_leaves_the_order_to_the_venues_word(listening: Rig, key: PositionKey) -> None:
    account = AccountUnderTest(listening, key)
    price = account.book().bids[1][0]
    order = order_for(account, Side.BUY, small(account), price=price, tif=TimeInForce.GTC)
    await account.interface.execute_order(order, account.wall)

    listening.arm("unavailable", method="DELETE", path="/order")
    evidence = await account.interface.cancel_order(order)
    assert evidence.trade is not None
    assert evidence.trade.order_state is OrderState.ACKED

    listening.arm("accept_then_drop", method="DELETE", path="/order")
    evidence = await account.interface.cancel_order(order)
    assert evidence.trade is not None
    assert evidence.trade.order_state is OrderState.CANCELLED


@pytest.mark.feature("C05", part="wire")
@pytest.mark.fault("F13", "429")
async def test_a_venue_that_says_too_many_is_left_alone_and_the_order_provably_did_not_live(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = order_for(account, Side.BUY, small(account))
    listening.arm("reject", method="POST", path="/order", code=-1003, message="Too many requests", status=429)

    with pytest.raises(OrderRejectedError) as refusal:
        await account.interface.execute_order(order, account.wall)
    assert refusal.value.error_class is ErrorClass.RATE_LIMITED

    with pytest.raises(VenueUnreachableError, match="nothing was sent"):
        await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)


async def test_a_connection_that_is_refused_proves_that_nothing_left(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = order_for(account, Side.BUY, small(account))
    await listening.exchange.stop()

    with pytest.raises((VenueUnreachableError, OutcomeUnknownError)):  # a kept-alive connection may have taken it
        await account.interface.execute_order(order, account.wall)
    with pytest.raises(VenueUnreachableError, match="did not leave"):
        await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    with pytest.raises(VenueUnreachableError):
        await account.source.fetch_report()


@BOTH
@pytest.mark.fault("dropped_frames")
async def test_fills_that_never_come_leave_the_order_in_doubt(tmp_path: Path, key: PositionKey) -> None:
    async with Rig(tmp_path, replace(QUIET, fill_wait_s=0.05, fill_queries_max=2)) as rig:
        account = AccountUnderTest(await rig.listen(), key)
        order = order_for(account, Side.BUY, small(account))
        rig.arm("drop_fill", path="user")
        rig.arm("unavailable", method="GET", path="rades", count=2)

        if key == SPOT_BTC:  # its answer bears the fills
            assert (await account.interface.execute_order(order, account.wall)).cum_filled == order.quantity
            return
        with pytest.raises(OutcomeUnknownError, match="fills sum to 0"):
            await account.interface.execute_order(order, account.wall)
        assert (await settled_by_asking(account, order)).cum_filled == order.quantity


@pytest.mark.fault("F11")
async def test_fees_in_bnb_are_a_third_holding(listening: Rig) -> None:
    account = AccountUnderTest(listening, SPOT_BTC)
    next(iter(listening.exchange.venue.accounts.values())).pays_fees_in_bnb = True
    before = (await holdings(account))[PositionKey("binance:spot:BNB")]

    await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)

    fees = [fee for trade in listening.trades for fee in trade.fees]
    assert {fee.asset for fee in fees} == {"BNB"}
    paid = sum((fee.quantity for fee in fees), Decimal(0))
    assert (await holdings(account))[PositionKey("binance:spot:BNB")] == before - paid


async def test_what_an_account_cannot_do_is_invalid_and_not_sent(listening: Rig) -> None:
    account = AccountUnderTest(listening, SPOT_BTC)
    perp = order_for(AccountUnderTest(listening, PERP_BTC), Side.BUY, Decimal("0.01"))
    unlisted = order_for(account, Side.BUY, Decimal("0.01"), instrument=PositionKey("binance:spot:NOPE"))
    undeclared = order_for(account, Side.BUY, Decimal(1), instrument=PositionKey("binance:spot:BNB"))

    assert account.interface.operations == {OrderOperation.SPOT_TRADE, OrderOperation.CANCEL}
    for order in (perp, unlisted, undeclared):
        with pytest.raises(InvalidOrderError):
            await account.interface.execute_order(order, account.wall)


def protective(account: AccountUnderTest, operation: OrderOperation, trigger: Decimal, amount: Decimal) -> Order:
    """A stop or take-profit of a long position."""
    kinds = {OrderOperation.STOP: OrderType.STOP_MARKET, OrderOperation.TAKE_PROFIT: OrderType.TAKE_PROFIT_MARKET}
    fields = {"operation": operation, "order_type": kinds[operation], "trigger_price": trigger, "reduce_only": True}
    return order_for(account, Side.SELL, amount, ref_price=None, max_slippage_bp=None, **fields)


@pytest.mark.feature("O08", part="native")
async def test_a_stop_and_a_take_profit_are_held_by_the_venue_and_found_by_our_id(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    mid = account.book().mid
    stop = protective(account, OrderOperation.STOP, mid * Decimal("0.9"), small(account))
    profit = protective(account, OrderOperation.TAKE_PROFIT, mid * Decimal("1.1"), small(account))

    for order in (stop, profit):
        trade = await account.interface.execute_order(order, account.wall)
        assert (trade.order_id, trade.order_state, trade.is_fill) == (order.order_id, OrderState.ACKED, False)
        assert (await settled_by_asking(account, order)).order_state is OrderState.ACKED

    assert set((await account.source.fetch_report()).open_order_ids) == {stop.order_id, profit.order_id}
    evidence = await account.interface.cancel_order(stop)
    assert evidence.trade is not None
    assert evidence.trade.order_state is OrderState.CANCELLED
    cancelled = await account.interface.execute_order(cancel_of(profit), account.wall)
    assert (cancelled.order_id, cancelled.order_state) == (profit.order_id, OrderState.CANCELLED)
    assert (await account.source.fetch_report()).open_order_ids == ()


@pytest.mark.feature("O08", part="triggered")
async def test_a_triggered_stop_fills_under_our_id(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
    amount, mid = small(account), account.book().mid
    stops = [
        protective(account, OrderOperation.STOP, mid * Decimal("0.9997"), amount / 2),
        protective(account, OrderOperation.TAKE_PROFIT, mid * Decimal("1.0003"), amount / 2),
    ]
    for stop in stops:
        await account.interface.execute_order(stop, account.wall)

    ours = {stop.order_id for stop in stops}
    for _ in range(600):
        if any(t.order_id in ours and t.is_fill for t in listening.of(Trade)):
            break
        await listening.exchange.advance(60)

    fill = next(t for t in listening.of(Trade) if t.order_id in ours and t.is_fill)
    stop = next(stop for stop in stops if stop.order_id == fill.order_id)
    trade = await settled_by_asking(account, stop)
    assert trade.order_state is OrderState.FILLED
    assert ids(listening.of(Trade), stop) == ids(listening.trades, stop)


async def test_a_stop_that_the_market_has_passed_is_refused(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    stop = protective(account, OrderOperation.STOP, account.book().mid * Decimal("1.1"), small(account))

    with pytest.raises(OrderRejectedError) as refusal:
        await account.interface.execute_order(stop, account.wall)
    assert refusal.value.error_class is ErrorClass.RETRYABLE


async def test_silence_after_the_acknowledgement_is_doubt_and_not_a_licence_to_resend(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = order_for(account, Side.BUY, small(account))
    listening.arm("drop_fill", path="user")
    listening.arm("reject", method="GET", path="/userTrades", code=-1003, message="Too many requests", status=429)

    with pytest.raises(OutcomeUnknownError, match="left, then"):  # our own limiter would have refused the question
        await account.interface.execute_order(order, account.wall)
    assert placed(listening, PERP_BTC, order) == 1
