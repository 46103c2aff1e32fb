"""One seed of the whole stack from its first tick to its verdict, over a network of memory.

Who is at its other end differs: a sandbox exchange, or the nodes of a chain.
"""

from __future__ import annotations

import asyncio
import gc
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from basis_daemon.domain.errors import BasisError
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import GuardLatchedError
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Probe
from basis_daemon.settings import Settings, make_strategies
from basis_daemon.simulation.drill.chance import Chance, Fault, Trouble
from basis_daemon.simulation.drill.lives import BUGS, Life, Lives, MakeVenues, leaves_of
from basis_daemon.simulation.drill.tier import Tier
from basis_daemon.simulation.drill.world import CONVERGE_S, DrillClock, Verdict, told_of
from basis_daemon.simulation.full_stack.clocks import clocks_of
from basis_daemon.simulation.full_stack.loop import PROCESS, NetworkLoop
from basis_daemon.simulation.full_stack.weather import Weather
from basis_daemon.simulation.full_stack.wire import Process
from basis_daemon.simulation.full_stack.witness import StackWitness
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import Redactor, configure_logging
from basis_daemon.wiring_book import Daemon, Venue

START = datetime(2026, 1, 5, tzinfo=UTC)
CHAOS_S, WARM_S = 60.0, 4.0
STEP_MAX_S = 3_600.0


