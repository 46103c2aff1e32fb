"""ETH basis counted in ETH: a core that is never hedged, a pair on borrowed money, lambda and margin in one hand."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.order import Order, Side
from tests.builders import BINANCE, D, signs, why_not
from tests.strategies.chain_scenes import A_USDT, A_WETH, ETH, USDT, USDT_DEBT, WETH
from tests.strategies.hedge_scenes import THREE_VENUES, HedgeRun, overlaid, overlay_candidate, own, reasons

R = ReasonCode
SPOT, PERP = BINANCE.spot_key("ETH"), BINANCE.perp_key("ETH")


def kinds(orders: list[Order]) -> list[str]:
    return [order.operation.value for order in orders]


def moved(by: str, *, sigma: str = "0.01") -> HedgeRun:
    """The standing book after a move, in a calm hour."""
    run = overlaid()
    run.moves(by)
    run.wait(hours=1)
    book = own(run).book
    venues = {name: replace(venue, variance=D(sigma) ** 2) for name, venue in book.venues.items()}
    run.memory = replace(own(run), book=replace(book, venues=venues))
    return run


def lam(run: HedgeRun) -> Decimal:
    return run.weigh(USDT_DEBT) / (run.weigh(A_WETH) * run.price)


# ----------------------------------------------------------------------------------------------------------- entry
def test_the_core_is_lent_first_and_then_the_pair_is_borrowed_for() -> None:
    run = overlay_candidate()
    reasons(run, 3)
    assert [kinds(orders) for _, _, orders in run.acts] == [
        ["wrap", "supply"],
        ["borrow", "transfer", "transfer", "spot_trade", "perp_trade"],
    ]
    assert run.weigh(USDT_DEBT) == D(87_500)  # EB2
    assert D("24.85") < -run.weigh(PERP) <= D(25)
    assert run.ratio() >= D("0.4")
    assert abs(run.delta()) < D("0.001")
    assert signs(run.assess().inputs["health_factor"].value) == "2.3714286"


def test_without_a_carry_that_pays_interest_the_core_is_lent_and_nothing_is_borrowed() -> None:
    run = overlay_candidate()
    run.funding, run.memory = D("0.00012"), run.strategy.initial_memory()
    run.wait(days=10)
    assert reasons(run, 3) == [R.ENTRY, R.HOLD, R.HOLD]
    assert run.weigh(USDT_DEBT) == 0


@pytest.mark.parametrize(("rate", "enters"), [("0.05", True), ("0.20", False)])
def test_dear_dollars_eat_the_carry(rate: str, enters: bool) -> None:
    run = overlay_candidate()
    run.chain = run.chain.reserve(A_USDT, borrow_rate=D(rate))
    run.memory = run.strategy.initial_memory()
    run.wait(days=10)
    reasons(run, 3)
    assert bool(run.weigh(USDT_DEBT)) is enters


@pytest.mark.parametrize("changes", [{"is_borrowable": False}, {"is_paused": True}, {"idle": D(0)}])
def test_a_reserve_that_lends_nothing_carries_no_overlay(changes: dict[str, object]) -> None:
    run = overlay_candidate()
    run.chain = run.chain.reserve(A_USDT, **changes)
    reasons(run, 3)
    assert run.weigh(USDT_DEBT) == 0


def test_never_more_is_borrowed_than_the_protocol_lends_against_the_core() -> None:
    run = overlay_candidate()
    run.chain = run.chain.reserve(A_WETH, ltv=D("0.20"))
    reasons(run, 3)
    assert run.weigh(USDT_DEBT) == D(50_000)


def test_its_capital_is_ether_and_its_needs_are_told() -> None:
    charter = overlay_candidate().strategy.charter  # type: ignore[attr-defined]  # the port has none
    assert (charter.cash, charter.numeraire, charter.is_on_chain) == ((ETH,), "ETH", True)
    assert {("borrow", "aave_v3"), ("repay", "aave_v3"), ("transfer", "wallet"), ("perp_trade", "binanceusdm")} <= {
        (str(operation), venue) for operation, venue in charter.needed
    }


def test_several_venues_share_what_is_borrowed() -> None:
    run = overlaid("100", *THREE_VENUES)
    shorts = {venue.name: -run.weigh(venue.perp_key("ETH")) for venue in THREE_VENUES}
    assert {name: signs(short / 25, 1) for name, short in shorts.items()} == {
        "binance": "0.4", "bybit": "0.3", "okx": "0.3",
    }  # fmt: skip
    assert run.weigh(USDT_DEBT) <= D(87_500)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lambda_b": D("0.45")}, "lambda_b < lambda_b_max is broken"),
        ({"lambda_b": D("0.6")}, "lambda_b 0.6, expected 0.10 to 0.45"),
        ({"overlay_exit_apr": D("0.03")}, "overlay_exit_apr < overlay_entry_apr is broken"),
    ],
)
def test_a_wrong_lambda_is_told(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        overlay_candidate("100", **changes)


# --------------------------------------------------------------------------------------------------- rise and fall
def test_margin_for_a_rise_is_borrowed_even_when_the_carry_no_longer_pays() -> None:
    run = moved("0.12")  # EB7
    run.funding = D("-0.001")
    run.wait(days=1)
    found, orders = run.assess(), run.orders()
    assert (found.reason, kinds(orders)) == (R.LIQ_TOPUP, ["borrow", "transfer", "transfer", "transfer"])
    assert abs(orders[0].quantity - D(10_500)) < 250
    short = run.weigh(PERP)
    run.step(seconds=15)
    assert (run.weigh(PERP), signs(run.ratio(), 3)) == (short, "0.4")
    assert abs(lam(run) - D("0.35")) < D("0.002")


def test_beyond_the_maximum_of_lambda_nothing_is_borrowed_for_margin_and_the_pair_shrinks() -> None:
    run = moved("0.12")
    run.holdings[USDT_DEBT] = D("0.45") * run.weigh(A_WETH) * run.price
    found, orders = run.assess(), run.orders()
    assert found.reason is R.LIQ_TOPUP
    assert kinds(orders) == ["perp_trade", "spot_trade", "transfer"]


def test_a_fall_repays_idle_margin_at_once_and_leaves_the_pair_alone() -> None:
    run = moved("-0.24", sigma="0.08")  # EB6, on a day that is not calm
    run.funding = D("-0.001")
    found, orders = run.assess(), run.orders()
    assert found.reason is R.LTV_BAND
    assert kinds(orders) == ["transfer", "transfer", "repay"]
    short = run.weigh(PERP)
    run.step(seconds=15)
    assert run.weigh(PERP) == short
    assert abs(lam(run) - D("0.35")) < D("0.003")
    assert abs(run.ratio() - D("0.4")) < D("0.005")
    assert abs(run.delta()) < D("0.003")


def test_a_price_between_the_bands_moves_nothing() -> None:
    for by in ("0.09", "-0.20"):
        assert moved(by).assess().reason is R.HOLD


def test_a_core_that_grew_is_borrowed_against_up_to_the_target_where_the_gate_holds() -> None:
    run = overlaid()
    run.holdings[A_WETH] += D(30)
    run.wait(hours=1)
    assert lam(run) < D("0.28")
    found = run.assess()
    assert found.reason is R.SCALE
    assert kinds(run.orders())[0] == "borrow"
    run.step(seconds=15)
    assert abs(lam(run) - D("0.35")) < D("0.001")
    assert abs(run.delta()) < D("0.003")


def test_a_core_near_its_own_liquidation_is_repaid_before_anything_else() -> None:
    run = moved("-0.24", sigma="0.01")
    run.holdings[USDT_DEBT] = D("0.75") * run.weigh(A_WETH) * run.price
    found = run.assess()
    assert (found.reason, found.page) == (R.LIQ_REDUCE, True)
    assert kinds(run.orders())[-1] == "repay"
    bare = moved("0", sigma="0.01")
    bare.holdings[USDT_DEBT] = D("0.75") * bare.weigh(A_WETH) * bare.price
    assert bare.assess().reason is R.LIQ_REDUCE
    assert kinds(bare.orders())[:2] == ["perp_trade", "spot_trade"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.decimals("-0.12", "0.12", places=3), min_size=1, max_size=6))
@pytest.mark.slow
def test_whatever_the_path_core_and_pair_stay_away_from_liquidation(path: list[Decimal]) -> None:
    run = overlaid()
    for step in path:
        run.moves(str(step))
        reasons(run, 3)
        assert abs(run.delta()) <= D("0.03")
        if run.weigh(PERP):
            assert run.ratio() > D("0.212")
        assert not run.weigh(USDT_DEBT) or lam(run) <= D("0.52")
        assert all(amount >= 0 for key, amount in run.holdings.items() if key != PERP)


# ---------------------------------------------------------------------------------------------------------- ways out
def test_an_overlay_whose_funding_no_longer_pays_its_interest_is_left_and_the_core_stays() -> None:
    run = overlaid()
    run.funding = D("0.00001")
    run.wait(days=12)
    assert run.assess().reason is R.CARRY_EXIT
    reasons(run, 6)
    assert [kinds(orders) for _, _, orders in run.acts[2:4]] == [
        ["perp_trade", "spot_trade", "transfer"],
        ["transfer", "transfer", "repay"],
    ]
    assert run.weigh(PERP) == 0
    assert run.weigh(USDT_DEBT) == 0
    assert D("99.8") < run.weigh(A_WETH) <= D(100)
    assert run.assess().reason is R.HOLD


def test_money_borrowed_for_a_pair_that_never_came_to_be_goes_home_and_repays() -> None:
    run = overlay_candidate()
    run.step(hours=1)
    run.holdings |= {USDT_DEBT: D(87_500), BINANCE.cash_key: D(87_495)}
    run.funding = D("-0.001")
    run.wait(days=1)
    assert run.assess().reason is R.LEG_DRIFT
    assert kinds(run.orders()) == ["transfer", "repay"]
    reasons(run, 3)
    assert run.weigh(USDT_DEBT) == 0 or run.weigh(USDT_DEBT) < 50


def test_a_drawdown_leaves_the_overlay_and_keeps_the_core_unlevered() -> None:
    run = overlaid()
    run.risk = replace(run.risk, unit_value=D("0.89"))
    for _ in range(5):
        run.step(minutes=5)
    assert run.weigh(PERP) == run.weigh(USDT_DEBT) == 0
    assert run.weigh(A_WETH) > 99
    assert (run.assess().reason, run.orders()) == (R.DRAWDOWN, [])


def test_a_small_withdrawal_comes_out_of_the_core_and_a_large_one_shrinks_the_overlay_first() -> None:
    small = overlaid()
    small.risk = replace(small.risk, withdrawal_pending_usdt=D(25_000))
    assert kinds(small.orders()) == ["withdraw", "unwrap"]
    large = overlaid()
    large.risk = replace(large.risk, withdrawal_pending_usdt=D(100_000))
    assert kinds(large.orders())[:2] == ["perp_trade", "spot_trade"]
    for _ in range(12):
        large.step(minutes=30)
    assert large.weigh(ETH) >= D("40.05")
    assert lam(large) <= D("0.45")
    assert abs(large.delta()) < D("0.01")


def test_a_reserve_that_must_be_left_is_freed_of_its_debt_first() -> None:
    run = overlaid()
    run.chain = run.chain.reserve(A_WETH, is_frozen=True)
    assert run.assess().reason is R.CARRY_EXIT
    assert kinds(run.orders())[:2] == ["perp_trade", "spot_trade"]
    reasons(run, 6)
    assert run.weigh(USDT_DEBT) == 0
    assert run.weigh(A_WETH) == 0
    assert run.weigh(ETH) + run.weigh(WETH) > D("99.8")


# ------------------------------------------------------------------------------------------------------------ delta
def test_the_core_is_never_hedged_and_an_excess_of_the_pair_is() -> None:
    run = overlaid()
    run.holdings[SPOT] += D(3)
    run.holdings[USDT_DEBT] += D(7500)
    (order,) = run.orders()
    assert (run.assess().reason, order.instrument, order.side) == (R.DELTA, SPOT, Side.SELL)  # margin has no room
    assert abs(order.quantity - D("2.8")) < D("0.2")


def test_what_an_overlay_earned_becomes_ether_of_the_core() -> None:
    run = overlay_candidate()
    run.step(hours=1)
    run.holdings[USDT] = D(5000)
    run.funding = D("-0.001")
    run.wait(days=1)
    assert run.assess().reason is R.DELTA
    assert kinds(run.orders()) == ["swap"]


@pytest.mark.parametrize("name", [f"reserve:{A_USDT}", f"reserve:{A_WETH}", "account:aave_v3"])
def test_a_core_that_cannot_be_seen_stops_what_is_new(name: str) -> None:
    run = overlaid()
    run.stale = frozenset({name})
    assert (run.assess().reason, run.orders()) == (R.STALE, [])


def test_nothing_read_at_all_is_a_hold_and_no_exception() -> None:
    for run in (overlay_candidate(), overlaid()):
        run.stale = frozenset(run.market.ages)
        assert run.assess().reason is R.STALE


def test_its_numbers_are_stored_and_its_memory_survives() -> None:
    run = overlaid()
    found = run.assess()
    assert {"lambda", "debt", "b_smoothed", "f_hat:binance", "health_factor"} <= set(found.inputs)
    assert {"lambda_b", "f_entry:binance", "f_exit:binance", "m_star:binance"} <= set(found.thresholds)
    assert run.strategy.load_memory(run.strategy.dump_memory(run.memory)) == run.memory
    assert "lambda 0.35 <= 0.45" in why_not(found, R.LTV_BAND)


def test_no_more_margin_repays_than_the_exchange_lets_out() -> None:
    run = moved("-0.24")
    free = run.assess().targets
    assert [target.key.kind for target in free if target.key == USDT_DEBT], "idle margin repays"
    question = run.market, run.exposure
    states = tuple(replace(state, withdrawable=D(6_000)) for state in question[1].margins)
    bound = run.strategy.assess(run.time, "market", question[0], replace(question[1], margins=states), run.risk)
    repaid = next(target for target in bound.targets if target.key == USDT_DEBT)
    whole = next(target for target in free if target.key == USDT_DEBT)
    assert 6_000 < -repaid.difference < 6_200 < -whole.difference, "and the little cash beside it"
