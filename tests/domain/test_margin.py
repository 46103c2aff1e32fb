"""Golden numbers of the margin ladder, to eight significant digits, and what must hold for every book."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import LiquidationSite, MarginState
from basis_daemon.domain.instrument import MarginTier
from basis_daemon.domain.margin import (
    Ladder,
    VenueFamily,
    acted_level,
    buy_back,
    capped_weights,
    ewma,
    ewma_weight,
    excess,
    hours_to_consume,
    liquidation_sites,
    long_distance,
    maintenance_of,
    maintenance_rate,
    nearest_first,
    normalised_usage,
    pair_target,
    ratio_after_move,
    required_ratio,
    rise_to_ratio,
    short_distance,
    target_ratio,
    top_up,
    top_up_from_long,
    weight_drift,
)
from tests.builders import PERP, D, perp_instrument, signs

LADDER = Ladder()
MM = D("0.01")


@pytest.mark.feature("K03")
@pytest.mark.parametrize(
    ("golden", "found", "expected"),
    [
        ("BB1 N", pair_target(D(100_000), D(1), D("0.4"), D(60_000)).notional, "71428.571"),
        ("BB1 spot", pair_target(D(100_000), D(1), D("0.4"), D(60_000)).quantity, "1.1904762"),
        ("BB1 Q Binance", pair_target(D(100_000), D("0.4"), D("0.4"), D(60_000)).quantity, "0.47619048"),
        ("BB1 margin Binance", pair_target(D(100_000), D("0.4"), D("0.4"), D(60_000)).margin, "11428.571"),
        ("BB1 Q Bybit", pair_target(D(100_000), D("0.3"), D("0.4"), D(60_000)).quantity, "0.35714286"),
        ("BB1 margin Bybit", pair_target(D(100_000), D("0.3"), D("0.4"), D(60_000)).margin, "8571.4286"),
        ("BB2 m .25", pair_target(D(1), D(1), D("0.25"), D(1)).notional, "0.8"),
        ("BB2 m .35", pair_target(D(1), D(1), D("0.35"), D(1)).notional, "0.74074074"),
        ("BB2 m .50", pair_target(D(1), D(1), D("0.50"), D(1)).notional, "0.66666667"),
        ("CX1 m'", ratio_after_move(D("0.4"), D("0.15")), "0.2173913"),
        ("CX1 d before", short_distance(D("0.4"), MM), "0.38613861"),
        ("CX1 d after", short_distance(ratio_after_move(D("0.4"), D("0.15")), MM), "0.20533793"),
        ("CX2 a", short_distance(D("0.5"), MM), "0.48514851"),
        ("CX2 b", short_distance(D("0.25"), D("0.005")), "0.24378109"),
        ("CX2 c", short_distance(D("0.2"), MM), "0.18811881"),
        ("CX2 e", short_distance(D(1), MM), "0.98019802"),
        ("CX3 BTC", required_ratio(D(1), D("0.20"), MM), "0.212"),
        ("CX3 ETH", required_ratio(D(1), D("0.25"), MM), "0.2625"),
        ("CX4 X", top_up_from_long(D("0.5"), D(250) / 3, D(50) / 3), "16.666667"),
        ("CX5 m'", ratio_after_move(D("0.5"), D("-0.2")), "0.875"),
        ("CX5 X", excess(D("0.5"), D(160) / 3, D(140) / 3), "13.333333"),
        ("CX6 usage", MM * (D(250) / 3) / (D(50) / 3), "0.05"),
        ("CX6 Binance", normalised_usage(VenueFamily.BINANCE, D("0.05")), "0.05"),
        ("CX6 Bybit", normalised_usage(VenueFamily.BYBIT, D("0.05")), "0.05"),
        ("CX6 OKX", normalised_usage(VenueFamily.OKX, D(20)), "0.05"),
        ("CX7 m1", required_ratio(LADDER.z_restore, D("0.25"), MM), "0.28775"),
        ("CX7 top-up", required_ratio(LADDER.z_topup, D("0.25"), MM), "0.2625"),
        ("CX7 reduce", required_ratio(LADDER.z_reduce, D("0.25"), MM), "0.13625"),
        ("CX7 emergency", required_ratio(LADDER.z_emergency, D("0.25"), MM), "0.073125"),
        ("CX8 m1", required_ratio(LADDER.z_restore, D("0.20"), MM), "0.2322"),
        ("CX8 top-up", required_ratio(LADDER.z_topup, D("0.20"), MM), "0.212"),
        ("CX8 reduce", required_ratio(LADDER.z_reduce, D("0.20"), MM), "0.111"),
        ("CX8 emergency", required_ratio(LADDER.z_emergency, D("0.20"), MM), "0.0605"),
        ("CX9 Y", buy_back(D("0.28775"), D(100), D(6), D("0.0006")), "79.313947"),
        ("CX10 X0", top_up(D("0.5"), D(250) / 3, D(50) / 3), "25"),
        ("CX11 z", short_distance(D("0.12"), MM) / D("0.25"), "0.43564356"),
        ("CX11 X", top_up_from_long(D("0.4"), D(100), D(12)), "20"),
        ("MS1 ETH mm .01", target_ratio(D("0.4"), D("0.25"), MM, D("1.5")), "0.4"),
        ("MS1 ETH mm .02", target_ratio(D("0.4"), D("0.25"), D("0.02"), D("1.5")), "0.4025"),
        ("MS1 BTC mm .05", target_ratio(D("0.4"), D("0.20"), D("0.05"), D("1.5")), "0.4"),
        ("MS1 staked mm .10", target_ratio(D("0.5"), D("0.25"), D("0.10"), D("1.5")), "0.5125"),
        ("AL1 h 8", ewma_weight(D(8), D(72)), "0.074125288"),
        ("AL1 h 4", ewma_weight(D(4), D(72)), "0.037776163"),
        ("AL1 h 1", ewma_weight(D(1), D(72)), "0.0095808525"),
        ("WN1 BTC", ratio_after_move(D("0.4"), D("73949.0") / D("61184.1") - 1), "0.15833534"),
        ("WN1 ETH", ratio_after_move(D("0.4"), D("4098") / D("3342.46") - 1), "0.14188482"),
        ("WN2", ratio_after_move(D("0.5"), D("-0.2380162065236734")), "0.9685458"),
        ("WN3 ETH", rise_to_ratio(D("0.5"), D("0.2625")), "0.18811881"),
        ("WN3 BTC", rise_to_ratio(D("0.4"), D("0.212")), "0.15511551"),
        ("WN4 BTC", D("0.031402") / D("1.4"), "0.02243"),
        ("ML7 long", -long_distance(D("0.5"), MM), "-0.49494949"),
    ],
)
def test_golden_margin_numbers_hold_to_eight_digits(golden: str, found: Decimal, expected: str) -> None:
    assert signs(found) == expected, golden


def test_time_to_consume_a_distance_at_three_sigma() -> None:
    calm, wild = hours_to_consume(D("0.25"), D("0.015")), hours_to_consume(D("0.25"), D("0.045"))
    assert calm is not None
    assert wild is not None
    assert (signs(calm / 4), signs(wild / 4)) == ("7.7160494", "0.85733882")  # CX12
    assert hours_to_consume(D("0.25"), None) is None
    assert hours_to_consume(D("0.25"), D(0)) is None
    assert hours_to_consume(D("-0.01"), D("0.015")) == 0


def test_two_venues_alone_are_capped_and_not_scaled_up_again() -> None:
    weights = capped_weights({"binance": D("0.4"), "bybit": D("0.3")}, D("0.5"))
    assert {name: signs(weight) for name, weight in weights.items()} == {"binance": "0.5", "bybit": "0.42857143"}
    assert signs(sum(weights.values()) / D("1.4")) == "0.66326531"  # VC1


def test_weight_drift_of_three_shorts() -> None:
    drift = weight_drift([D("0.50"), D("0.35"), D("0.34")], [D("0.4"), D("0.3"), D("0.3")])
    assert signs(max(abs(part) for part in drift) * 60_000 / 100_000) == "0.0144"  # LD1
    assert sum(drift) == 0
    assert signs(D(3000) / D("1.4")) == signs(pair_target(D(3000), D(1), D("0.4"), D(1)).notional) == "2142.8571"


def test_a_site_acts_one_level_worse_when_nothing_can_restore_it() -> None:
    assert [acted_level(level, is_restorable=False) for level in range(4)] == [0, 2, 3, 3]
    assert [acted_level(level, is_restorable=True) for level in range(4)] == [0, 1, 2, 3]


def test_a_boundary_belongs_to_the_milder_level() -> None:
    edges = (D(1), D("0.5"), D("0.25"))
    assert [LADDER.level(z) for z in edges] == [0, 1, 2]
    assert [LADDER.level(z - D("1e-20")) for z in edges] == [1, 2, 3]


def test_sites_are_ranked_by_level_and_then_by_shocks_not_by_percent() -> None:
    eth = LiquidationSite("binanceusdm", "ETH/USDT", D("0.485"), D("1.94"), 0)
    emode = LiquidationSite("aave_v3", "LST/ETH", D("0.10526316"), D("4.21"), 0)
    worst = LiquidationSite("bybit", "ETH/USDT", D("0.3"), D("1.2"), 2)
    assert nearest_first([emode, eth, worst]) == (worst, eth, emode)


def test_a_site_whose_shock_is_unknown_does_not_look_safe() -> None:
    state = MarginState("a", PERP, "DOGE", D(-1), D(1), D(1), MM, D(0))
    with pytest.raises(KeyError):
        liquidation_sites([state], {"BTC": D("0.2")}, LADDER)


def test_long_and_short_accounts_are_both_sites_and_a_flat_one_is_none() -> None:
    states = [
        MarginState("long", PERP, "BTC", D(1), D(100), D(50), MM, D(0)),
        MarginState("short", PERP, "BTC", D(-1), D(100), D(20), MM, D(0)),
        MarginState("flat", PERP, "BTC", D(0), D(100), D(20), MM, D(0)),
    ]
    sites = liquidation_sites(states, {"BTC": D("0.2")}, LADDER)
    assert [(site.site, site.level) for site in sites] == [("short", 1), ("long", 0)]


def test_the_tier_follows_the_notional_and_its_deduction_makes_the_requirement_continuous() -> None:
    tiers = (
        MarginTier(D(0), D(50_000), D("0.004"), D(0), D(125)),
        MarginTier(D(50_000), D(250_000), D("0.005"), D(50), D(100)),
    )
    perp = perp_instrument(tiers=tiers)
    assert maintenance_rate(perp, D(50_000)) == D("0.004")
    assert maintenance_rate(perp, D("50000.01")) == D("0.005")
    assert maintenance_rate(perp, D(9_000_000)) == D("0.005")
    assert maintenance_of(perp, D(50_000)) == D(200) == D(50_000) * D("0.005") - 50
    with pytest.raises(ValueError, match="no margin tiers"):
        maintenance_rate(perp_instrument(tiers=()), D(1))


def test_an_average_is_seeded_with_its_first_value() -> None:
    assert ewma(None, D("0.0003"), D("0.07")) == D("0.0003")


money = st.decimals(min_value=D(1), max_value=D(10_000_000), places=2)
ratios = st.decimals(min_value=D("-0.2"), max_value=D("0.3"), places=6)


@given(notional=money, m=ratios, m_star=st.decimals(min_value=D("0.39"), max_value=D(1), places=3))
def test_a_top_up_restores_the_target_whatever_the_book(notional: Decimal, m: Decimal, m_star: Decimal) -> None:
    margin = m * notional
    x0, x = top_up(m_star, notional, margin), top_up_from_long(m_star, notional, margin)
    if x0 < notional:
        assert abs((margin + x0) / notional - m_star) < D("1e-30")
    assert abs((margin + x) / (notional - x) - m_star) < D("1e-30")
    assert 0 <= x <= x0 <= notional


@given(notional=money, m=ratios, cost=st.decimals(min_value=D(0), max_value=D("0.02"), places=4))
def test_a_buy_back_without_transfer_ends_at_z_restore(notional: Decimal, m: Decimal, cost: Decimal) -> None:
    m1 = required_ratio(LADDER.z_restore, D("0.25"), MM)
    y = buy_back(m1, notional, m * notional, cost)
    if 0 < y < notional:
        assert abs((m * notional - cost * y) / (notional - y) - m1) < D("1e-30")
    assert 0 <= y <= notional
