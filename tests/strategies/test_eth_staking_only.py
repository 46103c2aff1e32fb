"""A staking book: how ETH goes in, which way it comes out, and what it leaves to a human."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.risk import Effect, effect_of
from basis_daemon.strategies.onchain_memory import OnchainMemory
from tests.builders import D, signs, why_not
from tests.strategies.chain_scenes import (
    A_WETH,
    ETH,
    RATE,
    START,
    WEETH,
    WETH,
    WSTETH,
    Chain,
    K,
    shown,
)
from tests.strategies.staking_scenes import EETH, EIGEN, ETHFI, KING, SHARE, SLEEVE, STETH, Y, holder, staker

ENTRY, SCALE, HOLD = ReasonCode.ENTRY, ReasonCode.SCALE, ReasonCode.HOLD
WITHDRAWAL, EXIT, DUST, DRAWDOWN = ReasonCode.WITHDRAWAL, ReasonCode.CARRY_EXIT, ReasonCode.DUST, ReasonCode.DRAWDOWN


# -------------------------------------------------------------------------------------------------------------- in
@pytest.mark.feature("S05", part="strategy")
def test_eth_becomes_wsteth_in_one_call_but_for_its_gas() -> None:
    run = staker(lst=WSTETH)
    assert run.step() is ENTRY
    (order,) = run.acts[0][2]
    assert (order.operation, order.venue, order.quantity) == (OrderOperation.STAKE, "lido", D("99.9"))
    assert (order.token_in, order.token_out) == (ETH, WSTETH)
    assert signs(order.expected_deltas[WSTETH]) == "93.640726"  # ST1
    assert signs(order.min_out or D(0)) == signs(order.expected_deltas[WSTETH] * D("0.9999"))
    assert run.grow(WSTETH, Y, days=2) == [HOLD] * 48


def test_etherfi_gives_eeth_which_is_wrapped() -> None:
    run = staker()
    assert run.step() is ENTRY
    stake, wrap = run.acts[0][2]
    assert (stake.operation, stake.venue, stake.quantity) == (OrderOperation.STAKE, "etherfi", D("99.9"))
    assert (stake.token_out, wrap.operation, wrap.token_in, wrap.token_out) == (EETH, OrderOperation.WRAP, EETH, WEETH)
    assert 0 < stake.quantity - wrap.quantity < D("1e-8")  # a token of shares rounds
    assert signs(run.holdings[WEETH]) == "93.640726"
    assert run.grow(WEETH, Y, days=2) == [HOLD] * 48


def test_eeth_that_a_plan_left_on_its_way_is_wrapped_or_handed_back() -> None:
    run = staker("0.1")
    run.holdings[EETH] = D(10)
    assert run.step() is ENTRY
    assert shown(run.acts[0][2]) == [("wrap", "10")]
    back = staker("0.1")
    back.holdings[EETH] = D(10)
    back.risk = replace(back.risk, withdrawal_pending_usdt=D(20_000))
    assert back.step() is WITHDRAWAL
    assert shown(back.acts[0][2]) == [("unstake", "10")]


def test_weth_is_unwrapped_first() -> None:
    run = staker("10", weth="90")
    assert run.step() is ENTRY
    assert shown(run.acts[0][2]) == [("unwrap", "90"), ("stake", "99.9"), ("wrap", "99.9")]


def test_new_eth_scales_the_book_up() -> None:
    run = holder()
    run.holdings[ETH] += 5
    assert run.step(hours=1) is SCALE
    assert shown(run.acts[0][2]) == [("stake", "5"), ("wrap", "5")]


def test_the_dex_is_used_where_it_sells_below_the_issuers_rate() -> None:  # ST3
    run = staker()
    run.chain = run.chain.token(WEETH, pool_price_buy=RATE * D("0.9985"))
    assert run.step() is ENTRY
    wrap, buy = run.acts[0][2]
    assert shown([wrap, buy]) == [("wrap", "99.9"), ("swap", "99.9")]
    assert (buy.token_in, buy.token_out, buy.venue) == (WETH, WEETH, "uniswap_v3")
    assert signs(buy.min_out or D(0)) == "93.640726"  # never less than the issuer gives
    small = staker()
    small.chain = small.chain.token(WEETH, pool_price_buy=RATE * D("0.9985"), quoted_size=D(50))
    small.step()
    assert shown(small.acts[0][2]) == [("stake", "99.9"), ("wrap", "99.9")]  # the quote is for less


@pytest.mark.feature("D06", part="entry")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_paused": True}, "weETH: the issuer is paused"),
        ({"deposits_open": False}, "takes no deposits"),
        ({"deposit_room": D(99)}, "the issuer has room for 99 ETH, 99.9 wanted"),
        ({"pool_price": None}, "weETH sells at unknown"),
        ({"pool_price": RATE * D("0.979")}, "band 0.02"),
        ({"pool_price": RATE * D("1.021")}, "band 0.02"),
    ],
)
def test_nothing_goes_into_a_token_that_is_not_well(changes: dict[str, object], why: str) -> None:
    run = staker()
    run.chain = run.chain.token(WEETH, **changes)
    assert run.step() is HOLD
    assert why in why_not(run.assess(), ENTRY)


def test_small_change_gas_budget_and_operators_bound_an_entry() -> None:
    assert staker("2").step() is HOLD
    dear = staker()
    dear.chain = replace(dear.chain, gwei=61)
    assert dear.step() is HOLD
    poor = holder()
    poor.holdings[ETH] += 3
    poor.chain = replace(poor.chain, gwei=50)
    assert poor.step(hours=1) is HOLD
    assert "is over 0.20 of it" in why_not(poor.assess(), SCALE)
    bounded = staker()
    bounded.budget_usdt = D(125_000)
    bounded.step()
    assert shown(bounded.acts[0][2]) == [("stake", "50"), ("wrap", "50")]
    halted = staker()
    halted.risk = replace(halted.risk, halted_instruments={WEETH: "its proxy was upgraded"})
    assert halted.step() is HOLD
    assert "its proxy was upgraded" in why_not(halted.assess(), ENTRY)


# ------------------------------------------------------------------------------------------------------------- out
@pytest.mark.feature("S05", part="strategy")
@pytest.mark.parametrize("lst", [WEETH, WSTETH])
def test_a_withdrawal_goes_through_the_queue_and_counts_until_it_is_paid(lst: PositionKey) -> None:
    run = staker("0.1", "93.640726", lst=lst)
    run.grow(lst, Y, days=9, decides=False)
    before = run.assess().inputs["equity"].value
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    assert run.step(hours=1) is WITHDRAWAL
    *bare, order = run.acts[0][2]
    assert order.operation is OrderOperation.UNSTAKE  # 7 bp and fee against a week at 3 %: ST4
    assert [(step.operation, step.token_out) for step in bare] == (
        [(OrderOperation.UNWRAP, EETH)] if lst == WEETH else []
    )
    assert signs(order.quantity * (1 if lst == WEETH else run.chain.lsts[lst].rate)) == "10"
    claim = next(key for key in run.holdings if ":claim:" in key)
    assert signs(run.holdings[claim]) == "10"
    assert run.grow(lst, Y, days=6) == [HOLD] * 144  # pending: neither asked for again nor lost
    found = run.assess()
    assert found.inputs["equity"].value > before
    run.pay(claim)
    assert run.step(hours=1) is WITHDRAWAL
    (paid,) = run.acts[1][2]
    assert (paid.operation, paid.instrument, paid.token_out) == (OrderOperation.CLAIM, claim, ETH)
    assert run.holdings[claim] == 0
    assert signs(run.holdings[ETH], 7) == "10.1"
    memory = run.memory
    assert isinstance(memory, OnchainMemory)
    assert memory.claims == {}
    assert run.step(hours=1) is HOLD


def test_what_rounding_took_from_a_request_is_not_asked_for_again() -> None:
    run = holder()
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    run.step(hours=1)
    claim = K("etherfi:claim:1")
    assert run.holdings[claim] < 10
    run.holdings[claim] -= D("5e-7")
    assert run.step(hours=1) is HOLD


def test_a_claim_that_is_twice_as_late_as_it_should_be_is_told_and_stays_counted() -> None:
    run = holder()
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    run.step(hours=1)
    reasons = run.grow(WEETH, Y, days=13, hours=23)
    assert set(reasons) == {HOLD}
    assert not run.assess().page
    run.grow(WEETH, Y, hours=3)
    found = run.assess()
    assert found.page
    assert "overdue: etherfi:claim:1" in found.note
    assert signs(found.inputs["claims"].value) == "10"


def test_a_request_that_pays_less_than_was_asked_is_taken_as_it_is() -> None:
    run = holder()
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    run.step(hours=1)
    claim = K("etherfi:claim:1")
    run.chain = replace(run.chain, claims={claim: replace(run.chain.claims[claim], amount=D("9.9"), is_payable=True)})
    run.step(hours=1)
    assert (run.holdings[claim], run.holdings[ETH]) == (D(0), D("10.0"))


def test_a_premium_is_sold_to_and_a_long_queue_is_avoided() -> None:
    run = holder()
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    run.chain = run.chain.token(WEETH, queue_wait_s=60 * 86_400)  # 60 d at 3 %: 49 bp
    assert run.step(hours=1) is WITHDRAWAL
    (order,) = run.acts[0][2]
    assert order.operation is OrderOperation.SWAP
    assert order.min_out is not None
    assert signs(order.min_out / order.quantity / run.chain.lsts[WEETH].rate, 6) == "0.997"  # slip_dex
    assert order.reduce_only
    assert effect_of(order, [order], run.exposure) is Effect.DEFENCE
    assert run.step(hours=1) is WITHDRAWAL
    assert [kind for kind, _ in shown(run.acts[1][2])] == ["unwrap"]


def test_a_large_exit_is_split_between_the_quote_and_the_queue() -> None:
    run = holder("500")
    run.chain = run.chain.token(WEETH, queue_wait_s=60 * 86_400, quoted_size=D(100))
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(500_000))
    assert run.step(hours=1) is WITHDRAWAL
    assert [kind for kind, _ in shown(run.acts[0][2])] == ["swap", "unwrap", "unstake"]
    assert run.acts[0][2][0].quantity == 100


def test_a_withdrawal_that_the_wallet_covers_unwraps_at_most() -> None:
    run = staker("5.1", "50", weth="4")
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(20_000))
    assert run.step() is WITHDRAWAL
    assert shown(run.acts[0][2]) == [("unwrap", "3")]
    assert run.step(minutes=1) is HOLD


def test_an_issuer_that_is_paused_takes_nothing_back() -> None:
    run = holder()
    run.chain = run.chain.token(WEETH, is_paused=True)
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    assert run.step(hours=1) is HOLD
    assert "nothing is left to leave" in why_not(run.assess(), WITHDRAWAL)


def test_a_depeg_is_no_reason_to_sell() -> None:
    run = holder()
    before = run.assess().inputs["equity"].value
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.95"))
    assert run.live(days=3) == [HOLD] * 72
    assert run.assess().inputs["equity"].value == before


def test_a_small_fall_of_the_rate_waits_for_a_human() -> None:
    run = holder()
    run.holdings[ETH] += 20
    run.rerate(WEETH, run.chain.lsts[WEETH].rate * D("0.99"))
    assert run.live(days=2) == [HOLD] * 48
    found = run.assess()
    assert found.page
    assert "fell by 0.01: a human decides" in found.note
    run.grow(WEETH, Y, days=9)  # what a human let stand for a window is how it is now
    assert run.done() == ["SCALE"]


@pytest.mark.parametrize(("discount", "kinds"), [("0.9993", ["swap"]), ("0.985", ["unwrap", "unstake"])])
def test_a_large_one_leaves_by_the_cheaper_path(discount: str, kinds: list[str]) -> None:
    run = holder()
    run.rerate(WEETH, run.chain.lsts[WEETH].rate * D("0.97"))
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D(discount))
    assert run.step(hours=1) is EXIT
    assert run.acts[0][1].page
    assert [kind for kind, _ in shown(run.acts[0][2])] == kinds
    assert run.step(hours=1) is HOLD
    assert run.holdings[WEETH] == 0


def test_nothing_is_staked_again_within_a_day_of_a_reduction() -> None:
    run = holder()
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    run.chain = run.chain.token(WEETH, queue_wait_s=60 * 86_400)
    run.step(hours=1)
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(0))  # the client changes his mind
    assert set(run.grow(WEETH, Y, hours=23)) == {HOLD}
    assert "weETH was reduced within 24 h" in why_not(run.assess(), SCALE)
    run.grow(WEETH, Y, hours=2)
    assert run.done() == ["WITHDRAWAL", "SCALE"]


def test_a_drawdown_leaves_collects_and_stays_out() -> None:
    run = holder("500")
    run.chain = run.chain.token(WEETH, quoted_size=D(100))
    run.risk = replace(run.risk, latched="drawdown 0.1012 on 2025-05-15")
    assert run.step(hours=1) is DRAWDOWN
    assert [kind for kind, _ in shown(run.acts[0][2])] == ["swap", "unwrap", "unstake"]
    assert run.step(hours=1) is DRAWDOWN
    assert run.orders() == []
    run.pay(K("etherfi:claim:1"))
    assert run.step(hours=1) is DRAWDOWN
    assert [kind for kind, _ in shown(run.acts[1][2])] == ["claim"]
    assert {key for key, held in run.holdings.items() if held > D("1e-6")} == {ETH, WETH}


# -------------------------------------------------------------------------------------------------- what is unknown
NEEDED = ("lst:wallet:lst:weETH", "reserve:aave_v3:atoken:WETH", "gas:wallet:token:ETH")


@pytest.mark.parametrize("name", [*NEEDED, "account:wallet", "account:etherfi"])
def test_a_stale_input_holds(name: str) -> None:
    run = staker()
    run.stale = frozenset({name})
    assert run.step() is ReasonCode.STALE
    assert name in run.assess().note


def test_a_token_whose_rate_was_never_read_has_no_value() -> None:
    run = staker("1", "50")
    run.chain = Chain(reserves={A_WETH: run.chain.reserves[A_WETH]})
    assert run.step() is ReasonCode.STALE
    assert "value:wallet:lst:weETH" in run.assess().note


def test_a_week_of_rates_gives_the_golden_yield() -> None:  # ST2, over the days that the window has
    run = staker(y_window_days=6)
    run.remember()
    for day in range(1, 7):
        run.time = START.replace(day=START.day + day)
        run.rerate(WEETH, RATE + (D("1.067261845") - RATE) * day / 6)
        run.remember()
    assert signs(run.assess().inputs["y_base"].value) == "0.023854727"


def test_the_memory_stays_small_and_survives_its_text() -> None:
    run = holder()
    run.grow(WEETH, Y, days=40, decides=False)
    text = run.strategy.dump_memory(run.memory)
    assert run.strategy.load_memory(text) == run.memory
    assert len(text) < 20_000


def test_declared_keys_depend_on_the_sleeve() -> None:
    assert SHARE not in staker().strategy.declared_keys
    assert {SHARE, STETH, K("lido:claim:*"), K("eigenlayer:claim:*")} < staker(**SLEEVE).strategy.declared_keys
    assert staker(lst=WSTETH).strategy.instruments == {WSTETH, A_WETH, ETH, EIGEN, ETHFI, KING}


@settings(deadline=None, max_examples=40)
@given(
    eth=st.decimals(0, "500", places=6),
    weth=st.decimals(0, "500", places=6),
    tokens=st.decimals(0, "500", places=6),
    discount=st.decimals("-0.01", "0.05", places=4),
    days=st.integers(0, 90),
    owed=st.decimals(0, "2000000", places=0),
)
def test_nothing_is_overdrawn_and_equity_is_lost_to_costs_alone(
    eth: Decimal, weth: Decimal, tokens: Decimal, discount: Decimal, days: int, owed: Decimal
) -> None:
    run = staker(str(eth), str(tokens), weth=str(weth))
    run.chain = run.chain.token(WEETH, pool_price=RATE * (1 - discount), queue_wait_s=days * 86_400)
    run.risk = replace(run.risk, withdrawal_pending_usdt=owed)
    before = run.assess().inputs["equity"].value
    for _ in range(4):
        run.step(minutes=1)
    assert run.assess().inputs["equity"].value >= before * D("0.9969")
