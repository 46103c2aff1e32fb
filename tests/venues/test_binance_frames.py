"""Frames as Binance documents them, read to the digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState, TradeStatus
from basis_daemon.venues.cex.binance import (
    decode,
    forget_listen_key,
    spot_stream,
    spot_wallet,
    usdm_cash_flow,
    usdm_stream,
    usdm_tier,
    usdm_wallet,
)
from basis_daemon.venues.cex.fills import Listing, deltas_of, trade_of
from basis_daemon.venues.cex.frames import (
    AccountMoved,
    BookMoved,
    Fill,
    FillSeen,
    LoggedIn,
    LoginLost,
    MarkMoved,
    OrderEnded,
    WalletMoved,
    exact,
    instant,
    milliseconds,
)
from basis_daemon.venues.cex.quirks import Stream

D = Decimal
OUR_ID = "0123456789abcdef0123456789abcdef"
SPOT = Listing("ETH/BTC", "ETHBTC", PositionKey("binance:spot:ETH"), "ETH", "BTC", "BTC")
PERP = Listing("BTC/USDT:USDT", "BTCUSDT", PositionKey("binanceusdm:perp:BTCUSDT"), "BTC", "USDT", "USDT")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def execution_report(**changes: object) -> dict[str, Any]:
    """The venue's example, wrapped as the websocket API delivers it."""
    event = {
        "e": "executionReport", "E": 1499405658658, "s": "ETHBTC", "c": OUR_ID, "S": "BUY", "o": "LIMIT", "f": "IOC",
        "q": "1.00000000", "p": "0.10264410", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "", "x": "TRADE",
        "X": "PARTIALLY_FILLED", "r": "NONE", "i": 4293153, "l": "0.40000000", "z": "0.60000000", "L": "0.10264410",
        "n": "0.00040000", "N": "ETH", "T": 1499405658657, "t": 17, "I": 8641984, "w": False, "m": False, "M": True,
        "O": 1499405658657, "Z": "0.06158646", "Y": "0.04105764", "Q": "0.00000000", "W": 1499405658657, "V": "NONE",
    }  # fmt: skip
    return {"subscriptionId": 0, "event": event | changes}


def order_trade_update(**changes: object) -> dict[str, Any]:
    order = {
        "s": "BTCUSDT", "c": OUR_ID, "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.500", "p": "60000.1",
        "ap": "60010.5", "sp": "0", "x": "TRADE", "X": "FILLED", "i": 8886774, "l": "0.200", "z": "0.500",
        "L": "60010.5", "N": "USDT", "n": "4.80084000", "T": 1568879465650, "t": 99, "b": "0", "a": "9.91", "m": False,
        "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "-12.34567890",
        "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_TAKER", "pm": "NONE", "gtd": 0,
    }  # fmt: skip
    return {"e": "ORDER_TRADE_UPDATE", "E": 1568879465651, "T": 1568879465650, "o": order | changes}


def only_fill(frame: dict[str, Any]) -> Fill:
    (event,) = decode(frame)
    assert isinstance(event, FillSeen)
    return event.fill


def test_a_spot_fill_is_read_as_the_venue_wrote_it() -> None:
    fill = only_fill(execution_report())

    assert (fill.symbol_id, fill.trade_no, fill.order_no, fill.client_id) == ("ETHBTC", "17", "4293153", OUR_ID)
    assert (fill.side, fill.price, fill.quantity) == (Side.BUY, D("0.10264410"), D("0.40000000"))
    assert (fill.quote_quantity, fill.fee_asset, fill.fee) == (D("0.04105764"), "ETH", D("0.00040000"))
    assert (fill.ordered, fill.cum_filled, fill.is_maker) == (D("1.00000000"), D("0.60000000"), False)
    assert fill.time == datetime(2017, 7, 7, 5, 34, 18, 657_000, tzinfo=UTC)


def test_a_fee_in_the_bought_coin_makes_the_holding_smaller_than_the_fill() -> None:
    trade = trade_of(only_fill(execution_report()), SPOT, NOW)

    assert trade.trade_id == "binance:ETHBTC:17"
    assert (trade.status, trade.order_state) == (TradeStatus.PARTIAL, OrderState.PARTIAL)
    assert (trade.cum_filled, trade.remaining) == (D("0.6"), D("0.4"))
    assert dict(trade.deltas) == {
        PositionKey("binance:spot:ETH"): D("0.39960000"),
        PositionKey("binance:spot:BTC"): D("-0.04105764"),
    }


def test_a_fee_in_a_third_coin_is_a_third_delta() -> None:
    fill = only_fill(execution_report(S="SELL", N="BNB", n="0.00012"))

    assert deltas_of(fill, SPOT) == {
        PositionKey("binance:spot:ETH"): D("-0.40000000"),
        PositionKey("binance:spot:BTC"): D("0.04105764"),
        PositionKey("binance:spot:BNB"): D("-0.00012"),
    }


