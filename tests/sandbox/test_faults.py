"""Scripted misbehaviour: what the client is told, and what the venue really did."""

from typing import Any

import aiohttp
import ccxt
import pytest

from basis_daemon.sandbox.exchange.faults import Fault, FaultBoard, parse_fault
from basis_daemon.sandbox.exchange.server import SandboxExchange
from tests.sandbox.conftest import KEYS, Clients

PERP = "BTC/USDT:USDT"
MINE = {"clientOrderId": f"{1:032x}"}

pytestmark = pytest.mark.feature("Y07", part="faults")


@pytest.mark.parametrize(
    ("fault", "error", "placed"),
    [
        (Fault("accept_then_drop"), ccxt.ExchangeNotAvailable, True),
        (Fault("delay_response_s", seconds=5), ccxt.RequestTimeout, True),
        (Fault("unavailable", code=-1008, message="Server is currently overloaded"), ccxt.OperationFailed, False),
        (Fault("reject", code=-1021, message="Timestamp is outside"), ccxt.InvalidNonce, False),
        (Fault("reject", code=-1003, message="Too many requests", status=429), ccxt.DDoSProtection, False),
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


async def test_a_truncated_answer_hides_a_placed_order(clients: Clients, exchange: SandboxExchange) -> None:
    exchange.faults.arm(Fault("garbage", method="POST", path="/order"))
    order = await clients.perp.create_order(PERP, "market", "sell", "0.1", None, MINE)
    assert order["id"] is None
    assert (await clients.perp.fetch_order(None, PERP, MINE))["filled"] == "0.100"


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
    assert board.take(("reject",), "/fapi/v1/income", "POST") is None
    assert board.take(("reject",), "/fapi/v1/order", "GET") is None
    assert [board.take(("reject",), "/fapi/v1/order", "POST") is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "explode"}, "unknown fault kind 'explode'; known: accept_then_drop"),
        ({"kind": "reject", "when": 3}, r"unknown fault fields \['when'\]"),
        ({"kind": "reject", "count": 0}, "at least one use, found count 0"),
    ],
)
def test_a_fault_that_means_nothing_is_refused(body: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_fault(body)
