"""What an unmodified ccxt client sees over websockets, in market time, without a gap."""

import asyncio
from typing import Any

import aiohttp
import ccxt
import pytest

from basis_daemon.sandbox.exchange.faults import Fault
from basis_daemon.sandbox.exchange.server import SandboxExchange
from tests.sandbox.builders import PERP as PERP_KEY
from tests.sandbox.builders import SPOT as SPOT_KEY
from tests.sandbox.conftest import KEYS, CcxtClient, Clients

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
MINUTE_MS = 60_000

pytestmark = [pytest.mark.slow, pytest.mark.feature("Q01", part="wire")]


def own(n: int) -> dict[str, str]:
    return {"clientOrderId": f"{n:032x}"}


def record(client: CcxtClient) -> list[dict[str, Any]]:
    """Every frame the client is given, in order."""
    frames: list[dict[str, Any]] = []
    handle = client.handle_message

    def tap(connection: object, message: dict[str, Any]) -> None:
        frames.append(message)
        handle(connection, message)

    client.handle_message = tap
    return frames


@pytest.mark.parametrize(("market", "symbol"), [("spot", SPOT), ("perp", PERP)])
async def test_an_order_book_follows_the_market(
    clients: Clients, exchange: SandboxExchange, market: str, symbol: str
) -> None:
    client = getattr(clients, market)
    book = await client.watch_order_book(symbol)
    for minutes in (1, 5, 30):
        await exchange.advance(minutes * 60)
        book = client.orderbooks[symbol]
        truth = exchange.venue.books[SPOT_KEY if market == "spot" else PERP_KEY]
        assert [str(price) for price, _ in book["bids"]] == [str(float(truth.price_text(p))) for p in truth.bids]
        assert book["asks"][0][1] == float(truth.quantity_text(next(iter(truth.asks.values()))))
        assert book["timestamp"] == exchange.venue.now_ms


async def test_a_fill_shows_in_the_book_at_once(clients: Clients) -> None:
    price, size = (await clients.perp.watch_order_book(PERP))["bids"][0]
    await clients.perp.create_order(PERP, "market", "sell", "0.1", None, own(1))
    while (now := list(clients.perp.orderbooks[PERP]["bids"][0])) == [price, size]:
        await clients.perp.watch_order_book(PERP)
    assert now == [price, pytest.approx(size - 0.1)]


async def test_one_step_is_one_frame_per_stream_at_one_stamp(clients: Clients, exchange: SandboxExchange) -> None:
    spot, perp = record(clients.spot), record(clients.perp)
    await clients.spot.watch_order_book(SPOT)
    await clients.perp.watch_order_book(PERP)
    await clients.perp.watch_mark_price(PERP)
    spot.clear()
    perp.clear()
    await exchange.advance(3 * 60)
    stamps = [exchange.venue.now_ms - n * MINUTE_MS for n in (2, 1, 0)]
    assert [f["E"] for f in spot if f.get("e") == "depthUpdate"] == stamps
    assert [f["E"] for f in perp if f.get("e") == "depthUpdate"] == stamps
    marks = [f for f in perp if f.get("e") == "markPriceUpdate"]
    assert [f["E"] for f in marks] == stamps
    assert {"p", "i", "r", "T"} <= set(marks[0])
    updates = [f for f in perp if f.get("e") == "depthUpdate"]
    assert [f["pu"] for f in updates[1:]] == [f["u"] for f in updates[:-1]]


async def test_best_prices_are_streamed(clients: Clients, exchange: SandboxExchange) -> None:
    tickers = await clients.perp.watch_bids_asks([PERP])
    book = exchange.venue.books["usdm", "BTCUSDT"]
    assert tickers[PERP]["bid"] == book.price_text(next(iter(book.bids)))
    assert (await clients.spot.watch_bids_asks([SPOT]))[SPOT]["ask"] is not None


async def test_perp_orders_fills_positions_and_balances_are_streamed(
    clients: Clients, exchange: SandboxExchange
) -> None:
    frames = record(clients.perp)
    async with asyncio.TaskGroup() as group:
        trades = group.create_task(clients.perp.watch_my_trades())
        await joined(exchange, "user-usdm")
        await clients.perp.create_order(PERP, "market", "sell", "0.1", None, own(2))
    (trade,) = trades.result()
    assert (trade["amount"], trade["side"], trade["fee"]["currency"]) == ("0.100", "sell", "USDT")
    assert trade["timestamp"] == exchange.venue.now_ms
    events = [(f["e"], (f.get("o") or {}).get("X")) for f in frames if "e" in f]
    assert events == [("ORDER_TRADE_UPDATE", "NEW"), ("ACCOUNT_UPDATE", None), ("ORDER_TRADE_UPDATE", "FILLED")]
    update = next(f["a"] for f in frames if f.get("e") == "ACCOUNT_UPDATE")
    assert (update["m"], update["P"][0]["pa"]) == ("ORDER", "-0.100")


