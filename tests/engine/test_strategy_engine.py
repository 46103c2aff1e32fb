"""One strategy's turns when its plans fail, when it fails itself, and when the daemon leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from basis_daemon.domain.decision import Assessment, Exposure, LiquidationSite, PlanEnded, ReasonCode, RiskView
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import FundingSettled, MarketSnapshot
from basis_daemon.domain.order import Order
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.position import PositionBook
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import DecisionRow, load
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.leg_group import LegBudget
from basis_daemon.engine.picture import PictureMaker
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.ports import RecordKind
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.faults import Fault, FaultKind
from basis_daemon.venues.paper.venue import PaperTerms
from tests.engine.support import BUDGET, Rig, agrees, pair
from tests.venues.paper_support import CASH, COIN, MARGIN, PERP, D, stamp

REJECT = Fault(FaultKind.REJECT)


class Wisher:
    """Wants a pair whenever it is asked, ``times`` at most; stumbles over every settlement."""

    name = "wisher"
    instruments = frozenset({COIN, PERP})
    declared_keys = frozenset({COIN, PERP, CASH, MARGIN})
    decision_interval_s = D(1)

    def __init__(self, reason: ReasonCode = ReasonCode.ENTRY, quantity: str = "0.1", times: int = 1_000) -> None:
        self.reason, self._quantity, self._times, self._started = reason, quantity, times, 0

    def initial_memory(self) -> object:
        return 0

    def dump_memory(self, memory: object) -> str:
        return str(memory)

    def load_memory(self, text: str) -> object:
        return int(text)

    def fold(self, memory: object, event: object) -> object:
        self._started += isinstance(event, PlanEnded)
        if isinstance(event, FundingSettled):
            raise ZeroDivisionError("a settlement over no hours")
        return memory

    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        is_done = self._started == self._times
        reason = ReasonCode.IN_FLIGHT if risk.plan_in_flight else ReasonCode.HOLD if is_done else self.reason
        return Assessment(timestamp, self.name, trigger, reason, "because", {}, {})

    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        ids = market.ids

        def fields(leg: int) -> dict[str, Any]:
            new_id = order_id(ids.book, ids.epoch, self.name, ids.decision, leg, 0, 0)
            return {"order_id": new_id, "strategy": self.name, "decision": ids.decision, "leg": leg}

        return [order.model_copy(update=fields(leg)) for leg, order in enumerate(pair(self._quantity))]


def risk_of(_exposure: Exposure, _book: PositionBook, running: Sequence[Assessment]) -> RiskView:
    sites: tuple[LiquidationSite, ...] = ()
    return RiskView(
        sites=sites,
        unit_value=D(1),
        unit_value_high=D(1),
        plan_in_flight=bool(running),
        defence_in_flight={},
        legs_with_open_orders=frozenset[PositionKey](),
        in_doubt=(),
        breaks=(),
        is_killed=False,
    )


def open_engine(rig: Rig, tree: TaskTree, strategy: Wisher) -> EventDrivenStrategyEngine:
    freshness = Freshness(rig.mailbox, FreshnessLimits(quote_s=D(5), account_s=D(20)))
    pictures = PictureMaker(
        mailbox=rig.mailbox,
        monitor=rig.monitor,
        recorder=rig.recorder,
        freshness=freshness,
        clock=rig.clock,
        grace_ns=0,
        risk_of=risk_of,
    )
    engine = EventDrivenStrategyEngine(
        strategy=strategy,
        pictures=pictures,
        recorder=rig.recorder,
        venue_manager=rig.manager,
        gate=lambda *_: (),
        clock=rig.clock,
        alarm=rig.alarm,
        book="test",
    )
    engine.start(tree, [])
    engine.is_open = True
    return engine


def quote(rig: Rig) -> None:
    """Fresh books on both legs."""
    at_s = (rig.clock.wall() - stamp(0)).total_seconds()
    rig.quote(COIN, at_s=at_s)
    rig.quote(PERP, at_s=at_s)


def refuse_every_short(rig: Rig) -> None:
    """A leader, its follower refused twice, the leader undone: four requests a plan."""
    for plan in range(6):
        for request in (2, 3):
            rig.faults.add(4 * plan + request, REJECT)


def denials(rig: Rig) -> list[tuple[str, ...]]:
    rows = rig.journal.read(kinds=frozenset({RecordKind.DECISION}))
    return [load(DecisionRow, row.record.payload).denied for row in rows]


async def pass_time(rig: Rig, engine: EventDrivenStrategyEngine, seconds: Decimal) -> None:
    await rig.clock.advance(seconds)
    quote(rig)
    engine.turn("market")
    await rig.clock.advance(0)


@pytest.mark.fault("F21")
async def test_a_plan_that_fails_is_repeated_ever_more_slowly_because_every_attempt_costs_a_round_trip() -> None:
    """Refused at 0 s, then no new risk for 2 s, then for 4 s: three round trips in 7 s, not thousands."""
    rig = Rig.adopted()
    refuse_every_short(rig)
    async with TaskTree("test") as tree:
        engine = open_engine(rig, tree, Wisher())
        engine.turn("market")
        for _ in range(14):
            await pass_time(rig, engine, D("0.5"))
        tree.cancel_all()
    assert len(rig.witnesses["binance"].sent) == 2 * 3  # bought and sold again
    assert any("plan_failures 2 in a row" in why for denied in denials(rig) for why in denied)
    assert [what for what, _ in rig.alarms].count("plan failed") == 3
    assert [what for what, _ in rig.alarms].count("plan denied") == 1  # once a minute, however often it is wished
    assert agrees(rig)


async def test_what_repairs_the_book_does_not_wait_for_failures_of_new_risk() -> None:
    rig = Rig.adopted()
    refuse_every_short(rig)
    async with TaskTree("test") as tree:
        wisher = Wisher()
        engine = open_engine(rig, tree, wisher)
        engine.turn("market")
        await pass_time(rig, engine, D("0.1"))
        assert any("no new risk for" in why for denied in denials(rig) for why in denied)
        sent, told = len(rig.sent), len(denials(rig))
        wisher.reason = ReasonCode.DELTA
        await pass_time(rig, engine, D("0.1"))
        tree.cancel_all()
    assert len(rig.sent) > sent
    assert denials(rig)[told] == ()


@pytest.mark.fault("F21")
async def test_a_repair_that_is_refused_is_tried_again_at_once_then_at_growing_pauses_and_never_in_a_storm() -> None:
    """At 0 s twice, then after 0.25, 0.5, 1, 2, 2 and 2 s more, though no market moves: eight attempts, not thousands.

    Every attempt is a plan of its own that buys, is refused the sale, and sells again what it bought.
    """
    rig = Rig.adopted()
    for plan in range(50):
        for request in (2, 3):
            rig.faults.add(4 * plan + request, REJECT)
    async with TaskTree("test") as tree:
        engine = open_engine(rig, tree, Wisher(ReasonCode.DELTA))
        engine.turn("market")
        for _ in range(32):
            await rig.clock.advance(D("0.25"))
            quote(rig)
            engine.tick()
            await rig.clock.advance(0)
        tree.cancel_all()
    assert len(rig.witnesses["binance"].sent) == 2 * 8
    waits = {why for denied in denials(rig) for why in denied}
    assert {
        "plan_failures 2 in a row: the next attempt in 0.2 s",
        "plan_failures 7 in a row: the next attempt in 2.0 s",
    } <= waits
    told = [values["failures"] for what, values in rig.alarms if what == "plan failed"]
    assert told == ["2", "4", "8"]
    assert agrees(rig)


async def test_a_repair_that_is_refused_keeps_no_other_repair_waiting() -> None:
    rig = Rig.adopted()
    refuse_every_short(rig)
    async with TaskTree("test") as tree:
        wisher = Wisher(ReasonCode.DELTA)
        engine = open_engine(rig, tree, wisher)
        engine.turn("market")
        await rig.clock.advance(0)
        assert any(denials(rig))
        sent = len(rig.sent)
        wisher.reason = ReasonCode.LIQ_REDUCE
        engine.turn("market")
        await rig.clock.advance(0)
        tree.cancel_all()
    assert len(rig.sent) > sent


async def test_a_plan_that_ends_well_forgives_the_failures_before_it() -> None:
    """The first plan fails, the second does what it should, the third fails: each failure is the first in its row."""
    rig = Rig.adopted()
    for request in (2, 3, 8, 9):
        rig.faults.add(request, REJECT)
    async with TaskTree("test") as tree:
        engine = open_engine(rig, tree, Wisher(times=3))
        engine.turn("market")
        for _ in range(6):
            await pass_time(rig, engine, D(1))
        tree.cancel_all()
    assert [values["failures"] for what, values in rig.alarms if what == "plan failed"] == ["1", "1"]
    assert agrees(rig)


@pytest.mark.fault("F56")
async def test_a_strategy_that_stumbles_over_an_event_is_frozen_and_the_daemon_lives() -> None:
    rig = Rig.adopted()
    async with TaskTree("test") as tree:
        engine = open_engine(rig, tree, Wisher())
        engine.on_market(FundingSettled(PERP, stamp(1), D("0.0001"), 0))
        engine.turn("market")
        tree.cancel_all()
    assert engine.is_frozen
    assert rig.sent == []
    (alarm,) = rig.alarms
    assert alarm == (
        "strategy frozen",
        {"strategy": "wisher", "error": "ZeroDivisionError: a settlement over no hours"},
    )


@pytest.mark.feature("E05", part="plans")
async def test_when_the_daemon_leaves_a_plan_finishes_its_clip_and_begins_no_other() -> None:
    """F54: 1 BTC is three clips; told to leave during the first, the book ends hedged with one."""
    rig = Rig.adopted(terms=PaperTerms(uplink_s=1))
    async with TaskTree("test") as tree:
        engine = open_engine(rig, tree, Wisher(quantity="1"))
        engine.turn("market")
        await rig.clock.until_sleepers(1)
        engine.close()
        await rig.clock.advance(10)
        assert engine.plans_in_flight == 0
        tree.cancel_all()
    assert [order.quantity for order in rig.sent] == [D("0.416"), D("0.415")]
    assert agrees(rig)


async def test_no_clip_begins_on_quotes_that_have_grown_old() -> None:
    """Every request takes 4 s and nothing is quoted meanwhile: the second clip would trade on a price 8 s old."""
    rig = Rig.adopted(terms=PaperTerms(uplink_s=4), budget=LegBudget(**{**_fields(BUDGET), "quote_max_s": D(5)}))
    async with TaskTree("test") as tree:
        engine = open_engine(rig, tree, Wisher(quantity="1"))
        engine.turn("market")
        await rig.clock.advance(20)
        engine.is_open = False
        tree.cancel_all()
    assert [order.quantity for order in rig.sent] == [D("0.416"), D("0.415")]
    assert all(life.state is OrderState.FILLED for life in rig.state.orders.values())


def _fields(budget: LegBudget) -> dict[str, Decimal]:
    return {name: getattr(budget, name) for name in LegBudget.__slots__}
