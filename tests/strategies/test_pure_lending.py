"""A lender: what it supplies, what keeps it from supplying, and everything that makes it leave."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import Break, BreakKind
from basis_daemon.strategies.lending import PureLending
from basis_daemon.strategies.onchain_memory import OnchainMemory, Smoothed
from basis_daemon.strategies.onchain_parameters import LendingParameters
from tests.builders import D, why_not
from tests.strategies.chain_scenes import A_USDT, A_WETH, ETH, START, USDT, WETH, Chain, K, Run, calm, shown

ENTRY, SCALE, EXIT, HOLD = ReasonCode.ENTRY, ReasonCode.SCALE, ReasonCode.CARRY_EXIT, ReasonCode.HOLD
MILLION = D(1_000_000)


def lender(wallet: Decimal = MILLION, supplied: Decimal = D(0), chain: Chain | None = None, **changes: object) -> Run:
    strategy = PureLending(LendingParameters.model_validate(changes))
    return Run(strategy, {USDT: wallet, A_USDT: supplied, ETH: D("0.05")}, chain or calm())


def ether_lender(eth: Decimal = D(1000), weth: Decimal = D(0), supplied: Decimal = D(0)) -> Run:
    strategy = PureLending(LendingParameters(asset="ETH"))
    return Run(strategy, {ETH: eth, WETH: weth, A_WETH: supplied}, calm())


# ---------------------------------------------------------------------------------------------------------- enters
@pytest.mark.feature("S08", part="strategy")
def test_a_dollar_book_supplies_all_but_its_buffer_and_then_holds() -> None:
    run = lender()
    assert run.step() is ENTRY
    (order,) = run.acts[0][2]
    assert shown([order]) == [("supply", "980000")]  # PL2
    assert (order.venue, order.instrument, order.token_in) == ("aave_v3", A_USDT, USDT)
    assert order.expected_deltas == {USDT: D(-980_000), A_USDT: D(980_000)}
    assert set(run.live(days=3)) == {HOLD}
    assert run.done() == ["ENTRY"]


@pytest.mark.feature("S08", part="strategy")
def test_an_ether_book_wraps_what_it_supplies_and_keeps_its_gas() -> None:
    run = ether_lender(weth=D(10))
    assert run.step() is ENTRY
    wrap, supply = run.acts[0][2]
    assert shown([wrap, supply]) == [("wrap", "979.751"), ("supply", "989.751")]  # .98 of 1010 - .05, 10 are wrapped
    assert (wrap.token_in, wrap.token_out, supply.token_in) == (ETH, WETH, WETH)
    assert run.holdings[ETH] + run.holdings[WETH] == D(1010) - D("0.98") * D("1009.95")
    assert run.live(hours=5) == [HOLD] * 5


def test_more_money_is_supplied_as_a_scale_up_of_exactly_what_the_target_lacks() -> None:
    run = lender(D(30_000), D(970_000))
    assert run.step() is SCALE
    assert shown(run.acts[0][2]) == [("supply", "10000")]  # PL2


def test_a_small_difference_is_left_alone() -> None:
    run = lender(D(24_999), D(975_001))
    assert run.step() is HOLD
    assert "4999 USDT is below min_chain_move, bounded by the target" in why_not(run.assess(), SCALE)


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({"idle": D(5_000_000), "debt": D(10_000_000)}, "500000"),  # a tenth of what can be withdrawn
        ({"supply_cap": D(2_000_400_000)}, "400000"),
    ],
)
def test_an_entry_is_cut_to_the_room_there_is(changes: dict[str, object], amount: str) -> None:
    run = lender(chain=calm().reserve(A_USDT, **changes))
    assert run.step() is ENTRY
    assert shown(run.acts[0][2]) == [("supply", amount)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_paused": True}, "the reserve is paused"),
        ({"is_frozen": True}, "the reserve is frozen"),
        ({"is_active": False}, "the reserve is not active"),
        ({"price": D("0.9849")}, "USDT at 0.9849 USD < 0.985"),
        ({"idle": D(80_000_000)}, "utilisation 0.952381 >= 0.95"),
        ({"debt": D(200_000_000)}, "rate after own deposit 0.0059"),
        ({"supply_cap": D(2_000_000_000)}, "bounded by the supply cap"),
    ],
)
def test_nothing_is_supplied_while_a_condition_fails(changes: dict[str, object], why: str) -> None:
    run = lender(chain=calm().reserve(A_USDT, **changes))
    assert run.step() is HOLD
    assert run.orders() == []
    assert why in why_not(run.assess(), ENTRY)


def test_gas_beyond_the_cap_waits_and_so_does_gas_that_a_month_does_not_pay() -> None:
    dear = lender(chain=replace(calm(), gwei=61))
    assert dear.step() is HOLD
    assert "gas 61 gwei > 60" in why_not(dear.assess(), ENTRY)
    small = lender(D(30_000), chain=replace(calm(), gwei=20))
    assert small.step() is ENTRY  # as PL4: a month brings five times the gas
    poor = lender(D(7_000), chain=replace(calm(), gwei=40))
    assert poor.step() is HOLD
    assert "is over 0.20 of it" in why_not(poor.assess(), ENTRY)


def test_a_budget_bounds_what_is_supplied() -> None:
    run = lender()
    run.budget_usdt = D(500_000)
    assert run.step() is ENTRY
    assert shown(run.acts[0][2]) == [("supply", "490000")]


def test_a_reserve_that_an_operator_must_look_at_takes_nothing_new() -> None:
    run = lender()
    run.risk = replace(run.risk, halted_instruments={A_USDT: "its oracle was replaced"})
    assert run.step() is HOLD
    assert "its oracle was replaced" in why_not(run.assess(), ENTRY)


# ---------------------------------------------------------------------------------------------------------- leaves
TROUBLE: list[tuple[dict[str, object], str]] = [
    ({"is_paused": True}, "the reserve is paused"),
    ({"is_frozen": True}, "the reserve is frozen"),
    ({"price": D("0.9840")}, "USDT at 0.984 USD < 0.985"),
    ({"idle": D(1_100_000)}, "idle 1100000 < 1.2 x position 980000"),
]


@pytest.mark.parametrize(("changes", "why"), TROUBLE)
def test_a_reserve_in_trouble_is_left_whole_at_once(changes: dict[str, object], why: str) -> None:
    run = lender(D(20_000), D(980_000))
    run.chain = replace(run.chain.reserve(A_USDT, **changes), gwei=300)  # not ordinary work: it does not wait for gas
    assert run.step() is EXIT
    found = run.acts[0][1]
    assert why in found.note
    assert found.page
    (order,) = run.acts[0][2]
    assert order.amount == "MAX"
    assert order.expected_deltas == {A_USDT: D(-980_000), USDT: D(980_000)}
    assert order.reduce_only
    assert run.holdings[USDT] == MILLION


def test_an_ether_book_gets_ether_back() -> None:
    run = ether_lender(D("20.05"), D(0), D(980))
    run.chain = run.chain.reserve(A_WETH, is_frozen=True)
    assert run.step() is EXIT
    assert shown(run.acts[0][2]) == [("withdraw", "MAX"), ("unwrap", "980")]
    assert (run.holdings[ETH], run.holdings[WETH]) == (D("1000.05"), D(0))


def test_a_drained_reserve_gives_what_it_has_and_the_rest_stays_counted_in_full() -> None:
    run = lender(D(20_000), D(980_000))
    run.chain = run.chain.reserve(A_USDT, idle=D(300_000))
    assert run.step() is EXIT
    assert shown(run.acts[0][2]) == [("withdraw", "300000")]
    run.chain = run.chain.reserve(A_USDT, idle=D(0))
    assert run.step(seconds=12) is EXIT
    assert run.orders() == []  # it asks again with every block
    assert run.assess().inputs["equity"].value == MILLION
    run.chain = run.chain.reserve(A_USDT, idle=D(5_000_000))
    run.holdings[USDT] -= 0
    assert run.step(seconds=12) is not EXIT  # more than 1.2 times what is left: no reason any more


def test_a_poor_rate_is_left_after_seven_days_and_not_before() -> None:
    run = lender(D(20_000), D(980_000))
    run.chain = run.chain.reserve(A_USDT, supply_rate=D("0.004"))
    assert set(run.live(days=6, hours=23)) == {HOLD}
    assert run.live(hours=2)[-1] is EXIT or run.done() == ["CARRY_EXIT"]
    assert run.holdings[A_USDT] == 0
    assert set(run.live(days=2)) == {HOLD}  # and nothing is supplied again while the average says no
    assert run.done() == ["CARRY_EXIT"]


def test_one_good_hour_above_the_hurdle_on_average_starts_the_seven_days_anew() -> None:
    run = lender(D(20_000), D(980_000))
    run.chain = run.chain.reserve(A_USDT, supply_rate=D("0.0099"))
    run.live(days=6)
    run.chain = run.chain.reserve(A_USDT, supply_rate=D("0.20"))
    run.live(hours=2)
    run.chain = run.chain.reserve(A_USDT, supply_rate=D("0.0099"))
    assert set(run.live(days=6)) == {HOLD}


def test_nothing_contradictory_within_a_day() -> None:
    run = lender(D(20_000), D(980_000))
    run.chain = run.chain.reserve(A_USDT, idle=D(1_100_000))
    assert run.step() is EXIT
    run.chain = run.chain.reserve(A_USDT, idle=D(400_000_000))
    assert set(run.live(hours=23)) == {HOLD}
    assert "reduced within 24 h" in why_not(run.assess(), ENTRY)
    run.live(hours=2)
    assert run.done() == ["CARRY_EXIT", "ENTRY"]


def test_a_depeg_keeps_the_dollars_in_the_wallet() -> None:
    run = lender(chain=calm().reserve(A_USDT, price=D("0.97")))
    assert set(run.live(days=2)) == {HOLD}
    assert run.holdings[USDT] == MILLION


# ------------------------------------------------------------------------------------------ withdrawal and drawdown
def test_a_withdrawal_that_the_wallet_covers_asks_for_nothing() -> None:
    run = lender(D(20_000), D(980_000))
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(15_000))
    assert run.step() is HOLD
    assert "the wallet covers 15000 USDT" in why_not(run.assess(), ReasonCode.WITHDRAWAL)


def test_a_withdrawal_is_taken_from_buffer_and_position_alike() -> None:
    run = lender(D(20_000), D(980_000))
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(100_000))
    assert run.step() is ReasonCode.WITHDRAWAL
    assert shown(run.acts[0][2]) == [("withdraw", "98000")]
    assert run.step() is HOLD  # the wallet pays
    run.holdings[USDT] -= D(100_000)
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(0))
    assert run.step() is HOLD
    assert run.holdings == {USDT: D(18_000), A_USDT: D(882_000), ETH: D("0.05")}


def test_a_wallet_below_half_its_buffer_is_filled_from_the_position() -> None:
    run = lender(D(4_000), D(996_000))
    assert run.step() is ReasonCode.LEG_DRIFT
    assert shown(run.acts[0][2]) == [("withdraw", "16000")]
    assert run.step() is HOLD


@pytest.mark.parametrize(
    "risk", [{"unit_value": D("0.949")}, {"latched": "drawdown 0.0512 on 2025-05-06"}], ids=["drawdown", "latched"]
)
def test_a_drawdown_takes_everything_home_until_an_operator_lets_it_in(risk: dict[str, object]) -> None:
    run = lender(D(20_000), D(980_000))
    run.risk = replace(run.risk, **risk)  # type: ignore[arg-type]  # of the parameter table above
    assert run.step() is ReasonCode.DRAWDOWN
    assert run.acts[0][1].page
    assert run.holdings[A_USDT] == 0
    assert run.step() is ReasonCode.DRAWDOWN
    assert run.orders() == []


# ------------------------------------------------------------------------------------------ what it does not know
STALE_NAMES = ("reserve:aave_v3:atoken:USDT", "reserve:aave_v3:atoken:WETH", "gas:wallet:token:ETH", "account:wallet")


@pytest.mark.parametrize("name", [*STALE_NAMES, "account:aave_v3"])
def test_a_stale_input_holds_and_is_named(name: str) -> None:
    run = lender()
    run.stale = frozenset({name})
    assert run.step() is ReasonCode.STALE
    assert name in run.assess().note
    assert run.orders() == []


def test_a_reserve_that_was_never_seen_is_unknown_and_not_zero() -> None:
    run = lender(chain=Chain())
    assert run.step() is ReasonCode.STALE
    assert "price:ETH" in run.assess().note


def test_a_holding_without_a_value_makes_equity_unknown() -> None:
    run = lender()
    run.holdings[K("wallet:token:XYZ")] = D(1)
    assert run.step() is ReasonCode.STALE
    assert "value:wallet:token:XYZ" in run.assess().note


@pytest.mark.parametrize(
    ("risk", "reason"),
    [
        ({"is_killed": True}, ReasonCode.STALE),
        ({"breaks": (Break(USDT, D(1), D(2), D(0), BreakKind.UNKNOWN),)}, ReasonCode.STALE),
        ({"in_doubt": ("0" * 32,)}, ReasonCode.IN_FLIGHT),
        ({"plan_in_flight": True}, ReasonCode.IN_FLIGHT),
        ({"defence_in_flight": {"aave_v3": 2}}, ReasonCode.IN_FLIGHT),
        ({"legs_with_open_orders": frozenset({A_USDT})}, ReasonCode.IN_FLIGHT),
    ],
)
def test_a_restricted_book_does_nothing(risk: dict[str, object], reason: ReasonCode) -> None:
    run = lender()
    run.risk = replace(run.risk, **risk)  # type: ignore[arg-type]  # of the parameter table above
    assert run.step() is reason
    assert run.orders() == []


# ---------------------------------------------------------------------------------------------- purity and memory
def test_the_memory_survives_its_own_text_and_knows_the_smoothed_rate() -> None:
    run = lender()
    run.live(days=2)
    memory = run.memory
    assert isinstance(memory, OnchainMemory)
    assert memory.lend.rate == Smoothed(D("0.035"), START + timedelta(hours=48))
    text = run.strategy.dump_memory(memory)
    assert run.strategy.load_memory(text) == memory
    assert run.strategy.dump_memory(run.strategy.load_memory(text)) == text


def test_what_is_not_its_business_teaches_it_nothing() -> None:
    run = lender()
    run.remember()
    known = run.memory
    for event in calm().at(START):
        assert run.strategy.fold(known, event) is known
    assert run.strategy.fold(known, "text") is known


def test_a_plan_that_did_not_end_well_still_moved_its_leg() -> None:
    run = lender(D(20_000), D(980_000))
    run.chain = run.chain.reserve(A_USDT, is_frozen=True)
    found, orders = run.assess(), run.orders()
    run.execute(found, orders, PlanState.ABORTED)
    run.chain = calm()
    assert run.step(hours=1) is HOLD
    assert "reduced within 24 h" in why_not(run.assess(), ENTRY)


def test_parameters_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=r"lend_buffer 0.3, expected 0 to 0.2"):
        LendingParameters(lend_buffer=D("0.3"))
    with pytest.raises(ConfigError, match=r"gas_cap_gwei < emergency_gas_cap_gwei is broken"):
        LendingParameters(gas_cap_gwei=D(300), emergency_gas_cap_gwei=D(300))
    assert LendingParameters().max_drawdown == D("0.05")
    assert LendingParameters(asset="ETH").max_drawdown == D("0.10")


def test_declared_keys_and_instruments_are_those_of_the_asset() -> None:
    assert lender().strategy.declared_keys == {USDT, A_USDT, ETH}
    assert lender().strategy.instruments == {A_USDT, A_WETH, ETH}
    assert ether_lender().strategy.declared_keys == {WETH, A_WETH, ETH}


AMOUNT = st.decimals(0, "5e7", places=6)


@given(wallet=AMOUNT, supplied=AMOUNT, idle=st.decimals(0, "1e9", places=2), owed=st.decimals(0, "1e7", places=2))
@pytest.mark.slow
def test_no_book_is_ever_overdrawn_and_no_answer_is_undone_by_the_next(
    wallet: Decimal, supplied: Decimal, idle: Decimal, owed: Decimal
) -> None:
    run = lender(wallet, supplied, calm().reserve(A_USDT, idle=idle))
    run.risk = replace(run.risk, withdrawal_pending_usdt=owed)
    first: list[Order] = []
    for _ in range(3):
        run.step(minutes=1)  # which asserts that nothing falls below zero
    first = [order for _, _, orders in run.acts for order in orders]
    kinds = {order.operation for order in first}
    assert len(kinds) <= 1
