"""What an unmodified ccxt client sees over REST: orders, trades, balances, positions, and the venue's errors."""

import time
from typing import Any

import aiohttp
import ccxt
import pytest

from basis_daemon.sandbox.exchange.server import SandboxExchange
from tests.sandbox.conftest import Clients, client

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"

pytestmark = [pytest.mark.slow, pytest.mark.feature("Q01", part="wire")]


def own(n: int) -> dict[str, str]:
    return {"clientOrderId": f"{n:032x}"}


async def test_markets_carry_filters_and_precision(clients: Clients) -> None:
    spot, perp = clients.spot.market(SPOT), clients.perp.market(PERP)
    assert (spot["precision"]["amount"], spot["limits"]["cost"]["min"]) == ("0.00001000", "5.00000000")
    assert (perp["precision"]["amount"], perp["precision"]["price"]) == ("0.001", "0.1")
    assert (perp["limits"]["cost"]["min"], perp["contractSize"], perp["active"]) == ("100", "1", True)


async def test_a_spot_market_order_fills_and_its_trades_tell_the_fee(clients: Clients) -> None:
    order = await clients.spot.create_order(SPOT, "market", "buy", "0.5", None, own(1))
    assert (order["status"], order["filled"], order["clientOrderId"]) == ("closed", "0.50000000", f"{1:032x}")
    trades = await clients.spot.fetch_my_trades(SPOT)
    assert sum(float(trade["amount"]) for trade in trades) == 0.5
    assert {trade["fee"]["currency"] for trade in trades} == {"BTC"}
    assert {trade["order"] for trade in trades} == {order["id"]}
    balance = await clients.spot.fetch_balance()
    assert balance["BTC"]["total"] == "1.4995"


async def test_a_spot_limit_order_lives_is_found_by_its_own_id_and_is_cancelled(clients: Clients) -> None:
    placed = await clients.spot.create_order(SPOT, "limit", "buy", "0.1", "50000", own(2))
    assert placed["status"] == "open"
    assert [o["id"] for o in await clients.spot.fetch_open_orders(SPOT)] == [placed["id"]]
    found = await clients.spot.fetch_order(None, SPOT, own(2))
    assert (found["id"], found["remaining"]) == (placed["id"], "0.1")
    assert (await clients.spot.fetch_balance())["USDT"]["used"] == "5000.00000000"
    cancelled = await clients.spot.cancel_order(None, SPOT, own(2))
    assert cancelled["status"] == "canceled"
    assert await clients.spot.fetch_open_orders(SPOT) == []


async def test_a_perp_ioc_is_filled_within_its_band(clients: Clients, exchange: SandboxExchange) -> None:
    bid = exchange.venue.books["usdm", "BTCUSDT"].price_text(next(iter(exchange.venue.books["usdm", "BTCUSDT"].bids)))
    order = await clients.perp.create_order(PERP, "limit", "sell", "5", bid, own(3) | {"timeInForce": "IOC"})
    assert order["status"] == "expired"
    assert 0 < float(order["filled"]) < 5
    assert float(order["average"]) == float(bid)


async def test_a_short_is_seen_closed_and_accounted_for(clients: Clients, exchange: SandboxExchange) -> None:
    await clients.perp.set_leverage(5, PERP)
    await clients.perp.create_order(PERP, "market", "sell", "0.2", None, own(4))
    (position,) = await clients.perp.fetch_positions([PERP])
    assert (position["contracts"], position["side"], position["hedged"]) == ("0.2", "short", False)
    await exchange.advance(8 * 3600)
    await clients.perp.create_order(PERP, "market", "buy", "0.2", None, own(5) | {"reduceOnly": True})
    assert [p for p in await clients.perp.fetch_positions([PERP]) if p["contracts"] != "0"] == []
    trades = await clients.perp.fetch_my_trades(PERP)
    fees = sum(float(trade["fee"]["cost"]) for trade in trades)
    profit = sum(float(trade["info"]["realizedPnl"]) for trade in trades)
    funding = sum(float(row["amount"]) for row in await clients.perp.fetch_funding_history(PERP))
    balance = await clients.perp.fetch_balance()
    assert funding > 0
    assert float(balance["USDT"]["total"]) == pytest.approx(50_000 + profit + funding - fees, abs=1e-7)


async def test_an_ack_says_only_that_the_order_was_taken(clients: Clients) -> None:
    ack = await clients.perp.create_order(PERP, "market", "sell", "0.1", None, own(6) | {"newOrderRespType": "ACK"})
    assert (ack["status"], ack["filled"]) == ("open", "0.000")
    assert (await clients.perp.fetch_order(None, PERP, own(6)))["status"] == "closed"


