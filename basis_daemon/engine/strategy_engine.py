"""One strategy's turn: the order of the stops between an event and a plan. From event to orders nothing suspends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from operator import attrgetter

from basis_daemon.domain.bracket import BracketFired
from basis_daemon.domain.decision import Assessment, PlanEnded, ReasonCode
from basis_daemon.domain.errors import BasisError, PlanRefusedError
from basis_daemon.domain.market import BookTick, DecisionIds, FundingSettled, MarketEvent, MarkTick
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.prediction import PredictionTick
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.bracket_orders import half_of
from basis_daemon.engine.codec import DecisionRow, Heard, MemoryRow, PlanRow
from basis_daemon.engine.forced import ForcedWatch
from basis_daemon.engine.picture import Picture, PictureMaker
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.sight import Sight, Sketcher, decided
from basis_daemon.engine.state import EPOCH
from basis_daemon.engine.strikes import Strikes
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.ports import Clock, Strategy, TaskScope

STRATEGY_FAULTS = (BasisError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a strategy may raise by mistake: it is frozen, the others trade on. Anything else stops the daemon."""

ORDERS_MAX = 50
"""More orders than any decision has; thousands are a fault of their strategy and would keep the loop busy."""

REMEMBER_EVERY = timedelta(hours=1)
"""Market time after which what was folded from prices alone is journalled again; settlements and trades are at once."""

DENIAL_ALARM_NS = 60 * 1_000_000_000

IDLE = frozenset({ReasonCode.HOLD, ReasonCode.STALE, ReasonCode.IN_FLIGHT, ReasonCode.FLAT})
"""A strategy that says one of these is not asked for orders."""

_PRICES = frozenset({BookTick, MarkTick})
_ID_OF = attrgetter("order_id")

PICTURE, HISTORY = "Picture", "History"
"""What a memory row says that its teacher was, where that was no single event."""

Gate = Callable[[Sequence[Order], Picture, Assessment], tuple[str, ...]]
"""Pre-trade risk: the reasons to refuse the whole list, empty to approve."""


