"""When leverage is taken, how large, and every comparison that keeps the book unlevered."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import ExecutionMode, OnFail, OrderOperation, PostConditionKind
from basis_daemon.domain.plan import batches
from basis_daemon.strategies.leveraged import EthLeveraged
from basis_daemon.strategies.onchain_orders import CHAIN_TIMEOUT_S
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from tests.builders import D, signs, why_not
from tests.strategies.chain_scenes import A_WEETH, A_WETH, CHAIN, DEBT, ETH, WEETH, WETH, K, Run, calm, shown
from tests.strategies.levered_scenes import LSTS, RICH, at, candidate, cheap, equity, group, lam, levered

ENTRY, SCALE, HOLD = ReasonCode.ENTRY, ReasonCode.SCALE, ReasonCode.HOLD
O = OrderOperation  # noqa: E741  plans are read by operation


@pytest.mark.feature("S07", part="strategy")
@pytest.mark.parametrize("lst", LSTS)
def test_an_entry_is_one_transaction_that_lands_at_lambda(lst: PositionKey) -> None:
    run = candidate(lst=lst)
    assert run.step(hours=1) is ENTRY
    orders = run.acts[0][2]
    assert shown(orders) == [
        ("set_emode", "1"),
        ("wrap", "100"),
        ("flash_borrow", "566.667"),
        ("unwrap", "666.667"),
        ("stake", "666.667"),
        ("supply", signs(D("666.6666667") / run.chain.lsts[lst].rate * D("0.9999"), 6)),
        ("borrow", "566.667"),
    ]
    assert signs(lam(run, lst), 7) == "0.85"
    assert run.holdings[ETH] == D("0.4")
    assert {run.holdings[WETH], run.holdings[lst]} == {D(0)}
    assert abs(equity(run) - D("100.4")) < D("1e-9")


@pytest.mark.feature("S07", part="strategy")
def test_the_entry_is_bounded_inside_its_own_transaction() -> None:
    run = candidate()
    run.step(hours=1)
    orders = run.acts[0][2]
    inside = group(orders)
    assert [len(batch.orders) for batch in batches(orders, CHAIN)] == [1, 1, 5]
    for order in inside:
        assert (order.execution_mode, order.on_fail, order.timeout_s) == (
            ExecutionMode.ATOMIC,
            OnFail.ABORT,
            CHAIN_TIMEOUT_S,
        )
        assert order.deadline is not None
    loan, unwrap, stake, supply, debt = inside
    assert (loan.venue, loan.token_out, stake.venue) == ("aave_v3", WETH, "etherfi")
    assert (debt.memo, debt.token_out, debt.expected_deltas) == ("debt_mode", WETH, {DEBT: loan.quantity})
    assert unwrap.quantity == stake.quantity
    assert stake.min_out == supply.quantity
    bounds = {(c.kind, c.subject): c.bound for c in debt.post_conditions}
    assert signs(bounds[PostConditionKind.HEALTH_FACTOR_MIN, "aave_v3"]) == "1.1126471"  # HF(.85) - .005
    assert signs(bounds[PostConditionKind.LTV_MAX, "aave_v3"]) == "0.852"
    assert bounds[PostConditionKind.OUT_MIN, WEETH] == stake.min_out
    assert bounds[PostConditionKind.RESIDUE_NONE, WEETH] == 0


def test_tokens_that_were_held_unlevered_are_supplied_first_and_then_levered() -> None:
    run = candidate()
    run.holdings = {ETH: D("0.4"), WEETH: D(100)}
    run.step(hours=1)
    kinds = [order.operation for order in run.acts[0][2]]
    assert kinds[:3] == [O.SET_EMODE, O.SUPPLY, O.SET_COLLATERAL]
    assert kinds[3:] == [O.FLASH_BORROW, O.UNWRAP, O.STAKE, O.SUPPLY, O.BORROW]
    assert run.acts[0][2][1].quantity == 100
    assert signs(lam(run), 7) == "0.85"


def test_set_up_is_done_once() -> None:
    run = levered()
    run.holdings[ETH] += D(20)
    assert run.step(hours=1) is SCALE
    assert run.acts[1][2][0].operation is O.WRAP
    assert signs(lam(run), 7) == "0.85"


def test_a_cheaper_token_at_the_dex_is_bought_instead() -> None:
    run = candidate()
    run.chain = run.chain.token(WEETH, pool_price_buy=run.chain.lsts[WEETH].rate * D("0.999"))
    run.step(hours=1)
    buy = next(order for order in run.acts[0][2] if order.operation is O.SWAP)
    assert (buy.token_in, buy.token_out) == (WETH, WEETH)
    assert buy.min_out is not None
    assert buy.min_out >= buy.quantity / run.chain.lsts[WEETH].rate  # at least what staking would have brought
    assert O.UNWRAP not in [order.operation for order in run.acts[0][2]]


def test_an_oracle_below_the_rate_makes_a_smaller_position() -> None:  # k < 1, LV5
    run = candidate()
    run.chain = run.chain.reserve(A_WEETH, price=run.chain.reserves[A_WEETH].price * D("0.9995"))
    run.chain = run.chain.token(WEETH, oracle_price_eth=run.chain.lsts[WEETH].rate * D("0.9995"))
    run.step(hours=1)
    assert signs(group(run.acts[0][2])[0].quantity) == "564.78311"
    assert signs(lam(run), 6) == "0.85"


@pytest.mark.slow
def test_the_book_enters_holds_and_grows() -> None:
    run = levered()
    reasons = run.grow(WEETH, RICH, days=20)
    assert set(reasons) == {HOLD}
    assert run.done() == ["ENTRY"]


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ({"borrow_rate": D("0.0285")}, "0.010 needed"),
        ({"borrow_rate": D("0.05")}, "0.010 needed"),
    ],
)
def test_a_carry_that_does_not_pay_leaves_the_token_unlevered(chain: dict[str, object], why: str) -> None:
    run = Run(EthLeveraged(LeveragedParameters()), {ETH: D("100.4")}, calm(WEETH).reserve(A_WETH, **chain))
    run.grow(WEETH, RICH, days=10, decides=False)
    assert run.step(hours=1) is ENTRY
    assert shown(run.acts[0][2]) == [("stake", "100"), ("wrap", "100")]
    assert why in why_not(run.assess(), ENTRY)
    assert set(run.grow(WEETH, RICH, days=2)) == {HOLD}


def test_without_a_history_of_the_rate_there_is_no_leverage() -> None:
    run = Run(EthLeveraged(LeveragedParameters()), {ETH: D("100.4")}, cheap(calm(WEETH)))
    reasons = run.grow(WEETH, RICH, days=8)
    assert reasons[0] is ENTRY
    assert set(reasons[1:]) == {HOLD}
    assert "hours of carry known in a row, 48 needed" in why_not(run.assess(), ENTRY)
    run.grow(WEETH, RICH, days=2)
    assert run.done() == ["ENTRY", "ENTRY"]
    assert signs(lam(run), 3) == "0.85"


def test_one_poor_hour_within_two_days_keeps_it_out() -> None:
    run = candidate()
    run.chain = run.chain.reserve(A_WETH, borrow_rate=D("0.9"))
    run.grow(WEETH, RICH, hours=1, decides=False)
    run.chain = cheap(run.chain)
    run.grow(WEETH, RICH, hours=40, decides=False)
    assert run.step(hours=1) is ENTRY
    assert shown(run.acts[0][2]) == [("stake", "100"), ("wrap", "100")]
    assert "at worst of 48 h" in why_not(run.assess(), ENTRY)


def test_a_gap_in_the_readings_confirms_nothing() -> None:
    run = candidate()
    run.step(hours=3)
    assert "hours of carry known in a row" in why_not(run.assess(), ENTRY)


@pytest.mark.parametrize(
    ("key", "changes", "why"),
    [
        (A_WETH, {"is_borrowable": False}, "WETH cannot be borrowed"),
        (A_WETH, {"is_flashable": False}, "WETH cannot be borrowed"),
        (A_WETH, {"is_frozen": True}, "the reserve of WETH takes nothing new"),
        (A_WEETH, {"is_paused": True}, "the reserve of weETH takes nothing new"),
        (A_WETH, {"borrow_cap": D(1_700_001)}, "a loan of 1 WETH is below min_chain_move"),
        (A_WEETH, {"supply_cap": D(900_100)}, "a loan of 0 WETH is below min_chain_move"),
        (
            A_WETH,
            {"idle": D(50_000), "debt": D(1_700_000)},
            "a loan of 0 WETH is below min_chain_move",
        ),  # past the kink
    ],
)
def test_the_protocol_must_take_it(key: PositionKey, changes: dict[str, object], why: str) -> None:
    run = candidate()
    run.chain = run.chain.reserve(key, **changes)
    run.step(hours=1)
    assert DEBT not in run.holdings
    assert why in why_not(run.assess(), ENTRY)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"collaterals": frozenset({"wstETH"})}, "e-mode 1 does not take weETH against WETH"),
        ({"liquidation_threshold": D("0.90"), "ltv": D("0.895")}, "HF at the top of the band 1.0"),
    ],
)
def test_the_e_mode_must_carry_it(changes: dict[str, object], why: str) -> None:
    run = candidate(hf_min_target=D("1.05"))
    run.chain = run.chain.emode(A_WEETH, **changes)
    run.step(hours=1)
    assert why in why_not(run.assess(), ENTRY)
    assert DEBT not in run.holdings


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_paused": True}, "the issuer is paused"),
        ({"deposits_open": False}, "takes no deposits"),
        ({"deposit_room": D(600)}, None),
        ({"pool_price": None}, "sells at unknown"),
        ({"pool_price": D("1.04")}, "band 0.02"),
    ],
)
def test_the_issuer_must_be_well(changes: dict[str, object], why: str | None) -> None:
    run = candidate()
    run.chain = run.chain.token(WEETH, **changes)
    run.step(hours=1)
    if why is None:
        assert signs(group(run.acts[0][2])[0].quantity) == "500"  # as far as the issuer has room
        return
    assert run.acts == []
    assert why in why_not(run.assess(), ENTRY)


def test_gas_and_operators_have_their_say() -> None:
    run = candidate()
    run.chain = replace(run.chain, gwei=61)
    run.step(hours=1)
    assert "gas 61 gwei > 60" in why_not(run.assess(), ENTRY)
    run.chain = replace(run.chain, gwei=5)
    run.risk = replace(run.risk, halted_instruments={DEBT: "its rate model was replaced"})
    run.step(hours=1)
    assert "its rate model was replaced" in why_not(run.assess(), ENTRY)
    assert DEBT not in run.holdings


def test_a_budget_bounds_the_equity_that_is_levered() -> None:
    run = candidate("200.4")
    run.budget_usdt = D(250_000)
    run.step(hours=1)
    assert signs(group(run.acts[0][2])[0].quantity, 6) == "566.667"
    assert run.step(hours=1) is HOLD


def test_lambda_below_its_band_is_brought_back_when_the_carry_pays() -> None:
    run = at("0.83")
    assert run.step(hours=1) is HOLD
    assert "inside its band" in why_not(run.assess(), SCALE)
    run = at("0.81")
    assert run.step(hours=1) is SCALE
    assert signs(lam(run), 7) == "0.85"
    assert run.acts[0][2][0].operation is O.FLASH_BORROW


def test_a_book_that_is_entered_remembers_it_across_a_restart() -> None:
    run = levered()
    text = run.strategy.dump_memory(run.memory)
    assert run.strategy.load_memory(text) == run.memory
    assert len(text) < 25_000


def test_parameters_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"hf_emergency < hf_reduce < hf_warn is broken"):
        LeveragedParameters(hf_reduce=D("1.10"))
    with pytest.raises(ConfigError, match=r"lambda_target 0.9, expected 0 to 0.88"):
        LeveragedParameters(lambda_target=D("0.9"))
    with pytest.raises(ConfigError, match=r"expected 0 in a levered book"):
        LeveragedParameters(eigenlayer_weight=D("0.1"), operators=("0xaa",))


def test_declared_keys_are_those_of_the_token() -> None:
    strategy = EthLeveraged(LeveragedParameters())
    keys = {"wallet:token:ETH", "wallet:token:WETH", "wallet:token:eETH", "wallet:lst:weETH", "etherfi:claim:*"}
    keys |= {"aave_v3:atoken:weETH", "aave_v3:vdebt:WETH"}
    keys |= {f"wallet:token:{symbol}" for symbol in ("EIGEN", "ETHFI", "KING")}
    assert strategy.declared_keys == {K(key) for key in keys}
    assert strategy.name == "eth_leveraged"
    assert {WEETH, A_WEETH, A_WETH, ETH} < strategy.instruments


@settings(deadline=None, max_examples=20)
@given(
    eth=st.decimals("3", "900", places=6),
    tokens=st.decimals(0, "200", places=6),
    oracle=st.decimals("0.995", "1.0", places=4),
)
def test_every_entry_lands_at_lambda_and_overdraws_nothing(eth: Decimal, tokens: Decimal, oracle: Decimal) -> None:
    run = candidate()
    run.holdings = {ETH: eth, WEETH: tokens}
    run.chain = run.chain.reserve(A_WEETH, price=run.chain.reserves[A_WEETH].price * oracle)
    run.step(hours=1)
    if run.holdings.get(DEBT):
        assert abs(lam(run) - D("0.85")) < D("1e-12")


def test_a_block_that_was_read_already_teaches_nothing_again() -> None:
    run = candidate()
    run.step(hours=1)
    known = run.memory
    for event in run.chain.at(run.time):
        assert run.strategy.fold(known, event) is known
