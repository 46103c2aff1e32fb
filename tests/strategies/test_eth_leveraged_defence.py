"""What makes leverage smaller: health, cost, terms, issuer, client, loss; and that nothing undoes it at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.decision import Assessment, ReasonCode
from basis_daemon.domain.order import Order, OrderOperation, PostConditionKind
from basis_daemon.domain.risk import Effect, effect_of
from basis_daemon.strategies.onchain_memory import OnchainMemory
from tests.builders import D, signs, why_not
from tests.strategies.chain_scenes import A_WEETH, A_WETH, DEBT, ETH, START, WEETH, WETH, K, Run, shown
from tests.strategies.levered_scenes import RICH, at, cheap, equity, group, lam, levered, oracle_falls

HOLD, BAND = ReasonCode.HOLD, ReasonCode.LTV_BAND
REDUCE, EMERGENCY = ReasonCode.LIQ_REDUCE, ReasonCode.LIQ_EMERGENCY
SPIKE, CARRY, DRAWDOWN = ReasonCode.SPIKE_EXIT, ReasonCode.CARRY_EXIT, ReasonCode.DRAWDOWN
TARGET = D("0.85")
DELEVER = ["flash_borrow", "repay", "withdraw", "swap", "flash_repay"]
O = OrderOperation  # noqa: E741  plans are read by operation


def last(run: Run) -> tuple[Assessment, list[Order]]:
    return run.acts[-1][1], run.acts[-1][2]


def kinds(run: Run) -> list[str]:
    return [order.operation.value for order in last(run)[1]]


# ---------------------------------------------------------------------------------------------------------- health
@pytest.mark.feature("K07", part="aave-strategy")
@pytest.mark.parametrize(
    ("before", "fall", "reason", "urgency", "after"),
    [
        ("0.85", "0.010", None, 0, "0.858586"),  # inside its band
        ("0.85", "0.030", BAND, 0, "0.85"),  # HF 1.084: nothing is added, and the band brings it back
        ("0.85", "0.040", BAND, 0, "0.85"),  # HF 1.073
        ("0.865", "0.040", REDUCE, 2, "0.85"),  # HF 1.054
        ("0.85", "0.060", REDUCE, 2, "0.85"),  # HF 1.051
        ("0.85", "0.070", EMERGENCY, 3, "0.8"),  # HF 1.039
        ("0.865", "0.070", EMERGENCY, 3, "0.8"),  # HF 1.021
    ],
)
def test_a_fall_of_the_oracle_is_answered_by_the_ladder(
    before: str, fall: str, reason: ReasonCode | None, urgency: int, after: str
) -> None:
    run = at(before)
    run.chain = run.chain.token(WEETH, quoted_size=D(100_000))
    oracle_falls(run, fall)
    run.step(seconds=12)
    if reason is None:
        assert run.acts == []
    else:
        found, orders = last(run)
        assert (found.reason, found.urgency) == (reason, urgency)
        assert kinds(run) == DELEVER
        assert all(effect_of(order, orders, run.exposure) is Effect.DEFENCE for order in orders)
    assert signs(lam(run), 6) == after


def test_the_health_factor_that_counts_is_the_worse_of_ours_and_the_protocols() -> None:
    run = at("0.85")
    told = run.lendings["aave_v3"]
    assert told.health_factor is not None
    assert signs(told.health_factor) == "1.1176471"
    assert signs(run.assess().inputs["health_factor"].value) == "1.1176471"


def test_a_repair_that_was_sent_is_not_sent_again_and_a_worse_level_is() -> None:
    run = at("0.865")
    oracle_falls(run, "0.04")
    run.risk = replace(run.risk, defence_in_flight={"aave_v3": 2})
    assert run.step(seconds=12) is ReasonCode.IN_FLIGHT
    assert "level 2 is under way" in why_not(run.assess(), REDUCE)
    oracle_falls(run, "0.04")
    assert run.step(seconds=12) is EMERGENCY


def test_defence_acts_on_a_killed_book_with_stale_rewards_and_dear_gas() -> None:
    run = at("0.865")
    run.chain = replace(run.chain, gwei=399)
    run.risk = replace(run.risk, is_killed=True, plan_in_flight=True)
    run.stale = frozenset({"account:wallet", "account:etherfi"})
    oracle_falls(run, "0.04")
    assert run.step(seconds=12) is REDUCE


@pytest.mark.parametrize("name", ["reserve:aave_v3:atoken:weETH", "account:aave_v3", "lst:wallet:lst:weETH"])
def test_defence_does_not_act_on_what_it_does_not_know(name: str) -> None:
    run = at("0.865")
    oracle_falls(run, "0.04")
    run.stale = frozenset({name})
    assert run.step(seconds=12) is ReasonCode.STALE
    assert "the health factor is not known" in why_not(run.assess(), ReasonCode.LIQ_TOPUP)


def test_gas_beyond_the_emergency_cap_and_a_market_beyond_its_bound_page_a_human() -> None:
    run = at("0.865")
    run.chain = replace(run.chain, gwei=401)
    oracle_falls(run, "0.04")
    assert run.step(seconds=12) is REDUCE
    found = run.assess()
    assert (found.page, run.orders()) == (True, [])
    assert "gas 401 gwei > 400" in found.note
    run.chain = replace(run.chain, gwei=5).token(WEETH, pool_price=D("1.010"))
    run.step(seconds=12)
    assert "a sale costs" in run.assess().note
    assert run.acts == []


def test_a_small_quote_repairs_in_steps() -> None:
    run = at("0.865")
    run.chain = run.chain.token(WEETH, quoted_size=D(60))
    oracle_falls(run, "0.04")
    health = []
    for _ in range(8):
        run.step(seconds=12)
        health.append(run.assess().inputs["health_factor"].value)
    assert run.done()[:2] == ["LIQ_REDUCE", "LIQ_REDUCE"]
    assert health == sorted(health)
    assert lam(run) <= D("0.866")


def test_after_a_repair_lambda_does_not_rise_before_a_calm_day() -> None:
    run = at("0.865")
    oracle_falls(run, "0.04")
    run.step(seconds=12)
    assert run.done() == ["LIQ_REDUCE"]
    run.holdings[DEBT] *= D("0.9")  # were it below its band by now, it would still wait
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.9993"))
    run.chain = run.chain.token(WEETH, oracle_price_eth=run.chain.lsts[WEETH].rate)
    run.chain = run.chain.reserve(A_WEETH, price=run.chain.reserves[A_WETH].price * run.chain.lsts[WEETH].rate)
    assert set(run.grow(WEETH, RICH, hours=23)) == {HOLD}
    assert "debt was repaid within 24 h" in why_not(run.assess(), ReasonCode.SCALE)
    run.grow(WEETH, RICH, hours=4)
    assert run.done() == ["LIQ_REDUCE", "SCALE"]


# ------------------------------------------------------------------------------------------------------------ cost
@pytest.mark.feature("S07", part="strategy")
def test_a_spike_of_the_borrow_rate_is_left_after_an_hour_and_not_before() -> None:
    run = levered()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.30"))
    for _ in range(6):
        assert run.step(minutes=10) is HOLD
    assert run.step(minutes=10) is SPIKE
    assert kinds(run) == DELEVER
    loan, repay, out, sale, back = last(run)[1]
    assert (repay.amount, out.amount) == ("MAX", "MAX")
    owed = -repay.expected_deltas[DEBT]
    assert 0 <= loan.quantity - owed * D("1.0005") <= D("1e-18")  # XR1: what accrues until then
    assert sale.min_out == back.quantity - loan.quantity + owed
    assert DEBT not in {key for key, held in run.holdings.items() if held}
    assert run.holdings[A_WEETH] == 0
    assert run.holdings[WEETH] > 0  # the token stays, unlevered
    run.chain = cheap(run.chain)
    assert set(run.grow(WEETH, RICH, days=2, hours=12)) <= {HOLD}
    assert "leverage was left" in why_not(run.assess(), ReasonCode.ENTRY)


def test_a_spike_that_pauses_is_counted_anew() -> None:
    run = levered()
    for _ in range(4):
        run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.30"))
        for _ in range(5):
            assert run.step(minutes=10) is HOLD
        run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.05"))
        assert run.step(minutes=10) is HOLD


def test_a_rate_just_below_the_spike_is_held_through() -> None:  # CA5: .146 above y_base
    run = levered()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.17"))
    assert set(run.grow(WEETH, RICH, hours=6)) == {HOLD}


def test_leverage_that_costs_for_two_days_is_left_by_carry() -> None:
    run = levered()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.06"))
    reasons = run.grow(WEETH, RICH, days=6)
    assert CARRY in reasons
    assert run.done() == ["ENTRY", "CARRY_EXIT"]
    assert (run.holdings[DEBT], run.holdings[A_WEETH]) == (D(0), D(0))
    left = next(when for when, found, _ in run.acts if found.reason is CARRY)
    assert left - START > timedelta(days=12)


@pytest.mark.slow
def test_a_carry_that_only_does_not_pay_the_exit_is_held() -> None:  # CA7: .0024333 above y_eff
    run = levered()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.0345"))
    assert set(run.grow(WEETH, RICH, days=15)) == {HOLD}


def test_an_exit_beyond_slip_dex_waits_for_a_better_market() -> None:
    run = levered()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.50")).token(
        WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.9965")
    )
    for _ in range(10):
        assert run.step(minutes=10) is HOLD
    assert "a sale costs 0.0035 > 0.003" in why_not(run.assess(), SPIKE)


# ----------------------------------------------------------------------------------------------------------- terms
def test_a_lower_threshold_of_the_e_mode_is_followed_at_once() -> None:
    run = at("0.85")
    run.step(hours=1)
    run.chain = run.chain.emode(A_WEETH, ltv=D("0.91"), liquidation_threshold=D("0.93"))
    assert run.step(seconds=12) is BAND  # though .85 is inside the band around the new target
    assert signs(lam(run), 5) == "0.84217"


def test_a_reserve_that_freezes_is_no_reason_to_sell_inside_the_band() -> None:
    run = at("0.85")
    run.step(hours=1)
    run.chain = run.chain.reserve(A_WEETH, is_frozen=True)
    assert set(run.grow(WEETH, RICH, hours=3)) == {HOLD}


def test_lambda_above_its_band_comes_back_to_target_and_no_further() -> None:
    run = at("0.866")
    assert run.step(seconds=12) is BAND
    assert signs(lam(run), 6) == "0.85"
    bounds = {c.kind: c.bound for c in last(run)[1][-1].post_conditions}
    assert signs(bounds[PostConditionKind.LTV_MAX], 4) == "0.852"
    assert set(run.grow(WEETH, RICH, days=1)) == {HOLD}


# ---------------------------------------------------------------------------------------------------------- issuer
def test_a_small_negative_rebase_is_a_humans_to_judge() -> None:
    run = levered()
    run.rerate(WEETH, run.chain.lsts[WEETH].rate * D("0.99"))
    for _ in range(30):
        assert run.step(hours=1) is HOLD
    found = run.assess()
    assert found.page
    assert "fell by 0.01: a human decides" in found.note
    assert run.done() == ["ENTRY"]  # no carry and no spike is read out of one fallen rate


def test_a_large_one_leaves_debt_first_and_then_the_token() -> None:
    run = at("0.83")
    run.step(hours=1)
    run.rerate(WEETH, run.chain.lsts[WEETH].rate * D("0.97"))
    assert run.step(seconds=12) is CARRY
    assert last(run)[0].page
    assert kinds(run) == DELEVER
    assert run.step(seconds=12) is CARRY
    assert kinds(run) == ["swap"]  # distressed: the DEX at 7 bp, not a week of waiting
    assert run.holdings[WEETH] == 0
    assert run.step(seconds=12) is HOLD
    assert run.assess().page


def test_a_discount_at_the_dex_is_no_loss_and_no_reason_to_sell() -> None:
    run = levered()
    before = equity(run)
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.94"))
    assert set(run.live(days=3)) == {HOLD}
    assert equity(run) == before


# ------------------------------------------------------------------------------------------ withdrawal and drawdown
def test_a_withdrawal_is_freed_at_constant_lambda() -> None:
    run = at("0.85")
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    before = equity(run)
    assert run.step(seconds=12) is ReasonCode.WITHDRAWAL
    assert kinds(run) == DELEVER
    assert signs(lam(run), 6) == "0.85"
    assert run.holdings[WETH] >= 10
    assert before - equity(run) < D("0.2")
    assert run.step(seconds=12) is ReasonCode.WITHDRAWAL  # and what is paid out is ETH
    assert shown(last(run)[1]) == [("unwrap", "10")]
    assert run.step(seconds=12) is HOLD


def test_a_withdrawal_of_nearly_everything_leaves_debt_first() -> None:
    run = at("0.85")
    run.chain = run.chain.token(WEETH, quoted_size=D(10_000))
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(237_000))
    run.step(seconds=12)
    while run.step(seconds=12) is ReasonCode.WITHDRAWAL:
        pass
    freed = run.holdings[ETH] + run.holdings[WETH] + sum(v for k, v in run.holdings.items() if ":claim:" in k)
    assert freed >= D("94.8")


def test_a_drawdown_leaves_debt_then_the_token_then_collects_and_stays_out() -> None:
    run = at("0.85")
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.9885"), quoted_size=D(10_000))
    run.risk = replace(run.risk, unit_value=D("0.899"))
    assert run.step(seconds=12) is DRAWDOWN
    assert run.orders() == []  # 115 bp is beyond slip_emergency: told, and tried again
    assert "a sale costs 0.0115 > 0.01" in run.assess().note
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.9905"))
    assert run.step(seconds=12) is DRAWDOWN
    assert kinds(run) == DELEVER
    assert run.step(seconds=12) is DRAWDOWN
    assert kinds(run) == ["swap"]
    assert run.step(seconds=12) is DRAWDOWN
    assert run.orders() == []
    assert "flat until rearmed" in run.assess().note
    assert {key for key, held in run.holdings.items() if held} == {ETH, WETH}


# ---------------------------------------------------------------------------------------------------- a whole life
@pytest.mark.slow
def test_no_rule_undoes_another_within_a_day() -> None:
    run = levered()
    for rate in ("0.30", "0.02", "0.06", "0.02", "0.25", "0.02"):
        run.chain = run.chain.reserve(A_WETH, borrow_rate=D(rate))
        run.grow(WEETH, RICH, days=5)
    changes = [(when, found) for when, found, _ in run.acts]
    for (first, before), (then, after) in pairwise(changes):
        up = {ReasonCode.ENTRY, ReasonCode.SCALE}
        is_undone = before.reason not in up and after.reason in up
        assert not (is_undone and then - first < timedelta(days=1)), (first, before.reason, then, after.reason)
    assert {"SPIKE_EXIT", "ENTRY"} <= set(run.done())


def test_the_memory_of_a_whole_life_survives_its_own_text() -> None:
    run = levered()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.30"))
    run.grow(WEETH, RICH, hours=5)
    assert isinstance(run.memory, OnchainMemory)
    assert run.memory.left_at is not None
    assert run.strategy.load_memory(run.strategy.dump_memory(run.memory)) == run.memory


@settings(deadline=None, max_examples=40)
@given(
    before=st.decimals("0.70", "0.93", places=3),
    fall=st.decimals(0, "0.06", places=3),
    discount=st.decimals(0, "0.02", places=4),
    size=st.decimals("1", "2000", places=1),
    owed=st.decimals(0, "300000", places=0),
)
def test_whatever_comes_nothing_is_overdrawn_and_risk_never_rises_beyond_the_target(
    before: Decimal, fall: Decimal, discount: Decimal, size: Decimal, owed: Decimal
) -> None:
    run = at(str(before))
    tick = run.chain.lsts[WEETH]
    run.chain = run.chain.token(WEETH, pool_price=tick.rate * (1 - discount), quoted_size=size)
    oracle_falls(run, str(fall))
    run.risk = replace(run.risk, withdrawal_pending_usdt=owed)
    known = lam(run)
    for _ in range(4):
        run.step(seconds=12)
    collateral = run.holdings[A_WEETH]
    if run.holdings[DEBT] and collateral and fall:
        assert lam(run) <= max(known, TARGET) + D("1e-9"), "from below its band it may be brought to its target"


def test_keys_of_a_levered_plan_are_declared() -> None:
    run = levered()
    for _, _, orders in run.acts:
        keys = {key for order in orders for key in order.expected_deltas}
        assert keys <= run.strategy.declared_keys
        assert group(orders)
    assert K("aave_v3:vdebt:WETH") in run.strategy.declared_keys
    assert O.FLASH_BORROW in {order.operation for _, _, orders in run.acts for order in orders}
