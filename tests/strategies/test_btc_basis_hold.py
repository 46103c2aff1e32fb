"""What a standing BTC pair does about carry, cash, margin excess and withdrawals, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.order import Side
from basis_daemon.strategies.memory import BasisMemory
from basis_daemon.strategies.rebalance import unwind_share
from tests.builders import (
    BINANCE,
    BYBIT,
    MARGIN,
    NEGATIVE,
    NOW,
    PERP,
    POOR,
    RICH,
    SPOT,
    D,
    Holding,
    Scene,
    calm_day,
    executed,
    paired,
    parameters,
    trades_of,
    why_not,
)

R = ReasonCode


@pytest.mark.feature("S13")
def test_a_hold_names_every_rule_that_was_looked_at_and_what_stopped_it() -> None:
    found = paired().assess()
    assert found.reason is R.HOLD
    assert [item.rule for item in found.rejected] == [
        *(R.LIQ_TOPUP, R.DRAWDOWN, R.DELTA, R.STALE, R.IN_FLIGHT, R.DELTA, R.WITHDRAWAL, R.DUST),
        *(R.CARRY_EXIT, R.LEG_DRIFT, R.SCALE, R.MARGIN_EXCESS, R.ROTATE, R.ENTRY),
    ]
    assert all(item.why for item in found.rejected)
    assert "z 1.9307 >= 1" in why_not(found, R.LIQ_TOPUP)
    assert found.inputs[f"mark:{PERP}"].value == 60_000
    assert found.inputs[f"mark:{PERP}"].age_s == D("0.1")
    assert found.thresholds["m_star:binance"] == D("0.40")


@pytest.mark.feature("S11")
def test_equal_questions_get_equal_answers_and_leave_the_question_alone() -> None:
    scene = paired(m=D("0.2"))
    market, exposure, strategy = scene.market, scene.exposure, scene.strategy
    before = (repr(market), repr(exposure))
    question = (scene.time, "market", market, exposure, scene.risk)
    assert strategy.assess(*question) == scene.strategy.assess(*question)
    assert strategy.make_strategy_decision(*question) == scene.strategy.make_strategy_decision(*question)
    assert (repr(market), repr(exposure)) == before


def test_a_price_move_is_not_leg_drift() -> None:
    for price in (D(52_000), D(64_000), D(68_000)):
        moved = paired(entry=D(60_000), price=price, m=(D("0.4") * 60_000 - (price - 60_000)) / price)
        assert moved.assess().reason is R.HOLD


@pytest.mark.feature("S04")
def test_a_carry_that_stays_below_the_hurdle_for_three_settlements_closes_both_legs_and_brings_margin_home() -> None:
    scene = paired(rates={"binance": (POOR,) + (NEGATIVE,) * 30})
    assert scene.assess().reason is R.CARRY_EXIT
    assert trades_of(scene.orders()) == [
        ("perp_trade", "BUY", D(1)),
        ("spot_trade", "SELL", D(1)),
        ("transfer", "binance", D("23910.00")),
    ]
    perp, spot, _ = scene.orders()
    assert perp.reduce_only
    assert perp.group_id == spot.group_id
    after = executed(scene, scene.orders(), D(10))
    assert after.exposure.net_delta.get("BTC", 0) == 0
    assert after.assess().reason is R.HOLD


def test_carry_must_fail_at_every_one_of_three_settlements_before_the_pair_leaves() -> None:
    base = (D("0.00001"),) * 30
    dip = paired(rates={"binance": (*base, NEGATIVE)})
    assert dip.assess().reason is R.HOLD
    assert paired(rates={"binance": base + (NEGATIVE,) * 3}).assess().reason is R.CARRY_EXIT


def test_a_negative_prediction_alone_never_causes_an_exit() -> None:
    assert paired(predicted=NEGATIVE).assess().reason is R.HOLD


def test_a_residue_of_the_long_leg_is_sold_with_the_exit() -> None:
    scene = paired(rates={"binance": (NEGATIVE,) * 30}).holding(base=D("1.005"))
    assert trades_of(scene.orders())[:3] == [
        ("perp_trade", "BUY", D(1)),
        ("spot_trade", "SELL", D(1)),
        ("spot_trade", "SELL", D("0.005")),
    ]  # what no short stands against is sold alone, and both sales together are not more than there is


@pytest.mark.parametrize("withdrawn", [D(8_400), D(20_000)])
def test_a_withdrawal_unwinds_every_leg_and_its_margin_by_one_share(withdrawn: Decimal) -> None:
    scene = paired().risky(withdrawal_pending_usdt=withdrawn)
    assert scene.assess().reason is R.WITHDRAWAL
    after = executed(scene, scene.orders(), D(10))
    assert after.holdings["binance"].cash >= withdrawn
    rho = withdrawn / D(84_000)
    assert abs(after.holdings["binance"].short - (1 - rho)) < D("0.003")  # BB7
    state = after.exposure.margins[0]
    assert abs(state.margin / state.notional - D("0.4")) < D("0.004")
    assert after.assess().reason is R.HOLD


def test_a_tenth_of_the_equity_is_a_tenth_of_every_leg() -> None:
    """BB7 on the book of BB1: 100,000 USDT at 60,000 and m .40 are 1.1904762 coins on either side."""
    rho = unwind_share(D(10_000), D(100_000))
    assert round(rho * D(100_000) / D("1.4") / D(60_000), 8) == D("0.11904762")


def test_money_for_a_withdrawal_that_lies_as_margin_of_no_position_comes_home_first() -> None:
    scene = Scene(parameters(), {"binance": Holding(cash=D(100_000), margin_wallet=D(30_000))})
    scene = scene.risky(withdrawal_pending_usdt=D(110_000))
    assert scene.assess().reason is R.WITHDRAWAL
    (order,) = scene.orders()
    assert (order.operation, order.instrument, order.quantity) == ("transfer", MARGIN, D(10_000))


def test_a_withdrawal_that_free_cash_covers_touches_no_leg() -> None:
    scene = paired(cash=D(9_000)).risky(withdrawal_pending_usdt=D(8_400))
    assert "free cash covers" in why_not(scene.assess(), R.WITHDRAWAL)


def with_day(spread: str) -> Scene:
    def remember(memory: BasisMemory) -> BasisMemory:
        return calm_day(memory, spread=D(spread))

    return paired(D(2), m=D("0.65"), remember=remember)


def test_margin_beyond_half_again_the_target_goes_back_into_the_pair_on_a_calm_day() -> None:
    scene = with_day("0.02")
    assert scene.assess().reason is R.MARGIN_EXCESS
    transfer, spot, perp = scene.orders()
    assert (transfer.venue, transfer.recipient) == ("binanceusdm", "binance")
    assert abs(perp.quantity * 60_000 - (D("0.65") - D("0.4")) * 120_000 / D("1.4")) < 150
    assert spot.side is Side.BUY
    after = executed(scene, scene.orders(), D(10))
    state = after.exposure.margins[0]
    assert abs(state.margin / state.notional - D("0.4")) < D("0.003")


@pytest.mark.parametrize(
    ("scene", "why"),
    [
        (with_day("0.081"), "range of 24 h 0.081, calm up to 0.08"),
        (paired(D(2), m=D("0.65")), "range of 24 h unknown"),
        (paired(D("0.4"), m=D("0.65"), remember=calm_day), "excess 4285.71 < min_chain_move_usdt 5000"),
        (with_day("0.02").but(rates={"binance": (POOR,) * 30}), "net APR 0.0078"),
        (paired(D(2), m=D("0.60"), remember=calm_day), "m 0.6 <= 0.6"),
        (
            with_day("0.02").but(
                remember=lambda memory: replace(calm_day(memory), legs={f"{SPOT} SELL": NOW - timedelta(hours=5)})
            ),
            "was reduced within 24 h",
        ),
    ],
)
def test_excess_margin_stays_where_it_is_unless_everything_speaks_for_moving_it(scene: Scene, why: str) -> None:
    found = scene.assess()
    assert found.reason is R.HOLD
    assert why in why_not(found, R.MARGIN_EXCESS)


def two(binance: Holding, bybit: Holding, /, **rates: Decimal) -> Scene:
    routed = [venue.model_copy(update={"network": "tron", "withdrawal_fee_usdt": D(1)}) for venue in (BINANCE, BYBIT)]
    series = {name: (rate,) * 30 for name, rate in rates.items()}
    return Scene(parameters(*routed, venue_cap=D("0.8")), {"binance": binance, "bybit": bybit}, rates=series)


def pair(quantity: str, m: str = "0.40") -> Holding:
    return Holding(margin_wallet=D(quantity) * 60_000 * D(m), base=D(quantity), short=D(quantity))


def test_a_pair_rotates_to_the_venue_whose_funding_pays_for_the_move() -> None:
    scene = two(pair("1"), pair("1"), binance=D("0.0001"), bybit=D("0.0003"))
    found = scene.assess()
    assert found.reason is R.ROTATE
    assert found.weights == {"binance": D("0.2"), "bybit": D("0.8")}
    names = [(order.operation.value, order.venue) for order in scene.orders()]
    assert names == [
        ("perp_trade", "binanceusdm"),
        ("spot_trade", "binance"),
        ("transfer", "binanceusdm"),
        ("transfer", "binance"),
        ("spot_trade", "bybit"),
        ("perp_trade", "bybit"),
    ]
    after = executed(scene, scene.orders(), D(10))
    assert abs(after.exposure.net_delta["BTC"]) < D("0.001")
    assert all(site.margin / site.notional >= D("0.39") for site in after.exposure.margins)


def test_no_rotation_for_a_difference_that_does_not_pay_nor_within_a_week_of_the_entry() -> None:
    near = two(pair("1"), pair("1"), binance=D("0.0003"), bybit=D("0.00033")).assess()
    assert "do not pay 0.0070" in why_not(near, R.ROTATE)
    young = two(pair("1"), pair("1"), binance=D("0.0001"), bybit=D("0.0003")).but(
        remember=lambda memory: replace(memory, entered_at=NOW - timedelta(days=6))
    )
    assert "within 7 d" in why_not(young.assess(), R.ROTATE)


def test_weight_drift_moves_perp_and_margin_between_venues() -> None:
    scene = two(pair("1.08", "0.6"), pair("0.92", "0.6"), binance=RICH, bybit=RICH)
    found = scene.assess()
    assert found.reason is R.LEG_DRIFT
    perps = [order for order in scene.orders() if order.operation.value == "perp_trade"]
    assert [(o.venue, o.side, o.reduce_only) for o in perps] == [
        ("binanceusdm", Side.BUY, True),
        ("bybit", Side.SELL, False),
    ]
    assert perps[0].quantity == perps[1].quantity == D("0.08")
    balanced = two(pair("1.01", "0.6"), pair("0.99", "0.6"), binance=RICH, bybit=RICH).assess()
    assert "<= leg_drift 0.020" in why_not(balanced, R.LEG_DRIFT)


@given(
    price=st.decimals(min_value=D(54_000), max_value=D(68_000), places=1),
    rate=st.decimals(min_value=D("0.0000070"), max_value=D("0.001"), places=7),
)
@pytest.mark.slow
def test_between_top_up_and_excess_a_hedged_pair_is_left_alone(price: Decimal, rate: Decimal) -> None:
    m = (D("0.4") * 60_000 - (price - 60_000)) / price
    scene = paired(entry=D(60_000), price=price, m=m, rates={"binance": (rate,) * 30}, predicted=rate)
    assert scene.orders() == []
