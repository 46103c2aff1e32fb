"""The levered staked hedge: a short that knows no leverage, money out of a sleeve in debt, two sites of liquidation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.order import ExecutionMode, Order
from tests.builders import BINANCE, D, why_not
from tests.strategies.chain_scenes import A_WEETH, A_WETH, DEBT, ETH, USDT, WEETH, WETH
from tests.strategies.hedge_scenes import GOOD, HedgeRun, levered, levered_candidate, own, reasons
from tests.strategies.levered_scenes import lam, oracle_falls

pytestmark = pytest.mark.slow

R = ReasonCode
PERP = BINANCE.perp_key("ETH")


def squeezed(by: str) -> HedgeRun:
    """The standing book after a rise, its cash spent, in a calm hour."""
    run = levered()
    run.moves(by)
    run.holdings[BINANCE.cash_key] = D(0)
    run.time += timedelta(hours=1)
    run.remember()
    book = own(run).book
    venues = {name: replace(venue, variance=D("0.0001")) for name, venue in book.venues.items()}
    run.memory = replace(own(run), book=replace(book, venues=venues))
    return run


def bundles(orders: list[Order]) -> list[list[str]]:
    groups: dict[str | None, list[str]] = {}
    for order in orders:
        if order.execution_mode is ExecutionMode.ATOMIC:
            groups.setdefault(order.group_id, []).append(order.operation.value)
    return list(groups.values())


CASH_OUT = ["flash_borrow", "repay", "withdraw", "swap", "flash_repay"]


# ------------------------------------------------------------------------------------------------------------ entry
def test_the_last_step_of_the_entry_is_one_transaction_and_the_short_knows_nothing_of_it() -> None:
    run = levered()
    assert bundles(run.acts[-1][2]) == [["flash_borrow", "unwrap", "stake", "supply", "borrow"]]
    assert abs(lam(run) - D("0.65")) < D("1e-9")
    assert D("79.5") < -run.weigh(PERP) < D("80.1")
    assert abs(run.weigh(A_WEETH) - D("214.25893")) < D("1.2")  # MN2 less the reserve and what the entry cost
    assert abs(run.delta()) < D("0.002")


def test_where_leverage_does_not_pay_it_is_the_book_without() -> None:
    run = levered_candidate(rate=D("0.04"))
    for _ in range(4):
        run.step(hours=1)
    assert run.done() == ["ENTRY", "SCALE", "ENTRY"]
    assert run.weigh(DEBT) == 0
    assert run.weigh(WEETH) > 74


def test_leverage_that_pays_lets_the_book_enter_where_the_plain_one_would_not() -> None:
    reached = {}
    for rate in ("0.015", "0.04"):
        run = levered_candidate(rate=D(rate))
        run.funding, run.memory = D("0.000075"), run.strategy.initial_memory()
        run.grow(WEETH, D("0.033"), days=10, decides=False)
        run.settle([run.funding] * 40)
        reached[rate] = run.assess().reason
    assert reached == {"0.015": R.ENTRY, "0.04": R.HOLD}  # MN8: leaving 2.9 times the sleeve costs .018 a year


def test_nothing_is_levered_that_is_not_hedged() -> None:
    run = levered_candidate()
    run.holdings[ETH] = D("1.1")
    assert "no hedge stands" in why_not(run.assess(), R.SCALE)


def test_a_target_too_high_for_a_hedged_book_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lambda_target 0\.85, expected 0 to 0\.80"):
        levered_candidate(lambda_target=D("0.85"))


# ---------------------------------------------------------------------------------------------------------- release
def test_a_release_sells_at_constant_lambda_and_trims_the_short_by_the_same() -> None:
    run = squeezed("0.2")
    found, orders = run.assess(), run.orders()
    assert found.reason is R.LIQ_TOPUP
    assert orders[0].instrument == PERP
    assert bundles(orders) == [CASH_OUT]
    assert [(o.token_in, o.token_out) for o in orders if o.group_id is None and o.token_out] == [(WETH, USDT)]
    before = lam(run)
    run.step(seconds=15)
    assert abs(lam(run) - before) < D("0.002")
    assert abs(run.ratio() - D("0.5")) < D("0.01")
    assert abs(run.delta()) < D("0.005")


def test_below_half_a_shock_the_short_is_bought_back_before_the_bundle_is_sent() -> None:
    run = squeezed("0.33")
    found, orders = run.assess(), run.orders()
    assert (found.reason, orders[0].instrument, orders[0].reduce_only) == (R.LIQ_REDUCE, PERP, True)
    assert bundles(orders) == [CASH_OUT]
    run.step(seconds=15)
    assert run.ratio() > D("0.5")
    assert abs(run.delta()) < D("0.012")


def test_a_sleeve_that_cannot_be_left_lets_the_buy_back_stand_alone_and_tells_people() -> None:
    run = squeezed("0.42")
    run.chain = run.chain.token(WEETH, pool_price=None)
    found = run.assess()
    assert (found.reason, found.page) == (R.LIQ_EMERGENCY, True)
    assert [order.operation.value for order in run.orders()] == ["perp_trade"]


# -------------------------------------------------------------------------------------------------------- two sites
def with_health(run: HedgeRun, health: str) -> HedgeRun:
    """The token's oracle falls until the health factor is that low."""
    threshold = D("0.95")
    run.holdings[DEBT] = run.weigh(A_WEETH) * run.chain.lsts[WEETH].rate * threshold / D(health)
    return run


