"""A book in money: equity, net delta and margin states, and what happens to what has no price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.exposure import build_exposure, spot_prices
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.position import AccountReport, MarginReport, PositionBook
from tests.builders import (
    BINANCE,
    BYBIT,
    CASH,
    MARGIN,
    NOW,
    PERP,
    SPOT,
    STALE,
    D,
    Scene,
    book_tick,
    idle,
    mark_tick,
    paired,
    parameters,
    perp_instrument,
    spot_instrument,
)

BNB = PositionKey("binance:spot:BNB")
ETH_PERP = PositionKey("binanceusdm:perp:ETHUSDT")


def with_bnb(market: MarketSnapshot) -> MarketSnapshot:
    return replace(
        market,
        instruments={**market.instruments, BNB: spot_instrument(BNB, "BNB")},
        books={**market.books, BNB: book_tick(BNB, D(500))},
    )


def test_a_pair_is_worth_its_cash_its_spot_and_the_unrealised_result_of_its_short() -> None:
    scene = paired(D(2), entry=D(58_000), price=D(60_000), cash=D(100))
    exposure = scene.exposure
    margin = D("0.4") * 2 * 60_000
    assert exposure.equity_usdt == 100 + 2 * 60_000 + margin
    assert exposure.holdings[MARGIN] == margin + 4_000  # the wallet before an unrealised loss of 4,000
    assert exposure.net_delta["BTC"] == 0


@pytest.mark.feature("K03")
def test_an_account_shows_margin_rate_and_usage() -> None:
    (state,) = paired(m=D("0.2")).exposure.margins
    assert (state.account, state.underlying, state.notional) == ("binanceusdm", "BTC", D(60_000))
    assert (state.margin, state.maintenance_rate, state.usage) == (D(12_000), D("0.01"), D("0.05"))  # CX6


def test_the_venues_own_figures_decide_the_usage() -> None:
    scene = paired(m=D("0.2"))
    report = AccountReport("binanceusdm", NOW, 0, {}, frozenset(), MarginReport(D(1000), D(-200), D(200)))
    book = replace(scene.book, reports={"binanceusdm": report})
    assert build_exposure(book, scene.market).margins[0].usage == D("0.25")


def test_an_account_without_equity_is_used_up() -> None:
    assert paired(m=D("-0.1")).exposure.margins[0].usage == 1


@pytest.mark.feature("K01", part="cex")
def test_money_in_transit_counts_in_equity_and_delta() -> None:
    extra = {PositionKey("binance:transit:USDT"): D(500), PositionKey("binance:transit:BTC"): D("0.1")}
    exposure = paired(extra=extra).exposure
    assert exposure.net_delta["BTC"] == D("0.1")
    assert exposure.equity_usdt == 84_000 + 500 + 6_000


def test_a_fee_coin_is_worth_its_mid() -> None:
    scene = paired(extra={BNB: D("0.5")})
    exposure = build_exposure(scene.book, with_bnb(scene.market))
    assert exposure.equity_usdt == 84_000 + 250
    assert exposure.net_delta["BNB"] == D("0.5")


def test_a_coin_that_is_held_without_a_price_makes_equity_unknown_and_is_named() -> None:
    exposure = paired(extra={BNB: D("0.5")}).exposure
    assert exposure.equity_usdt is None
    assert exposure.unknown == ("price:BNB",)
    assert paired(extra={BNB: D(0)}).exposure.equity_usdt == 84_000


def test_a_short_without_a_mark_makes_equity_unknown() -> None:
    scene = paired()
    exposure = build_exposure(scene.book, replace(scene.market, marks={}))
    assert (exposure.equity_usdt, exposure.margins) == (None, ())
    assert exposure.unknown == (f"mark:{PERP}",)


def test_a_short_whose_tiers_were_not_read_has_no_margin_state_and_no_known_equity() -> None:
    scene = paired()
    instruments = {**scene.market.instruments, PERP: perp_instrument(tiers=())}
    exposure = build_exposure(scene.book, replace(scene.market, instruments=instruments))
    assert exposure.equity_usdt is None
    assert exposure.unknown == (f"tiers:{PERP}",)


def test_one_price_for_all_venues_from_the_mids_that_are_fresh() -> None:
    scene = Scene(parameters(BINANCE, BYBIT), {})
    other = PositionKey("bybit:spot:BTC")
    books = {**scene.market.books, other: book_tick(other, D(61_000))}
    market = replace(scene.market, books=books)
    assert spot_prices(market)["BTC"] == 60_500
    stale = replace(market, ages={**market.ages, f"book:{other}": STALE})
    assert spot_prices(stale)["BTC"] == 60_000
    blind = replace(market, ages={})
    assert spot_prices(blind)["BTC"] == 60_500


def test_several_perps_of_one_account_do_not_lend_each_other_their_maintenance() -> None:
    scene = paired(m=D("0.4"))
    eth = perp_instrument(ETH_PERP, "ETH", mm="0.02")
    market = replace(
        scene.market,
        instruments={**scene.market.instruments, ETH_PERP: eth},
        marks={**scene.market.marks, ETH_PERP: mark_tick(ETH_PERP, D(3_000))},
    )
    held = {**scene.book.holdings, ETH_PERP: D(-10)}
    cost = {**scene.book.open_notional, ETH_PERP: D(-30_000)}
    states = {s.instrument: s for s in build_exposure(PositionBook(1, NOW, held, cost), market).margins}
    assert states[PERP].margin == 24_000 - 600
    assert states[ETH_PERP].margin == 24_000 - 600  # .01 of 60,000 and .02 of 30,000
    assert states[PERP].usage == D(1_200) / 24_000


@given(
    base=st.decimals(min_value=0, max_value=100, places=5),
    short=st.decimals(min_value=0, max_value=100, places=3),
    entry=st.decimals(min_value=1000, max_value=200_000, places=1),
    price=st.decimals(min_value=1000, max_value=200_000, places=1),
)
def test_equity_of_a_hedged_quantity_does_not_depend_on_the_price(
    base: Decimal, short: Decimal, entry: Decimal, price: Decimal
) -> None:
    scene = idle(D(1_000), price=price).holding(base=base, short=short, entry=entry, margin_wallet=D(500))
    exposure = scene.exposure
    assert exposure.equity_usdt == 1_500 + (base - short) * price + short * entry
    assert exposure.net_delta.get("BTC", D(0)) == base - short
    assert set(exposure.holdings) >= {SPOT, CASH, PERP}
