"""The staked hedge under pressure: a squeeze, a sleeve that is its only money, ways out by sale and by queue."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.order import Side
from tests.builders import BINANCE, D, signs, why_not
from tests.strategies.chain_scenes import ETH, USDT, WEETH, WETH, K
from tests.strategies.hedge_scenes import (
    GOOD,
    ONE_VENUE,
    THREE_VENUES,
    HedgeRun,
    by_key,
    candidate,
    entered,
    own,
    reasons,
)

pytestmark = pytest.mark.slow

R = ReasonCode
PERP = BINANCE.perp_key("ETH")
CALM = {R.HOLD, R.IN_FLIGHT}


def squeezed(by: str, *, sigma: str = "0.01") -> HedgeRun:
    """The standing book after a rise, its cash spent, in an hour as restless as that."""
    run = entered()
    run.moves(by)
    run.holdings[BINANCE.cash_key] = D(0)
    run.time += timedelta(hours=1)
    run.remember()
    book = own(run).book
    venues = {name: replace(venue, variance=D(sigma) ** 2) for name, venue in book.venues.items()}
    run.memory = replace(own(run), book=replace(book, venues=venues))
    return run


def kinds(run: HedgeRun) -> list[str]:
    return [order.operation.value for order in run.orders()]


def equity(run: HedgeRun) -> Decimal:
    found = run.exposure.equity_usdt
    assert found is not None
    return found


# ---------------------------------------------------------------------------------------------------------- ladder
def test_a_rise_of_a_fifth_starts_the_release_that_brings_the_margin_back() -> None:
    run = squeezed("0.24661386711884048")
    found, orders = run.assess(), run.orders()
    assert found.reason is R.LIQ_TOPUP
    assert [order.operation.value for order in orders] == ["perp_trade", "swap", "swap", "transfer", "transfer"]
    perp, token, ether, *_ = orders
    assert (perp.side, perp.reduce_only) == (Side.BUY, True)
    x = (D("0.5") * run.exposure.margins[0].notional - run.exposure.margins[0].margin) / D("1.5")
    assert abs(perp.quantity * run.price - x) < run.price * D("0.01")  # MN6, at this book's own size
    assert (token.token_in, token.token_out, ether.token_out) == (WEETH, WETH, USDT)
    before = equity(run)
    run.step(seconds=15)
    assert abs(run.ratio() - D("0.5")) < D("0.01")
    assert abs(run.delta()) < D("0.005")
    assert before - equity(run) < D("0.008") * x


@pytest.mark.parametrize(("above", "below"), [("0.187", "0.190")])
def test_the_release_begins_where_one_shock_is_left(above: str, below: str) -> None:
    assert squeezed(above).assess().reason is R.HOLD
    assert squeezed(below).assess().reason is R.LIQ_TOPUP  # WN3: 0.18811881 at m .5


def test_money_that_lies_idle_is_used_before_the_sleeve() -> None:
    run = squeezed("0.2")
    run.holdings[USDT] = D(100_000)
    found = run.assess()
    assert (found.reason, kinds(run)) == (R.LIQ_TOPUP, ["transfer", "transfer"])


def test_a_release_that_would_come_too_late_is_acted_on_one_level_worse() -> None:
    assert squeezed("0.2").assess().reason is R.LIQ_TOPUP
    found = squeezed("0.2", sigma="0.05")  # a quarter of (.22 / .15)^2 h is half an hour, the route takes one
    assert found.assess().reason is R.LIQ_REDUCE


def test_below_half_a_shock_the_short_is_bought_back_first_and_as_much_of_the_sleeve_is_sold() -> None:
    run = squeezed("0.33")  # m .128
    found, orders = run.assess(), run.orders()
    assert (found.reason, orders[0].instrument, orders[0].reduce_only) == (R.LIQ_REDUCE, PERP, True)
    state = run.exposure.margins[0]
    y = (D("0.28775") * state.notional - state.margin) / (D("0.28775") - D("0.0015"))
    assert 0 <= orders[0].quantity * run.price - y < run.price * D("0.001")
    assert [order.operation.value for order in orders[1:3]] == ["swap", "swap"]
    run.step(seconds=15)
    assert run.assess().reason in CALM
    assert abs(run.delta()) < D("0.01")
    assert run.ratio() > D("0.5")  # the proceeds became margin


def test_in_an_emergency_the_sale_may_cost_more_and_people_are_told() -> None:
    run = squeezed("0.42")
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.992"))
    found, orders = run.assess(), run.orders()
    assert (found.reason, found.page) == (R.LIQ_EMERGENCY, True)
    assert [order.operation.value for order in orders[:3]] == ["perp_trade", "swap", "swap"]
    assert orders[0].max_slippage_bp == D(100)
    cheap = squeezed("0.2")
    cheap.chain = cheap.chain.token(WEETH, pool_price=cheap.chain.lsts[WEETH].rate * D("0.992"))
    assert cheap.assess().reason is R.LIQ_REDUCE  # level 1 may not sell so dearly: no source, one level worse


def test_a_sleeve_that_cannot_be_sold_still_lets_the_short_be_bought_back_and_says_so() -> None:
    run = squeezed("0.42")
    run.chain = run.chain.token(WEETH, pool_price=None)
    found = run.assess()
    assert (found.reason, found.page, kinds(run)) == (R.LIQ_EMERGENCY, True, ["perp_trade"])
    assert "the sleeve is not sold" in found.note


def test_accounts_in_an_emergency_are_bought_back_together_and_share_one_sale() -> None:
    run = entered("300000", *THREE_VENUES)
    run.moves("0.42")
    run.holdings |= {venue.cash_key: D(0) for venue in THREE_VENUES}
    run.remember()
    orders = run.orders()
    assert run.assess().reason is R.LIQ_EMERGENCY
    assert [order.operation.value for order in orders[:5]] == ["perp_trade"] * 3 + ["swap", "swap"]
    sent = {order.recipient: order.quantity for order in orders[5:] if order.venue == "wallet"}
    assert set(sent) == {"binance", "bybit", "okx"}
    run.step(seconds=15)
    assert abs(run.delta()) < D("0.012")
    assert min(run.ratio(venue) for venue in THREE_VENUES) > D("0.2875")


def test_a_release_under_way_is_not_repeated_but_a_worse_level_acts_at_once() -> None:
    run = squeezed("0.2")
    run.risk = replace(run.risk, defence_in_flight={"binanceusdm": 1}, plan_in_flight=True)
    assert "under way" in why_not(run.assess(), R.LIQ_TOPUP)
    worse = squeezed("0.35")
    worse.risk = replace(worse.risk, defence_in_flight={"binanceusdm": 1}, plan_in_flight=True)
    assert worse.assess().reason in {R.LIQ_REDUCE, R.LIQ_EMERGENCY}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.decimals("-0.06", "0.12", places=3), min_size=1, max_size=6))
def test_whatever_the_path_the_book_stays_hedged_and_away_from_liquidation(path: list[Decimal]) -> None:
    run = entered()
    for step in path:
        run.moves(str(step))
        run.settle([GOOD])
        for _ in range(2):
            run.step(hours=1)
        equity_now = equity(run)
        net = run.assess().inputs["net_delta"].value * run.price / equity_now
        assert abs(net) <= D("0.03")
        assert run.ratio() > D("0.2625")
        assert all(amount >= 0 for key, amount in run.holdings.items() if key != PERP)


# ------------------------------------------------------------------------------------------------------------ delta
def test_an_excess_that_the_margin_cannot_short_is_sold_out_of_the_sleeve() -> None:
    run = squeezed("0.15")  # z above 1 and below z_open
    run.holdings[WEETH] += D(3)
    found = run.assess()
    assert (found.reason, kinds(run)) == (R.DELTA, ["swap", "swap"])
    run.step(seconds=15)
    assert abs(run.delta()) < D("0.01")


def test_where_the_sleeve_cannot_be_sold_the_excess_is_carried_and_the_perp_is_not_sold() -> None:
    run = squeezed("0.15")
    run.holdings[WEETH] += D(3)
    run.chain = run.chain.token(WEETH, pool_price=None)
    assert "costs nobody knows what" in why_not(run.assess(), R.DELTA)
    assert run.orders() == []


# -------------------------------------------------------------------------------------------------------- ways out
def poor(run: HedgeRun) -> HedgeRun:
    """Funding so bad for so long that yield and funding together do not pay."""
    run.funding = D("-0.0001")
    run.grow(WEETH, D("0.03"), days=10, decides=False)
    return run


def test_an_ordinary_exit_takes_the_queue_and_keeps_its_hedge_until_the_ether_is_sold() -> None:
    run = poor(entered())
    assert run.assess().reason is R.CARRY_EXIT
    assert kinds(run) == ["unwrap", "unstake"]
    run.step(hours=1)
    short, claims = run.weigh(PERP), [key for key in run.holdings if key.kind == "claim"]
    assert not run.weigh(WEETH)
    assert len(claims) == 1
    assert set(reasons(run, 5)) == {R.HOLD}
    assert run.weigh(PERP) == short
    assert abs(run.delta()) < D("0.003")
    run.pay(claims[0])
    steps = reasons(run, 10)
    assert steps[0] is R.WITHDRAWAL
    assert run.weigh(ETH) + run.weigh(WETH) < D("0.2")
    assert abs(run.weigh(PERP)) * run.price < 50
    assert equity(run) > D(298_000)


def test_a_sale_that_is_cheaper_than_the_queue_goes_clip_by_clip_against_the_short() -> None:
    run = entered()
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate, queue_wait_s=40 * 86_400)
    run = poor(run)
    first = run.orders()
    assert [order.operation.value for order in first] == ["perp_trade", "transfer", "swap", "swap"]
    assert first[0].quantity * run.price <= 25_000
    worst = D(0)
    for _ in range(12):
        run.step(minutes=1)
        worst = max(worst, abs(run.delta()))
    assert worst < D("0.01")
    assert run.weigh(WEETH) * run.price < 50
    assert abs(run.weigh(PERP)) * run.price < 50
    assert run.weigh(BINANCE.margin_key) < 100


@pytest.mark.parametrize("confirmed", [1, 2])
def test_an_exit_needs_every_settlement_of_its_confirmation(confirmed: int) -> None:
    run = entered()
    book = own(run).book
    averages = (D("0.0001"),) * (3 - confirmed) + (D("-0.001"),) * confirmed
    venues = {name: replace(venue, averages=averages) for name, venue in book.venues.items()}
    run.memory = replace(own(run), book=replace(book, venues=venues))
    assert run.assess().reason is R.HOLD


def test_a_drawdown_leaves_in_clips_and_stays_out() -> None:
    run = entered()
    run.risk = replace(run.risk, unit_value=D("0.94"))
    found = run.assess()
    assert (found.reason, found.page) == (R.DRAWDOWN, True)
    for _ in range(14):
        run.step(minutes=1)
    assert run.weigh(WEETH) * run.price < 50
    assert abs(run.weigh(PERP)) * run.price < 50
    assert (run.assess().reason, run.orders()) == (R.DRAWDOWN, [])


def test_a_withdrawal_unwinds_sleeve_short_and_margin_by_one_share() -> None:
    run = entered()
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate, queue_wait_s=40 * 86_400)
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(30_000))
    ratio = run.ratio()
    for _ in range(8):
        run.step(minutes=5)
    assert set(run.done()[3:]) == {"WITHDRAWAL"}
    cash = run.weigh(BINANCE.cash_key) + run.weigh(USDT)
    assert D(30_000) <= cash < D(31_500)
    assert abs(-run.weigh(PERP) - D("79.76") * D("0.9")) < D("0.6")
    assert abs(run.ratio() - ratio) < D("0.01")
    assert abs(run.delta()) < D("0.005")


def test_claims_on_their_way_are_not_asked_for_again() -> None:
    run = entered()
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(30_000))
    assert run.step(minutes=5) is R.WITHDRAWAL
    assert [order.operation.value for order in run.acts[-1][2]] == ["unwrap", "unstake"]
    assert set(reasons(run, 3)) == {R.HOLD}
    assert "ETH are claims" in why_not(run.assess(), R.WITHDRAWAL)


# ------------------------------------------------------------------------------------------------ excess, rotation
def test_a_fall_is_banked_only_after_a_calm_day_and_goes_into_the_token() -> None:
    run = entered()
    run.moves("-0.2")
    run.step(hours=1)
    assert run.assess().reason is R.HOLD
    assert "calm" in why_not(run.assess(), R.MARGIN_EXCESS)
    short = -run.weigh(PERP)
    for _ in range(30):
        run.step(hours=1)
    assert "MARGIN_EXCESS" in run.done()
    assert run.done()[-2:] == ["SCALE", "SCALE"]
    x = (D("0.875") - D("0.5")) / D("1.5")  # CX5, per unit of the notional
    assert abs((-run.weigh(PERP) - short) / short - x) < D("0.01")
    assert abs(run.ratio() - D("0.5")) < D("0.02")
    assert abs(run.delta()) < D("0.005")


def test_a_rotation_moves_short_and_margin_alone_as_far_as_free_margin_goes_ahead() -> None:
    run = entered("300000", *THREE_VENUES)
    rich = THREE_VENUES[1].perp_key("ETH")
    run.wait(D("0.0006"), rich, days=8)
    found, orders = run.assess(), run.orders()
    assert found.reason is R.ROTATE
    changed = by_key([order for order in orders if order.side is not None])
    moved = {key: amount for key, amount in changed.items() if key.kind == "perp"}
    assert set(map(abs, moved.values())) == {moved[rich] * -1}
    assert all(order.instrument.kind == "perp" for order in orders if order.side is not None)
    weights = found.weights
    assert signs(sum(weights.values(), D(0))) == "1"
    assert weights["bybit"] > D("0.3")
    run.step(seconds=15)
    assert abs(run.delta()) < D("0.003")
    assert own(run).book.weights == weights


def test_a_venue_that_cannot_be_seen_keeps_its_weight_and_the_others_go_on() -> None:
    run = candidate("300000", *THREE_VENUES)
    run.stale = frozenset({f"book:{THREE_VENUES[2].perp_key('ETH')}"})
    run.step(hours=1)
    assert run.done() == ["ENTRY"]
    assert run.weigh(THREE_VENUES[2].perp_key("ETH")) == 0
    assert run.weigh(THREE_VENUES[0].perp_key("ETH")) < -30


def test_a_reward_is_sold_and_no_leg_ever_is() -> None:
    run = entered()
    assert all(key not in by_key(run.orders()) for key in (WEETH, ETH))
    assert K("wallet:token:EIGEN") in run.strategy.declared_keys
    assert ONE_VENUE[0].network == "ethereum"