def test_a_maker_rebate_is_received() -> None:
    fill = only_fill(order_trade_update(n="-1.00000000", m=True, rp="0"))
    trade = trade_of(fill, PERP, NOW)

    assert trade.liquidity == "maker"
    assert trade.fees[0].quantity == D(-1)
    assert trade.deltas[PositionKey("binanceusdm:spot:USDT")] == D(1)


def test_a_perp_fill_moves_contracts_and_the_margin_coin_by_realised_less_fee() -> None:
    trade = trade_of(only_fill(order_trade_update()), PERP, NOW)

    assert (trade.status, trade.realised_pnl) == (TradeStatus.FILLED, D("-12.34567890"))
    assert dict(trade.deltas) == {
        PositionKey("binanceusdm:perp:BTCUSDT"): D("-0.200"),
        PositionKey("binanceusdm:spot:USDT"): D("-17.14651890"),
    }


def test_a_liquidation_is_a_fill_that_keeps_the_venues_id() -> None:
    fill = only_fill(order_trade_update(x="CALCULATED", o="LIQUIDATION", c="autoclose-1234567890123456"))

    assert trade_of(fill, PERP, NOW).order_id == "autoclose-1234567890123456"


def test_after_a_cancel_the_order_is_known_by_its_original_id() -> None:
    (event,) = decode(execution_report(x="CANCELED", X="CANCELED", c="web_cancel", C=OUR_ID, f="GTC", l="0.00000000"))

    assert isinstance(event, OrderEnded)
    assert (event.view.client_id, event.view.state, event.view.executed) == (OUR_ID, OrderState.CANCELLED, D("0.6"))


@pytest.mark.parametrize("status", ["EXPIRED", "EXPIRED_IN_MATCH"])
def test_the_end_of_a_resting_order_is_told_and_that_of_an_immediate_one_is_not(status: str) -> None:
    resting = order_trade_update(x="EXPIRED", X=status, f="GTX", l="0")

    (event,) = decode(resting)
    assert isinstance(event, OrderEnded)
    assert event.view.state is OrderState.EXPIRED
    assert decode(order_trade_update(x="EXPIRED", X=status, f="IOC", l="0")) == ()


@pytest.mark.feature("D02", part="frame")
def test_a_mark_frame_tells_the_funding_to_come() -> None:
    frame = {
        "e": "markPriceUpdate", "E": 1562305380000, "s": "BTCUSDT", "p": "11794.15000000", "i": "11784.62659091",
        "P": "11784.25641265", "r": "-0.00038167", "T": 1562306400000,
    }  # fmt: skip

    (event,) = decode(frame)

    assert isinstance(event, MarkMoved)
    assert (event.mark, event.index, event.funding) == (D("11794.15000000"), D("11784.62659091"), D("-0.00038167"))
    assert event.next_funding_time - event.time == timedelta(seconds=1020)


def test_an_account_update_tells_balances_positions_and_why() -> None:
    frame = {
        "e": "ACCOUNT_UPDATE", "E": 1564745798939, "T": 1564745798938,
        "a": {
            "m": "FUNDING_FEE",
            "B": [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"}],
            "P": [
                {"s": "BTCUSDT", "pa": "-0.5", "ep": "0.00000", "cr": "200", "up": "0", "mt": "cross", "ps": "BOTH"},
                {"s": "BTCUSDT", "pa": "20", "ep": "6563.6", "cr": "0", "up": "2850.2", "mt": "cross", "ps": "LONG"},
            ],
        },
    }  # fmt: skip

    wallet, moved = decode(frame)

    assert isinstance(wallet, WalletMoved)
    assert wallet.balances == {"USDT": D("122624.12345678")}
    assert wallet.positions == {"BTCUSDT": D("-0.5")}
    assert moved == AccountMoved(instant(1564745798939), "funding_fee")


def test_a_spot_balance_is_free_and_locked_together() -> None:
    frame = {
        "subscriptionId": 0,
        "event": {"e": "outboundAccountPosition", "E": 1564034571105, "u": 1564034571073,
                  "B": [{"a": "ETH", "f": "10000.5", "l": "0.25"}]},
    }  # fmt: skip

    (event,) = decode(frame)

    assert isinstance(event, WalletMoved)
    assert event.balances == {"ETH": D("10000.75")}


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ({"id": "1", "status": 200, "result": {"subscriptionId": 0}}, LoggedIn()),
        ({"e": "listenKeyExpired", "E": 1736996475556, "listenKey": "x"}, LoginLost("listen key expired")),
        ({"event": {"e": "eventStreamTerminated", "E": 1728973001334}}, LoginLost("event stream terminated")),
        ({"event": {"e": "balanceUpdate", "E": 1573200697110, "a": "BTC", "d": "100", "T": 1573200697068}},
         AccountMoved(instant(1573200697110), "balance_update")),
        ({"e": "depthUpdate", "E": 1571889248277, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [], "a": []},
         BookMoved(instant(1571889248277), "BTCUSDT")),
    ],
)  # fmt: skip
def test_what_else_the_streams_say(frame: dict[str, Any], event: object) -> None:
    assert decode(frame) == (event,)