class StackWorld(ABC):
    """``without`` leaves faults of the process out, ``chaos_s`` shortens; network and other end are the seed's."""

    profile: str
    secrets: tuple[str, ...]
    watch: StackWitness
    lives: Lives

    def __init__(self, seed: int, without: Collection[Trouble] = (), chaos_s: float = CHAOS_S) -> None:
        self.seed, self.chaos_s = seed, chaos_s
        self.chance, self.weather = Chance(seed, without), Weather(seed)
        self.loop = NetworkLoop(self.chance, self.weather)
        self.clock = DrillClock(self.loop, START)
        self._processes = 0
        self._log = StringIO()

    def run(self) -> Verdict:
        """Plays it; what is wrong stands in the verdict."""
        with TemporaryDirectory(prefix="full-stack-") as place, clocks_of(self.clock), self._logged(), _uncollected():
            try:
                with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                    runner.run(self._play(Path(place)))
            except* (BasisError, *BUGS) as errors:
                for error in leaves_of(errors):
                    self.watch.fail("I15", f"the drill itself ended with {type(error).__name__}: {error}")
        watch, struck = self.watch, Counter({str(what): times for what, times in self.struck().items()})
        for fault in (self.chance.struck, self.weather.struck):
            struck.update({str(what): times for what, times in fault.items()})
        return Verdict(
            seed=self.seed,
            profile=f"{Tier.FULL_STACK} {self.profile}",
            trace=watch.trace,
            violations=tuple(watch.violations),
            struck=told_of(struck.items()),
            rare_paths=told_of(self.chance.taken.items()),
            ends=dict(sorted(self.lives.ends.items())),
            orders=watch.orders,
            fills=watch.fills,
            unknown=self.lives.unknown,
            late=struck["late_request"],
            seconds=round(self.loop.time(), 3),
            steps=self.loop.steps,
            naked_max=self.naked_max,
            reorgs=self.reorgs,
        )

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Lines of the daemon, as it would write them, where they can be read."""
        logging = configure_logging(self.clock.wall, Redactor(self.secrets), self._log)
        try:
            yield
        finally:
            logging.close()

    async def _play(self, place: Path) -> None:
        PROCESS.set(Process("the other end"))
        async with self.opened(place) as settings, TaskTree("world") as tree:
            strategies = make_strategies(settings)
            self.lives = Lives(settings, strategies, self.clock, self.chance, self.watch, self)
            tree.spawn("market", self.keep_moving())
            tree.spawn("lives", self.lives.run())
            await asyncio.sleep(WARM_S)
            await self._through_chaos()
            await self._converge()
            self.lives.end()
            await self._drained()
            self.watch.judge_burials()
            tree.cancel_all("over")

    async def _through_chaos(self) -> None:
        self.chance.is_on = self.weather.is_on = True
        for _ in range(int(self.chaos_s)):
            await asyncio.sleep(1.0)
            self.misbehave()
            if self.chance.strikes(Fault.KILLED):
                self.lives.kill()
            if self.chance.strikes(Fault.CLOCK_STEPS):
                self.clock.skew = timedelta(seconds=self.chance.between(-STEP_MAX_S, STEP_MAX_S))
        self.chance.is_on = self.weather.is_on = False
        self.heal()
        self.clock.skew = timedelta()
        if self.lives.now is not None and not self.lives.now.is_armed:
            self.lives.now.kill()

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(CONVERGE_S):
                await self.lives.all_ended.wait()
        except TimeoutError:
            self.watch.fail("I14", f"the last life did not drain within {CONVERGE_S:.0f} s")

    async def _converge(self) -> None:
        """I14: no doubt, no break, nothing open, armed, within its time."""
        deadline = self.loop.time() + CONVERGE_S
        found = "no daemon lives"
        while self.loop.time() < deadline:
            await asyncio.sleep(1.0)
            life, daemon = self.lives.now, self.lives.living
            if life is None or daemon is None:
                continue
            if not self._rearmed(daemon):
                continue
            found = self._unsettled(daemon)
            if not found:
                self.watch.at_rest(daemon, life.disk)
                return
        self.watch.fail("I14", f"{CONVERGE_S:.0f} s after the last fault: {found}")

    def _rearmed(self, daemon: Daemon) -> bool:
        if daemon.guard.state is GuardState.ACTIVE and not daemon.recorder.state.halts:
            return True
        try:
            daemon.rearm("drill is over")
        except GuardLatchedError:
            return False
        return False

    def _unsettled(self, daemon: Daemon) -> str:
        """What is not in order yet; empty when all is."""
        state = daemon.recorder.state
        told = {
            "phase": daemon.supervisor.phase.value if daemon.supervisor.phase is not Phase.ARMED else "",
            "in doubt": ", ".join(state.in_doubt()),
            "open": ", ".join(life.order.order_id for life in state.open_orders()),
            "plans": ", ".join(plan.plan_id for plan in state.running_plans()),
            "breaks": ", ".join(f"{b.key} {b.expected} {b.actual}" for b in state.breaks.values()),
        }
        if any(told.values()):
            self.unsteady()
            return "; ".join(f"{name}: {what}" for name, what in told.items() if what)
        return self.unsettled(daemon)

    # ------------------------------------------------------------------------------------------------- the daemons
    def connect(self) -> Callable[[], None]:
        """A process of its own: its tasks inherit it, and so do the connections that they open."""
        self._processes += 1
        process = Process(f"daemon {self._processes}")
        process.on_write = self.watch.wrote
        PROCESS.set(process)
        return process.kill

    def begun(self, life: Life) -> None:
        """It connects by itself."""
        self.watch.note(self.loop.now_ns, "begun", life.is_armed)

    def bridge(self, life: Life, probe: Probe, venues: Sequence[Venue], recorder: Recorder) -> None:
        """Money stays where it is."""
        del life, probe, venues, recorder

    def ended(self, life: Life) -> None:
        self.watch.of_life(life.disk, [*life.alarms, self._log.getvalue()])
        self._log.seek(0)
        self._log.truncate()

    @abstractmethod
    async def venues(self, life: Life, tree: TaskTree, probe: Probe) -> MakeVenues:
        """As ``lives.Outside`` says."""

    # ------------------------------------------------------------------------------------------------ the other end
    @abstractmethod
    def opened(self, place: Path) -> AbstractAsyncContextManager[Settings]:
        """It answers, ``watch`` sees it; by what a daemon is told of it."""

    @abstractmethod
    async def keep_moving(self) -> None:
        """Its market, until cancelled."""

    @abstractmethod
    def misbehave(self) -> None:
        """A second of chaos begins."""

    @abstractmethod
    def heal(self) -> None:
        """Chaos is over."""

    @abstractmethod
    def unsettled(self, daemon: Daemon) -> str:
        """Why it is too early to compare it with the book; empty when it is not."""

    def unsteady(self) -> None:  # noqa: B027 - not every other end can stand still
        """The daemon still has something to do there."""

    @abstractmethod
    def struck(self) -> Mapping[str, int]:
        """What it has done wrong, beside the faults of process and network."""

    @property
    def naked_max(self) -> Decimal:
        """USDT that were without their hedge at once."""
        return Decimal(0)

    @property
    def reorgs(self) -> int:
        """Times that blocks were taken back."""
        return 0


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing is collected meanwhile: what a dead process had open closes when it is, and that is no time of a seed."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()  # here, where what it says of sessions that nobody closed is in the log of the seed
        if was_on:
            gc.enable()
