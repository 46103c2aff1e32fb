"""The wallet of inverse contracts on the wire: the venue contract, and money that is coin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.decision import Exposure
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause, Ledger, entry_of_opening, entry_of_trade
from basis_daemon.domain.market import DecisionIds, MarketSnapshot, MarkTick
from basis_daemon.domain.order import OrderOperation, OrderType, Side
from basis_daemon.domain.position import AccountReport, PositionBook
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.venues.cex.binance_coinm import BINANCE_COINM
from tests.venue_contract import VenueContract, VenueUnderTest, order_for, small
from tests.venues.rig import IN_COIN, INVERSE_BTC, AccountUnderTest, Rig

pytestmark = pytest.mark.slow

COIN = PositionKey("binancecoinm:spot:BTC")
SATOSHI = Decimal("1e-8")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path, IN_COIN, quirks=BINANCE_COINM) as one:
        yield await one.listen()


@pytest.fixture
def account(rig: Rig) -> VenueUnderTest:
    return AccountUnderTest(rig, INVERSE_BTC)


@pytest.mark.feature("Q04", part="coin")
class TestBinanceCoinM(VenueContract):
    """Everything that every account owes the engine."""


async def test_a_contract_is_a_hundred_dollars_and_its_margin_is_coin(rig: Rig) -> None:
    perp = rig.instruments[INVERSE_BTC]
    assert (perp.contract_value, perp.settle, perp.quote_key) == (Decimal(100), "BTC", COIN)
    assert (perp.quantity_step, perp.quantity_min, perp.notional_min) == (Decimal(1), Decimal(1), Decimal(0))
    assert perp.tiers[0].notional_cap == 5  # of coin
    assert perp.funding_interval_h == 8
    mark = next(tick for tick in reversed(rig.of(MarkTick)) if tick.instrument == INVERSE_BTC)
    assert abs(mark.mark / mark.index - 1) < Decimal("0.01")


async def test_the_ledger_of_a_round_trip_is_the_venues_wallet_and_what_it_rounds_is_less_than_a_satoshi_a_fill(
    rig: Rig, account: VenueUnderTest
) -> None:
    perp, ledger = rig.instruments[INVERSE_BTC], Ledger()
    opening = await account.source.fetch_report()
    ledger.apply(entry_of_opening(opening, {}))

    async def booked(side: Side, amount: Decimal) -> None:
        await account.interface.execute_order(order_for(account, side, amount), account.wall)
        for trade in {t.trade_id: t for t in account.trades if t.deltas}.values():
            _apply(ledger, trade, rig)

    await booked(Side.BUY, Decimal(200))
    await rig.exchange.advance(3_600)
    await booked(Side.SELL, Decimal(77))
    held = await account.source.fetch_report()
    assert held.holdings[INVERSE_BTC] == ledger.holding(INVERSE_BTC) == 123
    assert held.holdings[COIN] == ledger.holding(COIN)
    assert abs(held.open_notional[INVERSE_BTC] - ledger.open_notional(INVERSE_BTC, "BTC")) < 5 * SATOSHI
    await rig.exchange.advance(3_600)
    await booked(Side.SELL, Decimal(123) + 50)
    await booked(Side.BUY, Decimal(50))
    closed = await account.source.fetch_report()
    assert closed.holdings[COIN] == ledger.holding(COIN)
    assert ledger.open_notional(INVERSE_BTC, "BTC") == 0
    fills = len({t.trade_id for t in account.trades if t.deltas})
    assert abs(ledger.total(Cause.ROUNDING, "BTC")) <= fills * SATOSHI
    whole = sum(ledger.total(cause, "BTC") for cause in (Cause.REALISED, Cause.FEE, Cause.ROUNDING))
    assert whole == closed.holdings[COIN] - opening.holdings[COIN]
    assert perp.settle == "BTC"


def _apply(ledger: Ledger, trade: Trade, rig: Rig) -> None:
    held, cost = ledger.holding(INVERSE_BTC), ledger.open_notional(INVERSE_BTC, "BTC")
    ledger.apply(entry_of_trade(trade, held, cost, rig.instruments[INVERSE_BTC]))


async def test_equity_and_margin_in_coin_are_what_the_venue_says(rig: Rig, account: VenueUnderTest) -> None:
    await account.interface.execute_order(order_for(account, Side.BUY, Decimal(600)), account.wall)
    await rig.exchange.advance(1_800)
    report = await account.source.fetch_report()
    exposure = _seen(rig, report)
    (state,) = exposure.margins
    assert report.margin is not None
    assert abs(state.margin - report.margin.equity) < 3 * SATOSHI
    assert abs(state.notional * state.maintenance_rate - report.margin.maintenance) < 3 * SATOSHI
    delta = exposure.net_delta["BTC"]
    assert abs(delta - (state.margin + state.notional)) < SATOSHI  # ML9: equity and what stands beside it


def _seen(rig: Rig, report: AccountReport) -> Exposure:
    mark = next(tick for tick in reversed(rig.of(MarkTick)) if tick.instrument == INVERSE_BTC)
    market = MarketSnapshot(
        time=mark.venue_time, ids=DecisionIds("test", 1, 1), instruments=rig.instruments, books={},
        marks={INVERSE_BTC: mark}, ages={}, memory=None,
    )  # fmt: skip
    return build_exposure(PositionBook(1, mark.venue_time, report.holdings, report.open_notional), market)


@pytest.mark.feature("O08", part="coin")
async def test_a_stop_stands_at_the_venue_and_fires_on_the_mark(rig: Rig, account: VenueUnderTest) -> None:
    entry = order_for(account, Side.BUY, small(account))
    await account.interface.execute_order(entry, account.wall)
    trigger = (account.book().mid * Decimal("0.99")).quantize(Decimal("0.1"))
    fields = {"operation": OrderOperation.STOP, "order_type": OrderType.STOP_MARKET, "trigger_price": trigger}
    stop = order_for(account, Side.SELL, entry.quantity, reduce_only=True, **fields)
    placed = await account.interface.execute_order(stop, account.wall)
    assert placed.order_state is OrderState.ACKED
    assert stop.order_id in (await account.source.fetch_report()).open_order_ids

    rig.exchange.venue.price_shift["coinm", "BTCUSD_PERP"] = Decimal("-0.02")
    await rig.exchange.advance(60)
    await rig.until(lambda: any(t.order_id == stop.order_id and t.deltas for t in rig.of(Trade)))
    evidence = await account.interface.find_order(stop, account.wall)
    assert evidence.trade is not None
    assert evidence.trade.order_state is OrderState.FILLED
    assert (await account.source.fetch_report()).holdings.get(INVERSE_BTC, 0) == 0


async def test_funding_is_paid_in_coin_on_what_the_contracts_stand_for(rig: Rig, account: VenueUnderTest) -> None:
    await account.interface.execute_order(order_for(account, Side.SELL, Decimal(300)), account.wall)
    since = account.book().venue_time
    await rig.exchange.advance(8 * 3_600)
    (flow,) = [flow for flow in await account.source.fetch_cash_flows(since) if flow.cause is Cause.FUNDING]
    (rate,) = [
        r for r in rig.exchange.world.settled("BTCUSD_PERP") if r.at_ms == int(flow.venue_time.timestamp() * 1000)
    ]
    mark = rig.exchange.venue.marks["BTCUSD_PERP"]
    assert (flow.key, flow.instrument) == (COIN, INVERSE_BTC)
    assert abs(flow.amount - 300 * 100 / mark * rate.rate) < Decimal("1e-6")
    report = await account.source.fetch_report()
    paid = sum(fee.quantity for t in {t.trade_id: t for t in account.trades}.values() for fee in t.fees)
    assert report.holdings[COIN] == 2 - paid + flow.amount