async def test_money_moves_between_the_wallets_and_is_listed(clients: Clients) -> None:
    moved = await clients.spot.transfer("USDT", "1234.5", "spot", "linear")
    rows = await clients.spot.fetch_transfers("USDT", None, None, {"fromAccount": "spot", "toAccount": "linear"})
    assert [(row["id"], row["amount"], row["status"]) for row in rows] == [(moved["id"], "1234.50000000", "ok")]
    assert (await clients.perp.fetch_balance())["USDT"]["total"] == "51234.50000000"
    with pytest.raises(ccxt.InsufficientFunds, match="-5013"):
        await clients.spot.transfer("USDT", "1000000", "spot", "linear")


async def test_settings_are_set_once_and_say_so(clients: Clients) -> None:
    await clients.perp.set_leverage(3, PERP)
    assert (await clients.perp.fetch_leverage(PERP))["longLeverage"] == 3
    with pytest.raises(ccxt.MarginModeAlreadySet):
        await clients.perp.set_margin_mode("cross", PERP)
    await clients.perp.set_margin_mode("isolated", PERP)
    await clients.perp.set_margin_mode("cross", PERP)
    with pytest.raises(ccxt.OperationRejected, match="-4059"):
        await clients.perp.set_position_mode(False)
    assert (await clients.perp.fetch_position_mode(PERP))["hedged"] is False
    tiers = await clients.perp.fetch_market_leverage_tiers(PERP)
    assert (tiers[1]["maintenanceMarginRate"], tiers[1]["maxNotional"]) == ("0.005", "600000")


async def test_funding_is_forecast_and_its_history_reaches_back_two_weeks(clients: Clients) -> None:
    forecast = await clients.perp.fetch_funding_rate(PERP)
    assert forecast["fundingTimestamp"] - forecast["timestamp"] == 8 * 3_600_000
    history = await clients.perp.fetch_funding_rate_history(PERP, None, 1000)
    assert len(history) >= 42
    later = await clients.perp.fetch_funding_rate_history(PERP, history[-3]["timestamp"], 2)
    assert [row["timestamp"] for row in later] == [row["timestamp"] for row in history[-3:-1]]


async def test_fees_are_read_from_the_venue(clients: Clients) -> None:
    fee = await clients.perp.fetch_trading_fee(PERP)
    assert (fee["maker"], fee["taker"]) == ("0.0002", "0.0005")
    fee = await clients.spot.fetch_trading_fee(SPOT)
    assert (fee["maker"], fee["taker"]) == ("0.001", "0.001")


@pytest.mark.parametrize(
    ("market", "order", "params", "error", "code"),
    [
        ("perp", (PERP, "market", "sell", "100"), {}, ccxt.InsufficientFunds, "-2019"),
        ("perp", (PERP, "market", "buy", "0.01"), {"reduceOnly": True}, ccxt.InvalidOrder, "-2022"),
        ("perp", (PERP, "limit", "sell", "0.001", "60000"), {}, ccxt.InvalidOrder, "-4164"),
        ("perp", (PERP, "limit", "sell", "0.1", "59000"), {"timeInForce": "GTX"}, ccxt.OrderNotFillable, "-5022"),
        ("spot", (SPOT, "market", "buy", "50"), {}, ccxt.InsufficientFunds, "insufficient balance"),
        ("spot", (SPOT, "limit", "buy", "0.00001", "60000"), {}, ccxt.BadRequest, "-1013.*NOTIONAL"),
    ],
)
async def test_refusals_keep_ccxts_classes(
    clients: Clients, market: str, order: tuple[Any, ...], params: dict[str, Any], error: type[Exception], code: str
) -> None:
    side = clients.spot if market == "spot" else clients.perp
    with pytest.raises(error, match=code):
        await side.create_order(*order, *([None] if len(order) == 4 else []), own(7) | params)


async def test_unknown_and_repeated_ids_are_told_apart(clients: Clients) -> None:
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        await clients.perp.fetch_order(None, PERP, own(99))
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        await clients.perp.cancel_order(None, PERP, own(99))
    await clients.perp.create_order(PERP, "limit", "sell", "0.1", "62000", own(8))
    with pytest.raises(ccxt.InvalidOrder, match="-4116"):
        await clients.perp.create_order(PERP, "limit", "sell", "0.1", "62000", own(8))
    await clients.perp.cancel_all_orders(PERP)
    again = await clients.perp.create_order(PERP, "limit", "sell", "0.1", "62000", own(8))
    assert again["status"] == "open"


