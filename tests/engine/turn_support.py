"""A daemon without its machine: engines, risk desks, valuer and supervisor around a `Rig`, and a market that speaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial

from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, MarketEvent, MarkTick
from basis_daemon.domain.order import Order
from basis_daemon.domain.risk import RiskLimits
from basis_daemon.engine.codec import DecisionRow, PlanRow, load
from basis_daemon.engine.fence import Fence
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.gate import Permissions, RiskDesk
from basis_daemon.engine.guard_watch import GuardWatch, Sight
from basis_daemon.engine.leg_group import LegBudget
from basis_daemon.engine.picture import PictureMaker, accounts_of
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.engine.upkeep import Upkeep
from basis_daemon.engine.valuation import Mandate, Valuer
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.ports import FeedEvent, RecordKind
from basis_daemon.strategies.basis import BasisStrategy, BtcBasis
from basis_daemon.supervisor import Parts, Phase, Rhythm, Supervisor
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.venue import PaperTerms
from tests.builders import RICH, parameters, settlements
from tests.engine.support import BNB, BUDGET, USDC, WATCH, Rig
from tests.venues.paper_support import (
    CASH,
    COIN,
    FUTURES,
    MARGIN,
    PERP,
    PERP_BTC,
    SPOT_BTC,
    START,
    WALLET,
    D,
    Stage,
    stamp,
)

GRACE_S, QUOTE_S, ACCOUNT_S, INTERVAL_S = D("0.5"), D(5), D(20), 15
COIN_BOOK, PERP_BOOK, PERP_MARK = "coin book", "perp book", "perp mark"
STREAMS = (PERP_MARK, PERP_BOOK, COIN_BOOK)
LIMITS = RiskLimits(
    order_notional_max_usdt=D(250_000),
    price_band_bp=D(150),
    slippage_max_bp=D(100),
    venue_share_max=D(1),
    orders_per_minute_max=60,
    z_open=D("1.5"),
    shocks={"BTC": D("0.20")},
    exchange_of={WALLET: "binance", FUTURES: "binance"},
    recipients=frozenset({WALLET, FUTURES}),
)
BREATHS_MAX = 100
"""Rounds of the event loop, fifty turns each, within which a plan of a venue without delay has ended."""


@dataclass
class StageFeed:
    """The account events of a stage from the moment it runs; its market speaks when a test lets it."""

    stage: Stage
    seed: Sequence[FundingSettled]
    said: list[str] = field(default_factory=list)

    async def start(self) -> Mapping[PositionKey, Instrument]:
        self.said.append("start")
        return {COIN: SPOT_BTC, PERP: PERP_BTC}

    async def history(self) -> Sequence[MarketEvent]:
        self.said.append("history")
        return self.seed

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        self.said.append("run")
        self.stage.venue.connect(sink)
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.said.append("close")
        self.stage.venue.connect(None)


class Room:
    """Everything between the market and the venue for one or more strategies. ``rate`` is each settlement's so far."""

    def __init__(
        self,
        rig: Rig,
        *strategies: BasisStrategy,
        rate: Decimal = RICH,
        is_armed: Callable[[], bool] | None = None,
        drain_s: str = "30",
        has_seed: bool = True,
    ) -> None:
        self.rig, self.rate = rig, rate
        self.freshness = Freshness(rig.mailbox, FreshnessLimits(QUOTE_S, ACCOUNT_S))
        self.feed = StageFeed(rig.stage, settlements(PERP, [rate] * 30, START) if has_seed else [])
        accounts = rig.stage.venue.accounts.values()
        self.reconcilers = [
            Reconciler(a, rig.recorder, rig.handler, self.freshness, rig.clock, rig.alarm) for a in accounts
        ]
        books = strategies or (BtcBasis(parameters()),)
        armed = is_armed or (lambda: True)
        self.desks = [self._desk(book, armed) for book in books]
        self.pictures = [self._pictures(desk) for desk in self.desks]
        self.engines = [self._engine(*each) for each in zip(books, self.desks, self.pictures, strict=True)]
        self.valuers = [self._valuer(*each) for each in zip(books, self.pictures, strict=True)]
        self.valuer = self.valuers[0]
        for desk, valuer in zip(self.desks, self.valuers, strict=True):
            desk.valuer = valuer
        rig.handler.on_capital = self.valuer.due.set
        sight = Sight(lambda: [self.pictures[0].survey(books[0])[1]], lambda: self.valuer.drawdown)
        self.watch = GuardWatch(rig.guard, rig.recorder, self.freshness, rig.clock, rig.alarm, sight, WATCH)
        self.memory_share = 0.0
        self.phases: list[Phase] = []
        self.has_stopped = asyncio.Event()
        rhythm = Rhythm(D(10), D(drain_s))
        self.supervisor = Supervisor(self._parts(), rhythm, rig.clock, rig.alarm, self._note_phase)

    def _note_phase(self, phase: Phase) -> None:
        self.phases.append(phase)
        if phase is Phase.STOPPED:
            self.has_stopped.set()

    def _parts(self) -> Parts:
        rig = self.rig
        return Parts(
            feeds=[self.feed],
            reconcilers=self.reconcilers,
            engines=self.engines,
            recorder=rig.recorder,
            handler=rig.handler,
            runner=rig.runner,
            mailbox=rig.mailbox,
            freshness=self.freshness,
            fence=Fence(rig.recorder, rig.guard, "test"),
            guard_watch=self.watch,
            upkeep=Upkeep(rig.recorder, rig.alarm, 5000),
            valuers=self.valuers,
            memory_share=lambda: self.memory_share,
        )

    def _valuer(self, strategy: BasisStrategy, pictures: PictureMaker) -> Valuer:
        rig, own = self.rig, accounts_of(strategy)
        return Valuer(
            mandate=Mandate(strategy.name, strategy.parameters.max_drawdown),
            recorder=rig.recorder,
            reconcilers=[reconciler for reconciler in self.reconcilers if reconciler.account in own],
            survey=partial(pictures.survey, strategy),
            alarm=rig.alarm,
            step=timedelta(hours=1),
        )

    def _desk(self, strategy: BasisStrategy, is_armed: Callable[[], bool]) -> RiskDesk:
        rig, p = self.rig, strategy.parameters
        operations = rig.interfaces.operations
        permissions = Permissions(operations, strategy.declared_keys, is_armed)
        return RiskDesk(
            limits=replace(LIMITS, shocks={p.asset: p.shock}, recipients=accounts_of(strategy)),
            ladder=p.ladder,
            permissions=permissions,
            recorder=rig.recorder,
            guard=rig.guard,
            clock=rig.clock,
        )

    def _pictures(self, desk: RiskDesk) -> PictureMaker:
        return PictureMaker(
            mailbox=self.rig.mailbox,
            monitor=self.rig.monitor,
            recorder=self.rig.recorder,
            freshness=self.freshness,
            clock=self.rig.clock,
            grace_ns=int(GRACE_S * 1_000_000_000),
            risk_of=desk.view,
            coins=frozenset({BNB, USDC}),
        )

    def _engine(self, strategy: BasisStrategy, desk: RiskDesk, pictures: PictureMaker) -> EventDrivenStrategyEngine:
        rig = self.rig
        manager = VenueManager(
            recorder=rig.recorder,
            runner=rig.runner,
            interfaces=rig.interfaces,
            clock=rig.clock,
            budget=BUDGET,
            book="test",
            quotes=rig.mailbox.books,
            is_halted=rig.guard.forbids,
        )
        return EventDrivenStrategyEngine(
            strategy=strategy,
            pictures=pictures,
            recorder=rig.recorder,
            venue_manager=manager,
            gate=desk.gate,
            clock=rig.clock,
            alarm=rig.alarm,
            book="test",
        )

    # ------------------------------------------------------------------------------------------------------ life
    async def open(self, tree: TaskTree) -> None:
        """What a supervisor's start does, without its loops: a test is the rhythm. Nothing was decided yet."""
        rig, self.spawn = self.rig, tree.spawn
        rig.stage.venue.connect(self.supervisor.deliver)
        for reconciler in self.reconcilers:
            if rig.state.is_adopted(reconciler.account):
                assert await reconciler.reconcile()
            else:  # without the wire, so that a slow venue needs no time here
                rig.handler.adopt(rig.stage.venue.exchange.report(reconciler.account))
                self.freshness.answered(reconciler.account, rig.clock.monotonic_ns())
        self.say()
        for engine in self.engines:
            engine.start(tree, self.feed.seed)
            for key in engine.strategy.instruments:
                rig.mailbox.subscribe(key, engine.on_market)
        for engine in self.engines:
            engine.is_open = True

    # ---------------------------------------------------------------------------------------------------- market
    @property
    def now_s(self) -> float:
        """Process seconds since the start."""
        return (self.rig.clock.wall() - START).total_seconds()

    def say(self, *streams: str, price: int = 60_000, at_s: float | None = None) -> None:
        """These streams, all by default, speak of ``price``, stamped with process time or ``at_s``."""
        at = stamp(self.now_s if at_s is None else at_s)
        for stream in streams or STREAMS:
            self.hear(self._event(stream, D(price), at - START))

    def _event(self, stream: str, price: Decimal, since: timedelta) -> MarketEvent:
        at, received = START + since, self.rig.clock.monotonic_ns()
        if stream == PERP_MARK:
            due = START + timedelta(hours=8) * (since // timedelta(hours=8) + 1)
            return MarkTick(PERP, at, received, price, price, self.rate, due)
        bids, asks = (tuple((price + side * gap, D(10)) for gap in (D("0.5"), D(10))) for side in (-1, 1))
        return BookTick(COIN if stream == COIN_BOOK else PERP, at, received, bids, asks)

    def hear(self, event: MarketEvent) -> None:
        """The market moves for the venue, and the daemon is told."""
        self.rig.stage.venue.on_market(event)
        self.supervisor.deliver(event)

    async def at(self, seconds: float, *streams: str, price: int = 60_000) -> None:
        """Let process time go on to ``seconds`` after the start; the accounts answer, then these streams speak."""
        await self.rig.clock.advance_to(stamp(seconds))
        for reconciler in self.reconcilers:
            await reconciler.reconcile()
        self.say(*streams, price=price)
        await self.breathe()

    async def breathe(self) -> None:
        """Let every plan run as far as it gets without time."""
        for _ in range(BREATHS_MAX):
            await self.rig.clock.advance(0)
            if not any(engine.plans_in_flight for engine in self.engines):
                return

    # --------------------------------------------------------------------------------------------------- answers
    @property
    def decisions(self) -> list[DecisionRow]:
        """Every decision in the journal."""
        rows = self.rig.journal.read(kinds=frozenset({RecordKind.DECISION}))
        return [load(DecisionRow, row.record.payload) for row in rows]

    @property
    def reasons(self) -> list[str]:
        """Their reason codes."""
        return [row.assessment.reason.value for row in self.decisions]

    @property
    def plans(self) -> list[PlanRow]:
        """Every step of every plan."""
        rows = self.rig.journal.read(kinds=frozenset({RecordKind.PLAN}))
        return [load(PlanRow, row.record.payload) for row in rows]

    @property
    def sent(self) -> list[Order]:
        """Every order that was intended, in order of intent, over both accounts."""
        return [life.order for life in self.rig.state.orders.values()]

    @property
    def alarms(self) -> list[str]:
        """What was alarmed, in order."""
        return [what for what, _ in self.rig.alarms]


def idle_rig(cash: int = 100_000, terms: PaperTerms | None = None) -> Rig:
    """A venue where all money lies in the spot wallet."""
    return Rig(stage=Stage({CASH: D(cash), MARGIN: D(0)}, terms=terms))


def paired_rig(cash: int = 0, terms: PaperTerms | None = None, budget: LegBudget = BUDGET) -> Rig:
    """A venue with a pair of one coin at m = .4, and cash beside it."""
    held = {COIN: D(1), PERP: D(-1), MARGIN: D(24_000), CASH: D(cash)}
    return Rig(stage=Stage(held, open_notional={PERP: D(-60_000)}, terms=terms), budget=budget)


@asynccontextmanager
async def opened(room: Room) -> AsyncIterator[Room]:
    """The room with its engines open, inside a task tree that ends with it."""
    async with TaskTree("test") as tree:
        await room.open(tree)
        yield room
        for engine in room.engines:
            engine.is_open = False
        tree.cancel_all("end of the test")


@asynccontextmanager
async def living(room: Room, *, arm: bool = True) -> AsyncIterator[Room]:
    """The room under its own supervisor. A test that has not ended its life by itself ends it in a hurry."""
    async with TaskTree("test") as outer, TaskTree("daemon") as inner:
        outer.spawn("life", room.supervisor.run(inner, arm=arm))
        await room.rig.clock.advance(0)
        yield room
        room.supervisor.request_stop()
        room.supervisor.request_stop()
        await room.has_stopped.wait()
