"""Life: adopt, arm, pump, reconcile, drain. One task tree, in which every task of the daemon has its parent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from basis_daemon.domain.errors import MemoryExhaustedError, ReconciliationError, VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import MarketEvent, StreamChanged
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import AccountFigures, AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.codec import PlanRow
from basis_daemon.engine.fence import Fence
from basis_daemon.engine.freshness import Freshness
from basis_daemon.engine.guard_watch import GuardWatch
from basis_daemon.engine.heartbeat import Heartbeat
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.position_update_handler import Alarm, PositionUpdateHandler
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.rota import Rota
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.engine.upkeep import Upkeep
from basis_daemon.engine.valuation import Valuer
from basis_daemon.ports import AccountChanged, Clock, Feed, FeedEvent, InstrumentDoubted, InstrumentsChanged, KillPoint
from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import ServiceManager, get_logger

START_TRIES = 5
START_PAUSE_S = 1.0
TICK_S = 1.0
VALUATION_PAUSE_S, VALUATION_PAUSE_MAX_S = 0.5, 5.0
"""Process time between valuations at least, and after many that failed: when market time runs, they are always due."""
VALUATION_SHARE = 4
"""A valuation that had to wait for request budget leaves most of the time to those who watch over the book."""
MEMORY_SHARE_MAX = 0.8
"""Of what the process may use: beyond it an orderly end, before the kernel makes a disorderly one."""
CLOSE_S = 3.0
"""For the farewell to a venue that may not answer it."""


class Phase(StrEnum):
    """Where the daemon stands in its life."""

    STARTING = "starting"
    RECOVERING = "recovering"
    DISARMED = "disarmed"
    ARMED = "armed"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Process seconds between reconciliations and for the drain."""

    reconcile_s: Decimal
    drain_s: Decimal


def _unknown() -> float:
    """Nobody counts the memory."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The engine that a supervisor keeps alive, as wiring has assembled it.

    ``memory_share`` is how much of what it may use the process uses.
    """

    feeds: Sequence[Feed]
    reconcilers: Sequence[Reconciler]
    engines: Sequence[EventDrivenStrategyEngine]
    recorder: Recorder
    handler: PositionUpdateHandler
    runner: OrderRunner
    mailbox: Mailbox
    freshness: Freshness
    fence: Fence
    guard_watch: GuardWatch
    upkeep: Upkeep
    valuers: Sequence[Valuer]
    memory_share: Callable[[], float] = _unknown


TICK, GUARD = "tick", "guard"
LOOPS = frozenset({TICK, GUARD})
"""What must come round for the daemon to count as alive, beside the reconciliation of every account."""


def _nobody_counts() -> None:
    """No service manager watches."""


def phase_teller(service: ServiceManager, whose: str) -> Callable[[Phase], None]:
    """Tells the log and the service manager; ready is who has reconciled."""
    log = get_logger("supervisor")

    def tell(phase: Phase) -> None:
        log.info("phase", phase=phase.value)
        if phase in {Phase.ARMED, Phase.DISARMED}:
            service.ready(f"{phase.value}: {whose}")
        elif phase is Phase.DRAINING:
            service.stopping(f"{phase.value}: {whose}")
        else:
            service.status(f"{phase.value}: {whose}")

    return tell