async def test_signatures_keys_and_stamps_are_judged_in_real_time(
    session: aiohttp.ClientSession, clients: Clients
) -> None:
    stranger = client("binanceusdm", session, apiKey="nobody")
    forger = client("binanceusdm", session, secret="wrong")
    stranger.set_markets_from_exchange(clients.perp)
    forger.set_markets_from_exchange(clients.perp)
    with pytest.raises(ccxt.AuthenticationError, match="-2015"):
        await stranger.fetch_balance()
    with pytest.raises(ccxt.AuthenticationError, match="-1022"):
        await forger.fetch_balance()
    clients.perp.options["timeDifference"] = 60_000
    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        await clients.perp.fetch_balance()
    await clients.perp.load_time_difference()
    assert abs(clients.perp.options["timeDifference"]) < 5_000
    await clients.perp.fetch_balance()
    assert abs(await clients.perp.fetch_time() - time.time() * 1000) < 60_000
    await stranger.close()
    await forger.close()


async def test_every_order_sent_is_on_the_books_also_the_refused(
    clients: Clients, control: aiohttp.ClientSession
) -> None:
    await clients.perp.create_order(PERP, "market", "sell", "0.1", None, own(1))
    with pytest.raises(ccxt.InsufficientFunds):
        await clients.perp.create_order(PERP, "market", "sell", "100", None, own(2))
    async with control.get("/books") as answer:
        book = (await answer.json())["accounts"]["sandbox-key"]
    seen = {o["clientOrderId"]: (o["status"], o["filled"]) for o in book["orders"]["usdm"]}
    assert seen == {f"{1:032x}": ("FILLED", "0.1"), f"{2:032x}": ("REJECTED", "0")}
    assert book["positions"] == {"BTCUSDT": "-0.1"}


@pytest.mark.parametrize(
    ("market", "order", "code"),
    [
        ("spot", {"type": "MARKET", "quantity": "0.1", "reduceOnly": "true"}, "-1104"),
        ("perp", {"type": "MARKET", "quantity": "0.1", "price": "60000"}, "-1106"),
        ("perp", {"type": "LIMIT", "quantity": "0.1", "price": "60000"}, "-1102"),
        ("perp", {"type": "MARKET", "quantity": "many"}, "-1100"),
    ],
)
async def test_parameters_are_read_as_the_venue_reads_them(
    clients: Clients, market: str, order: dict[str, str], code: str
) -> None:
    client = getattr(clients, market)
    send = client.privatePostOrder if market == "spot" else client.fapiPrivatePostOrder
    with pytest.raises(ccxt.BaseError, match=code):
        await send({"symbol": "BTCUSDT", "side": "BUY"} | order)


async def test_trades_are_told_a_week_at_a_time(clients: Clients, exchange: SandboxExchange) -> None:
    start = exchange.venue.now_ms
    await clients.perp.create_order(PERP, "market", "sell", "0.1", None, own(1))
    await exchange.advance(8 * 86_400)
    await clients.perp.create_order(PERP, "market", "buy", "0.1", None, own(2))

    async def sides(**window: int) -> list[str]:
        rows = await clients.perp.fapiPrivateGetUserTrades({"symbol": "BTCUSDT"} | window)
        return [row["side"] for row in rows]

    assert await sides() == ["BUY"]
    assert await sides(startTime=start) == ["SELL"]
    assert await sides(fromId=0) == ["SELL", "BUY"]
    with pytest.raises(ccxt.BaseError, match="-4165"):
        await sides(startTime=start, endTime=exchange.venue.now_ms)


async def test_the_dead_mans_switch_cancels_when_it_is_not_renewed(clients: Clients, exchange: SandboxExchange) -> None:
    order = await clients.perp.create_order(PERP, "limit", "sell", "0.1", "62000", own(1))
    arm = clients.perp.fapiPrivatePostCountdownCancelAll
    await arm({"symbol": "BTCUSDT", "countdownTime": 60_000})
    await arm({"symbol": "BTCUSDT", "countdownTime": 0})
    exchange.set_skew(61_000)
    exchange._dead_mans_switches()
    exchange.set_skew(0)
    assert (await clients.perp.fetch_order(order["id"], PERP))["status"] == "open"
    await arm({"symbol": "BTCUSDT", "countdownTime": 60_000})
    exchange.set_skew(61_000)
    exchange._dead_mans_switches()
    exchange.set_skew(0)
    assert (await clients.perp.fetch_order(order["id"], PERP))["status"] == "canceled"


async def test_weight_is_counted_and_the_limit_holds(exchange: SandboxExchange, clients: Clients) -> None:
    await clients.perp.fetch_balance()
    assert int(clients.perp.last_response_headers["X-MBX-USED-WEIGHT-1M"]) >= 5
    exchange.gateway.limits["usdm"].weight_1m = 0
    with pytest.raises(ccxt.DDoSProtection, match="-1003"):
        await clients.perp.fetch_balance()
    assert int(clients.perp.last_response_headers["Retry-After"]) >= 1