@pytest.mark.parametrize(
    "frame", [{"result": None, "id": 3}, {"e": "ORDER_TRADE_LITE"}, {"e": "24hrTicker", "E": 1}, {}]
)
def test_what_nobody_asked_about_says_nothing(frame: dict[str, Any]) -> None:
    assert decode(frame) == ()


@pytest.mark.parametrize(
    "frame",
    [
        {"e": "ACCOUNT_UPDATE", "E": 1, "T": 1},
        {"e": "ORDER_TRADE_UPDATE", "E": 1},
        order_trade_update(L="NaN"),
        order_trade_update(L="0"),
        order_trade_update(S="BOTH"),
        execution_report(q="one"),
        {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "0", "i": "1", "r": "0", "T": 1},
        {"e": "depthUpdate", "E": "yesterday", "s": "BTCUSDT"},
    ],
)
def test_a_frame_of_nonsense_is_an_error_and_never_a_number(frame: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        decode(frame)


def test_a_connection_is_known_by_its_url() -> None:
    assert spot_stream("wss://stream.binance.com:9443/ws/0") is Stream.BOOK
    assert spot_stream("wss://ws-api.binance.com:443/ws-api/v3") is Stream.USER
    assert usdm_stream("wss://fstream.binance.com/public/ws/0") is Stream.BOOK
    assert usdm_stream("wss://fstream.binance.com/market/ws/1") is Stream.MARK
    assert usdm_stream("wss://fstream.binance.com/private/ws?listenKey=abc") is Stream.USER
    assert usdm_stream("authenticationFlights") is None


def test_a_dead_listen_key_is_not_used_again() -> None:
    options: dict[str, Any] = {"linear": {"listenKey": "abc", "lastAuthenticatedTime": 99}}

    forget_listen_key(options)

    assert options["linear"]["lastAuthenticatedTime"] == 0


def test_the_futures_account_tells_positions_cost_and_margin_of_one_moment() -> None:
    info = {
        "totalWalletBalance": "1000.5", "totalUnrealizedProfit": "-2.5", "totalMaintMargin": "7.25",
        "maxWithdrawAmount": "990.5",
        "assets": [{"asset": "USDT", "walletBalance": "1000.5", "updateTime": 1625474304765}],
        "positions": [{"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-0.10", "notional": "-6002.5",
                       "unrealizedProfit": "-2.5", "updateTime": 1625474304766}],
    }  # fmt: skip

    view = usdm_wallet({"info": info})

    assert view.balances == {"USDT": D("1000.5")}
    assert view.positions == {"BTCUSDT": D("-0.10")}
    assert view.costs == {"BTCUSDT": D("-6000.0")}
    assert view.margin is not None
    assert (view.margin.equity, view.margin.maintenance) == (D("998.0"), D("7.25"))
    assert view.time == instant(1625474304766)


def test_a_wallet_that_is_missing_is_an_error_and_not_empty() -> None:
    for read in (spot_wallet, usdm_wallet):
        with pytest.raises(KeyError):
            read({"info": {}})


@pytest.mark.parametrize("kind", ["REALIZED_PNL", "COMMISSION", "TRANSFER"])
def test_income_that_trades_and_transfers_book_is_not_booked_twice(kind: str) -> None:
    assert usdm_cash_flow("binanceusdm", {"incomeType": kind}) is None


def test_funding_is_a_cash_flow_of_its_contract() -> None:
    row = {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.37500000", "asset": "USDT",
           "info": "", "time": 1570608000000, "tranId": 9689322392, "tradeId": ""}  # fmt: skip

    flow = usdm_cash_flow("binanceusdm", row)

    assert flow is not None
    assert flow.flow_id == "binanceusdm:income:FUNDING_FEE:9689322392"
    assert (flow.key, flow.amount, flow.cause) == (
        PositionKey.of("binanceusdm", Kind.SPOT, "USDT"), D("-0.37500000"), Cause.FUNDING,
    )  # fmt: skip
    assert flow.instrument == PositionKey("binanceusdm:perp:BTCUSDT")


def test_a_bracket_rate_is_the_number_that_was_written() -> None:
    tier = usdm_tier({"bracket": 1, "initialLeverage": 75, "notionalCap": 10000, "notionalFloor": 0,
                      "maintMarginRatio": 0.0065, "cum": 16.3})  # fmt: skip

    assert (tier.maintenance_rate, tier.maintenance_deduction) == (D("0.0065"), D("16.3"))


def test_stamps_are_exact_both_ways() -> None:
    assert milliseconds(instant(1568879465651)) == 1568879465651
    assert instant("1568879465651").microsecond == 651_000


@pytest.mark.parametrize("value", ["NaN", "Infinity", "", None, "0x1", "1,5"])
def test_only_finite_numbers_are_numbers(value: object) -> None:
    with pytest.raises(ValueError, match="expected a"):
        exact(value)