class Supervisor:
    """Owns the tasks, not the book. ``run`` returns when it has drained; unforeseen errors leave it as they came."""

    def __init__(
        self,
        parts: Parts,
        rhythm: Rhythm,
        clock: Clock,
        alarm: Alarm,
        on_phase: Callable[[Phase], None],
        on_beat: Callable[[], None] = _nobody_counts,
    ) -> None:
        self.engines = parts.engines
        self.phase = Phase.STARTING
        self._feeds = parts.feeds
        self._reconcilers = {r.account: r for r in parts.reconcilers}
        self._recorder = parts.recorder
        self._handler = parts.handler
        self._runner = parts.runner
        self._mailbox = parts.mailbox
        self._freshness = parts.freshness
        self._memory_share = parts.memory_share
        self._fence = parts.fence
        self._guard_watch = parts.guard_watch
        self._upkeep = parts.upkeep
        self._valuers = parts.valuers
        self._rhythm = rhythm
        self._clock = clock
        self._alarm = alarm
        self._on_phase = on_phase
        self._wakes = {account: asyncio.Event() for account in self._reconcilers}
        self.heartbeat = Heartbeat(LOOPS | self._wakes.keys(), clock, on_beat)
        self._exhausted = ""
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stage: asyncio.Timeout | None = None
        self._handler.on_foreign_fill.append(self._foreign_fill)

    def health(self) -> dict[str, object]:
        """Where it stands in its life, and how long ago every loop had come round (None before the first time)."""
        return {"phase": self.phase, "progress_age_s": self.heartbeat.age_s()}

    def request_stop(self) -> None:
        """First call: drain, or give the start up. Second call: write down what is recorded and leave at once."""
        is_again = self._stop.is_set()
        (self._hurry if is_again else self._stop).set()
        if self._stage is not None and not self._stage.expired() and (is_again or self.phase is not Phase.DRAINING):
            self._stage.reschedule(0)

    async def run(self, tree: TaskTree, *, arm: bool) -> None:
        """From nothing to drained, inside an open task tree.

        Raises MemoryExhaustedError after a drain that nobody asked for.
        """
        try:
            if await self._in_time(self._start(tree), None):
                self._become(Phase.ARMED if arm else Phase.DISARMED)
                for account, reconciler in self._reconcilers.items():
                    tree.spawn(f"reconcile {account}", self._keep_reconciling(reconciler))
                for valuer in self._valuers:
                    tree.spawn("valuation", self._keep_valuing(valuer))
                tree.spawn("tick", self._keep_ticking())
                tree.spawn("guard", self._keep_guarding())
                await self._stop.wait()
            await self._drain(tree)
        finally:
            await self._close_feeds()
        self._become(Phase.STOPPED)
        if self._exhausted:
            raise MemoryExhaustedError(f"drained at {self._exhausted}; a new start begins with little, find what grew")

    async def _in_time(self, work: Coroutine[Any, Any, None], seconds: float | None) -> bool:
        """False when ``work`` was cut short, by its time or by an operator who asked once more."""
        try:
            async with asyncio.timeout(seconds) as self._stage:
                await work
        except TimeoutError:
            if not self._stop.is_set():
                raise
            return False
        finally:
            self._stage = None
        return True

    async def _close_feeds(self) -> None:
        for feed in self._feeds:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await feed.close()
            except TimeoutError:
                self._alarm("a venue did not say farewell", {"seconds": str(CLOSE_S)})

    async def _start(self, tree: TaskTree) -> None:
        """Load what venues offer, end every doubt, adopt or reconcile, then listen."""
        instruments: dict[PositionKey, Instrument] = {}
        for feed in self._feeds:
            instruments |= await feed.start()
        self._recorder.state.instruments.update(instruments)
        self._become(Phase.RECOVERING)
        history = [event for feed in self._feeds for event in await feed.history()]
        for engine in self.engines:
            engine.start(tree, history)
            for instrument in engine.strategy.instruments:
                self._mailbox.subscribe(instrument, engine.on_market)
        for feed in self._feeds:
            tree.spawn("feed", feed.run(self.deliver))
        self._runner.probe(KillPoint.IN_START_UP)
        await self._end_doubt()
        for reconciler in self._reconcilers.values():
            self._runner.probe(KillPoint.IN_START_UP)
            await self._settle_account(reconciler)
            self._fence.check_start(reconciler.account, reconciler.open_order_ids)
        for engine in self.engines:
            engine.is_open = True

    async def _end_doubt(self) -> None:
        """Ask about every order that has not ended; plans that were running are over, the next decision repairs."""
        for life in [one for one in self._recorder.state.open_orders() if not one.is_travelling]:
            await self._runner.resolve(life)
        for plan in self._recorder.state.running_plans():
            ended = PlanRow(
                plan.plan_id, plan.strategy, plan.decision, plan.reason, PlanState.ABORTED, plan.order_ids, "restart"
            )
            self._recorder.record(ended, plan.plan_id, "restart")

    async def _settle_account(self, reconciler: Reconciler) -> None:
        """Adopt at the first start, otherwise agree with the venue; raises ReconciliationError when that fails."""
        for _ in range(START_TRIES):
            try:
                if self._recorder.state.is_adopted(reconciler.account):
                    if await reconciler.reconcile():
                        return
                else:
                    await reconciler.adopt()
                    return
            except VenueUnreachableError as error:
                self._alarm("start waits for a venue", {"account": reconciler.account, "why": str(error)})
            await self._clock.sleep(START_PAUSE_S)
        broken = [f"{b.key} book {b.expected} venue {b.actual}" for b in self._recorder.state.breaks.values()]
        raise ReconciliationError(
            f"account {reconciler.account} does not reconcile after {START_TRIES} tries: "
            f"{'; '.join(broken) or 'the venue gave no answer'}; expected agreement within tolerance"
        )

    def deliver(self, event: FeedEvent) -> None:
        """Stop 1 to 2: every event of every feed comes through here, synchronously."""
        if isinstance(event, MarketEvent):
            self._market_moved(event)
        elif isinstance(event, Trade):
            self._handler.process_trades([event])
        elif isinstance(event, AccountReport):
            if self._handler.observe(event, is_settled=False):
                self._want(event.account)
        elif isinstance(event, AccountFigures):
            self._handler.see_figures(event)
        elif isinstance(event, AccountChanged):
            self._want(event.account)
        elif isinstance(event, StreamChanged):
            self._stream_changed(event)
        elif isinstance(event, InstrumentsChanged | InstrumentDoubted):
            self._instruments_changed(event)

    def _market_moved(self, event: MarketEvent) -> None:
        self._mailbox.put(event)
        for valuer in self._valuers:
            if event.venue_time >= valuer.next_at and event.instrument.venue in valuer.accounts:
                valuer.due.set()

    def _instruments_changed(self, event: InstrumentsChanged | InstrumentDoubted) -> None:
        """What the venue allows from now on, by which every order is cut; or what of it cannot be believed."""
        if isinstance(event, InstrumentDoubted):
            self._handler.halt(event.instrument, event.why)
            return
        known = self._recorder.state.instruments
        for key, instrument in event.instruments.items():
            what = "instrument closed at its venue" if instrument.is_halted else "terms changed at the venue"
            self._alarm(what, {"instrument": key, "was": str(known.get(key)), "is": str(instrument)})
        known.update(event.instruments)

    def _foreign_fill(self, trade: Trade) -> None:
        """Streamed or found by asking: every strategy that declared the key acts on it."""
        for engine in self.engines:
            engine.on_foreign(trade)

    def _stream_changed(self, event: StreamChanged) -> None:
        self._freshness.stream_changed(event.account, event.stream, is_up=event.is_up)
        if event.is_up:
            self._want(event.account)
        else:
            self._alarm("stream down", {"account": event.account, "stream": event.stream, "why": event.why})

    def _want(self, account: str) -> None:
        if account in self._wakes:
            self._wakes[account].set()

    async def _keep_reconciling(self, reconciler: Reconciler) -> None:
        """In rhythm, and when something says so; an account that does not agree ever more slowly.

        Every account by itself: one that is silent keeps no other one from being heard.
        """
        rota = Rota(float(self._rhythm.reconcile_s), self._clock.monotonic_ns())
        wake = self._wakes[reconciler.account]
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(rota.wait_s(self._clock.monotonic_ns())):
                    await wake.wait()
            is_wanted = wake.is_set()
            wake.clear()
            if rota.is_due(self._clock.monotonic_ns(), is_wanted=is_wanted):
                rota.asked(is_off=not await reconciler.reconcile())
                self.heartbeat.came_round(reconciler.account)

    async def _keep_valuing(self, valuer: Valuer) -> None:
        """An exact valuation whenever market time has crossed its next due instant."""
        pause_s = VALUATION_PAUSE_S
        while True:
            await valuer.due.wait()
            began_ns = self._clock.monotonic_ns()
            is_done = await valuer.value_now()
            took_s = (self._clock.monotonic_ns() - began_ns) / 1_000_000_000
            await self._clock.sleep(pause_s)
            wanted_s = max(VALUATION_PAUSE_S, took_s * VALUATION_SHARE) if is_done else pause_s * 2
            pause_s = min(wanted_s, VALUATION_PAUSE_MAX_S)

    async def _keep_ticking(self) -> None:
        """What only process time can tell: silence, and what is due for a long life."""
        while True:
            await self._clock.sleep(TICK_S)
            for engine in self.engines:
                engine.tick()
            self._upkeep.look()
            self.heartbeat.came_round(TICK)
            if not self._stop.is_set() and (share := self._memory_share()) > MEMORY_SHARE_MAX:
                self._alarm("memory runs out: draining", {"share": f"{share:.2f}", "max": str(MEMORY_SHARE_MAX)})
                self._exhausted = f"{share:.2f} of the memory that this process may use, at most {MEMORY_SHARE_MAX}"
                self.request_stop()

    async def _keep_guarding(self) -> None:
        """On a task of its own, so that it never queues behind a strategy, a reconciliation or a valuation."""
        while True:
            self._guard_watch.look()
            self.heartbeat.came_round(GUARD)
            await self._clock.sleep(TICK_S)

    async def _drain(self, tree: TaskTree) -> None:
        """No new plans or clips; within ``drain_s`` the end of what is in flight and a last look at the venues.

        Then every task ends and what is known reaches the disk. An order still on the wire is the next start's doubt.
        """
        was_started = self.phase in {Phase.ARMED, Phase.DISARMED}
        self._become(Phase.DRAINING)
        for engine in self.engines:
            engine.close()
        self._runner.probe(KillPoint.IN_DRAIN)
        limit_s = float(self._rhythm.drain_s)
        if was_started and (self._hurry.is_set() or not await self._in_time(self._finish(), limit_s)):
            plans = sum(engine.plans_in_flight for engine in self.engines)
            self._alarm("drain cut short", {"plans_in_flight": str(plans), "seconds_max": str(self._rhythm.drain_s)})
        tree.cancel_all("drained")
        self._runner.probe(KillPoint.IN_DRAIN)
        if was_started:
            self._recorder.snapshot()
            self._runner.probe(KillPoint.IN_DRAIN)
        await self._recorder.flush()

    async def _finish(self) -> None:
        """What is in flight ends; a last reconciliation and valuation."""
        while any(engine.plans_in_flight for engine in self.engines):
            await self._clock.sleep(TICK_S / 20)
        for reconciler in self._reconcilers.values():
            await reconciler.last_look()
        for valuer in self._valuers:
            await valuer.value_now()

    def _become(self, phase: Phase) -> None:
        self.phase = phase
        self._on_phase(phase)
