"""Scripted misbehaviour: what the client is told, and what the venue really did."""

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import pytest

from basis_daemon.sandbox.exchange.faults import REST_KINDS, Fault, FaultBoard, Subject, parse_fault
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.tasks import TaskTree
from tests.sandbox.conftest import KEYS, Clients

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
MINE = {"clientOrderId": f"{1:032x}"}

pytestmark = [pytest.mark.slow, pytest.mark.feature("Y07", part="faults")]


@pytest.mark.parametrize(
    ("fault", "error", "placed"),
    [
        (Fault("accept_then_drop"), ccxt.ExchangeNotAvailable, True),
        (Fault("delay_response_s", seconds=5), ccxt.RequestTimeout, True),
        (Fault("unavailable", code=-1008, message="Server is currently overloaded"), ccxt.OperationFailed, False),
        (Fault("reject", code=-1021, message="Timestamp is outside"), ccxt.InvalidNonce, False),
        (Fault("reject", code=-1003, message="Too many requests", status=429), ccxt.DDoSProtection, False),
        (Fault("reject", code=-1003, message="Banned", status=418, retry_after_s=9), ccxt.DDoSProtection, False),
        (Fault("executed_unknown"), ccxt.OperationFailed, True),
        (Fault("executed_unknown", code=-1007, status=408), ccxt.RequestTimeout, True),
    ],
)
async def test_the_clients_error_and_the_venues_truth(
    clients: Clients, exchange: SandboxExchange, fault: Fault, error: type[Exception], *, placed: bool
) -> None:
    fault.method, fault.path = "POST", "/fapi/v1/order"
    exchange.faults.arm(fault)
    clients.perp.timeout = 300
    with pytest.raises(error):
        await clients.perp.create_order(PERP, "market", "sell", "0.1", None, MINE)
    store = exchange.venue.accounts[KEYS["apiKey"]].store("usdm")
    assert [order.client_id for order in store.orders.values()] == [MINE["clientOrderId"]] * placed
    assert [refused.client_id for refused in store.refused] == [MINE["clientOrderId"]] * (not placed)
    assert exchange.faults.armed == []
    clients.perp.timeout = 10_000
    if placed:
        assert (await clients.perp.fetch_order(None, PERP, MINE))["status"] == "closed"
    else:
        with pytest.raises(ccxt.OrderNotFound):
            await clients.perp.fetch_order(None, PERP, MINE)


@pytest.mark.parametrize("form", ["truncated", "empty", "object"])
async def test_a_garbled_answer_hides_a_placed_order(clients: Clients, exchange: SandboxExchange, form: str) -> None:
    exchange.faults.arm(Fault("garbage", method="POST", path="/order", form=form))
    order = await clients.perp.create_order(PERP, "market", "sell", "0.1", None, MINE)
    assert order["id"] is None
    assert (await clients.perp.fetch_order(None, PERP, MINE))["filled"] == "0.100"


def test_a_fault_meant_for_one_account_or_one_symbol_waits_for_it() -> None:
    board = FaultBoard()
    board.arm(Fault("reject", path="/order", account="second"))
    board.arm(Fault("price_ws", path="mark", symbol="ETHUSDT", text="zero"))
    assert board.take(REST_KINDS, "/fapi/v1/order", "POST", Subject("first")) is None
    assert board.take_stream("price_ws", "mark", Subject(symbols=frozenset({"BTCUSDT"}))) is None
    assert board.take(REST_KINDS, "/fapi/v1/order", "POST", Subject("second")) is not None
    assert board.take_stream("price_ws", "mark", Subject(symbols=frozenset({"BTCUSDT", "ETHUSDT"}))) is not None
    assert (board.armed, board.injected) == ([], {"reject": 1, "price_ws": 1})


async def test_a_fill_may_be_told_twice_or_not_at_all(
    session: aiohttp.ClientSession, clients: Clients, exchange: SandboxExchange
) -> None:
    key = (await clients.perp.fapiPrivatePostListenKey())["listenKey"]
    async with session.ws_connect(f"wss://fstream.binance.com/private/ws?listenKey={key}") as socket:
        for kind, times in (("duplicate_fill", 2), ("drop_fill", 0)):
            exchange.faults.arm(Fault(kind))
            await clients.perp.create_order(PERP, "market", "sell", "0.1", None)
            told: list[dict[str, Any]] = []
            while len(told) < times + 2:  # NEW, the account, and the fill as often as it is told
                told.append(await socket.receive_json())
            assert [t["o"]["x"] for t in told if "o" in t].count("TRADE") == times
    assert len(await clients.perp.fetch_my_trades(PERP)) == 2


async def test_a_venue_whose_clock_is_off_refuses_stamps_until_the_client_follows(
    clients: Clients, control: aiohttp.ClientSession
) -> None:
    async with control.post("/clock", json={"skew_ms": 120_000}) as answer:
        assert answer.status == 200
    with pytest.raises(ccxt.InvalidNonce):
        await clients.perp.fetch_balance()
    await clients.perp.load_time_difference()
    await clients.perp.fetch_balance()


