"""A daemon's life at its edges: told to leave while it starts, while a venue is silent, and once more in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

import pytest

from basis_daemon.domain.decision import Exposure, LiquidationSite
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.market import DecisionIds, MarketEvent, MarketSnapshot
from basis_daemon.domain.order import Side
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.fence import Fence
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.guard_watch import GuardWatch, Sight
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.upkeep import Upkeep
from basis_daemon.engine.valuation import Mandate, Valuer
from basis_daemon.ports import FeedEvent, RecordKind
from basis_daemon.supervisor import Parts, Phase, Rhythm, Supervisor
from basis_daemon.tasks import TaskTree
from tests.engine.support import WATCH, Rig
from tests.venues.paper_support import COIN, WALLET, D, trade_order

PATIENCE_S = 20.0


class QuietFeed:
    """A feed with nothing to tell."""

    def __init__(self) -> None:
        self.is_closed = False

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return {}

    async def history(self) -> Sequence[MarketEvent]:
        return ()

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.is_closed = True


class Source:
    """The wallet of a rig, which can stop answering without ever refusing."""

    account = WALLET

    def __init__(self, rig: Rig) -> None:
        self._inner = rig.stage.wallet
        self.is_hung = False
        self.was_asked = asyncio.Event()

    async def _answer(self) -> None:
        if self.is_hung:
            self.was_asked.set()
            await asyncio.Event().wait()

    @property
    def accrues(self) -> bool:
        return False

    async def fetch_report(self) -> AccountReport:
        await self._answer()
        return await self._inner.fetch_report()

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        await self._answer()
        return await self._inner.fetch_trades(since)

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        await self._answer()
        return await self._inner.fetch_cash_flows(since)

    def hurry(self) -> None:
        self._inner.hurry()

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        await self._answer()
        return await self._inner.fetch_transfers(since)


class Life:
    """A supervisor over a rig, with what it said of itself."""

    def __init__(self, rig: Rig, drain_s: str) -> None:
        self.rig, self.source, self.feed = rig, Source(rig), QuietFeed()
        self.phases: list[Phase] = []
        self.is_in = {phase: asyncio.Event() for phase in Phase}
        freshness = Freshness(rig.mailbox, FreshnessLimits(quote_s=D(5), account_s=D(20)))
        reconciler = Reconciler(self.source, rig.recorder, rig.handler, freshness, rig.clock, rig.alarm)
        valuer = Valuer(
            mandate=Mandate("nobody", D(1)),
            recorder=rig.recorder,
            reconcilers=[reconciler],
            survey=self._survey,
            alarm=rig.alarm,
            step=timedelta(hours=1),
        )
        parts = Parts(
            feeds=[self.feed],
            reconcilers=[reconciler],
            engines=[],
            recorder=rig.recorder,
            handler=rig.handler,
            runner=rig.runner,
            mailbox=rig.mailbox,
            freshness=freshness,
            fence=Fence(rig.recorder, rig.guard, "test"),
            guard_watch=GuardWatch(
                rig.guard,
                rig.recorder,
                freshness,
                rig.clock,
                rig.alarm,
                Sight(lambda: [self._survey()[1]], lambda: D(0)),
                WATCH,
            ),
            upkeep=Upkeep(rig.recorder, rig.alarm, 1000),
            valuers=[valuer],
        )
        self.supervisor = Supervisor(parts, Rhythm(D(1000), D(drain_s)), rig.clock, rig.alarm, self._become)

    def _become(self, phase: Phase) -> None:
        self.phases.append(phase)
        self.is_in[phase].set()

    def _survey(self) -> tuple[MarketSnapshot, Exposure, Sequence[LiquidationSite]]:
        nothing: Mapping[PositionKey, Decimal] = MappingProxyType({})
        now = self.rig.clock.wall()
        market = MarketSnapshot(now, DecisionIds("", 0, 0), {}, {}, {}, {}, None)
        return market, Exposure(now, None, nothing, {}, {}, (), ("price:BTC",)), ()

    async def run(self) -> None:
        async with asyncio.timeout(PATIENCE_S), TaskTree("life") as tree:
            await self.supervisor.run(tree, arm=True)

    def alarms(self) -> list[str]:
        return [what for what, _ in self.rig.alarms]


async def started(life: Life, tree: TaskTree) -> None:
    tree.spawn("life", life.run())
    await life.is_in[Phase.ARMED].wait()


@pytest.mark.feature("E05", part="start")
async def test_a_start_that_waits_for_a_venue_can_be_given_up_and_the_doubt_is_kept() -> None:
    rig = Rig.adopted()
    order = trade_order(COIN, Side.BUY, "0.1")
    await rig.recorder.intents([order])
    rig.faults.silence(1_000_000)
    life = Life(rig, "30")
    async with TaskTree("test") as tree:
        tree.spawn("life", life.run())
        await rig.clock.until_sleepers(1)
        life.supervisor.request_stop()
    assert life.phases == [Phase.RECOVERING, Phase.DRAINING, Phase.STOPPED]
    assert life.feed.is_closed
    assert rig.state.in_doubt() == (order.order_id,)
    assert rig.sent == []


@pytest.mark.feature("E05", part="deadline")
async def test_a_venue_that_does_not_answer_cannot_hold_up_the_end() -> None:
    life = Life(Rig.adopted(), drain_s="0.05")
    async with TaskTree("test") as tree:
        await started(life, tree)
        life.source.is_hung = True
        life.supervisor.request_stop()
    assert life.phases[-2:] == [Phase.DRAINING, Phase.STOPPED]
    assert life.alarms()[-1] == "drain cut short"
    assert life.rig.journal.latest(RecordKind.SNAPSHOT) is not None


@pytest.mark.feature("E05", part="hurry")
async def test_asked_a_second_time_it_leaves_at_once() -> None:
    life = Life(Rig.adopted(), drain_s="1000")
    async with TaskTree("test") as tree:
        await started(life, tree)
        life.source.is_hung = True
        life.supervisor.request_stop()
        await life.source.was_asked.wait()
        life.supervisor.request_stop()
    assert life.phases[-1] is Phase.STOPPED
    assert life.rig.journal.latest(RecordKind.SNAPSHOT) is not None


async def test_asked_twice_in_one_breath_it_does_not_look_at_the_venue_again() -> None:
    life = Life(Rig.adopted(), drain_s="1000")
    async with TaskTree("test") as tree:
        await started(life, tree)
        life.source.is_hung = True
        life.supervisor.request_stop()
        life.supervisor.request_stop()
    assert not life.source.was_asked.is_set()
    assert life.phases[-1] is Phase.STOPPED


async def test_a_healthy_end_says_nothing() -> None:
    life = Life(Rig.adopted(), drain_s="1000")
    async with TaskTree("test") as tree:
        await started(life, tree)
        life.supervisor.request_stop()
    assert life.alarms() == []
