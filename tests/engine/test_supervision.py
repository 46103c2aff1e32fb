"""A daemon's life on real parts: what it does with every event, in which order it starts, and how it leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from basis_daemon.domain.errors import MemoryExhaustedError, ReconciliationError
from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.market import FundingSettled, StreamChanged
from basis_daemon.domain.order import OrderOperation, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.state import recover
from basis_daemon.ports import AccountChanged, RecordKind
from basis_daemon.supervisor import START_TRIES, Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.venue import PaperTerms
from tests.builders import POOR, RICH
from tests.engine.support import Rig, agrees, rows_of
from tests.engine.turn_support import Room, idle_rig, living, paired_rig
from tests.venues.paper_support import CASH, COIN, FUTURES, PERP, WALLET, D, stamp

K = RecordKind
SLOW = PaperTerms(uplink_s=1)


def restarted(rig: Rig) -> Rig:
    """The next life of a process that was killed, at the same venue."""
    return Rig(stage=rig.stage, journal=rig.journal.after_crash())


async def lived(rig: Rig) -> None:
    """A first life that adopts, trades nothing and ends in order."""
    async with living(Room(rig, rate=POOR)) as room:
        room.supervisor.request_stop()
        await rig.clock.advance(1)


@asynccontextmanager
async def armed(rig: Rig, rate: Decimal = POOR, drain_s: str = "30") -> AsyncIterator[Room]:
    """A daemon that has started; the market has spoken once."""
    async with living(Room(rig, rate=rate, drain_s=drain_s)) as room:
        while room.supervisor.phase is not Phase.ARMED:
            await rig.clock.advance(1)
        room.say()
        await room.breathe()
        yield room


# ------------------------------------------------------------------------------------------------- where events go
async def test_prices_reach_mailbox_strategy_and_valuer() -> None:
    async with armed(paired_rig()) as room:
        room.say(at_s=3_600, price=61_000)
        mailbox = room.rig.mailbox
        assert mailbox.books[COIN].mid == mailbox.marks[PERP].mark == 61_000
        assert mailbox.newest == stamp(3_600)
        assert room.decisions[-1].assessment.time == stamp(3_600)
        assert room.valuer.due.is_set()


@pytest.mark.fault("F53")
async def test_when_memory_runs_out_it_drains_before_the_kernel_ends_it_and_fails_so_that_it_is_started_again() -> None:
    rooms: list[Room] = []
    with pytest.RaisesGroup(
        pytest.RaisesExc(MemoryExhaustedError, match=r"0\.81 of the memory"), flatten_subgroups=True
    ):
        async with armed(paired_rig()) as room:
            rooms.append(room)
            room.memory_share = 0.79
            await room.rig.clock.advance(2)
            assert room.phases[-1] is Phase.ARMED
            room.memory_share = 0.81
            await room.rig.clock.advance(2)
            await room.has_stopped.wait()
    (room,) = rooms
    assert room.phases[-2:] == [Phase.DRAINING, Phase.STOPPED]
    assert room.alarms.count("memory runs out: draining") == 1


async def test_settled_funding_is_remembered_and_its_money_asked_for() -> None:
    async with armed(paired_rig()) as room:
        before = room.rig.state.memories["btc_basis"]
        room.hear(FundingSettled(PERP, stamp(28_800), D("0.0005"), 8))
        assert room.rig.state.memories["btc_basis"] != before
        assert room.rig.state.ledger.total(Cause.FUNDING, "USDT") == 0  # the event moves no money, the account does
        await room.rig.clock.advance(0)
        assert room.rig.state.ledger.total(Cause.FUNDING, "USDT") == D(30)
        assert agrees(room.rig)


async def test_a_trade_is_booked_before_the_strategy_hears_of_it() -> None:
    async with armed(paired_rig()) as room:
        room.rig.stage.venue.trade_by_hand(PERP, Side.BUY, D("0.1"))
        assert room.rig.held(PERP) == D("-0.9")
        assert '"frozen_until":"2024-03-02' in room.rig.state.memories["btc_basis"]
        kinds = [kind for kind in rows_of(room.rig) if kind in {"trade", "memory"}]
        assert kinds[-2:] == ["trade", "memory"]


async def test_a_partial_report_that_differs_asks_for_what_was_missed() -> None:
    """The stream lost a deposit; the next word on the wallet shows another balance than the book."""
    async with armed(paired_rig()) as room:
        venue = room.rig.stage.venue
        venue.connect(None)
        venue.deposit(CASH, D(700))
        venue.connect(room.supervisor.deliver)
        room.supervisor.deliver(venue.exchange.report(WALLET, [CASH]))
        assert room.rig.held(CASH) == 0
        await room.rig.clock.advance(0)
        assert room.rig.held(CASH) == 700
        assert room.rig.state.ledger.total(Cause.EXTERNAL, "USDT") == 700
        assert not room.rig.state.breaks


async def test_a_partial_report_that_agrees_asks_for_nothing() -> None:
    async with armed(paired_rig()) as room:
        venue = room.rig.stage.venue
        room.rig.faults.silence(1)
        room.supervisor.deliver(venue.exchange.report(WALLET, [CASH]))
        await room.rig.clock.advance(0)
        assert "reconciliation unanswered" not in room.alarms


async def test_an_account_that_says_it_changed_is_asked_and_one_nobody_knows_is_not() -> None:
    async with armed(paired_rig()) as room:
        venue = room.rig.stage.venue
        venue.connect(None)
        venue.deposit(CASH, D(700))
        room.supervisor.deliver(AccountChanged("elsewhere", stamp(1), "deposit"))
        room.supervisor.deliver(AccountChanged(FUTURES, stamp(1), "deposit"))
        await room.rig.clock.advance(0)
        assert room.rig.held(CASH) == 0
        room.supervisor.deliver(AccountChanged(WALLET, stamp(1), "deposit"))
        await room.rig.clock.advance(0)
        assert room.rig.held(CASH) == 700


@pytest.mark.fault("F23")
async def test_a_stream_that_went_down_makes_its_account_stale_and_its_return_brings_what_was_missed() -> None:
    async with armed(paired_rig()) as room:
        venue, say = room.rig.stage.venue, room.supervisor.deliver
        venue.connect(None)
        say(StreamChanged(WALLET, "user", is_up=False, received_ns=0, why="1006"))
        venue.deposit(CASH, D(700))
        await room.rig.clock.advance(0)
        assert room.freshness.ages((), [WALLET], room.rig.clock.monotonic_ns())[f"account:{WALLET}"].is_stale
        assert room.rig.held(CASH) == 0
        assert room.rig.alarms[-1] == ("stream down", {"account": WALLET, "stream": "user", "why": "1006"})
        say(StreamChanged(WALLET, "user", is_up=True, received_ns=0))
        await room.rig.clock.advance(0)
        assert not room.freshness.ages((), [WALLET], room.rig.clock.monotonic_ns())[f"account:{WALLET}"].is_stale
        assert room.rig.held(CASH) == 700


# --------------------------------------------------------------------------------------------------------- the start
@pytest.mark.feature("R01")
async def test_the_first_start_adopts_what_the_venue_holds_before_anything_is_decided() -> None:
    async with armed(paired_rig(cash=40_000)) as room:
        kinds = [kind for kind in rows_of(room.rig) if kind in {"opening", "decision", "intent"}]
        assert kinds == ["opening", "opening", "decision"]
        assert room.feed.said == ["start", "history", "run"]
        assert room.phases == [Phase.RECOVERING, Phase.ARMED]
        assert agrees(room.rig)


@pytest.mark.feature("R01")
async def test_a_later_start_adopts_nothing_and_books_what_happened_meanwhile() -> None:
    rig = paired_rig(cash=40_000)
    await lived(rig)
    rig.stage.venue.deposit(CASH, D(123))
    again = restarted(rig)
    async with armed(again) as room:
        assert rows_of(again).count("opening") == 2
        assert again.state.ledger.total(Cause.EXTERNAL, "USDT") == 123
        assert room.phases == [Phase.RECOVERING, Phase.ARMED]
        assert agrees(again)


@pytest.mark.feature("R01")
async def test_nothing_is_decided_while_a_venue_has_not_answered_the_start() -> None:
    """The carry is rich and prices arrive, but the wallet is silent: twice it is asked in vain."""
    rig = idle_rig()
    rig.faults.silence(2)
    async with living(Room(rig)) as room:
        for second in (0, 1):
            assert room.supervisor.phase is Phase.RECOVERING
            room.say()
            assert (room.decisions, room.sent) == ([], [])
            await rig.clock.advance(1)
            assert rig.clock.wall() == stamp(second + 1)
        assert room.supervisor.phase is Phase.ARMED
        room.say()
        await room.breathe()
        assert room.reasons[0] == "ENTRY"
        assert room.alarms == ["start waits for a venue"] * 2


@pytest.mark.feature("R01")
async def test_what_the_market_said_during_the_start_is_decided_on_although_it_says_nothing_more() -> None:
    """It may be held, or a chain between two blocks."""
    rig = idle_rig()
    rig.faults.silence(1)
    async with living(Room(rig)) as room:
        room.say()
        assert room.decisions == []
        await rig.clock.advance(1)
        assert room.phases == [Phase.RECOVERING, Phase.ARMED]
        assert room.decisions == []
        await rig.clock.advance(1)
        await room.breathe()
        assert [row.assessment.trigger for row in room.decisions if row.assessment.reason == "ENTRY"] == ["start"]
        assert room.sent


@pytest.mark.feature("R01")
@pytest.mark.parametrize("fault", ["the venue disagrees", "the venue is silent"])
async def test_a_start_that_cannot_agree_with_a_venue_ends_with_the_difference(fault: str) -> None:
    rig = paired_rig(cash=40_000)
    await lived(rig)
    if fault == "the venue is silent":
        rig.faults.silence(1_000)
        expected = "the venue gave no answer"
    else:
        rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
        expected = "binance:spot:USDT book 40000 venue 39950"
    room = Room(restarted(rig))
    async with TaskTree("test") as tree:

        async def pass_time() -> None:
            await rig.clock.advance(10 * START_TRIES)

        tree.spawn("time", pass_time())
        with pytest.raises(ReconciliationError, match=expected):
            await room.supervisor.run(tree, arm=True)
        tree.cancel_all()
    assert (room.decisions, room.sent) == ([], [])
    assert Phase.ARMED not in room.phases
    assert room.feed.said[-1] == "close"


async def test_a_daemon_that_is_not_armed_watches_and_sends_nothing() -> None:
    rig = idle_rig()
    room = Room(rig, is_armed=lambda: room.supervisor.phase is Phase.ARMED)
    async with living(room, arm=False):
        room.say()
        await room.breathe()
        assert room.supervisor.phase is Phase.DISARMED
        (row,) = room.decisions
        assert row.assessment.reason == "ENTRY"
        assert row.denied
        assert room.sent == []


# ----------------------------------------------------------------------------------------------------------- the end
@pytest.mark.fault("F54")
async def test_a_drain_lets_the_clip_in_flight_end_and_leaves_a_snapshot_of_a_hedged_book() -> None:
    slow = idle_rig(terms=SLOW)
    async with armed(slow, rate=RICH) as room:
        await slow.clock.advance(D("1.5"))
        assert [order.operation for order in room.sent][1:] == [OrderOperation.SPOT_TRADE]
        room.supervisor.request_stop()
        await slow.clock.advance(20)
        assert room.phases[-2:] == [Phase.DRAINING, Phase.STOPPED]
    assert [order.side for order in room.sent] == [None, Side.BUY, Side.SELL]
    assert room.plans[-1].state is PlanState.ABORTED
    assert slow.journal.read()[-1].record.kind is K.SNAPSHOT
    assert agrees(slow)
    assert recover(slow.journal.after_crash()).ledger.state() == slow.state.ledger.state()
    assert "drain cut short" not in room.alarms


@pytest.mark.fault("F54")
async def test_a_drain_ends_within_its_bound_and_an_order_on_the_wire_is_the_next_starts_doubt() -> None:
    slow = idle_rig(terms=SLOW)
    async with armed(slow, rate=RICH, drain_s="0.02") as room:
        room.supervisor.request_stop()
        await room.has_stopped.wait()
    assert room.phases[-2:] == [Phase.DRAINING, Phase.STOPPED]
    assert room.rig.alarms[-1] == ("drain cut short", {"plans_in_flight": "1", "seconds_max": "0.02"})
    (transfer,) = room.sent
    assert slow.state.orders[transfer.order_id].state is OrderState.SUBMITTED
    assert slow.journal.read()[-1].record.kind is K.SNAPSHOT
    again = restarted(slow)
    async with living(Room(again)) as next_life:
        await again.clock.advance(60)
        assert next_life.supervisor.phase is Phase.ARMED
        assert again.state.orders[transfer.order_id].state is OrderState.NEVER_ACCEPTED
        assert [(row.state, row.why) for row in next_life.plans][-1] == (PlanState.ABORTED, "restart")
        assert agrees(again)


@pytest.mark.fault("F54")
async def test_who_asks_a_second_time_does_not_wait_for_the_plan() -> None:
    slow = idle_rig(terms=SLOW)
    async with armed(slow, rate=RICH, drain_s="1000") as room:
        room.supervisor.request_stop()
        await slow.clock.advance(0)
        assert room.phases[-1] is Phase.DRAINING
        room.supervisor.request_stop()
        await slow.clock.advance(0)
        assert room.has_stopped.is_set()
    assert room.alarms[-1] == "drain cut short"
    assert slow.journal.read()[-1].record.kind is K.SNAPSHOT
    assert room.feed.said[-1] == "close"
