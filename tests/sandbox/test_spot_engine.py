from decimal import Decimal
from typing import Any

import pytest

from basis_daemon.sandbox.exchange.book import DepthProfile
from basis_daemon.sandbox.exchange.rejects import RejectError
from tests.sandbox.builders import SPOT, ZERO, D, Desk, code_of

LADDER = DepthProfile(offsets=(100, 1000, 5000), sizes=(30_000, 60_000, 90_000))


def test_a_bought_coin_arrives_less_the_fee() -> None:
    desk = Desk()
    order = desk.spot("BUY", "1")
    assert order.status == "FILLED"
    assert order.average == D("60000.00")
    assert (desk.free("BTC"), desk.free("USDT")) == (D("0.999"), D("40000"))
    assert (order.fills[0].fee, order.fills[0].fee_asset) == (D("0.001"), "BTC")


def test_sold_coins_arrive_as_quote_less_the_fee() -> None:
    desk = Desk(spot={"BTC": "1"})
    order = desk.spot("SELL", "0.5")
    assert order.average == D("59999.99")
    assert desk.free("USDT") == D("29999.995") - D("29.999995")
    assert desk.free("BTC") == D("0.5")


def test_fees_are_paid_in_bnb_at_a_discount_when_the_account_asks_for_it() -> None:
    desk = Desk(spot={"USDT": "100000", "BNB": "1"})
    desk.account.pays_fees_in_bnb = True
    order = desk.spot("BUY", "1")
    assert (order.fills[0].fee, order.fills[0].fee_asset) == (D("0.075"), "BNB")  # 60000 x .001 x .75 / 600
    assert (desk.free("BTC"), desk.free("BNB")) == (D("1"), D("0.925"))


def test_without_enough_bnb_the_fee_falls_back_to_the_bought_coin() -> None:
    desk = Desk(spot={"USDT": "100000", "BNB": "0.07"})
    desk.account.pays_fees_in_bnb = True
    assert desk.spot("BUY", "1").fills[0].fee_asset == "BTC"
    assert desk.free("BNB") == D("0.07")


def test_a_large_order_walks_the_book_and_pays_each_level() -> None:
    desk = Desk(depth=LADDER)
    asks = list(desk.venue.books[SPOT].asks.items())
    first, second = asks[0], asks[1]
    quantity = (first[1] + 10) * D("0.00001")
    order = desk.spot("BUY", str(quantity))
    assert [(f.price, f.quantity) for f in order.fills] == [
        (first[0] * D("0.01"), first[1] * D("0.00001")),
        (second[0] * D("0.01"), D("0.00010")),
    ]
    assert desk.venue.books[SPOT].asks[second[0]] == second[1] - 10


def test_an_ioc_beyond_the_depth_is_filled_in_part_and_expires() -> None:
    desk = Desk(depth=LADDER, spot={"USDT": "10000000"})
    top, lots = next(iter(desk.venue.books[SPOT].asks.items()))
    order = desk.spot("BUY", "5", str(top * D("0.01")), time_in_force="IOC")
    assert order.status == "EXPIRED"
    assert order.filled == lots * D("0.00001")
    assert desk.locked("USDT") == 0


def test_eaten_depth_is_back_at_the_next_step() -> None:
    desk = Desk(depth=LADDER)
    desk.spot("BUY", "0.5")
    desk.move({})
    assert len(desk.venue.books[SPOT].asks) == 3


def test_a_fok_that_cannot_fill_whole_expires_untouched() -> None:
    desk = Desk(depth=LADDER, spot={"USDT": "10000000"})
    order = desk.spot("BUY", "50", "60100", time_in_force="FOK")
    assert (order.status, order.filled, desk.free("USDT")) == ("EXPIRED", ZERO, D("10000000"))


def test_a_resting_order_locks_its_cost_and_fills_at_its_own_price_when_crossed() -> None:
    desk = Desk()
    order = desk.spot("BUY", "0.5", "59000")
    assert (order.status, desk.locked("USDT"), desk.free("USDT")) == ("NEW", D("29500"), D("70500"))
    desk.move({SPOT: 58_900})
    assert (order.status, order.average, order.fills[0].maker) == ("FILLED", D("59000"), True)
    assert (desk.free("BTC"), desk.locked("USDT"), desk.free("USDT")) == (D("0.4995"), ZERO, D("70500"))


