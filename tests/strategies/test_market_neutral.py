"""The staked hedge without leverage: how it comes to stand, what its carry must pay, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.order import ExecutionMode, Side
from basis_daemon.strategies.hedge import UsdtMarketNeutralNoLeverage
from tests.builders import BINANCE, D, signs, why_not
from tests.strategies.chain_scenes import ETH, RATE, USDT, WEETH, WETH, K, lst_tick, shown
from tests.strategies.hedge_scenes import (
    ROUTED,
    THREE_VENUES,
    HedgeRun,
    by_key,
    candidate,
    entered,
    hedge,
    own,
    reasons,
)

R = ReasonCode
SPOT, PERP = BINANCE.spot_key("ETH"), BINANCE.perp_key("ETH")


# ------------------------------------------------------------------------------------------------------ parameters
def test_the_defaults_are_those_of_a_staked_hedge() -> None:
    p = hedge()
    assert (p.asset, p.m_star, p.shock, p.reserve_eth, p.max_drawdown) == (
        "ETH", D("0.50"), D("0.25"), D("0.15"), D("0.05"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"asset": "BTC"}, "asset BTC, expected ETH"),
        ({"eigenlayer_weight": D("0.1"), "operators": ("0x01",)}, "eigenlayer_weight 0.1, expected 0"),
        ({"m_star": D(2)}, "m_star 2, expected 0.25 to 1"),
        ({"s_lst": D(2)}, "s_lst 2, expected 0.005 to 0.10"),
        ({"slip_dex_bp": D(100)}, "slip_dex_bp < slip_emergency_bp is broken"),
    ],
)
def test_a_wrong_parameter_of_either_half_is_told(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        hedge(**changes)


def test_it_declares_every_key_that_it_may_hold() -> None:
    keys = UsdtMarketNeutralNoLeverage(hedge()).declared_keys
    named = ("binance:transit:ETH", "wallet:transit:ETH", "wallet:transit:USDT", "etherfi:claim:*", "wallet:lst:weETH")
    assert {*map(K, named), SPOT, PERP, BINANCE.cash_key, BINANCE.margin_key, USDT, ETH, WETH} <= keys


def test_its_memory_survives_the_journal() -> None:
    run = entered()
    strategy = run.strategy
    assert strategy.load_memory(strategy.dump_memory(run.memory)) == run.memory


# ----------------------------------------------------------------------------------------------------------- entry
def test_the_hedge_comes_first_then_the_transfer_and_only_what_arrived_is_staked() -> None:
    run = candidate()
    for _ in range(5):
        run.step(hours=1)
    kinds = [[order.operation.value for order in orders] for _, _, orders in run.acts]
    assert kinds == [["transfer", "spot_trade", "perp_trade"], ["transfer"], ["stake", "wrap"]]
    assert run.done() == ["ENTRY", "SCALE", "ENTRY"]
    assert run.assess().reason is R.HOLD
    assert abs(run.delta()) < D("0.002")
    assert run.ratio() >= D("0.5")


def test_the_book_that_stands_is_the_one_of_the_target_less_what_its_entry_cost() -> None:
    run = entered()
    staked = run.weigh(WEETH) * run.chain.lsts[WEETH].rate + run.weigh(ETH)
    assert D(80) * D("0.997") < staked < D("80.1")  # MN1
    assert D(80) * D("0.995") < -run.weigh(PERP) < D("80.1")


def test_several_venues_enter_at_once_by_their_weights() -> None:
    run = candidate("300000", *THREE_VENUES)
    run.step(hours=1)
    ((_, found, orders),) = run.acts
    assert found.reason is R.ENTRY
    trades = [order for order in orders if order.side is not None]
    assert all(order.execution_mode is ExecutionMode.PARALLEL for order in trades)
    assert len({order.group_id for order in trades}) == 1
    sold = {order.venue: order.quantity for order in trades if order.side is Side.SELL}
    assert {venue: signs(quantity / 80, 2) for venue, quantity in sold.items()} == {
        "binanceperp": "0.4", "bybitperp": "0.3", "okxperp": "0.3",
    }  # fmt: skip
    margins = {o.recipient: o.quantity for o in orders if o.side is None}
    assert abs(margins["bybitperp"] - 30_000) < 100


def test_two_venues_that_cap_leave_a_part_of_the_equity_in_cash() -> None:
    run = candidate("300000", *THREE_VENUES[:2])
    run.step(hours=1)
    weights = own(run).book.weights
    assert {name: signs(weight) for name, weight in weights.items()} == {"binance": "0.5", "bybit": "0.42857143"}  # VC1
    short = -sum(run.weigh(venue.perp_key("ETH")) for venue in THREE_VENUES[:2])
    assert abs(short - D(80) * D("0.92857143")) < D("0.5")


def test_money_in_the_wallet_is_sent_where_it_is_needed_before_the_first_leg() -> None:
    run = candidate("300000")
    run.holdings = {ETH: D("0.15"), USDT: D(300_000)}
    run.step(hours=1)
    ((_, found, orders),) = run.acts
    assert (found.reason, orders[0].operation.value, orders[0].venue, orders[0].network) == (
        R.ENTRY, "transfer", "wallet", "ethereum",
    )  # fmt: skip
    assert orders[0].quantity == D(300_000)


# ------------------------------------------------------------------------------------------------------------ gate
def with_yield(y: str, funding: str) -> HedgeRun:
    """Cash that has seen ten days of a yield and of a funding rate."""
    run = candidate()
    run.funding, run.memory = D(funding), run.strategy.initial_memory()
    run.grow(WEETH, D(y), days=10, decides=False)
    run.settle([D(funding)] * 60)
    return run


@pytest.mark.parametrize(
    ("y", "funding", "reason"),
    [
        ("0.03", "0.0001", R.ENTRY),  # 2/3 (.03 + .1095) less 2/3 of 48 bp a month
        ("0.03", "0.00005", R.HOLD),
        ("0.15", "-0.00001", R.HOLD),  # the yield alone would pay: never against funding
    ],
)
def test_yield_and_funding_together_pay_the_entry_but_never_against_funding(
    y: str, funding: str, reason: ReasonCode
) -> None:
    run = with_yield(y, funding)
    assert run.step(hours=1) is reason


def test_without_a_history_of_the_rate_it_neither_enters_nor_leaves() -> None:
    run = entered()
    blank = replace(own(run), chain=replace(own(run).chain, lst=replace(own(run).chain.lst, samples=())))
    run.wait(D("-0.001"), days=10)
    run.memory = replace(own(run), chain=blank.chain)
    assert "unknown" in why_not(run.assess(), R.CARRY_EXIT)
    flat = candidate()
    flat.memory = replace(own(flat), chain=blank.chain)
    assert "unknown" in why_not(flat.assess(), R.ENTRY)


def test_a_predicted_rate_can_forbid_an_entry_and_never_causes_an_exit() -> None:
    run = candidate()
    run.funding = D("-0.001")  # predicted now, not yet settled
    assert "predicted" in why_not(run.assess(), R.ENTRY)
    standing = entered()
    standing.funding = D("-0.001")
    assert standing.assess().reason is R.HOLD


@pytest.mark.parametrize(
    "changes", [{"is_paused": True}, {"deposits_open": False}, {"pool_price": RATE * D("0.97")}, {"deposit_room": D(1)}]
)
def test_nothing_is_bought_for_a_token_that_takes_nothing(changes: dict[str, object]) -> None:
    run = candidate()
    run.chain = run.chain.token(WEETH, **changes)
    assert run.step(hours=1) is R.HOLD
    assert run.acts == []


def test_dear_gas_keeps_it_out_and_keeps_bought_ether_where_it_is() -> None:
    run = candidate()
    run.chain = replace(run.chain, gwei=61)
    assert run.step(hours=1) is R.HOLD
    run.chain = replace(run.chain, gwei=5)
    run.step(hours=1)
    run.chain = replace(run.chain, gwei=61)
    assert reasons(run, 3) == [R.HOLD] * 3
    assert run.weigh(SPOT) > 79


# ------------------------------------------------------------------------------------------------------ what moves
def test_a_discount_at_the_dex_trades_neither_the_hedge_nor_the_token() -> None:
    run = entered()
    run.chain = run.chain.token(WEETH, pool_price=run.chain.lsts[WEETH].rate * D("0.95"))
    assert run.assess().reason is R.HOLD
    assert abs(run.delta()) < D("0.003")


def test_a_year_of_yield_is_hedged_again_and_again_by_a_larger_short() -> None:
    run = entered()
    before = -run.weigh(PERP)
    for _ in range(12):
        run.rerate(WEETH, run.chain.lsts[WEETH].rate * D("1.0026"))
        run.wait(days=30)
        run.step(hours=1)
    acts = [(found.reason, orders[0].side) for _, found, orders in run.acts[3:]]
    assert acts == [(R.DELTA, Side.SELL)] * 2  # beyond 1 % of E, back to .2 %
    assert -run.weigh(PERP) - before > D("1.5")


def test_a_token_that_lost_ether_is_bought_back_at_once() -> None:
    run = entered()
    run.rerate(WEETH, run.chain.lsts[WEETH].rate * D("0.98"))
    run.time += timedelta(hours=1)
    run.remember()
    (order,) = run.orders()
    assert (run.assess().reason, order.side, order.reduce_only) == (R.DELTA, Side.BUY, True)


def test_ether_on_its_way_and_claims_are_hedged_like_what_they_come_from() -> None:
    run = entered()
    tokens = run.weigh(WEETH)
    ether = tokens * run.chain.lsts[WEETH].rate
    for key in (K("binance:transit:ETH"), K("etherfi:claim:7"), WETH, SPOT):
        moved = replace(run, holdings={**run.holdings, WEETH: D(0), key: ether})
        assert abs(moved.delta() - run.delta()) < D("1e-8")


def test_a_price_that_moves_is_no_drift_and_scales_nothing() -> None:
    for by in ("-0.2", "0.1"):
        run = entered()
        run.moves(by)
        run.remember()
        assert run.assess().reason is R.HOLD


def test_new_money_grows_all_legs_together() -> None:
    run = entered()
    run.holdings[BINANCE.cash_key] += D(30_000)
    for _ in range(4):
        run.step(hours=1)
    assert run.done()[3:] == ["SCALE", "SCALE", "SCALE"]
    assert abs(run.delta()) < D("0.002")
    assert D("87.5") < -run.weigh(PERP) < D(88)


# ----------------------------------------------------------------------------------------------------- restriction
@pytest.mark.parametrize("name", ["lst:wallet:lst:weETH", "account:wallet", "gas:wallet:token:ETH"])
def test_a_sleeve_that_cannot_be_seen_stops_everything_but_the_ladder(name: str) -> None:
    run = candidate()
    run.stale = frozenset({name})
    assert (run.assess().reason, run.orders()) == (R.STALE, [])
    held = entered()
    held.moves("0.3")
    held.stale = frozenset({name})
    held.holdings[BINANCE.cash_key] += D(100_000)
    assert held.assess().reason is R.LIQ_TOPUP
    assert [order.operation.value for order in held.orders()] == ["transfer"]


def test_the_numbers_of_both_halves_are_stored() -> None:
    found = entered().assess()
    assert {"equity_usdt", "net_delta", "long", "y_eff", f"mark:{PERP}", "m:binance", f"lst:{WEETH}"} <= set(
        found.inputs
    )
    assert {"delta_soft", "m_star:binance", "f_entry", "f_exit", "s_lst"} <= set(found.thresholds)


def test_no_route_means_that_bought_ether_stays_at_the_exchange() -> None:
    bare = BINANCE.model_copy(update={**ROUTED, "network": None})
    run = candidate("300000", bare)
    assert reasons(run, 3) == [R.ENTRY, R.HOLD, R.HOLD]


def test_equal_questions_have_equal_answers() -> None:
    run = candidate()
    twin = UsdtMarketNeutralNoLeverage(hedge())
    question = (run.time, "market", run.market, run.exposure, run.risk)
    assert run.strategy.make_strategy_decision(*question) == twin.make_strategy_decision(*question)
    assert shown(run.orders()) == shown(run.orders())
    assert by_key(run.orders()).keys() >= {SPOT, PERP}
    assert lst_tick().instrument == WEETH
