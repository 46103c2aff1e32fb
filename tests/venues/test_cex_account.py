"""The venue's word on an account: complete or an error, never silently empty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import Cause, Ledger, entry_of_cash_flow, entry_of_trade
from basis_daemon.domain.order import Side
from basis_daemon.domain.position import MarginReport
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.fills import FillBook
from tests.venue_contract import order_for, small
from tests.venues.rig import PERP_BTC, SPOT_BTC, AccountUnderTest, Rig

pytestmark = pytest.mark.slow

USDT, MARGIN = PositionKey("binance:spot:USDT"), PositionKey("binanceusdm:spot:USDT")


async def test_a_report_speaks_for_its_kinds_at_market_time(listening: Rig) -> None:
    spot = await listening.source("binance").fetch_report()
    perp = await listening.source("binanceusdm").fetch_report()

    assert (set(spot.covers), set(perp.covers)) == ({Kind.SPOT}, {Kind.SPOT, Kind.PERP})
    assert spot.holdings[USDT] == 100_000
    assert perp.margin is not None
    assert perp.margin == MarginReport(Decimal(50_000), Decimal(0), Decimal(0), Decimal(50_000))
    assert listening.book(PERP_BTC).venue_time <= perp.observed_at <= listening.venue.market_time.newest + timedelta(1)
    assert not perp.is_partial


async def test_a_position_is_reported_with_its_cost_and_margin(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    trade = await account.interface.execute_order(order_for(account, Side.SELL, small(account)), account.wall)

    report = await account.source.fetch_report()

    assert trade.price is not None
    assert report.holdings[PERP_BTC] == -trade.cum_filled
    assert report.open_notional[PERP_BTC] == -trade.cum_filled * trade.price
    assert report.margin is not None
    assert report.margin.maintenance > 0
    assert report.margin.equity == report.margin.wallet + report.margin.unrealised


@pytest.mark.parametrize(
    ("account", "path"),
    [("binance", "/api/v3/account"), ("binance", "/api/v3/openOrders"), ("binanceusdm", "/fapi/v3/account"),
     ("binanceusdm", "/fapi/v1/openOrders")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["garbage", "unavailable"])
@pytest.mark.fault("F20", "venue_lags")
async def test_a_failed_answer_is_unreachable_and_never_empty(
    listening: Rig, account: str, path: str, kind: str
) -> None:
    listening.arm(kind, method="GET", path=path)

    if kind == "garbage" and path.endswith("openOrders"):
        assert (await listening.source(account).fetch_report()).open_order_ids == ()  # two characters are all of []
        return
    with pytest.raises(VenueUnreachableError):
        await listening.source(account).fetch_report()


@pytest.mark.parametrize("path", ["/fapi/v1/userTrades", "/fapi/v1/income"])
@pytest.mark.fault("F20")
async def test_a_failed_list_is_unreachable_and_never_short(listening: Rig, path: str) -> None:
    source, since = listening.source("binanceusdm"), listening.venue.market_time.newest - timedelta(days=20)
    account = AccountUnderTest(listening, PERP_BTC)
    await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)

    listening.arm("unavailable", method="GET", path=path)
    with pytest.raises(VenueUnreachableError):
        await (source.fetch_trades(since) if path.endswith("Trades") else source.fetch_cash_flows(since))

    assert len(await source.fetch_trades(since)) == 1


async def test_trades_are_paged_without_loss_or_repetition(tmp_path: Path) -> None:
    quirks = replace(BINANCE.account("binanceusdm"), page_rows=2)
    async with Rig(tmp_path) as rig:
        rig.venue.desks["binanceusdm"].quirks = quirks
        account = AccountUnderTest(await rig.listen(), PERP_BTC)
        for _ in range(4):
            await account.interface.execute_order(order_for(account, Side.BUY, small(account)), account.wall)
            await rig.exchange.advance(60)

        listed = await account.source.fetch_trades(rig.venue.market_time.newest - timedelta(days=15))

        assert [t.trade_id for t in listed] == list(dict.fromkeys(t.trade_id for t in rig.trades))


async def test_the_order_behind_a_trade_is_asked_for_when_it_is_not_remembered(listening: Rig) -> None:
    account = AccountUnderTest(listening, PERP_BTC)
    order = order_for(account, Side.BUY, small(account))
    trade = await account.interface.execute_order(order, account.wall)
    desk: Desk = listening.venue.desks["binanceusdm"]
    foreign = {"clientOrderId": "web_by-hand", "timeInForce": "IOC"}
    price = str(account.book().ask)
    await desk.ask(
        desk.data, "create_order", "BTC/USDT:USDT", "limit", "buy", "0.01", price, foreign, read=lambda row: row
    )
    desk.fills = FillBook(BINANCE.origin_of)  # what a restart leaves of the memory

    listed = await account.source.fetch_trades(trade.venue_time)

    assert {t.order_id for t in listed} == {order.order_id, "web_by-hand"}
    assert {t.remaining for t in listed} == {0}


async def test_an_open_order_of_ours_is_listed_by_our_id(listening: Rig) -> None:
    account = AccountUnderTest(listening, SPOT_BTC)
    order = order_for(account, Side.BUY, small(account), price=account.book().bids[1][0])
    await account.interface.execute_order(order, account.wall)

    report = await account.source.fetch_report()

    assert report.open_order_ids == (order.order_id,)
    assert report.holdings[USDT] == 100_000  # what the order locks is still held


@pytest.fixture
async def brisk(tmp_path: Path) -> AsyncIterator[Rig]:
    """Ten market minutes a step."""
    async with Rig(tmp_path, step_s=600) as rig:
        yield await rig.listen()


async def test_trades_and_cash_flows_fold_to_what_the_venue_reports(brisk: Rig) -> None:
    """Two days of holding a position: the ledger of what was told equals the venue's own figures, to the digit."""
    listening = brisk
    account, ledger = AccountUnderTest(listening, PERP_BTC), Ledger()
    opening = await account.source.fetch_report()
    start = listening.venue.market_time.newest
    for side, share in ((Side.SELL, 1), (Side.BUY, 2), (Side.SELL, 4), (Side.BUY, 1)):
        order = order_for(account, side, small(account) / share)
        await account.interface.execute_order(order, account.wall)
        await listening.exchange.advance(9 * 3600)

    for trade in await account.source.fetch_trades(start):
        held, cost = ledger.holding(PERP_BTC), ledger.open_notional(PERP_BTC, "USDT")
        ledger.apply(entry_of_trade(trade, held, cost, account.instrument))
    flows = await account.source.fetch_cash_flows(start)
    for flow in flows:
        ledger.apply(entry_of_cash_flow(flow))
    closing = await account.source.fetch_report()

    assert len([flow for flow in flows if flow.cause is Cause.FUNDING]) == 4
    assert closing.holdings[MARGIN] - opening.holdings[MARGIN] == ledger.holding(MARGIN)
    assert closing.holdings.get(PERP_BTC, Decimal(0)) == ledger.holding(PERP_BTC)
    difference = closing.open_notional[PERP_BTC] - ledger.open_notional(PERP_BTC, "USDT")
    assert abs(difference) < Decimal("1e-7")
    assert abs(ledger.total(Cause.ROUNDING, "USDT")) < Decimal("1e-7")
