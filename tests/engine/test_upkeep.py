"""A book of many years stays as small as its last two days, and a full disk is met before it is full."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from basis_daemon.domain.errors import JournalError
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.reconciler import OVERLAP_AT_START, Reconciler
from basis_daemon.engine.state import ENDED_MAX, MEMORY, BookState, recover
from basis_daemon.engine.upkeep import ALARM_EVERY, FORGET_MAX, DiskWatch, Upkeep
from basis_daemon.ports import KillPoint, RecordKind
from tests.engine.support import Rig, agrees, folded
from tests.engine.test_recovery import visible
from tests.engine.turn_support import Room
from tests.venues.paper_support import CASH, COIN, FUTURES, PERP, START, WALLET, D, stamp, trade_order

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


async def told(rig: Rig) -> list[Trade]:
    """Everything that the venue can still tell of the spot wallet."""
    return list(await rig.stage.venue.accounts[WALLET].fetch_trades(START - DAY))


def later(rig: Rig, days: float) -> None:
    """Market time passes, and every venue has told of everything in it."""
    rig.recorder.see_time(rig.state.market_time + days * DAY)
    for account in (WALLET, FUTURES):
        rig.recorder.asked(account, rig.state.market_time)
    rig.recorder.forget(FORGET_MAX)


def ids(state: BookState) -> set[str]:
    """Event ids in memory."""
    return {row[0] for row in orjson.loads(state.dump())["ledger"]["seen"]}


# ------------------------------------------------------------------------------------------------- what is forgotten
@pytest.mark.feature("H02", part="memory")
async def test_a_years_trading_leaves_neither_orders_nor_ids_behind_and_snapshots_do_not_grow() -> None:
    rig = Rig.adopted()
    sizes, most = [], 0
    for day in range(120):
        rig.quote(COIN, at_s=day * 86_400)
        await rig.run(trade_order(COIN, Side.BUY, "0.01"))
        await rig.run(trade_order(COIN, Side.SELL, "0.009"))
        later(rig, 1)
        most = max(most, len(rig.state.orders))
        if day >= 10:
            sizes.append(len(rig.state.dump()))
    assert rig.state.trade_count == 240
    assert most <= 8
    assert len(ids(rig.state)) <= 10
    assert max(sizes) - min(sizes) < 600  # digits of balances and instants, not history
    assert visible(folded(rig)) == visible(recover(rig.journal)) == visible(rig.state)
    assert agrees(rig)


async def test_the_window_is_wider_than_whatever_a_venue_is_asked_for_again() -> None:
    assert MEMORY >= 2 * OVERLAP_AT_START


@pytest.mark.feature("O10", part="memory")
async def test_a_fill_told_again_within_the_window_is_known_and_one_from_before_it_is_ignored_and_said() -> None:
    rig = Rig.adopted()
    await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    held = rig.held(COIN)
    for days in (0.9, 0.9):
        later(rig, days)
        rig.handler.process_trades(await told(rig))
        assert rig.held(COIN) == held
    assert not rig.alarms
    later(rig, 3)
    later(rig, 0.1)
    (fill,) = await told(rig)
    assert fill.trade_id not in ids(rig.state)
    rig.handler.process_trades([fill])
    assert rig.held(COIN) == held
    assert rig.alarms[-1][0] == "fill from before memory ignored"


async def test_funding_told_again_is_booked_once_however_late() -> None:
    rig = Rig.adopted()
    flow = CashFlow("funding:1", CASH, D(5), Cause.FUNDING, stamp(60))
    for days in (0.0, 1.0, 3.0):
        later(rig, days)
        rig.handler.process_cash_flows([flow])
    assert rig.state.ledger.total(Cause.FUNDING, "USDT") == 5


async def test_a_venue_that_was_silent_for_a_week_still_gets_its_fills_booked() -> None:
    """Market time went on with the prices; what counts is how far the account itself has answered."""
    rig = Rig.adopted()
    later(rig, 1)
    before = rig.state.asked_until[WALLET]
    rig.recorder.see_time(before + 7 * DAY)
    (fill,) = [t for t in await told_by_hand(rig, "0.5") if t.is_fill]
    rig.handler.process_trades([fill.model_copy(update={"venue_time": before + DAY})])
    assert rig.held(COIN) == D("0.4995")


async def told_by_hand(rig: Rig, quantity: str) -> list[Trade]:
    """A trade of another hand, which no stream has told."""
    rig.stage.venue.connect(None)
    rig.stage.venue.trade_by_hand(COIN, Side.BUY, D(quantity))
    return await told(rig)


async def test_a_restart_asks_from_where_each_account_had_answered_and_not_from_the_newest_price() -> None:
    rig = Rig.adopted()
    later(rig, 5)
    asked = rig.state.asked_until[WALLET]
    rig.recorder.see_time(asked + 9 * DAY)
    rig.recorder.snapshot()
    await rig.recorder.flush()
    again = Rig(stage=rig.stage, journal=rig.journal.after_crash())
    room = Room(again)
    source = again.stage.venue.accounts[WALLET]
    reconciler = Reconciler(source, again.recorder, again.handler, room.freshness, again.clock, again.alarm)
    assert again.state.market_time == asked + 9 * DAY
    assert reconciler._asked_until == asked


# ------------------------------------------------------------------------------------------------- what comes back
@pytest.mark.feature("R03", part="late")
async def test_a_late_fill_of_an_order_that_left_memory_is_attributed_to_it_and_counts() -> None:
    rig = Rig.adopted()
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    later(rig, 3)
    assert life.order.order_id not in rig.state.orders
    (fill,) = await told(rig)
    late = fill.model_copy(update={"trade_id": "late", "venue_time": rig.state.market_time, "qty_base": D(0)})
    rig.handler.process_trades([late])
    back = rig.state.orders[life.order.order_id]
    assert back.plan_id == life.plan_id
    assert back.trade_ids == [fill.trade_id, "late"]
    assert rig.journal.read()[-1].record.correlation_id == life.plan_id
    assert [what for what, _ in rig.alarms] == ["fill of an order that had left memory"]
    assert visible(folded(rig)) == visible(rig.state)
    later(rig, 3)
    assert life.order.order_id not in rig.state.orders


async def test_an_order_that_still_rests_never_leaves_and_keeps_the_ids_of_its_fills() -> None:
    rig = Rig.adopted()
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    life.state, life.ended_at = OrderState.PARTIAL, None
    rig.state._living[life.order.order_id] = life
    later(rig, 30)
    assert rig.state.orders[life.order.order_id] is life
    rig.handler.process_trades(await told(rig))
    assert rig.state.trade_count == 1


async def test_too_many_ended_orders_leave_early_but_their_fills_stay_known() -> None:
    rig = Rig.adopted()
    life = await rig.run(trade_order(COIN, Side.BUY, "0.5"))
    for number in range(ENDED_MAX):
        rig.state.orders[str(number)] = life
    rig.recorder.forget(FORGET_MAX)
    assert len(rig.state.orders) == ENDED_MAX
    assert life.order.order_id not in rig.state.orders
    assert await told(rig)
    assert ids(rig.state) >= {trade.trade_id for trade in await told(rig)}


# ------------------------------------------------------------------------------------------------- snapshots, pruning
class Sealing:
    """A journal of which something may always go."""

    def __init__(self) -> None:
        self.pruned = 0

    def pruning_due(self) -> str | None:
        return '{"through":1,"chain":"00","decisions_through":1}'

    def prune(self) -> None:
        self.pruned += 1


async def test_behind_each_snapshot_what_may_go_is_sealed_by_a_row_before_it_goes() -> None:
    rig, sealing, passed = Rig.adopted(), Sealing(), list[KillPoint]()
    upkeep = Upkeep(rig.recorder, rig.alarm, 10, sealing, probe=passed.append)
    for _ in range(3):
        await rig.run(trade_order(COIN, Side.BUY, "0.01"))
        upkeep.look()
    kinds = [row.record.kind for row in rig.journal.read()]
    assert kinds[-2:] == [RecordKind.SNAPSHOT, RecordKind.PRUNING]
    assert (sealing.pruned, passed) == (1, [KillPoint.DURING_SNAPSHOT])
    assert rig.state.sequence == rig.journal.read()[-1].sequence


# ------------------------------------------------------------------------------------------------------------ the disk
class Disk:
    """Free space that is set by hand."""

    def __init__(self, free_mb: int) -> None:
        self.free_mb = free_mb

    def __call__(self) -> int:
        return self.free_mb


@pytest.mark.feature("K06", part="disk")
async def test_a_disk_that_fills_reduces_the_book_first_and_then_stops_all_but_defence() -> None:
    """F49: met before SQLite meets it, and latched until an operator has made room."""
    rig, disk = Rig.adopted(), Disk(5_000)
    upkeep = Upkeep(rig.recorder, rig.alarm, 10**6, None, DiskWatch(disk, 1_000, 200, rig.guard.tighten))
    seen = []
    for disk.free_mb in (5_000, 999, 200, 199, 5_000):
        upkeep.look()
        seen.append(rig.guard.state)
    assert seen == [GuardState.ACTIVE, GuardState.REDUCING, GuardState.REDUCING, GuardState.HALTED, GuardState.HALTED]
    assert rig.guard.forbids(trade_order(COIN, Side.BUY, "0.1"))
    assert not rig.guard.forbids(trade_order(PERP, Side.BUY, "0.1", reduce_only=True))
    assert "199 MB free, expected 200 MB; free space, then rearm" in rig.guard.why
    rig.guard.rearm("made room")
    assert rig.guard.state is GuardState.ACTIVE


async def test_a_full_disk_is_told_once_a_minute_and_not_once_a_second() -> None:
    rig = Rig.adopted()
    upkeep = Upkeep(rig.recorder, rig.alarm, 10**6, None, DiskWatch(Disk(1), 1_000, 200, lambda *_: None))
    for _ in range(2 * ALARM_EVERY):
        upkeep.look()
    assert [what for what, _ in rig.alarms] == ["disk nearly full"] * 2


async def test_no_upkeep_hides_a_journal_that_failed() -> None:
    rig = Rig.adopted()
    await rig.journal.close()
    upkeep = Upkeep(rig.recorder, rig.alarm, 1)
    with pytest.raises(JournalError, match="closed"):
        upkeep.look()
