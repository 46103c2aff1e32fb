"""What the venue and other hands do while a client trades, each on command."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import pytest

from basis_daemon.sandbox.exchange.margin import margin_of
from basis_daemon.sandbox.exchange.market_events import MarketEvents
from basis_daemon.sandbox.exchange.path import HOUR_MS
from tests.sandbox.builders import START_MS, D, Desk, code_of
from tests.sandbox.conftest import Clients

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"

pytestmark = pytest.mark.feature("Y07", part="events")


@pytest.fixture
def desk() -> Desk:
    return Desk(spot={"USDT": "100000", "BTC": "1"}, usdm="50000")


def happen(desk: Desk, kind: str, market: str = "usdm", **fields: object) -> dict[str, Any]:
    return MarketEvents(desk.world).happen({"kind": kind, "market": market, "symbol": "BTCUSDT", **fields})


@pytest.mark.parametrize(("market", "code"), [("spot", -1013), ("usdm", -4108)])
@pytest.mark.parametrize("kind", ["halt", "delist"])
def test_in_a_halted_market_nobody_trades_until_it_resumes(desk: Desk, market: str, kind: str, code: int) -> None:
    place = desk.spot if market == "spot" else desk.perp
    happen(desk, kind, market)
    assert code_of(lambda: place("BUY", "0.1")) == code
    desk.move({})
    assert code_of(lambda: place("BUY", "0.1")) == code
    happen(desk, "resume", market)
    assert place("BUY", "0.1").status == "FILLED"


def test_what_is_not_listed_any_more_is_still_held_and_still_has_a_mark(desk: Desk) -> None:
    desk.perp("BUY", "0.1")
    happen(desk, "delist")
    desk.move({("usdm", "BTCUSDT"): 61_000})
    assert desk.venue.symbols("usdm") == ["ETHUSDT"]
    assert desk.venue.known("usdm") == ["BTCUSDT", "ETHUSDT"]
    assert margin_of(desk.account, desk.venue.marks).symbols["BTCUSDT"].notional == D(6_100)


def test_new_filters_hold_for_new_orders_and_for_what_rests(desk: Desk) -> None:
    resting = desk.perp("BUY", "0.1", "59000")
    happen(desk, "filters", step="0.01", tick="1", min_notional="500")
    assert code_of(lambda: desk.perp("BUY", "0.005", "60000")) == -1111
    assert code_of(lambda: desk.perp("BUY", "0.05", "60000.5")) == -4014
    assert code_of(lambda: desk.perp("BUY", "0.01", "40000")) != 0
    assert desk.perp("BUY", "0.05", "60010").status == "FILLED"
    desk.move({("usdm", "BTCUSDT"): 58_000})
    assert resting.status == "FILLED"


def test_maintenance_follows_new_tiers_at_once(desk: Desk) -> None:
    desk.perp("BUY", "1")
    before = margin_of(desk.account, desk.venue.marks).maintenance
    happen(desk, "tiers", tiers=[[10_000_000, 20, "0.05"]])
    assert margin_of(desk.account, desk.venue.marks).maintenance == D("0.05") * 60_000 > before
    desk.account.position("BTCUSDT").leverage = 50
    assert code_of(lambda: desk.perp("BUY", "1")) == -2027


def test_a_shorter_funding_interval_settles_the_same_money_in_more_steps(desk: Desk) -> None:
    assert happen(desk, "funding_interval", hours=4)["next_ms"] == START_MS + 4 * HOUR_MS
    desk.perp("BUY", "1")
    desk.move({}, seconds=8 * 3600)
    rates = desk.world.settled("BTCUSDT")[-2:]
    assert [(r.at_ms - START_MS) // HOUR_MS for r in rates] == [4, 8]
    assert [(r.rate, r.interval_hours) for r in rates] == [(D("0.00005"), 4)] * 2
    assert sum(desk.income("FUNDING_FEE")) == -2 * 60_000 * D("0.00005")


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_another_hand_trades_leaves_an_order_and_takes_it_back(desk: Desk, market: str) -> None:
    told = happen(desk, "trade", market, side="buy", quantity="0.1", client_id="web_1")
    assert told == {"client_id": "web_1", "status": "FILLED", "filled": "0.1"} | {"filled": told["filled"]}
    happen(desk, "order", market, side="BUY", quantity="0.1", price="50000", client_id="web_2")
    store = desk.account.store("spot" if market == "spot" else "usdm")
    assert [(o.client_id, o.request.foreign) for o in store.orders.values()] == [("web_1", True), ("web_2", True)]
    assert happen(desk, "cancel", market, client_id="web_2")["status"] == "CANCELED"


@pytest.mark.parametrize(("market", "side"), [("spot", "BUY"), ("spot", "SELL"), ("usdm", "SELL")])
def test_an_overfilled_order_got_more_than_it_asked_for_and_the_money_adds_up(
    desk: Desk, market: str, side: str
) -> None:
    place = desk.spot if market == "spot" else desk.perp
    order = place(side, "0.1", "60100" if side == "BUY" else "59900", time_in_force="IOC")
    happen(desk, "overfill", market, quantity="0.002")
    assert (order.status, order.filled, order.quantity) == ("FILLED", D("0.102"), D("0.1"))
    assert desk.locked("USDT") == desk.locked("BTC") == 0
    held = desk.free("BTC") - 1 if market == "spot" else desk.account.position("BTCUSDT").quantity
    assert abs(held) > D("0.1")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"kind": "explode"}, "unknown event kind 'explode'; known: halt, resume"),
        ({"kind": "halt", "market": "spot", "symbol": "DOGE"}, "no market 'spot'/'DOGE'; known: spot/BTCUSDT"),
        ({"kind": "halt", "market": "spot", "symbol": "BTCUSDT", "when": 1}, r"unknown fields \['when'\] of halt"),
        ({"kind": "filters", "market": "spot", "symbol": "BTCUSDT"}, "expected some of tick, step"),
        ({"kind": "filters", "market": "spot", "symbol": "BTCUSDT", "step": "x"}, "step is 'x', expected a number"),
        ({"kind": "tiers", "market": "usdm", "symbol": "BTCUSDT", "tiers": [[1]]}, "rows of"),
        ({"kind": "funding_interval", "market": "usdm", "symbol": "BTCUSDT", "hours": 3}, "hours 1, 2, 4 or 8"),
        ({"kind": "overfill", "market": "usdm", "symbol": "BTCUSDT", "quantity": "0.1"}, "0 filled orders"),
        ({"kind": "cancel", "market": "usdm", "symbol": "BTCUSDT", "client_id": "x"}, "the venue refuses it"),
        ({"kind": "cancel", "market": "usdm", "symbol": "BTCUSDT", "account": "x"}, "no account 'x'; known: sandbox"),
    ],
)
def test_an_event_that_cannot_be_is_refused_with_what_can(desk: Desk, body: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MarketEvents(desk.world).happen(body)


async def test_clients_see_new_filters_tiers_and_what_is_gone(clients: Clients, control: aiohttp.ClientSession) -> None:
    async def say(kind: str, market: str, **fields: object) -> None:
        async with control.post("/market", json={"kind": kind, "market": market, "symbol": "BTCUSDT"} | fields) as said:
            assert said.status == 200, await said.text()

    await clients.perp.create_order(PERP, "market", "sell", 0.013)
    await say("filters", "usdm", step="0.01")
    (traded,) = await clients.perp.fetch_my_trades(PERP)
    assert D(traded["info"]["qty"]) == D("0.013"), "what was traded by a finer step is not cut"
    await say("tiers", "usdm", tiers=[[1_000_000, 20, "0.02"]])
    await say("delist", "spot")
    markets = await clients.perp.load_markets(reload=True)
    assert Decimal(markets[PERP]["precision"]["amount"]) == D("0.01")
    (tier,) = (await clients.perp.fetch_leverage_tiers([PERP]))[PERP]
    assert Decimal(str(tier["maintenanceMarginRate"])) == D("0.02")
    assert SPOT not in await clients.spot.load_markets(reload=True)
    with pytest.raises(ccxt.BadSymbol):
        await clients.spot.publicGetExchangeInfo({"symbol": "BTCUSDT"})


async def test_the_control_port_explains_itself(control: aiohttp.ClientSession) -> None:
    async with control.get("/faults") as answer:
        known = await answer.json()
    assert known["faults"]["late_request"].startswith("reaches the venue only after")
    assert known["market"]["tiers"]["fields"] == ["tiers"]
    async with control.post("/market", json={"kind": "explode"}) as answer:
        assert answer.status == 400
        assert "known: halt" in (await answer.json())["error"]
