"""Conditional orders: held until the mark reaches them, then ordinary orders with their own fate."""

import ccxt
import pytest

from basis_daemon.sandbox.exchange.orders import AlgoOrder
from basis_daemon.sandbox.exchange.rejects import RejectError
from basis_daemon.sandbox.exchange.server import SandboxExchange
from tests.sandbox.builders import PERP, D, Desk, request
from tests.sandbox.conftest import Clients

SYMBOL = "BTC/USDT:USDT"


def conditional(
    desk: Desk, side: str, kind: str, trigger: str, quantity: str | None = "1", **more: object
) -> AlgoOrder:
    return desk.world.algo.place(desk.account, request(side, quantity, None, **{"kind": kind} | more), D(trigger))


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "before", "after"),
    [
        ("BUY", "STOP_MARKET", "62000", 61_999, 62_000),
        ("SELL", "STOP_MARKET", "58000", 58_001, 58_000),
        ("BUY", "TAKE_PROFIT_MARKET", "58000", 58_001, 58_000),
        ("SELL", "TAKE_PROFIT_MARKET", "62000", 61_999, 62_000),
    ],
)
def test_a_conditional_order_waits_for_its_side_of_the_trigger(
    side: str, kind: str, trigger: str, before: int, after: int
) -> None:
    desk = Desk(usdm="30000")
    algo = conditional(desk, side, kind, trigger)
    desk.move({PERP: before})
    assert algo.status == "NEW"
    desk.move({PERP: after})
    assert algo.status == "FINISHED"
    assert desk.account.position("BTCUSDT").quantity == (1 if side == "BUY" else -1)
    desk.move({PERP: 60_000})
    assert desk.account.position("BTCUSDT").quantity == (1 if side == "BUY" else -1)


def test_a_stop_that_closes_the_position_takes_its_size_when_it_triggers() -> None:
    desk = Desk(usdm="30000")
    desk.perp("SELL", "0.3")
    algo = conditional(desk, "BUY", "STOP_MARKET", "62000", None, close_position=True)
    desk.perp("SELL", "0.2")
    desk.move({PERP: 62_500})
    assert (algo.status, desk.account.position("BTCUSDT").quantity) == ("FINISHED", D(0))


def test_a_reduce_only_stop_without_position_ends_rejected() -> None:
    desk = Desk(usdm="30000")
    algo = conditional(desk, "BUY", "STOP_MARKET", "62000", reduce_only=True)
    desk.move({PERP: 62_500})
    assert (algo.status, algo.reason) == ("REJECTED", "ReduceOnly Order is rejected.")


@pytest.mark.parametrize(
    ("kind", "trigger", "quantity", "code"),
    [
        ("STOP_MARKET", "59000", "1", -2021),
        ("STOP_MARKET", "62000.05", "1", -4014),
        ("STOP_MARKET", "62000", "0.0001", -1111),
        ("STOP_MARKET", "62000", None, -1102),
        ("STOP", "62000", "1", -1102),
        ("TRAILING_STOP_MARKET", "62000", "1", -1116),
    ],
)
def test_a_malformed_conditional_order_is_refused(kind: str, trigger: str, quantity: str | None, code: int) -> None:
    with pytest.raises(RejectError) as refused:
        conditional(Desk(usdm="30000"), "BUY", kind, trigger, quantity)
    assert refused.value.code == code


async def test_a_client_places_finds_and_cancels_a_stop(clients: Clients, exchange: SandboxExchange) -> None:
    stop = {"stopLossPrice": "70000", "clientOrderId": "5" * 32, "reduceOnly": True}
    placed = await clients.perp.create_order(SYMBOL, "market", "buy", "0.1", None, stop)
    assert (placed["status"], placed["triggerPrice"]) == ("open", "70000.0")
    (held,) = await clients.perp.fetch_open_orders(SYMBOL, None, None, {"trigger": True})
    assert (held["id"], held["clientOrderId"]) == (placed["id"], "5" * 32)
    await clients.perp.cancel_order(placed["id"], SYMBOL, {"trigger": True})
    found = await clients.perp.fetch_order(placed["id"], SYMBOL, {"trigger": True})
    assert found["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await clients.perp.cancel_order(placed["id"], SYMBOL, {"trigger": True})
    assert len(exchange.venue.accounts["sandbox-key"].algos) == 1
