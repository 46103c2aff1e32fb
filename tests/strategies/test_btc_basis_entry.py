"""When a BTC pair is opened, how large, and every comparison that keeps it from being opened."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.order import ExecutionMode, OnFail, OrderOperation, OrderType, Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.plan import batches
from tests.builders import (
    BINANCE,
    BYBIT,
    CASH,
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
    executed,
    idle,
    paired,
    parameters,
    trades_of,
    why_not,
)

ENTRY = ReasonCode.ENTRY


@pytest.mark.feature("S03")
def test_a_book_of_cash_moves_margin_and_then_opens_both_legs_at_once() -> None:
    transfer, spot, perp = idle().orders()
    assert transfer.operation is OrderOperation.TRANSFER
    assert (transfer.token_in, transfer.recipient, transfer.network) == (CASH, "binanceusdm", "internal")
    assert transfer.expected_deltas == {CASH: -transfer.quantity, MARGIN: transfer.quantity}
    assert (spot.instrument, spot.side, perp.instrument, perp.side) == (SPOT, Side.BUY, PERP, Side.SELL)
    assert spot.group_id == perp.group_id is not None
    assert spot.group_id != transfer.group_id
    for order in (spot, perp):
        assert (order.execution_mode, order.on_fail) == (ExecutionMode.PARALLEL, OnFail.COMPLETE_MARKETABLE)
        assert (order.order_type, order.ref_price, order.ref_time) == (OrderType.MARKET, D(60_000), NOW)
        assert order.max_slippage_bp == 10
        assert order.timeout_s == 20
    assert [len(batch.orders) for batch in batches(idle().orders())] == [1, 2]


def test_order_and_group_ids_follow_from_book_epoch_decision_and_leg() -> None:
    orders = idle().orders()
    assert [order.order_id for order in orders] == [
        order_id("test-book", 3, "btc_basis", 7, leg, 0, 0) for leg in range(3)
    ]
    later = idle(decision=8).orders()
    assert {o.order_id for o in orders}.isdisjoint(o.order_id for o in later)
    assert {o.group_id for o in orders if o.group_id}.isdisjoint(o.group_id for o in later)


def test_the_pair_is_the_golden_size_less_what_costs_may_take() -> None:
    _, spot, perp = idle().orders()
    assert D("1.1904762") * D("0.995") < perp.quantity <= D("1.1904762")  # BB1
    received = spot.quantity * (1 - D("0.001"))
    assert 0 <= received - perp.quantity < D("0.00001")  # the fee is taken in BTC: more is ordered than is shorted


def test_spot_is_never_bought_with_all_equity() -> None:
    transfer, spot, perp = idle().orders()
    assert transfer.quantity >= D("0.4") * perp.quantity * 60_000
    assert spot.quantity * 60_000 < D(72_000)


@pytest.mark.parametrize(
    ("scene", "why"),
    [
        (idle(rates={"binance": (POOR,) * 30}), "net APR below 0.040"),
        (idle(rates={"binance": (NEGATIVE,) * 30}), "f_hat -0.0003 <"),
        (idle(rates={"binance": (RICH,) * 20}), "20 settlements known, 21 needed"),
        (idle(rates={"binance": (NEGATIVE,) * 28 + (D("0.01"),) * 2}), "not at 3 settlements in a row"),
        (idle(predicted=POOR), "predicted 0.00005 <"),
        (idle(mark=D(59_900)), "basis -16.6667 bp < -10"),
        (idle(depth=D("0.1")), "depth 6000 USDT within 20 bp < clip 25000"),
        (idle(D(120)), "carry no pair of the minimum size"),
    ],
)
@pytest.mark.feature("S03")
def test_no_pair_is_opened_while_a_comparison_of_the_gate_fails(scene: Scene, why: str) -> None:
    found = scene.assess()
    assert found.reason is ReasonCode.HOLD
    assert why in why_not(found, ENTRY)
    assert scene.orders() == []


def test_negative_funding_of_the_same_size_never_counts_as_carry() -> None:
    assert idle(rates={"binance": (RICH,) * 30}).orders()
    assert not idle(rates={"binance": (-RICH,) * 30}, predicted=-RICH).orders()


def test_without_recorded_predictions_the_settled_rates_decide_alone() -> None:
    scene = Scene(parameters(uses_prediction=False), {"binance": Holding(cash=D(100_000))}, predicted=NEGATIVE)
    assert scene.assess().reason is ENTRY


def test_a_venue_share_left_in_cash_by_the_cap_stays_in_cash() -> None:
    scene = Scene(parameters(BINANCE, venue_cap=D("0.5")), {"binance": Holding(cash=D(100_000))})
    after = executed(scene, scene.orders())
    assert D(49_000) < after.holdings["binance"].cash < D(51_000)
    assert after.assess().reason is ReasonCode.HOLD


def test_two_venues_with_a_passing_gate_are_opened_in_one_plan() -> None:
    held = {name: Holding(cash=D(50_000)) for name in ("binance", "bybit")}
    scene = Scene(parameters(BINANCE, BYBIT), held)
    orders = scene.orders()
    assert [o.operation.value for o in orders] == ["transfer", *["spot_trade", "perp_trade"] * 2]  # Bybit is unified
    assert len({o.group_id for o in orders if o.group_id}) == 2
    after = executed(scene, orders, D(10))
    assert all(state.margin / state.notional >= D("0.4") for state in after.exposure.margins)


def test_money_on_the_wallet_travels_first_when_there_is_a_route() -> None:
    venue = BINANCE.model_copy(update={"network": "ethereum", "withdrawal_fee_usdt": D(5)})
    scene = Scene(parameters(venue), {}, wallet=D(50_000))
    first = scene.orders()[0]
    assert (first.venue, first.recipient, first.network) == ("wallet", "binance", "ethereum")
    assert first.quantity == 50_000
    assert not Scene(parameters(BINANCE), {}, wallet=D(50_000)).orders()


def test_idle_cash_beyond_the_drift_limit_goes_into_the_standing_pair() -> None:
    scene = paired(cash=D(5_000))
    found = scene.assess()
    assert found.reason is ReasonCode.SCALE
    transfer, _, perp = scene.orders()
    assert abs(perp.quantity * 60_000 - D(5_000) / D("1.4")) < 90  # LD1: cash / (1 + m*)
    assert abs(transfer.quantity - D("0.4") * perp.quantity * 60_000) < 10
    small = paired(cash=D(1_000)).assess()
    assert "unassigned 0.0117647 <= leg_drift 0.020" in why_not(small, ReasonCode.SCALE)


def test_an_entry_that_ended_early_is_completed_with_the_margin_it_had_sent() -> None:
    scene = idle()
    transfer, spot, perp = scene.orders()
    half = [
        transfer,
        spot.model_copy(update={"amount": D("0.594")}),
        perp.model_copy(update={"amount": D("0.593")}),
    ]
    after = executed(scene, half).but(remember=lambda memory: replace(memory, is_unfinished=True))
    assert after.assess().reason is ReasonCode.SCALE
    done = executed(after, after.orders())
    short, whole = done.holdings["binance"].short, perp.quantity
    assert abs(short - whole) <= D("0.003")


def test_nothing_is_opened_where_a_leg_was_reduced_within_a_day() -> None:
    recent = NOW - timedelta(hours=23)
    scene = idle(remember=lambda memory: replace(memory, legs={f"{PERP} BUY": recent}))
    assert "was reduced within 24 h" in why_not(scene.assess(), ENTRY)
    old = NOW - timedelta(hours=24)
    assert idle(remember=lambda memory: replace(memory, legs={f"{PERP} BUY": old})).orders()


def test_a_venue_that_was_forced_to_reduce_is_not_entered_for_a_day() -> None:
    frozen = idle(
        remember=lambda memory: replace(
            memory,
            venues={n: replace(v, frozen_until=NOW + timedelta(hours=1)) for n, v in memory.venues.items()},
        )
    )
    assert "is frozen until" in why_not(frozen.assess(), ENTRY)
    halted = idle().risky(halted_until={"binanceusdm": NOW + timedelta(hours=1)})
    assert "is frozen until" in why_not(halted.assess(), ENTRY)


def test_a_pending_withdrawal_is_not_invested() -> None:
    scene = idle().risky(withdrawal_pending_usdt=D(40_000))
    _, _, perp = scene.orders()
    assert perp.quantity * 60_000 * D("1.4") < 60_000


prices = st.decimals(min_value=D(5_000), max_value=D(250_000), places=2)
capitals = st.decimals(min_value=D(1_000), max_value=D(20_000_000), places=2)


@given(price=prices, capital=capitals, slip=st.sampled_from([D(0), D(3), D(10)]), basis=st.integers(-9, 40))
@pytest.mark.slow
def test_whatever_the_fills_inside_their_bounds_delta_is_a_step_and_margin_at_least_the_target(
    price: Decimal, capital: Decimal, slip: Decimal, basis: int
) -> None:
    mark = price * (1 + D(basis) / 10_000)
    scene = idle(capital, price=price, mark=mark, depth=D(10_000))
    orders = scene.orders()
    if not orders:
        assert "minimum size" in why_not(scene.assess(), ENTRY)
        return
    after = executed(scene, orders, slip)
    held = after.holdings["binance"]
    assert held.cash >= 0
    assert held.margin_wallet >= 0
    assert 0 <= after.exposure.net_delta["BTC"] < D("0.00001")
    state = after.exposure.margins[0]
    assert state.margin / state.notional >= D("0.4")
    assert {leg for leg, _, _ in trades_of(after.orders())} == set()