@pytest.mark.parametrize(
    ("rise", "health", "venue"),
    [
        ("0.2", "1.06", "aave_v3"),  # level 1 at the exchange, 2 at Aave
        ("0.33", "1.06", "binanceusdm"),  # both 2: 0.33 shocks against 2.3
        ("0.42", "1.06", "binanceusdm"),
        ("0.3", "1.03", "aave_v3"),
        ("0.0", "1.06", "aave_v3"),
    ],
)
def test_of_two_threats_the_worse_level_comes_first_then_the_nearer_in_shocks(
    rise: str, health: str, venue: str
) -> None:
    run = with_health(squeezed(rise), health)
    assert run.orders()[0].venue == venue
    assert run.assess().reason in {R.LIQ_REDUCE, R.LIQ_EMERGENCY}


def test_a_fall_of_the_token_is_repaid_and_the_hedge_stays() -> None:
    run = levered()
    short = run.weigh(PERP)
    oracle_falls(run, "0.27")
    run.time += timedelta(hours=1)
    run.remember()
    assert run.assess().reason in {R.LIQ_EMERGENCY, R.LIQ_REDUCE}
    assert run.assess().page or run.orders()
    assert run.weigh(PERP) == short


def test_a_debt_without_the_protocols_own_word_stops_what_adds() -> None:
    run = levered()
    blind = replace(run.exposure, lendings={})
    found = run.strategy.assess(run.time, "market", run.market, blind, run.risk)
    assert (found.reason, "unknown: lending:aave_v3" in found.note) == (R.STALE, True)


# ---------------------------------------------------------------------------------------------------------- ways out
def test_leverage_that_costs_more_than_leaving_goes_and_the_hedge_stays() -> None:
    run = levered()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.06"))
    run.grow(WEETH, D("0.03"), days=14, decides=False)
    short, before = run.weigh(PERP), run.delta()
    assert run.assess().reason is R.CARRY_EXIT
    run.step(minutes=1)
    assert run.weigh(DEBT) == 0
    assert run.weigh(PERP) == short
    assert abs(run.delta() - before) < D("0.005")


def test_a_carry_that_ends_unwinds_bundle_by_bundle_against_the_short() -> None:
    run = levered()
    run.funding = D("-0.0003")
    run.grow(WEETH, D("0.033"), days=10, decides=False)
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate, queue_wait_s=40 * 86_400)
    run.remember()
    first = run.orders()
    assert run.assess().reason is R.CARRY_EXIT
    assert first[0].instrument == PERP
    assert bundles(first) == [CASH_OUT]
    worst = D(0)
    for _ in range(20):
        run.step(minutes=1)
        worst = max(worst, abs(run.delta()))
    assert worst < D("0.012")
    assert run.weigh(DEBT) == 0
    assert abs(run.weigh(PERP)) * run.price < 50
    assert (run.weigh(WEETH) + run.weigh(A_WEETH)) * run.price < 50


def test_a_withdrawal_keeps_lambda_margin_and_hedge() -> None:
    run = levered()
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(30_000))
    ratio, before = run.ratio(), lam(run)
    for _ in range(6):
        run.step(minutes=5)
    cash = run.weigh(BINANCE.cash_key) + run.weigh(USDT)
    assert D(30_000) <= cash < D(31_500)
    assert abs(run.ratio() - ratio) < D("0.01")
    assert abs(lam(run) - before) < D("0.003")
    assert abs(run.delta()) < D("0.005")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.decimals("-0.06", "0.12", places=3), min_size=1, max_size=5))
def test_whatever_the_path_both_sites_stay_away_from_liquidation(path: list[Decimal]) -> None:
    run = levered()
    for step in path:
        run.moves(str(step))
        run.settle([GOOD])
        reasons(run, 2)
        assert abs(run.delta()) <= D("0.03")
        assert run.ratio() > D("0.2625")
        assert lam(run) < D("0.69")
        assert all(amount >= 0 for key, amount in run.holdings.items() if key != PERP)
