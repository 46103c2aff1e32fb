"""One daemon per account: an order that bears our mark and that this process did not send tells of a second one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from basis_daemon.domain.errors import SecondDaemonError
from basis_daemon.domain.order import Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.engine.codec import GuardState, LifeRow
from basis_daemon.engine.fence import Fence
from basis_daemon.supervisor import Phase
from basis_daemon.venues.paper.venue import PaperTerms
from tests.engine.support import Rig
from tests.engine.turn_support import Room, idle_rig, living
from tests.venues.paper_support import COIN, WALLET, D, limit_order, trade_order

MANUAL = "web_manual_1"


def fenced() -> tuple[Rig, Fence]:
    """A rig in epoch 1 of the journal "test", whose handler tells the fence of every order that is not its own."""
    rig = Rig.adopted()
    fence = Fence(rig.recorder, rig.guard, "test")
    rig.handler.on_foreign = fence.meet
    return rig, fence


def id_of(journal: str, epoch: int) -> str:
    return order_id(journal, epoch, "btc_basis", 4, 0, 0, 0)


async def seen_open(rig: Rig, client_id: str) -> None:
    report = replace(await rig.report(WALLET), open_order_ids=(client_id,))
    rig.handler.observe(report, is_settled=True)


@pytest.mark.feature("H04", part="venue")
@pytest.mark.fault("F52")
@pytest.mark.parametrize(("journal", "epoch"), [("another", 1), ("another", 0), ("test", 1), ("test", 2)])
async def test_a_living_order_of_another_daemon_halts_and_pages(journal: str, epoch: int) -> None:
    """F52: of another journal, of a copy of ours that went on, and of a copy that runs in the same epoch."""
    rig, _ = fenced()
    await seen_open(rig, id_of(journal, epoch))
    assert rig.guard.state is GuardState.HALTED
    assert id_of(journal, epoch) in rig.guard.why
    assert [facts["guard"] for what, facts in rig.alarms if what == "page"] == ["HALTED"]


@pytest.mark.feature("H04", part="venue")
@pytest.mark.fault("F52")
async def test_a_fill_of_another_daemon_halts_although_its_order_was_never_seen_alive() -> None:
    rig, _ = fenced()
    order = trade_order(COIN, Side.BUY, "0.1", order_id=id_of("another", 7))
    await rig.stage.wallet.execute_order(order, order.created_at)
    assert rig.guard.state is GuardState.HALTED


async def test_a_trade_by_hand_is_told_and_booked_and_no_reason_to_halt() -> None:
    rig, _ = fenced()
    rig.stage.venue.trade_by_hand(COIN, Side.BUY, D("0.1"))
    assert rig.guard.state is GuardState.ACTIVE
    assert rig.held(COIN) == D("0.0999")


async def test_what_a_person_or_an_earlier_life_left_behind_halts_nothing() -> None:
    rig, fence = fenced()
    for client_id in (MANUAL, id_of("test", 0)):
        await seen_open(rig, client_id)
        fence.check_start(WALLET, [client_id])
    assert rig.guard.state is GuardState.ACTIVE


async def test_an_order_of_our_own_is_no_rival() -> None:
    rig, fence = fenced()
    order = limit_order(COIN, Side.BUY, "0.1", "59000")
    await rig.run(order)
    report = await rig.report(WALLET)
    rig.handler.observe(report, is_settled=False)
    fence.check_start(WALLET, report.open_order_ids)
    assert report.open_order_ids == (order.order_id,)
    assert rig.guard.state is GuardState.ACTIVE


@pytest.mark.feature("H04", part="venue")
async def test_a_start_beside_another_daemon_is_refused_with_the_name_of_its_order() -> None:
    rig = idle_rig(terms=PaperTerms())
    rival = limit_order(COIN, Side.BUY, "0.1", "59000", order_id=id_of("another", 3))
    rig.quote(COIN)
    await rig.stage.wallet.execute_order(rival, rival.created_at)
    room = Room(rig)
    with pytest.raises(ExceptionGroup) as caught:
        async with living(room):
            await room.has_stopped.wait()
    assert caught.group_contains(
        SecondDaemonError, match=f"account binance: order {rival.order_id} is of another daemon"
    )
    assert Phase.ARMED not in room.phases
    assert rig.sent == []


async def test_an_order_of_ours_that_has_left_memory_is_no_rival() -> None:
    rig, fence = fenced()
    life = await rig.run(trade_order(COIN, Side.BUY, "0.1"))
    order_id_of_ours = life.order.order_id
    rig.recorder.record(LifeRow(is_leaving=True, life=life.row()), life.plan_id, order_id_of_ours)
    assert order_id_of_ours not in rig.state.orders
    fence.meet(order_id_of_ours)
    assert rig.guard.state is GuardState.ACTIVE
