"""A plan: its batches in list order, all of it refused before the first byte, and where each order goes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from basis_daemon.domain.errors import ConfigError, ErrorClass, PlanRefusedError
from basis_daemon.domain.order import ExecutionMode, OnFail, Order, OrderOperation, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.venues.paper.faults import Fault, FaultKind
from tests.engine.support import Rig, agrees, pair
from tests.venues.paper_support import (
    CASH,
    COIN,
    FUTURES,
    MARGIN,
    PERP,
    START,
    WALLET,
    D,
    Stage,
    stamp,
    trade_order,
    transfer_order,
)

REJECT = Fault(FaultKind.REJECT, error_class=ErrorClass.RETRYABLE)


async def execute(rig: Rig, orders: list[Order]) -> PlanState:
    return await rig.manager.execute_orders(START, orders, "plan")


@pytest.mark.feature("O07", part="cex")
async def test_batches_run_in_list_order_each_settled_before_the_next() -> None:
    rig = Rig.adopted()
    move = transfer_order(CASH, FUTURES, "1000", reason="test")
    alone = trade_order(PERP, Side.SELL, "0.1")
    assert await execute(rig, [move, *pair("0.4"), alone]) is PlanState.DONE
    states = list(rig.state.orders.values())
    assert [life.order.operation for life in states] == [
        OrderOperation.TRANSFER,
        OrderOperation.SPOT_TRADE,
        OrderOperation.PERP_TRADE,
        OrderOperation.PERP_TRADE,
    ]
    assert all(life.state is OrderState.FILLED for life in states)
    assert rig.held(MARGIN) > D(50_900)
    assert agrees(rig)


async def test_a_failed_batch_ends_the_plan_and_what_came_before_it_is_kept() -> None:
    rig = Rig.adopted()
    rig.faults.add(2, REJECT)
    first, second, third = (trade_order(COIN, Side.BUY, "0.1") for _ in range(3))
    assert await execute(rig, [first, second, third]) is PlanState.ABORTED
    assert rig.sent == [first, second]
    assert rig.held(COIN) == D("0.0999")


async def test_a_sequential_group_runs_one_after_another_and_stops_at_a_failure() -> None:
    rig = Rig.adopted()
    rig.faults.add(2, REJECT)
    group = [trade_order(COIN, Side.BUY, "0.1", group_id="g", sequence_in_group=n) for n in range(3)]
    assert await execute(rig, group) is PlanState.ABORTED
    assert rig.sent == group[:2]


async def test_a_retry_is_a_new_order_once_the_one_before_is_known_dead() -> None:
    rig = Rig.adopted()
    rig.faults.add(1, REJECT)
    rig.faults.add(2, Fault(FaultKind.UNREACHABLE))
    order = trade_order(COIN, Side.BUY, "0.1", on_fail=OnFail.RETRY, retries_max=2)
    assert await execute(rig, [order]) is PlanState.DONE
    assert [sent.attempt for sent in rig.sent] == [0, 1, 2]
    assert len({sent.order_id for sent in rig.sent}) == 3
    assert [life.state for life in rig.state.orders.values()] == [
        OrderState.REJECTED,
        OrderState.NEVER_ACCEPTED,
        OrderState.FILLED,
    ]


async def test_retries_are_counted() -> None:
    rig = Rig.adopted()
    for ahead in range(1, 9):
        rig.faults.add(ahead, REJECT)
    order = trade_order(COIN, Side.BUY, "0.1", on_fail=OnFail.RETRY, retries_max=2)
    assert await execute(rig, [order]) is PlanState.ABORTED
    assert len(rig.sent) == 3


async def test_an_expired_order_does_not_leave() -> None:
    rig = Rig.adopted()
    rig.recorder.see_time(stamp(60))
    order = trade_order(COIN, Side.BUY, "0.1", expires_at=START + timedelta(seconds=60))
    assert await execute(rig, [order]) is PlanState.ABORTED
    assert rig.sent == []


async def test_a_halted_guard_lets_only_reduction_leave() -> None:
    rig = Rig.adopted()
    await execute(rig, [trade_order(PERP, Side.SELL, "1")])
    rig.guard.tighten(GuardState.HALTED, "drill")
    assert await execute(rig, [trade_order(PERP, Side.SELL, "1")]) is PlanState.ABORTED
    assert await execute(rig, [trade_order(PERP, Side.BUY, "1", reduce_only=True)]) is PlanState.DONE
    assert rig.held(PERP) == 0


def _repeated() -> list[Order]:
    order = trade_order(COIN, Side.BUY, "0.1")
    return [order, order]


def _torn() -> list[Order]:
    lead, follow = pair()
    return [lead, trade_order(COIN, Side.BUY, "0.1"), follow]


def _three_legs() -> list[Order]:
    third = {"group_id": "pair", "execution_mode": ExecutionMode.PARALLEL, "on_fail": OnFail.COMPLETE_MARKETABLE}
    return [*pair(), trade_order(COIN, Side.BUY, "1", sequence_in_group=2, **third)]


@pytest.mark.parametrize(
    ("orders", "why"),
    [
        (_repeated(), "order ids repeat"),
        (_torn(), "do not stand together"),
        (_three_legs(), "3 parallel legs, expected pairs"),
        ([trade_order(COIN, Side.BUY, "0.1", venue="okx", instrument="okx:spot:BTC")], "no interface for spot_trade"),
        ([trade_order(PERP, Side.SELL, "0.1", stop_loss=D(70_000))], "keeps brackets"),
        (pair(execution_mode=ExecutionMode.ATOMIC), "cannot be atomic"),
    ],
)
async def test_what_could_not_be_executed_whole_is_refused_before_anything_is_sent(
    orders: list[Order], why: str
) -> None:
    rig = Rig.adopted()
    with pytest.raises(PlanRefusedError, match=why):
        await execute(rig, [trade_order(COIN, Side.BUY, "0.1"), *orders])
    assert rig.sent == []
    assert rig.state.orders == {}


def test_two_interfaces_for_one_route_are_a_configuration_error() -> None:
    stage = Stage()
    with pytest.raises(ConfigError, match="at binance has two interfaces"):
        VenueInterfaceManager([stage.wallet, stage.futures, stage.wallet], let_out=lambda _: None)


def test_a_needed_route_without_interface_is_a_configuration_error_that_names_it() -> None:
    stage = Stage()
    needed = [(OrderOperation.PERP_TRADE, FUTURES), (OrderOperation.SUPPLY, "aave_v3")]
    with pytest.raises(ConfigError, match="no interface for supply at aave_v3"):
        VenueInterfaceManager([stage.wallet, stage.futures], needed, let_out=lambda _: None)


def test_routes_lead_to_the_account_of_the_order() -> None:
    stage = Stage()
    table = VenueInterfaceManager(
        [stage.wallet, stage.futures], [(OrderOperation.SPOT_TRADE, WALLET)], let_out=lambda _: None
    )
    assert table.interface(trade_order(COIN, Side.BUY, "1")).account == WALLET
    assert table.interface(trade_order(PERP, Side.BUY, "1")).account == FUTURES
    stranger = trade_order(COIN, Side.BUY, "1", venue="okx", instrument="okx:spot:BTC")
    assert not table.can_route(stranger)
    with pytest.raises(PlanRefusedError, match="no interface"):
        table.interface(stranger)
