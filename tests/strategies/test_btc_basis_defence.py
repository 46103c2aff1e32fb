"""The rules that defend a BTC pair: liquidation, drawdown, delta, and what still works on a restricted book."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.order import Side
from basis_daemon.domain.position import Break, BreakKind
from tests.builders import (
    BINANCE,
    CASH,
    NOW,
    PERP,
    SPOT,
    D,
    Scene,
    executed,
    idle,
    paired,
    parameters,
    trades_of,
    why_not,
)

R = ReasonCode
BREAK = Break(CASH, D(1), D(2), D(1), BreakKind.UNKNOWN)
RESTRICTED = [
    {"is_killed": True},
    {"breaks": (BREAK,)},
    {"in_doubt": ("ab" * 16,)},
]


def ratio(scene: Scene) -> Decimal:
    state = scene.exposure.margins[0]
    return state.margin / state.notional


# ------------------------------------------------------------------------------------------------------- ladder
@pytest.mark.parametrize(
    ("m", "reason", "slip", "pages"),
    [("0.211", R.LIQ_TOPUP, 10, False), ("0.110", R.LIQ_REDUCE, 10, False), ("0.0604", R.LIQ_EMERGENCY, 100, True)],
)
def test_each_level_sells_the_long_leg_and_buys_back_as_much_until_the_target(
    m: str, reason: ReasonCode, slip: int, pages: bool
) -> None:
    scene = paired(m=D(m))
    found = scene.assess()
    assert (found.reason, found.page) == (reason, pages)
    perp, spot, transfer = scene.orders()
    x = (D("0.4") - D(m)) * 60_000 / D("1.4")
    assert perp.reduce_only
    assert (perp.side, spot.side, perp.max_slippage_bp) == (Side.BUY, Side.SELL, D(slip))
    assert perp.quantity == spot.quantity
    assert 0 <= perp.quantity - x / 60_000 < D("0.001")
    assert transfer.quantity <= x
    after = executed(scene, scene.orders())
    assert abs(ratio(after) - D("0.4")) < D("0.003")
    assert after.exposure.net_delta.get("BTC", D(0)) == 0


def test_above_the_top_up_level_nothing_happens() -> None:
    assert paired(m=D("0.2121")).assess().reason is R.HOLD


def test_idle_cash_on_the_exchange_is_used_before_the_pair_is_touched() -> None:
    scene = paired(m=D("0.2"), cash=D(15_000))
    assert trades_of(scene.orders()) == [("transfer", "binanceusdm", D("12000.00"))]
    assert ratio(executed(scene, scene.orders())) == D("0.4")


def test_cash_that_falls_short_is_used_and_only_the_rest_is_sold() -> None:
    scene = paired(m=D("0.2"), cash=D(11_000))
    perp, _, transfer = scene.orders()
    assert perp.quantity == D("0.012")  # (12000 - 11000) / 1.4 / 60000, rounded up to the step
    assert abs(transfer.quantity - D("11714.28")) <= D("0.01")


def test_money_that_comes_too_late_is_not_waited_for() -> None:
    venue = BINANCE.model_copy(update={"network": "ethereum", "route_eta_h": D(1)})
    scene = paired(m=D("0.2")).but(parameters=parameters(venue), wallet=D(50_000))
    assert [order.venue for order in scene.orders()] == ["wallet", "binance"]  # sigma unknown: any source will do
    assert with_sigma(scene, "0.02").orders()[0].venue == "wallet"  # a quarter of (.188 / .06)^2 h is 2.5 h
    assert with_sigma(scene, "0.04").orders()[0].instrument == PERP  # 0.6 h: the long leg here is sold instead


def test_a_level_under_way_is_not_repeated_but_a_worse_one_acts_at_once() -> None:
    scene = paired(m=D("0.2")).risky(defence_in_flight={"binanceusdm": 1})
    found = scene.assess()
    assert found.reason is R.IN_FLIGHT
    assert "level 1 is under way" in why_not(found, R.LIQ_TOPUP)
    worse = paired(m=D("0.1")).risky(defence_in_flight={"binanceusdm": 1}, plan_in_flight=True)
    assert worse.assess().reason is R.LIQ_REDUCE


def test_a_higher_maintenance_tier_brings_every_level_nearer() -> None:
    assert paired(m=D("0.22")).assess().reason is R.HOLD
    assert paired(m=D("0.22"), mm="0.02").assess().reason is R.LIQ_TOPUP


def with_sigma(scene: Scene, sigma: str) -> Scene:
    """The scene where hourly returns of the mark are known to spread so far."""
    return scene.but(
        remember=lambda memory: replace(
            memory, venues={n: replace(v, variance=D(sigma) ** 2) for n, v in memory.venues.items()}
        )
    )


@pytest.mark.parametrize(("sigma", "reason"), [(None, R.LIQ_REDUCE), ("0.01", R.LIQ_EMERGENCY)])
def test_without_a_long_leg_the_short_is_bought_back_to_the_restore_level(
    sigma: str | None, reason: ReasonCode
) -> None:
    scene = paired(m=D("0.1")).holding(base=D(0)).but(parameters=parameters(delta_hard=D("0.1")))
    scene = scene if sigma is None else with_sigma(scene, sigma)
    assert scene.assess().reason is reason  # nothing can restore m*: one level worse, once the time left is known
    (perp,) = scene.orders()
    assert perp.reduce_only
    y = (D("0.2322") - D("0.1")) * 60_000 / (D("0.2322") - D("0.0015"))
    assert 0 <= perp.quantity - y / 60_000 < D("0.001")


def test_a_stale_long_leg_is_waited_for_unless_it_is_an_emergency() -> None:
    stale = frozenset({f"book:{SPOT}"})
    waits = paired(m=D("0.1"), stale=stale)
    assert waits.assess().reason is R.STALE
    assert "waits for the long leg" in why_not(waits.assess(), R.LIQ_TOPUP)
    (perp,) = paired(m=D("0.05"), stale=stale).orders()
    assert (perp.instrument, perp.reduce_only) == (PERP, True)


def test_a_stale_margin_account_moves_nothing() -> None:
    scene = paired(m=D("0.05"), stale=frozenset({"account:binanceusdm"}))
    assert scene.orders() == []
    assert "stale: account:binanceusdm" in why_not(scene.assess(), R.LIQ_TOPUP)


# ----------------------------------------------------------------------------------------------- restricted books
@pytest.mark.parametrize("restriction", RESTRICTED)
def test_a_restricted_book_still_reduces_a_short_that_is_near_liquidation(restriction: dict[str, object]) -> None:
    assert paired(m=D("0.1")).risky(**restriction).assess().reason is R.LIQ_REDUCE


@pytest.mark.parametrize("restriction", RESTRICTED)
def test_a_restricted_book_neither_enters_nor_sells_more_perp(restriction: dict[str, object]) -> None:
    assert idle().risky(**restriction).orders() == []
    naked = paired().holding(base=D("1.1")).risky(**restriction)
    assert PERP not in {order.instrument for order in naked.orders()}


@pytest.mark.parametrize("restriction", [{"breaks": (BREAK,)}, {"in_doubt": ("ab" * 16,)}])
def test_a_naked_long_is_carried_while_what_is_held_is_in_dispute(restriction: dict[str, object]) -> None:
    naked = paired().holding(base=D("1.1")).risky(**restriction)
    assert naked.orders() == []
    assert "only reducing orders are allowed" in why_not(naked.assess(), R.DELTA)


@pytest.mark.feature("K06", part="repair")
def test_a_naked_long_that_a_tightened_guard_left_is_sold_as_defence() -> None:
    """A group cut in two by the guard would otherwise stand naked until somebody looks."""
    naked = paired().holding(base=D("1.1")).risky(is_killed=True)
    (order,) = naked.orders()
    assert (order.instrument, order.side) == (SPOT, Side.SELL)
    assert naked.assess().urgency > 0


def test_an_order_in_doubt_blocks_a_top_up_but_not_a_reduction() -> None:
    assert paired(m=D("0.2")).risky(in_doubt=("ab" * 16,)).assess().reason is R.IN_FLIGHT
    assert paired(m=D("0.1")).risky(in_doubt=("ab" * 16,)).assess().reason is R.LIQ_REDUCE


@pytest.mark.parametrize(
    "name", [f"book:{SPOT}", f"book:{PERP}", f"mark:{PERP}", "account:binance", "account:binanceusdm"]
)
def test_one_stale_input_holds_the_book(name: str) -> None:
    found = idle(stale=frozenset({name})).assess()
    assert found.reason is R.STALE
    assert name in found.note


def test_settled_funding_that_is_overdue_holds_the_book() -> None:
    late = idle(time=NOW + timedelta(hours=9))
    assert late.assess().reason is R.ENTRY
    memory = idle().memory
    assert idle(time=NOW + timedelta(hours=9), remember=lambda _: memory).assess().reason is R.STALE


def test_something_held_without_a_price_makes_equity_unknown_and_holds_the_book() -> None:
    scene = idle(extra={CASH.__class__("binance:spot:BNB"): D("0.5")})
    assert scene.exposure.equity_usdt is None
    found = scene.assess()
    assert found.reason is R.STALE
    assert "price:BNB" in found.note
    defended = paired(m=D("0.1"), extra={CASH.__class__("binance:spot:BNB"): D("0.5")})
    assert defended.assess().reason is R.LIQ_REDUCE


def test_a_book_with_an_empty_side_is_unknown_and_not_a_price() -> None:
    scene = idle()
    books = dict(scene.market.books)
    for key in (SPOT, PERP):
        empty = replace(books[key], bids=())
        market = replace(scene.market, books={**books, key: empty})
        found = scene.strategy.assess(NOW, "market", market, build_exposure(scene.book, market), scene.risk)
        assert found.reason is R.STALE


def test_a_market_that_was_never_seen_is_stale_and_not_zero() -> None:
    scene = idle()
    market = replace(scene.market, books={}, marks={})
    exposure = replace(scene.exposure, prices={"USDT": D(1)}, margins=())
    found = scene.strategy.assess(NOW, "market", market, exposure, scene.risk)
    assert found.reason is R.STALE
    assert "price:BTC" in found.note


# ------------------------------------------------------------------------------------------------------- drawdown
@pytest.mark.feature("K08")
def test_a_drawdown_leaves_the_pair_and_then_waits_for_an_operator() -> None:
    scene = paired().risky(unit_value=D("0.949"))
    found = scene.assess()
    assert (found.reason, found.page) == (R.DRAWDOWN, True)
    after = executed(scene, scene.orders())
    assert after.exposure.net_delta.get("BTC", D(0)) == 0
    again = after.assess()
    assert (again.reason, after.orders()) == (R.DRAWDOWN, [])
    assert "flat until rearmed" in again.note


@pytest.mark.feature("K08")
def test_a_drawdown_is_measured_from_the_high_and_not_from_the_start() -> None:
    assert paired().risky(unit_value=D("1.05"), unit_value_high=D("1.10")).assess().reason is R.HOLD
    assert paired().risky(unit_value=D("1.045"), unit_value_high=D("1.10")).assess().reason is R.DRAWDOWN


# ---------------------------------------------------------------------------------------------------------- delta
def delta_of(scene: Scene) -> Decimal:
    exposure = scene.exposure
    assert exposure.equity_usdt is not None
    return exposure.net_delta.get("BTC", D(0)) * scene.price / exposure.equity_usdt


@pytest.mark.feature("S04")
@pytest.mark.parametrize(("base", "side"), [("1.05", Side.SELL), ("0.95", Side.BUY)])
def test_a_naked_delta_is_repaired_by_the_perp_to_the_inner_bound(base: str, side: Side) -> None:
    scene = paired().holding(base=D(base))
    assert scene.assess().reason is R.DELTA
    (perp,) = scene.orders()
    assert (perp.instrument, perp.side, perp.reduce_only) == (PERP, side, side is Side.BUY)
    after = executed(scene, scene.orders())
    assert D("0.001") < abs(delta_of(after)) < D("0.0035")
    assert after.assess().reason is R.HOLD


@pytest.mark.feature("S04")
def test_a_delta_inside_the_outer_bound_is_left_alone() -> None:
    scene = paired().holding(base=D("1.014"))
    assert scene.assess().reason is R.HOLD
    assert "|delta| 0.00990099 <= 0.010" in why_not(scene.assess(), R.DELTA)


def test_the_long_leg_is_sold_where_more_short_would_come_too_near_liquidation() -> None:
    scene = paired(m=D("0.32")).holding(base=D("1.05"))
    (spot,) = scene.orders()
    assert (spot.instrument, spot.side) == (SPOT, Side.SELL)


@pytest.mark.feature("S04")
def test_a_short_bought_back_today_is_not_sold_again_the_long_leg_goes_instead() -> None:
    scene = paired(remember=lambda memory: replace(memory, legs={f"{PERP} BUY": NOW - timedelta(hours=1)}))
    (spot,) = scene.holding(base=D("1.05")).orders()
    assert spot.instrument == SPOT


@pytest.mark.parametrize(
    "busy", [{"legs_with_open_orders": frozenset({PERP})}, {"plan_in_flight": True}, {"defence_in_flight": {"x": 1}}]
)
def test_a_delta_is_not_repaired_while_orders_work_on_its_legs(busy: dict[str, object]) -> None:
    found = paired().holding(base=D("1.05")).risky(**busy).assess()
    assert found.reason is R.IN_FLIGHT
    assert why_not(found, R.DELTA)


@pytest.mark.feature("S04")
def test_beyond_the_hard_bound_only_repair_is_allowed() -> None:
    tiny = paired(D("0.012"), cash=D(200)).holding(base=D("0.0127"))
    found = tiny.assess()
    assert "below min_order_usdt" in why_not(found, R.DELTA)
    assert (found.reason, found.page) == (R.DELTA, True)
    assert tiny.orders() == []


@given(
    base=st.decimals(min_value=D("0.5"), max_value=D("1.5"), places=5),
    m=st.decimals(min_value=D("0.25"), max_value=D("0.59"), places=3),
)
@pytest.mark.slow
def test_a_repair_never_overshoots_and_never_comes_nearer_than_z_open(base: Decimal, m: Decimal) -> None:
    scene = paired(m=m).holding(base=base)
    found = scene.assess()
    if found.reason is not R.DELTA:
        return
    after = executed(scene, scene.orders())
    before, now = delta_of(scene), delta_of(after)
    assert abs(now) < abs(before)
    assert before * now > 0 or abs(now) < D("0.0008")
    if scene.orders() and scene.orders()[0].side is Side.SELL and scene.orders()[0].instrument == PERP:
        assert (1 + ratio(after)) / D("1.01") - 1 >= D("0.2") * D("1.5") - D("0.001")


@given(
    m=st.decimals(min_value=D("0.005"), max_value=D("0.2119"), places=4),
    quantity=st.decimals(min_value=D("0.05"), max_value=D(40), places=3),
    cash=st.decimals(min_value=D(0), max_value=D(20_000), places=2),
)
@pytest.mark.slow
def test_every_repair_of_the_ladder_restores_the_level_and_leaves_delta_alone(
    m: Decimal, quantity: Decimal, cash: Decimal
) -> None:
    scene = paired(quantity, m=m, cash=cash)
    found = scene.assess()
    assert found.reason in {R.LIQ_TOPUP, R.LIQ_REDUCE, R.LIQ_EMERGENCY}
    after = executed(scene, scene.orders(), D(5))
    assert scene.parameters.ladder.level(((1 + ratio(after)) / D("1.01") - 1) / D("0.2")) == 0
    assert abs(ratio(after) - D("0.4")) < D("0.03")
    assert abs(delta_of(after)) < D("0.001")
    assert after.holdings["binance"].cash >= 0