async def test_spot_fills_and_balances_are_streamed(clients: Clients, exchange: SandboxExchange) -> None:
    frames = record(clients.spot)
    async with asyncio.TaskGroup() as group:
        trades = group.create_task(clients.spot.watch_my_trades())
        await joined(exchange, "user-spot")
        await clients.spot.create_order(SPOT, "market", "buy", "0.1", None, own(3))
    assert trades.result()[0]["fee"] == {"cost": "0.00010000", "currency": "BTC"}
    events = [f["event"] for f in frames if "event" in f]
    assert [e["e"] for e in events] == ["executionReport", "outboundAccountPosition"] * 2
    assert events[2]["c"] == f"{3:032x}"
    assert {b["a"]: b["f"] for b in events[3]["B"]}["BTC"] == "1.09990000"


async def test_funding_arrives_as_an_account_update(clients: Clients, exchange: SandboxExchange) -> None:
    await clients.perp.create_order(PERP, "market", "sell", "0.1", None, own(4))
    frames = record(clients.perp)
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.perp.watch_balance())
        await joined(exchange, "user-usdm")
        await exchange.advance(8 * 3600)
    (update,) = [f["a"] for f in frames if f.get("e") == "ACCOUNT_UPDATE"]
    (row,) = [row for row in exchange.venue.accounts[KEYS["apiKey"]].income if row.kind == "FUNDING_FEE"]
    assert (update["m"], update["P"], update["B"][0]["bc"]) == ("FUNDING_FEE", [], f"{row.amount:.8f}")


@pytest.mark.parametrize(("market", "symbol"), [("spot", SPOT), ("perp", PERP)])
async def test_orders_also_go_over_the_websocket_api(clients: Clients, market: str, symbol: str) -> None:
    client = getattr(clients, market)
    placed = await client.create_order_ws(symbol, "limit", "sell", "0.1", "62000", own(5))
    assert placed["status"] == "open"
    assert (await client.fetch_order_ws(placed["id"], symbol))["clientOrderId"] == f"{5:032x}"
    assert (await client.cancel_order_ws(placed["id"], symbol))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await client.cancel_order_ws(placed["id"], symbol)


async def test_a_closed_stream_is_dialled_again_and_goes_on(clients: Clients, exchange: SandboxExchange) -> None:
    await clients.perp.watch_mark_price(PERP)
    exchange.faults.arm(Fault("close_ws", path="usdm"))
    async with asyncio.TaskGroup() as group:
        group.create_task(exchange.advance(60))
        await watch_until_lost(clients.perp)
    await clients.perp.watch_mark_price(PERP)
    await exchange.advance(60)
    assert clients.perp.tickers[PERP]["timestamp"] == exchange.venue.now_ms


async def watch_until_lost(client: CcxtClient) -> None:
    try:
        while True:
            await client.watch_mark_price(PERP)
    except ccxt.NetworkError:
        return


async def test_a_missing_difference_is_noticed_by_the_client(clients: Clients, exchange: SandboxExchange) -> None:
    await clients.perp.watch_order_book(PERP)
    exchange.faults.arm(Fault("gap_ws", path="usdm"))
    await exchange.advance(60)
    await exchange.advance(60)
    with pytest.raises(ccxt.ChecksumError):
        await clients.perp.watch_order_book(PERP)


async def test_combined_streams_name_their_stream(session: aiohttp.ClientSession) -> None:
    url = "wss://fstream.binance.com/stream?streams=btcusdt@bookTicker/ethusdt@markPrice@1s"
    async with session.ws_connect(url) as socket:
        first, second = await socket.receive_json(), await socket.receive_json()
    assert (first["stream"], second["stream"]) == ("btcusdt@bookTicker", "ethusdt@markPrice@1s")
    assert second["data"]["s"] == "ETHUSDT"


async def test_an_expired_listen_key_is_announced_and_then_silent(
    session: aiohttp.ClientSession, clients: Clients, control: aiohttp.ClientSession
) -> None:
    key = (await clients.perp.fapiPrivatePostListenKey())["listenKey"]
    async with session.ws_connect(f"wss://fstream.binance.com/private/ws?listenKey={key}") as socket:
        async with control.post("/faults", json={"kind": "expire_listen_key"}) as answer:
            assert await answer.json() == {"expired": 1}
        assert (await socket.receive_json())["e"] == "listenKeyExpired"
    with pytest.raises(ccxt.ExchangeError, match="-1125"):
        await clients.perp.fapiPrivatePutListenKey()


async def test_a_stalled_stream_stays_open_and_silent(
    session: aiohttp.ClientSession, exchange: SandboxExchange
) -> None:
    async with session.ws_connect("wss://fstream.binance.com/ws/btcusdt@markPrice@1s") as socket:
        await socket.receive_json()
        exchange.faults.arm(Fault("stall_ws", path="usdm"))
        exchange.hub.flush()
        await exchange.advance(60)
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert await socket.receive_json() == {"result": ["btcusdt@markPrice@1s"], "id": 1}


async def joined(exchange: SandboxExchange, kind: str) -> None:
    """Return when a user stream of `kind` is connected and belongs to an account."""
    async with asyncio.timeout(10):
        while not any(c.kind == kind and c.account for c in exchange.hub.open_connections):
            await exchange.hub.next_arrival()