def test_a_crossed_resting_order_takes_no_more_than_the_depth() -> None:
    desk = Desk(depth=LADDER, spot={"USDT": "10000000"})
    order = desk.spot("BUY", "100", "59000")
    desk.move({SPOT: 58_900})
    assert order.status == "PARTIALLY_FILLED"
    assert all(ticks > 5_900_000 for ticks in desk.venue.books[SPOT].asks)
    assert Decimal(0) < order.filled < 5
    assert desk.locked("USDT") == order.remaining * 59_000


def test_cancelling_releases_the_lock() -> None:
    desk = Desk(spot={"BTC": "2"})
    order = desk.spot("SELL", "1.5", "61000")
    assert desk.locked("BTC") == D("1.5")
    desk.world.spot.cancel(desk.account, order)
    assert (order.status, desk.free("BTC"), desk.locked("BTC")) == ("CANCELED", D(2), ZERO)


def test_a_limit_order_better_than_the_market_gets_the_difference_back() -> None:
    desk = Desk()
    desk.spot("BUY", "1", "61000")
    assert (desk.free("USDT"), desk.locked("USDT")) == (D("40000"), ZERO)


def test_a_budget_in_quote_buys_what_it_affords_in_whole_steps() -> None:
    desk = Desk()
    order = desk.spot("BUY", None, quote_quantity="1000")
    assert order.quantity == D("0.01666")
    assert order.quote_filled == D("999.6")


@pytest.mark.parametrize(
    ("order", "more", "code", "message"),
    [
        (("BUY", "0.000001"), {}, -1013, "Filter failure: LOT_SIZE"),
        (("BUY", "9001", "60000"), {}, -1013, "Filter failure: LOT_SIZE"),
        (("BUY", "181"), {}, -1013, "Filter failure: MARKET_LOT_SIZE"),
        (("BUY", "1", "60000.001"), {}, -1013, "Filter failure: PRICE_FILTER"),
        (("BUY", "1", "300001"), {}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        (("BUY", "0.00008"), {}, -1013, "Filter failure: NOTIONAL"),
        (("BUY", "2"), {}, -2010, "Account has insufficient balance for requested action."),
        (("SELL", "1"), {}, -2010, "Account has insufficient balance for requested action."),
        (("BUY", "1", "60000"), {"kind": "LIMIT_MAKER"}, -2010, "Order would immediately match and take."),
        (("HOLD", "1"), {}, -1117, "Invalid side."),
        (("BUY", "1", "60000"), {"time_in_force": "GTD"}, -1115, "Invalid timeInForce."),
        (("BUY", "1"), {"symbol": "DOGEUSDT"}, -1121, "Invalid symbol."),
        (("BUY", "1"), {"client_id": "no spaces"}, -1100, "Illegal characters found in parameter"),
    ],
)
def test_a_refused_order_changes_nothing(order: tuple[Any, ...], more: dict[str, Any], code: int, message: str) -> None:
    desk = Desk()
    with pytest.raises(RejectError, match=message) as refused:
        desk.spot(*order, **more)
    assert refused.value.code == code
    assert (desk.free("USDT"), desk.locked("USDT"), desk.account.store("spot").orders) == (D(100_000), ZERO, {})
    assert desk.events == []


def test_a_client_id_is_unique_among_open_orders_only() -> None:
    desk = Desk()
    resting = desk.spot("BUY", "0.1", "50000", client_id="mine")
    assert code_of(lambda: desk.spot("BUY", "0.1", "50000", client_id="mine")) == -2010
    desk.world.spot.cancel(desk.account, resting)
    again = desk.spot("BUY", "0.1", "50000", client_id="mine")
    assert desk.account.store("spot").find("BTCUSDT", None, "mine") is again


def test_a_silent_market_refuses_orders_and_keeps_resting_ones() -> None:
    desk = Desk()
    resting = desk.spot("BUY", "0.1", "59000")
    desk.move({SPOT: None})
    assert code_of(lambda: desk.spot("BUY", "0.1")) == -1013
    assert resting.live
    desk.move({SPOT: 58_000})
    assert resting.status == "FILLED"
