"""What the paper venue does with orders: fills, rests, refuses, cancels, transfers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.order import AmountUnit, Order, Side, TimeInForce
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.ports import AccountChanged, Finding
from tests.venues.paper_support import (
    CASH,
    COIN,
    FUTURES,
    MARGIN,
    PERP,
    START,
    WALLET,
    D,
    Stage,
    cancel_order,
    limit_order,
    stamp,
    tick,
    trade_order,
    transfer_order,
)


def two_levels(at_s: float = 1) -> BookTick:
    asks = ((D(60_000), D("0.5")), (D(60_010), D("0.3")), (D(60_100), D(1)))
    return tick(COIN, ((D(59_990), D(1)),), asks, at_s)


async def execute(stage: Stage, order: Order) -> Trade:
    return await stage.venue.accounts[order.venue].execute_order(order, START)


async def refused(stage: Stage, order: Order) -> OrderRejectedError:
    """The refusal, after which nothing has moved and the id is unknown."""
    before = dict(stage.venue.exchange.wallets.balances)
    with pytest.raises(OrderRejectedError) as caught:
        await execute(stage, order)
    assert stage.venue.exchange.wallets.balances == before
    assert stage.venue.exchange.tape.trades_of(order.order_id) == ()
    return caught.value


async def test_a_market_buy_takes_two_levels_within_its_band_and_the_rest_expires() -> None:
    stage = Stage()
    stage.venue.on_market(two_levels())
    order = trade_order(COIN, Side.BUY, "1", max_slippage_bp=D(10))
    last = await execute(stage, order)
    assert [(t.trade_id, t.price, t.qty_base) for t in stage.tape.trades] == [
        (f"{order.order_id}-1", D(60_000), D("0.5")),
        (f"{order.order_id}-2", D(60_010), D("0.3")),
    ]
    assert last == stage.tape.trades[-1]
    assert (last.order_state, last.status) == (OrderState.EXPIRED, TradeStatus.PARTIAL)
    assert (last.cum_filled, last.remaining) == (D("0.8"), D("0.2"))
    assert stage.balance(COIN) == D("0.7992")
    assert stage.balance(CASH) == D(100_000) - D(48_003)
    assert last.simulated
    assert last.venue_time == stamp(1)


async def test_a_market_order_that_finds_nothing_in_its_band_expires_without_money() -> None:
    stage = Stage()
    last = await execute(stage, trade_order(COIN, Side.BUY, "1", ref_price=D(59_000), max_slippage_bp=D(10)))
    assert (last.order_state, last.status, last.is_fill) == (OrderState.EXPIRED, TradeStatus.FAILED, False)
    assert stage.balance(CASH) == D(100_000)


async def test_after_each_fill_the_stream_says_what_the_account_holds_now() -> None:
    stage = Stage()
    await execute(stage, trade_order(PERP, Side.SELL, "0.5"))
    (report,) = stage.tape.of(AccountReport)
    assert report.is_partial
    assert report.account == FUTURES
    assert report.holdings == {PERP: D("-0.5"), MARGIN: D(50_000) - D("14.999875")}
    assert report.open_notional == {PERP: D("-29999.75")}
    assert report.margin is not None
    assert report.margin.unrealised == D("-0.25")


async def test_a_limit_order_rests_and_fills_as_maker_when_the_book_crosses() -> None:
    stage = Stage()
    order = limit_order(COIN, Side.BUY, "1", "59900")
    assert (await execute(stage, order)).order_state is OrderState.ACKED
    assert (await stage.wallet.fetch_report()).open_order_ids == (order.order_id,)
    stage.venue.on_market(tick(COIN, ((D(59_880), D(1)),), ((D(59_890), D("0.4")),), 1))
    stage.venue.on_market(tick(COIN, ((D(59_880), D(1)),), ((D(59_900), D("0.7")),), 2))
    fills = [t for t in stage.tape.trades if t.is_fill]
    assert [(t.price, t.qty_base, t.liquidity, t.order_state) for t in fills] == [
        (D(59_900), D("0.4"), "maker", OrderState.PARTIAL),
        (D(59_900), D("0.6"), "maker", OrderState.FILLED),
    ]
    assert stage.balance(COIN) == 1 - D("0.0008")
    assert stage.balance(CASH) == D(40_100)
    assert (await stage.wallet.fetch_report()).open_order_ids == ()


async def test_a_limit_order_takes_what_crosses_at_once_and_rests_with_the_rest() -> None:
    stage = Stage()
    stage.venue.on_market(two_levels())
    order = limit_order(COIN, Side.BUY, "1", "60005")
    last = await execute(stage, order)
    assert (last.order_state, last.cum_filled, last.liquidity) == (OrderState.PARTIAL, D("0.5"), "taker")
    stage.venue.on_market(tick(COIN, ((D(59_990), D(1)),), ((D(60_001), D(3)),), 2))
    assert stage.tape.trades[-1].price == D(60_005)
    assert stage.tape.trades[-1].order_state is OrderState.FILLED


async def test_resting_orders_share_what_the_book_shows_best_price_first() -> None:
    stage = Stage()
    far, near = limit_order(COIN, Side.BUY, "0.2", "59800"), limit_order(COIN, Side.BUY, "0.5", "59900")
    for order in (far, near):
        await execute(stage, order)
    stage.venue.on_market(tick(COIN, ((D(59_700), D(1)),), ((D(59_790), D("0.6")),), 1))
    assert [(t.order_id, t.qty_base) for t in stage.tape.trades if t.is_fill] == [
        (near.order_id, D("0.5")),
        (far.order_id, D("0.1")),
    ]


@pytest.mark.parametrize(
    ("tif", "amount", "state", "filled"),
    [
        (TimeInForce.IOC, "1", OrderState.EXPIRED, "0.5"),
        (TimeInForce.IOC, "0.3", OrderState.FILLED, "0.3"),
        (TimeInForce.FOK, "1", OrderState.EXPIRED, "0"),
        (TimeInForce.FOK, "0.5", OrderState.FILLED, "0.5"),
        (TimeInForce.GTC, "1", OrderState.PARTIAL, "0.5"),
    ],
)
async def test_time_in_force_decides_about_what_does_not_fill_at_once(
    tif: TimeInForce, amount: str, state: OrderState, filled: str
) -> None:
    stage = Stage()
    stage.venue.on_market(two_levels())
    last = await execute(stage, limit_order(COIN, Side.BUY, amount, "60000", tif))
    assert (last.order_state, last.cum_filled) == (state, D(filled))


async def test_a_post_only_order_rests_or_is_refused() -> None:
    stage = Stage()
    order = limit_order(COIN, Side.BUY, "1", "60000.5", TimeInForce.POST_ONLY)
    assert (await refused(stage, order)).error_class is ErrorClass.RETRYABLE
    resting = limit_order(COIN, Side.BUY, "1", "60000", TimeInForce.POST_ONLY)
    assert (await execute(stage, resting)).order_state is OrderState.ACKED


async def test_reduce_only_takes_no_more_than_the_position() -> None:
    stage = Stage()
    await execute(stage, trade_order(PERP, Side.SELL, "0.5"))
    last = await execute(stage, trade_order(PERP, Side.BUY, "2", reduce_only=True))
    assert (last.order_state, last.cum_filled) == (OrderState.EXPIRED, D("0.5"))
    assert stage.balance(PERP) == 0
    assert stage.venue.exchange.wallets.cost(PERP) == 0
    same_side = trade_order(PERP, Side.SELL, "1", reduce_only=True)
    assert (await refused(stage, same_side)).error_class is ErrorClass.BAD_PARAMS


async def test_a_resting_reduce_only_order_expires_when_there_is_nothing_left_to_reduce() -> None:
    stage = Stage()
    await execute(stage, trade_order(PERP, Side.SELL, "0.5"))
    resting = limit_order(PERP, Side.BUY, "0.5", "59000", reduce_only=True)
    await execute(stage, resting)
    await execute(stage, trade_order(PERP, Side.BUY, "0.5", reduce_only=True))
    stage.quote(PERP, 58_000, at_s=1)
    assert stage.venue.exchange.tape.trades_of(resting.order_id)[-1].order_state is OrderState.EXPIRED
    assert stage.balance(PERP) == 0


@pytest.mark.parametrize(
    ("order", "error_class", "code"),
    [
        (trade_order(COIN, Side.BUY, "1.7"), ErrorClass.INSUFFICIENT, "BALANCE"),
        (trade_order(COIN, Side.SELL, "0.1"), ErrorClass.INSUFFICIENT, "BALANCE"),
        (trade_order(PERP, Side.SELL, "30"), ErrorClass.INSUFFICIENT, "MARGIN"),
        (trade_order(PERP, Side.SELL, "0.0005"), ErrorClass.BAD_PARAMS, "STEP"),
        (trade_order(PERP, Side.SELL, "1001"), ErrorClass.BAD_PARAMS, "QUANTITY"),
        (limit_order(COIN, Side.BUY, "1", "59000.05"), ErrorClass.BAD_PARAMS, "TICK"),
        (limit_order(COIN, Side.BUY, "0.001", "100"), ErrorClass.BAD_PARAMS, "NOTIONAL"),
        (trade_order(COIN, Side.BUY, "1", amount_unit=AmountUnit.QUOTE), ErrorClass.BAD_PARAMS, "UNIT"),
        (transfer_order(CASH, FUTURES, "100001"), ErrorClass.INSUFFICIENT, "BALANCE"),
        (transfer_order(CASH, "wallet", "1"), ErrorClass.BAD_PARAMS, "RECIPIENT"),
        (transfer_order(CASH, WALLET, "1"), ErrorClass.BAD_PARAMS, "RECIPIENT"),
    ],
)
async def test_what_cannot_be_executed_is_refused_and_changes_nothing(
    order: Order, error_class: ErrorClass, code: str
) -> None:
    error = await refused(Stage(), order)
    assert (error.error_class, error.code) == (error_class, code)
    assert order.order_id in str(error)


async def test_a_position_beyond_the_last_tier_is_refused_however_rich_the_account() -> None:
    error = await refused(Stage({MARGIN: D(1_000_000)}), trade_order(PERP, Side.SELL, "51"))
    assert (error.error_class, error.code) == (ErrorClass.BAD_PARAMS, "TIER")


async def test_resting_orders_reserve_what_they_may_cost() -> None:
    stage = Stage()
    await execute(stage, limit_order(COIN, Side.BUY, "1", "59000"))
    error = await refused(stage, limit_order(COIN, Side.BUY, "0.7", "59000"))
    assert "free 41000" in str(error)


async def test_initial_margin_counts_what_rests_on_the_same_side() -> None:
    stage = Stage({MARGIN: D(1_000)})
    await execute(stage, limit_order(PERP, Side.SELL, "1", "60500"))  # needs 600 at 100x
    assert (await refused(stage, limit_order(PERP, Side.SELL, "1", "60500"))).code == "MARGIN"
    assert (await execute(stage, limit_order(PERP, Side.BUY, "1", "59500"))).order_state is OrderState.ACKED


async def test_before_the_first_tick_the_market_is_closed() -> None:
    stage = Stage()
    order = trade_order(COIN, Side.BUY, "1", instrument=CASH)
    assert (await refused(stage, order)).error_class is ErrorClass.MARKET_CLOSED


async def test_an_order_for_another_account_is_refused() -> None:
    stage = Stage()
    with pytest.raises(OrderRejectedError, match="came to binanceusdm"):
        await stage.futures.execute_order(trade_order(COIN, Side.BUY, "1"), START)


async def test_a_repeated_id_is_the_same_order() -> None:
    stage = Stage()
    order = trade_order(COIN, Side.BUY, "0.5")
    assert await execute(stage, order) == await execute(stage, order)
    assert stage.balance(COIN) == D("0.4995")


async def test_a_cancel_ends_a_resting_order_and_what_filled_stays() -> None:
    stage = Stage()
    stage.venue.on_market(two_levels())
    order = limit_order(COIN, Side.BUY, "1", "60005")
    await execute(stage, order)
    evidence = await stage.wallet.cancel_order(order)
    assert evidence.finding is Finding.FOUND
    assert evidence.trade is not None
    assert (evidence.trade.order_state, evidence.trade.cum_filled) == (OrderState.CANCELLED, D("0.5"))
    again = await stage.wallet.cancel_order(order)
    assert again.trade == evidence.trade
    assert (await stage.wallet.cancel_order(limit_order(COIN, Side.BUY, "1", "1000"))).finding is Finding.NOT_YET


async def test_a_cancel_order_answers_with_what_became_of_its_target() -> None:
    stage = Stage()
    target = limit_order(COIN, Side.BUY, "1", "59000")
    await execute(stage, target)
    cancel = cancel_order(target)
    last = await execute(stage, cancel)
    assert (last.order_id, last.order_state) == (target.order_id, OrderState.CANCELLED)
    assert [t.order_state for t in stage.tape.trades] == [OrderState.ACKED, OrderState.CANCELLED]
    evidence = await stage.wallet.find_order(cancel, START)
    assert evidence.trade == last
    assert (await refused(stage, cancel_order(trade_order(COIN, Side.BUY, "1")))).code == "UNKNOWN_ORDER"


async def test_a_transfer_between_accounts_arrives_at_once_and_both_are_told() -> None:
    stage = Stage()
    last = await execute(stage, transfer_order(CASH, FUTURES, "12500"))
    assert last.deltas == {CASH: D(-12_500), MARGIN: D(12_500)}
    assert (last.order_state, last.qty_base) == (OrderState.FILLED, D(0))
    assert (stage.balance(CASH), stage.balance(MARGIN)) == (D(87_500), D(62_500))
    assert [report.holdings for report in stage.tape.of(AccountReport)] == [{CASH: D(87_500)}, {MARGIN: D(62_500)}]
    assert [changed.account for changed in stage.tape.of(AccountChanged)] == [FUTURES]
    assert await stage.futures.fetch_cash_flows(START) == []


async def test_margin_behind_a_position_cannot_be_transferred() -> None:
    stage = Stage()
    await execute(stage, trade_order(PERP, Side.SELL, "2"))  # notional 120,000: initial 1,200; fee 59.9995; loss 1
    back = transfer_order(MARGIN, WALLET, "48800")
    assert (await refused(stage, back)).code == "BALANCE"
    await execute(stage, transfer_order(MARGIN, WALLET, "48739"))
    assert stage.balance(MARGIN) > D(1_200)


def free_of_float(trades: list[Trade]) -> bool:
    return all(isinstance(value, Decimal) for trade in trades for value in trade.deltas.values())


async def test_the_same_orders_give_the_same_trades() -> None:
    orders = [trade_order(COIN, Side.BUY, "0.5"), trade_order(PERP, Side.SELL, "0.5")]
    runs = []
    for _ in range(2):
        stage = Stage()
        for order in orders:
            await execute(stage, order)
        runs.append(stage.tape.trades)
    assert runs[0] == runs[1]
    assert free_of_float(runs[0])
