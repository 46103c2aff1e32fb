"""What the exchange itself does to a position, through the real client: told on the stream, and found by asking."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause, Ledger, entry_of_cash_flow, entry_of_trade
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import Origin, Trade
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.binance_forced import origin_of
from basis_daemon.venues.cex.fills import FillBook
from tests.venue_contract import order_for
from tests.venues.rig import KEY, PERP_BTC, AccountUnderTest, Rig

D = Decimal
MARGIN = PositionKey("binanceusdm:spot:USDT")


async def shorted(rig: Rig, quantity: str = "0.4") -> AccountUnderTest:
    """An account that is short."""
    account = AccountUnderTest(rig, PERP_BTC)
    await account.interface.execute_order(order_for(account, Side.SELL, D(quantity)), account.wall)
    return account


def deleverage(rig: Rig, quantity: str) -> None:
    rig.exchange.happen({"kind": "adl", "market": "usdm", "symbol": "BTCUSDT", "quantity": quantity})


def forced(rig: Rig) -> list[Trade]:
    return [trade for trade in rig.of(Trade) if trade.is_forced]


@pytest.mark.feature("C11")
async def test_an_adl_fill_is_told_with_its_cause_and_found_again_by_asking(listening: Rig) -> None:
    account = await shorted(listening)
    start = listening.venue.market_time.newest
    deleverage(listening, "0.150")
    await listening.until(lambda: bool(forced(listening)))
    (told,) = forced(listening)
    mark = listening.exchange.venue.marks["BTCUSDT"]
    assert (told.origin, told.order_id, told.instrument) == (Origin.ADL, "adl_autoclose", PERP_BTC)
    assert (told.deltas[PERP_BTC], told.fees) == (D("0.150"), ())
    assert told.price == mark.quantize(D("0.1"), ROUND_DOWN)
    assert told.realised_pnl is not None

    listening.venue.desks["binanceusdm"].fills = FillBook(BINANCE.origin_of)  # what a restart leaves of the memory
    found = [trade for trade in await account.source.fetch_trades(start) if trade.is_forced]
    assert [(t.trade_id, t.origin, t.deltas) for t in found] == [(told.trade_id, Origin.ADL, told.deltas)]


@pytest.mark.feature("C11")
async def test_a_liquidation_is_told_to_the_last_digit_of_what_the_venue_holds_after_it(listening: Rig) -> None:
    """The margin is gone, the position with it; the ledger of what was told is the venue's own account again."""
    account = AccountUnderTest(listening, PERP_BTC)
    opening = await account.source.fetch_report()
    start = listening.venue.market_time.newest
    await shorted(listening)
    venue_account = listening.exchange.venue.accounts[KEY]
    listening.exchange.world.futures.book_income(venue_account, "COIN_SWAP_WITHDRAW", D("-49900"), "")
    await listening.exchange.advance(60)
    await listening.until(lambda: sum((t.qty_base for t in forced(listening)), D(0)) == D("0.4"))
    assert {trade.origin for trade in forced(listening)} == {Origin.LIQUIDATION}
    assert all(trade.order_id.startswith("autoclose-") for trade in forced(listening))

    ledger = Ledger()
    for trade in await account.source.fetch_trades(start):
        held, cost = ledger.holding(PERP_BTC), ledger.open_notional(PERP_BTC, "USDT")
        ledger.apply(entry_of_trade(trade, held, cost, account.instrument))
    for flow in await account.source.fetch_cash_flows(start):
        ledger.apply(entry_of_cash_flow(flow))
    closing = await account.source.fetch_report()
    assert PERP_BTC not in closing.holdings
    assert ledger.holding(PERP_BTC) == 0
    assert closing.holdings.get(MARGIN, D(0)) - opening.holdings[MARGIN] == ledger.holding(MARGIN)
    assert ledger.total(Cause.LIQUIDATION, "USDT") != 0


def test_only_the_venues_own_ids_are_its_own() -> None:
    ids = ("adl_autoclose", "autoclose-17", "settlement_autoclose-3", "a" * 32, "web_autoclose-1", "")
    expected = [Origin.ADL, Origin.LIQUIDATION, Origin.SETTLEMENT, *[Origin.ORDER] * 3]
    assert [origin_of(client_id) for client_id in ids] == expected


async def test_what_is_not_held_cannot_be_deleveraged(listening: Rig) -> None:
    with pytest.raises(ValueError, match="BTCUSDT holds 0"):
        deleverage(listening, "0.1")
    await shorted(listening)
    with pytest.raises(ValueError, match=r"BTCUSDT holds -0\.400"):
        deleverage(listening, "0.5")
    assert forced(listening) == []
