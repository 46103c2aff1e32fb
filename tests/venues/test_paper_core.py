"""The arithmetic of matching and margin, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from basis_daemon.domain.instrument import MarginTier
from basis_daemon.domain.order import Side
from basis_daemon.venues.paper.margin_core import (
    PerpHolding,
    cut,
    funding_cash,
    is_liquidated,
    margin_report,
    perp_booking,
    spot_booking,
    withdrawable,
)
from basis_daemon.venues.paper.matching import Depth, Fill, limit_of
from tests.venues.paper_support import CASH, COIN, MARGIN, PERP, PERP_BTC, SPOT_BTC, D, trade_order

ASKS = ((D(60_000), D("0.5")), (D(60_010), D("0.3")), (D(60_100), D(1)))
BIDS = ((D(59_990), D("0.5")), (D(59_900), D(1)))


def test_a_buyer_walks_the_asks_best_first_and_stops_at_the_limit() -> None:
    depth = Depth(BIDS, ASKS)
    assert depth.fillable(Side.BUY, D(60_060)) == D("0.8")
    assert depth.take(Side.BUY, D(1), D(60_060)) == (Fill(D(60_000), D("0.5")), Fill(D(60_010), D("0.3")))
    assert depth.fillable(Side.BUY) == D(1)


def test_what_was_taken_is_gone_until_the_next_tick() -> None:
    depth = Depth(BIDS, ASKS)
    depth.take(Side.SELL, D("0.2"), D(59_990))
    assert depth.take(Side.SELL, D(1), D(59_990)) == (Fill(D(59_990), D("0.3")),)
    assert depth.take(Side.SELL, D(1), D(59_990)) == ()


def test_a_resting_buy_fills_at_its_own_price_with_what_reached_it() -> None:
    depth = Depth((), ((D(59_890), D("0.1")), (D(59_900), D("0.3")), (D(59_901), D(5))))
    assert depth.take_resting(Side.BUY, D(1), D(59_900)) == Fill(D(59_900), D("0.4"), is_maker=True)
    assert depth.take_resting(Side.BUY, D(1), D(59_900)) is None


@pytest.mark.parametrize(
    ("side", "reference", "band_bp", "limit"),
    [
        (Side.BUY, "60000", "10", "60060.0"),
        (Side.BUY, "60001", "7", "60043.0"),  # 60043.0007, cut inwards to the tick
        (Side.SELL, "60000", "10", "59940.0"),
        (Side.SELL, "60001", "7", "59959.0"),  # 59958.9993
    ],
)
def test_a_market_order_is_bounded_by_its_band(side: Side, reference: str, band_bp: str, limit: str) -> None:
    order = trade_order(PERP, side, "1", ref_price=D(reference), max_slippage_bp=D(band_bp))
    assert limit_of(order, PERP_BTC) == D(limit)


def test_a_spot_buyer_pays_the_fee_out_of_the_coin_and_a_seller_out_of_the_proceeds() -> None:
    bought = spot_booking(Fill(D(60_000), D("0.5")), Side.BUY, SPOT_BTC)
    assert bought.deltas == {COIN: D("0.4995"), CASH: D(-30_000)}
    assert [(fee.asset, fee.quantity) for fee in bought.fees] == [("BTC", D("0.0005"))]
    sold = spot_booking(Fill(D(60_000), D("0.5"), is_maker=True), Side.SELL, SPOT_BTC)
    assert sold.deltas == {COIN: D("-0.5"), CASH: D(29_976)}
    assert [(fee.asset, fee.quantity) for fee in sold.fees] == [("USDT", D(24))]


def test_a_perp_moves_cash_by_realised_profit_and_fee_only() -> None:
    opened = perp_booking(Fill(D(60_000), D("0.5")), Side.SELL, PERP_BTC, D(0), D(0))
    assert opened.deltas == {PERP: D("-0.5"), MARGIN: D(-15)}
    assert (opened.cost_change, opened.realised) == (D(-30_000), D(0))
    closed = perp_booking(Fill(D(59_000), D("0.2")), Side.BUY, PERP_BTC, D("-0.5"), D(-30_000))
    assert closed.realised == D(200)
    assert closed.deltas == {PERP: D("0.2"), MARGIN: D("194.1")}
    assert closed.cost_change == D(12_000)


def test_netting_keeps_open_notional_so_that_no_average_price_is_rounded() -> None:
    """1 at 60,000 and 2 at 60,100 cost 180,200; selling 1 realises a third of that, exactly to 1e-18."""
    sold = perp_booking(Fill(D(60_200), D(1)), Side.SELL, PERP_BTC, D(3), D(180_200))
    assert sold.realised == D(60_200) - D("60066.666666666666666667")
    rest = D(180_200) + sold.cost_change
    closed = perp_booking(Fill(D(60_200), D(2)), Side.SELL, PERP_BTC, D(2), rest)
    assert sold.realised is not None
    assert closed.realised is not None
    assert sold.realised + closed.realised == 3 * D(60_200) - D(180_200)
    assert rest + closed.cost_change == 0


def test_a_fill_across_zero_closes_and_opens_anew() -> None:
    flipped = perp_booking(Fill(D(60_200), D("1.5")), Side.SELL, PERP_BTC, D(1), D(60_000))
    assert flipped.realised == D(200)
    assert D(60_000) + flipped.cost_change == D("-0.5") * D(60_200)


@pytest.mark.parametrize(("rate", "cash"), [("0.0003", "21.96"), ("-0.00006859", "-5.020788")])
def test_a_short_receives_positive_funding_on_its_mark_and_pays_negative(rate: str, cash: str) -> None:
    assert funding_cash(D("-1.2"), D(61_000), D(rate)) == D(cash)  # golden BB6


def test_cash_has_at_most_eighteen_decimals() -> None:
    assert cut(D("1.23")) == D("1.23")
    assert str(cut(D("1.23"))) == "1.23"
    assert cut(D("0.1234567890123456789")) == D("0.123456789012345679")


@pytest.mark.parametrize(
    ("mark", "maintenance", "initial"),
    [("60000", "250", "600"), ("50000", "200", "400"), ("600000", "4700", "12000"), ("4000000", "38700", "80000")],
)
def test_maintenance_and_initial_margin_follow_the_tier_of_the_notional(
    mark: str, maintenance: str, initial: str
) -> None:
    held = PerpHolding(PERP_BTC, D(-1), D(-60_000), D(mark), D(125))
    assert (held.maintenance, held.initial) == (D(maintenance), D(initial))


@pytest.mark.parametrize(("margin", "rate", "distance"), [("0.25", "0.005", "0.24378109"), (".5", ".01", "0.48514851")])
def test_a_short_is_liquidated_at_its_distance_and_not_before(margin: str, rate: str, distance: str) -> None:
    """Golden CX2: d = (1+m)/(1+mm) - 1."""
    flat = replace(PERP_BTC, tiers=(MarginTier(D(0), D(10**9), D(rate), D(0), D(50)),))
    wallet = D(60_000) * D(margin)

    def usage(move: Decimal) -> bool:
        return is_liquidated(
            margin_report(wallet, [PerpHolding(flat, D(-1), D(-60_000), D(60_000) * (1 + move), D(125))])
        )

    assert not usage(D(distance) - D("1e-7"))
    assert usage(D(distance) + D("1e-7"))


def test_unrealised_profit_does_not_leave_and_unrealised_loss_stays_covered() -> None:
    won, lost = (PerpHolding(PERP_BTC, D(-1), D(-cost), D(60_000), D(125)) for cost in (61_000, 58_000))
    assert withdrawable(D(10_000), [won]) == D(9_400)
    assert withdrawable(D(10_000), [lost]) == D(7_400)
