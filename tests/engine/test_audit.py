"""What cannot be so halts a daemon that trades, by its numbers; what is so is looked at and says nothing."""

from __future__ import annotations

import pytest

from basis_daemon.domain.order import Side
from basis_daemon.engine.audit import EVERY, Audit
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.upkeep import Upkeep
from tests.engine.support import Rig, pair
from tests.venues.paper_support import CASH, COIN, START, D, trade_order


async def busy() -> Rig:
    """A book with a pair, money that moved, and one order on its way."""
    rig = Rig.adopted()
    await rig.manager.execute_orders(START, pair("0.4"), "plan")
    await rig.recorder.intents([trade_order(COIN, Side.BUY, "0.1", decision=9)])
    return rig


def looked(rig: Rig, rows: int | None = None) -> GuardState:
    audit = Audit(rig.recorder, rig.guard, None if rows is None else lambda: rows)
    upkeep = Upkeep(rig.recorder, rig.alarm, 10**6, audit=audit)
    for _ in range(EVERY):
        assert rig.guard.state is GuardState.ACTIVE
        upkeep.look()
    return rig.guard.state


async def test_a_sound_book_trades_on() -> None:
    rig = await busy()
    assert looked(rig, rig.state.sequence) is GuardState.ACTIVE


async def test_money_from_nowhere_halts() -> None:
    rig = await busy()
    rig.state.ledger._balances[CASH, "USDT"] += D(5)
    assert looked(rig) is GuardState.HALTED
    assert "together hold 5" in rig.guard.why


@pytest.mark.parametrize("off", [-1, 1])
async def test_a_row_that_the_journal_was_not_given_halts(off: int) -> None:
    rig = await busy()
    assert looked(rig, rig.state.sequence + off) is GuardState.HALTED
    assert "rows" in rig.guard.why


async def test_a_second_life_of_an_order_halts() -> None:
    rig = await busy()
    (life,) = rig.state.open_orders()
    rig.state.orders[life.order.order_id] = OrderLife(life.order, life.plan_id)
    assert looked(rig) is GuardState.HALTED
    assert life.order.order_id in rig.guard.why
