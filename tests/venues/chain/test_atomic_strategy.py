"""What the strategies write is what the compiler takes: every bundle of a levered book, from the strategy itself."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import ExecutionMode, Order
from basis_daemon.domain.plan import batches
from basis_daemon.venues.chain.abi import MAX
from basis_daemon.venues.chain.atomic_receiver import UNWIND_THROUGH_MORPHO
from tests.builders import D
from tests.strategies.chain_scenes import CHAIN, WEETH, Run
from tests.strategies.levered_scenes import LSTS, at, candidate, oracle_falls
from tests.venues.chain.test_atomic_compiler import COMPILER, ETHER, SCENE, entry_plan

pytestmark = pytest.mark.feature("A01", part="strategy")


def atomic(run: Run) -> list[Order]:
    """The one atomic group of the last plan."""
    groups = [batch.orders for batch in batches(run.acts[-1][2], CHAIN) if batch.mode is ExecutionMode.ATOMIC]
    assert len(groups) == 1
    return list(groups[0])


def wei(amount: Decimal) -> int:
    return int(amount * ETHER)


@pytest.mark.parametrize("lst", LSTS)
def test_an_entry_of_the_strategy_is_one_call_with_its_bounds_in_it(lst: PositionKey) -> None:
    run = candidate(lst=lst)
    run.step(hours=1)
    orders = atomic(run)
    group = COMPILER.compile(orders, SCENE)
    lst_at, route, _, own, least, bounds = entry_plan(group)
    assert lst_at == COMPILER.book.token(lst.symbol).address
    assert (route, own, group.loan) == ({"wstETH": 0, "weETH": 1}[lst.symbol], 100 * ETHER, wei(orders[0].quantity))
    stake = orders[2]
    assert stake.min_out is not None
    assert least == wei(stake.min_out)
    assert isinstance(bounds, tuple)
    assert (bounds[1] // 10**14, -(-bounds[2] // 10**3)) == (11126, 852 * 10**12)
    assert group.allowances[0].units == 100 * ETHER


def test_an_entry_that_buys_is_one_call_too() -> None:
    run = candidate()
    run.chain = run.chain.token(WEETH, pool_price_buy=run.chain.lsts[WEETH].rate * D("0.999"))
    run.step(hours=1)
    assert entry_plan(COMPILER.compile(atomic(run), SCENE))[1:3] == (2, 100)


@pytest.mark.parametrize("fall", ["0.040", "0.060", "0.070"])
def test_every_delever_of_the_ladder_is_one_call_that_sells_what_it_withdraws(fall: str) -> None:
    run = at("0.865")
    run.chain = run.chain.token(WEETH, quoted_size=D(100_000))
    oracle_falls(run, fall)
    run.step(seconds=12)
    orders = atomic(run)
    plan = UNWIND_THROUGH_MORPHO.arguments(COMPILER.compile(orders, SCENE).call.data)[1]
    assert plan[2:5] == (wei(orders[1].quantity), wei(orders[2].quantity), MAX)
    assert plan[7][1] > ETHER
    assert plan[7][2] < ETHER


def test_money_that_is_taken_out_is_one_call_that_keeps_the_ltv() -> None:
    run = at("0.85")
    run.risk = replace(run.risk, withdrawal_pending_usdt=D(25_000))
    run.step(seconds=12)
    plan = UNWIND_THROUGH_MORPHO.arguments(COMPILER.compile(atomic(run), SCENE).call.data)[1]
    assert plan[4] == MAX
    assert 84 * 10**16 < plan[7][2] < 86 * 10**16


def test_a_whole_exit_repays_and_withdraws_all_and_leaves_no_debt() -> None:
    run = at("0.85")
    run.chain = run.chain.token(WEETH, quoted_size=D(100_000))
    run.risk = replace(run.risk, unit_value=D("0.8"), unit_value_high=D(1))
    run.step(seconds=12)
    orders = atomic(run)
    assert [order.amount for order in orders[1:3]] == ["MAX", "MAX"]
    plan = UNWIND_THROUGH_MORPHO.arguments(COMPILER.compile(orders, SCENE).call.data)[1]
    assert plan[2:4] == (MAX, MAX)
    assert plan[7][3] == 0