def test_a_fault_is_used_up_and_matches_by_path_and_method() -> None:
    board = FaultBoard()
    board.arm(Fault("reject", count=2, method="POST", path="/order"))
    assert board.take({"reject": ""}, "/fapi/v1/income", "POST") is None
    assert board.take({"reject": ""}, "/fapi/v1/order", "GET") is None
    assert [board.take({"reject": ""}, "/fapi/v1/order", "POST") is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "explode"}, "unknown fault kind 'explode'; known: accept_then_drop"),
        ({"kind": "reject", "when": 3}, r"unknown fault fields \['when'\]"),
        ({"kind": "reject", "count": 0}, "at least one use, found count 0"),
        ({"kind": "garbage", "form": "pretty"}, "form is one of truncated, empty, html, object, found 'pretty'"),
        ({"kind": "price_ws", "text": "high"}, "text of price_ws is one of nan, zero"),
        ({"kind": "lie_account", "amount": "much"}, "fault field amount is 'much', expected a number"),
    ],
)
def test_a_fault_that_means_nothing_is_refused(body: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(body)


async def test_a_late_request_is_carried_out_within_its_receive_window_and_refused_beyond_it(
    clients: Clients, exchange: SandboxExchange
) -> None:
    store = exchange.venue.accounts[KEYS["apiKey"]].store("usdm")
    clients.perp.timeout = 500
    for number, window in enumerate((5_000, 400)):
        exchange.faults.arm(Fault("late_request", method="POST", path="/order"))
        mine: dict[str, Any] = {"clientOrderId": f"{number:032x}", "recvWindow": window}
        with pytest.raises(ccxt.RequestTimeout):
            await clients.perp.create_order(PERP, "market", "sell", "0.1", None, mine)
        assert mine["clientOrderId"] not in {order.client_id for order in store.orders.values()}
        exchange.faults.clear()
    async with asyncio.timeout(10):
        while exchange.clock.outstanding:
            await clients.perp.fetch_time()
    assert [order.client_id for order in store.orders.values()] == [f"{0:032x}"]
    assert exchange.faults.injected == {"late_request": 2}


async def test_a_page_of_html_means_that_nothing_was_carried_out(clients: Clients, exchange: SandboxExchange) -> None:
    exchange.faults.arm(Fault("bad_gateway", method="POST", path="/order"))
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await clients.perp.create_order(PERP, "market", "sell", "0.1", None, MINE)
    assert not exchange.venue.accounts[KEYS["apiKey"]].store("usdm").orders


async def test_a_venue_may_tell_balances_late_or_wrong(clients: Clients, exchange: SandboxExchange) -> None:
    async def btc() -> str:
        return str((await clients.spot.fetch_balance())["BTC"]["total"])

    before = await btc()
    exchange.faults.arm(Fault("stale_account", path="/api/v3/account", count=2))
    await clients.spot.create_order(SPOT, "limit", "sell", "0.1", "50000", {"timeInForce": "IOC"})
    assert [await btc() == before for _ in range(3)] == [True, True, False]
    true = await btc()
    exchange.faults.arm(Fault("lie_account", path="/api/v3/account", asset="BTC", amount=Decimal(2)))
    assert Decimal(await btc()) - Decimal(true) == 2
    assert await btc() == true
    exchange.faults.arm(Fault("lie_account", path="/account", asset="BTCUSDT", amount=Decimal(-1)))
    await clients.perp.create_order(PERP, "market", "buy", "0.1", None)
    rows = (await clients.perp.fetch_balance())["info"]["positions"]
    assert [row["positionAmt"] for row in rows if row["symbol"] == "BTCUSDT"] == ["-0.9"]


async def test_frames_come_twice_in_the_wrong_order_and_with_prices_that_cannot_be(
    session: aiohttp.ClientSession, exchange: SandboxExchange
) -> None:
    channels = "btcusdt@markPrice@1s/btcusdt@depth@100ms"
    async with session.ws_connect(f"wss://fstream.binance.com/ws/{channels}") as socket:

        async def frames(kind: str, word: str = "") -> list[dict[str, Any]]:
            path = {"price_ws": "mark" if word in ("leap", "nan") else "usdm"}.get(kind, "usdm")
            exchange.faults.arm(parse_fault({"kind": kind, "path": path} | ({"text": word} if word else {})))
            exchange.hub.flush()
            said: list[dict[str, Any]] = []

            async def read() -> None:
                while True:
                    said.append(await socket.receive_json())

            async with TaskTree("reader") as tree:
                tree.spawn("read", read())
                await exchange.advance(180)  # returns when everything was read
                tree.cancel_all("all is read")
            return said

        await frames("gap_ws")
        stamps = [f["E"] for f in await frames("duplicate_ws") if f["e"] == "depthUpdate"]
        assert len(stamps) - len(set(stamps)) == 1
        kinds = [f["e"] for f in await frames("reorder_ws")]
        assert kinds[:2] == ["markPriceUpdate", "depthUpdate"]
        assert "NaN" in [f.get("p") for f in await frames("price_ws", "nan")]
        crossed, after = [f for f in await frames("price_ws", "crossed") if f["e"] == "depthUpdate"][:2]
        assert float(crossed["b"][0][0]) > float(crossed["a"][-1][0])
        assert after["b"][0] == [crossed["b"][0][0], "0"]