class EventDrivenStrategyEngine:
    """Turns events into plans for one strategy. At most one ordinary plan is in flight; defence may run beside it."""

    def __init__(
        self,
        *,
        strategy: Strategy,
        pictures: PictureMaker,
        recorder: Recorder,
        venue_manager: VenueManager,
        gate: Gate,
        clock: Clock,
        alarm: Alarm,
        book: str,
        terms: str = "",
    ) -> None:
        """``terms`` is the configuration as text, kept with what decisions are taken on."""
        self.strategy = strategy
        self._name = strategy.name
        self._pictures = pictures
        self._recorder = recorder
        self._venue_manager = venue_manager
        self._brackets = venue_manager.brackets
        self._gate = gate
        self._clock = clock
        self._alarm = alarm
        self._book = book
        self._scope: TaskScope | None = None
        self._memory = strategy.initial_memory()
        self._due_at = EPOCH
        self._interval = timedelta(seconds=float(strategy.decision_interval_s))
        self._remember_at = EPOCH
        self._waiting_since_ns = 0
        self._plans: dict[str, Assessment] = {}
        self._last_reason = ""
        self._sketcher = Sketcher(terms, strategy.dump_memory)
        self._strikes = Strikes(clock, alarm)
        self._denial_told_ns: int | None = None
        self._forced = ForcedWatch(strategy.name, venue_manager.unhedged_max_s)
        self.is_frozen = self.is_open = self._is_owed = False

    @property
    def plans_in_flight(self) -> int:
        """How many plans have not ended."""
        return len(self._plans)

    @property
    def has_decided(self) -> bool:
        """True once it has, in this life: what an earlier one decided was about the book as it was then."""
        return bool(self._last_reason)

    @property
    def clip_usdt_max(self) -> Decimal:
        """The largest part of a hedged pair that may be between its two legs."""
        return self._venue_manager.clip_usdt_max

    def begin_flattening(self) -> None:
        """The operator closes the book: what was begun ends with its clip, a fault is forgiven once, and it leaves."""
        self.is_frozen = False
        self._stop_ordinary()
        self.turn("flatten")

    def stop_flattening(self) -> None:
        """No further clip, hedged as it is: the operator has thought better of it, or the next life goes on."""
        for plan_id, assessment in self._plans.items():
            if assessment.reason is ReasonCode.FLATTEN:
                self._venue_manager.stop(plan_id)

    def rehearse_flattening(self) -> tuple[Assessment, list[Order]]:
        """What it would do now if the book were to be closed; remembered and recorded nowhere. Raises as a decision."""
        recorder = self._recorder
        ids = DecisionIds(self._book, recorder.epoch, recorder.state.decisions.get(self._name, 0) + 1)
        picture = self._pictures.take(self.strategy, self._memory, ids, running=())
        risk = replace(picture.risk, flatten="rehearsed", is_killed=True)
        question = (picture.market.time, "rehearsal", picture.market, picture.exposure, risk)
        assessment = self.strategy.assess(*question)
        orders = [] if assessment.reason in IDLE else _orders_of(self.strategy.make_strategy_decision(*question))
        return assessment, orders

    def close(self) -> None:
        """No more decisions; ordinary plans and a flattening, which is latched, finish the clip they are in.

        Defence finishes what it began.
        """
        self.is_open = False
        self._stop_ordinary()
        self.stop_flattening()

    def start(self, scope: TaskScope, history: Sequence[MarketEvent]) -> None:
        """Remember what was journalled and fold what came since; decisions begin when ``is_open`` is set."""
        text = self._recorder.state.memories.get(self._name)
        if text is not None:
            self._memory = self.strategy.load_memory(text)
        self._study(history)
        self._scope = scope

    def _study(self, history: Sequence[MarketEvent]) -> None:
        """Remember what was before: settlements one by one, as if heard; with prices between them all of it at once."""
        settled = [event for event in history if isinstance(event, FundingSettled)]
        if len(settled) == len(history):
            for event in settled:
                self._fold(event)
        elif sum(map(self._learns, history)):
            self._remember(HISTORY, None)

    def on_market(self, event: MarketEvent) -> None:
        """Stop 2: woken by an instrument it subscribed to. Cheap unless a decision is due."""
        if type(event) is FundingSettled:
            self._fold(event)
        if event.venue_time >= self._due_at or self._waiting_since_ns:
            self.turn("market")

    def on_prediction(self, tick: PredictionTick) -> None:
        """The model that it listens to has spoken: remembered, and looked at at once."""
        self._fold(tick)
        self.turn("prediction")

    def on_fill(self, trade: Trade) -> None:
        """A fill was booked, whoever told of it: one of its own is remembered and compared with brackets.

        A bracket that fired ends its side.
        """
        life = self._recorder.state.orders.get(trade.order_id)
        if life is None or life.order.strategy != self._name:
            return
        self._fold(trade)
        if self._brackets is not None and not life.is_open:  # one that goes on filling is settled by its plan
            self._brackets.wake()
        if (half := half_of(life.order)) is not None:
            self._on_bracket(BracketFired(trade.instrument, half, trade.venue_time))

    def _on_bracket(self, fired: BracketFired) -> None:
        self._fold(fired)
        self.turn("bracket")

    def on_foreign(self, trade: Trade) -> None:
        """A fill of nobody's on a key it declared (ADL, liquidation, a hand): remembered, and looked at at once.

        After a forced one no ordinary plan begins another clip: its quantities were those of another book.
        """
        if trade.instrument not in self.strategy.declared_keys:
            return
        self._fold(trade)
        if trade.is_forced:
            instrument = self._recorder.state.instruments.get(trade.instrument)
            self._forced.open(trade, instrument.base if instrument else "", self._clock.monotonic_ns())
            self._stop_ordinary()
        self.turn(trade.origin if trade.is_forced else "foreign_fill")

    def _stop_ordinary(self) -> None:
        for plan_id, assessment in self._plans.items():
            if assessment.urgency == 0:
                self._venue_manager.stop(plan_id)

    def tick(self) -> None:
        """Process time passed: notices that nothing arrives any more, or that a forced reduction is not repaired.

        What came before it was open is looked at now, where nothing has come since: the market may be silent for long.
        """
        if self._scope is not None and self._brackets is not None:
            self._brackets.tick(self._scope, self._on_bracket)
        if (facts := self._forced.overdue(self._clock.monotonic_ns())) is not None:
            self._alarm("forced reduction not repaired in time", facts)
        if not self._plans and self._strikes.is_over():
            self.turn("retry")
        if self._is_owed:
            self.turn("start")
        if self._last_reason != "STALE" and self._pictures.is_silent(self.strategy, self._clock.monotonic_ns()):
            self.turn("silence")

    def turn(self, trigger: str) -> None:
        """Stops 3 to 5: picture, decision with stored reasons, risk gate, and a plan on its way."""
        if self._scope is None or self.is_frozen or not self.is_open or self._must_wait():
            self._is_owed |= not self.is_open
            return
        self._is_owed = False
        try:
            picture = self._take_picture()
            decision = self._decide(trigger, picture)
            if decision is not None:
                self._launch(*decision)
        except STRATEGY_FAULTS as error:
            self._freeze(error)

    def _must_wait(self) -> bool:
        """True while one stream of a venue is about to catch up with the others; not longer than the grace.

        Past the grace the picture is stale and looked at once an interval, until the stream is back: that is looked at
        at once, and the grace begins anew.
        """
        if not self._pictures.is_lagging(self.strategy):
            self._waiting_since_ns = 0
            return False
        now_ns = self._clock.monotonic_ns()
        self._waiting_since_ns = self._waiting_since_ns or now_ns
        is_in_grace = now_ns - self._waiting_since_ns < self._pictures.grace_ns
        return is_in_grace or self._pictures.newest(self.strategy) < self._due_at

    def _take_picture(self) -> Picture:
        recorder = self._recorder
        ids = DecisionIds(self._book, recorder.epoch, recorder.state.decisions.get(self._name, 0) + 1)
        picture = self._pictures.take(self.strategy, self._memory, ids, running=tuple(self._plans.values()))
        recorder.see_time(picture.market.time)
        self._due_at = picture.market.time + self._interval
        self._watch(picture)
        return picture.with_memory(self._memory)

    def _decide(self, trigger: str, picture: Picture) -> tuple[PlanRow, list[Order], Assessment] | None:
        question = (picture.market.time, trigger, picture.market, picture.exposure, picture.risk)
        assessment = self.strategy.assess(*question)
        if (repaired := self._forced.close(picture.exposure, assessment, self._clock.monotonic_ns())) is not None:
            self._recorder.record(repaired, repaired.group_id, trigger)
        orders = [] if assessment.reason in IDLE else _orders_of(self.strategy.make_strategy_decision(*question))
        denied = self._strikes.denial(assessment.reason, orders)
        if orders and not denied:
            denied = self._gate(orders, picture, assessment)
        ids = picture.market.ids
        plan_id, order_ids = f"{self._name}:{ids.epoch}:{ids.decision}", tuple(map(_ID_OF, orders))
        sight = self._sketcher.draw(picture, orders, self._recorder.snapshots)
        self._store(DecisionRow(self._name, ids.decision, assessment, order_ids, denied), sight, plan_id)
        if not orders or denied:
            return None
        row = PlanRow(plan_id, self._name, ids.decision, assessment.reason, PlanState.RUNNING, order_ids)
        for other, running in self._plans.items():
            if assessment.urgency > running.urgency:
                self._venue_manager.stop(other)
        self._plans[plan_id] = assessment
        return row, orders, assessment

    def _store(self, row: DecisionRow, sight: Sight, plan_id: str) -> None:
        assessment = row.assessment
        self._recorder.record(row, plan_id, assessment.trigger, decided(row, sight))
        if row.denied:
            self._tell_denial(row.denied)
        elif assessment.page:
            self._alarm("page", {"strategy": self._name, "why": assessment.note})
        self._last_reason = assessment.reason

    def _tell_denial(self, denied: tuple[str, ...]) -> None:
        """Once a minute: the wish comes back with every tick."""
        now_ns = self._clock.monotonic_ns()
        if self._denial_told_ns is None or now_ns - self._denial_told_ns > DENIAL_ALARM_NS:
            self._denial_told_ns = now_ns
            self._alarm("plan denied", {"strategy": self._name, "why": "; ".join(denied)})

    def _launch(self, row: PlanRow, orders: list[Order], assessment: Assessment) -> None:
        if self._scope is not None:
            self._recorder.record(row, row.plan_id, assessment.trigger)
            self._scope.spawn(f"plan {row.plan_id}", self._execute(row, orders, assessment))

    async def _execute(self, row: PlanRow, orders: list[Order], assessment: Assessment) -> None:
        """Stop 5 and beyond: run the plan, remember how it ended, and look at the book again."""
        state, why = PlanState.ABORTED, ""
        try:
            state = await self._venue_manager.execute_orders(
                assessment.time, orders, row.plan_id, is_defence=assessment.urgency > 0, scope=self._scope
            )
        except PlanRefusedError as error:
            why = str(error)
            self._alarm("plan refused", {"plan": row.plan_id, "why": why})
        except BasisError as error:
            why = str(error)
            self._freeze(error)
        self._plans.pop(row.plan_id, None)
        ended = PlanRow(row.plan_id, row.strategy, row.decision, row.reason, state, row.order_ids, why)
        self._recorder.record(ended, row.plan_id, assessment.trigger)
        if self.is_open:
            self._strikes.count(row, state)
        if self._brackets is not None:
            self._brackets.wake()
        now, wanted = self._recorder.state.market_time, (assessment.targets, assessment.weights)
        self._fold(PlanEnded(row.strategy, row.decision, row.reason, state, now, *wanted))
        self.turn("plan_ended")

    def _fold(self, event: Heard) -> None:
        """Remember what was heard outside a picture, and journal it with the memory: nothing else keeps it."""
        if self._learns(event):
            self._remember(type(event).__name__, event)

    def _watch(self, picture: Picture) -> None:
        """Remember what the picture shows; journalled once for all of it, at once what was read of a chain."""
        taught = [event for event in picture.events if self._learns(event)]
        if any(type(e) not in _PRICES or e.venue_time >= self._remember_at for e in taught):
            self._remember(PICTURE, None)

    def _learns(self, event: object) -> bool:
        """True when the strategy remembers something else after the event."""
        try:
            memory = self.strategy.fold(self._memory, event)
        except STRATEGY_FAULTS as error:
            self._freeze(error)
            return False
        is_new = memory is not self._memory
        self._memory = memory
        return is_new

    def _remember(self, what: str, heard: Heard | None) -> None:
        self._remember_at = self._recorder.state.market_time + REMEMBER_EVERY
        row = MemoryRow(self._name, self.strategy.dump_memory(self._memory), heard)
        self._recorder.record(row, self._name, what)

    def _freeze(self, error: BaseException) -> None:
        self.is_frozen = True
        self._alarm("strategy frozen", {"strategy": self._name, "error": f"{type(error).__name__}: {error}"})


def _orders_of(answer: object) -> list[Order]:
    """What a strategy answered, if it is a list of orders; raises ValueError for anything else."""
    if not isinstance(answer, list) or len(answer) > ORDERS_MAX or not {*map(type, answer)} <= {Order}:
        found = f"{len(answer)} items" if isinstance(answer, list) else type(answer).__name__
        raise ValueError(f"a decision of {found}, expected a list of at most {ORDERS_MAX} orders and of nothing else")
    return answer
