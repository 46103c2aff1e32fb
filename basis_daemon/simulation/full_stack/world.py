"""One seed of the whole stack: the daemon's exchange client against the sandbox exchange, over a network of memory."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from basis_daemon.domain.errors import BasisError, SecondDaemonError
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GuardState, OrderStateRow, load
from basis_daemon.engine.guard import GuardLatchedError
from basis_daemon.ports import KillPoint, RecordKind
from basis_daemon.sandbox.exchange.faults import PRICES
from basis_daemon.sandbox.exchange.faults import Fault as Misbehaviour
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.settings import Settings, load_settings, make_strategies
from basis_daemon.simulation.drill.chance import Chance, Fault, Trouble
from basis_daemon.simulation.drill.disk import DrillDisk, KilledError
from basis_daemon.simulation.drill.lives import BUGS, RESTART_S, leaves_of
from basis_daemon.simulation.drill.tier import Tier
from basis_daemon.simulation.drill.world import CONVERGE_S, DrillClock, Verdict, told_of
from basis_daemon.simulation.full_stack.clocks import clocks_of
from basis_daemon.simulation.full_stack.loop import PROCESS, NetworkLoop
from basis_daemon.simulation.full_stack.watch import Watch
from basis_daemon.simulation.full_stack.weather import Weather
from basis_daemon.simulation.full_stack.wire import Process
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import Redactor, configure_logging
from basis_daemon.wiring_book import Daemon, Ground, assemble
from basis_daemon.wiring_exchanges import SANDBOX_KEY, SANDBOX_SECRET
from basis_daemon.wiring_venues import make_venues

START = datetime(2026, 1, 5, tzinfo=UTC)
BOOK = Path(__file__).parent / "book.yaml"
CHAOS_S, WARM_S, FRAME_S = 60.0, 4.0, 2.0
CLIP, TARGET = Decimal(5_000), Decimal(71_429)
STEP_S, DAY_S, DAYS_MIN = 3_600, 86_400, 3
"""Of market time with every frame: a settlement comes every sixteen seconds."""
LATE_S = (0.5, 4.5)
FAULTS_MAX, NEVER_SHARE = 0.6, 0.3
"""Misbehaviours per second that a seed may draw at most; the share of kinds that it leaves out altogether."""
MISBEHAVIOURS = (
    "accept_then_drop", "late_request", "delay_response_s", "unavailable", "executed_unknown", "bad_gateway", "garbage",
    "stale_account", "close_ws", "stall_ws", "gap_ws", "duplicate_ws", "reorder_ws", "price_ws", "duplicate_fill",
    "drop_fill", "expire_listen_key",
)  # fmt: skip
STEP_MAX_S = 3_600.0
QUIET_S = 11.0
"""Since the exchange last moved: its stream may be down, and then the next look of the rhythm tells."""


@dataclass(slots=True)
class _Life:
    """One process of the daemon."""

    disk: DrillDisk
    process: Process
    is_armed: bool
    alarms: list[str] = field(default_factory=list)
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    daemon: Daemon | None = None

    def kill(self) -> None:
        """From now on nothing of it reaches the outside."""
        self.disk.is_dead = True
        self.process.kill()
        self.killed.set()

    async def reap(self) -> None:
        """Ends every task once it was killed."""
        await self.killed.wait()
        raise KilledError


class _Scripted:
    """What the exchange does wrong, armed one after the other: which kinds, and how many, is the seed's."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"exchange {seed}")
        self._rate = self._dice.random() * FAULTS_MAX
        self._kinds = [kind for kind in MISBEHAVIOURS if self._dice.random() > NEVER_SHARE]

    def next(self) -> Misbehaviour | None:
        """One second's; None for most of them."""
        if self._dice.random() >= self._rate or not self._kinds:
            return None
        kind, text = self._dice.choice(self._kinds), self._dice.choice(PRICES)
        method = self._dice.choice(("", "POST", "POST"))
        return Misbehaviour(kind, method=method, seconds=self._dice.uniform(*LATE_S), text=text)


class FullStackWorld:
    """``without`` leaves faults of the process out, ``chaos_s`` shortens; network and exchange are the seed's."""

    def __init__(self, seed: int, without: Collection[Trouble] = (), chaos_s: float = CHAOS_S) -> None:
        self._seed, self._chaos_s = seed, chaos_s
        self.chance, self.weather, self._scripted = Chance(seed, without), Weather(seed), _Scripted(seed)
        self._loop = NetworkLoop(self.chance, self.weather)
        self._clock = DrillClock(self._loop, START)
        self._ends: Counter[str] = Counter()
        self._unknown = 0
        self._is_over = False
        self._life: _Life | None = None
        self._awake = asyncio.Event()
        self._log = StringIO()

    def run(self) -> Verdict:
        """Plays it; what is wrong stands in the verdict."""
        with TemporaryDirectory(prefix="full-stack-") as place, clocks_of(self._clock), self._logged():
            try:
                with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                    runner.run(self._play(Path(place)))
            except* (BasisError, *BUGS) as errors:
                for error in leaves_of(errors):
                    self._watch.fail("I15", f"the drill itself ended with {type(error).__name__}: {error}")
        watch, injected = self._watch, self._exchange.faults.injected
        struck = Counter({str(what): times for what, times in (*self.chance.struck.items(), *injected.items())})
        struck.update({str(what): times for what, times in self.weather.struck.items()})
        return Verdict(
            seed=self._seed,
            profile=Tier.FULL_STACK,
            trace=watch.trace,
            violations=tuple(watch.violations),
            struck=told_of(struck.items()),
            rare_paths=told_of(self.chance.taken.items()),
            ends=dict(sorted(self._ends.items())),
            orders=watch.orders,
            fills=watch.fills,
            unknown=self._unknown,
            late=injected["late_request"],
            seconds=round(self._loop.time(), 3),
            steps=self._loop.steps,
            naked_max=watch.naked_max,
        )

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Lines of the daemon, as it would write them, where they can be read."""
        logging = configure_logging(self._clock.wall, Redactor((SANDBOX_SECRET,)), self._log)
        try:
            yield
        finally:
            logging.close()

    async def _play(self, place: Path) -> None:
        PROCESS.set(Process("exchange"))
        options = ExchangeOptions(place, mode="manual", step_s=STEP_S, days=self._days(), seed=self._seed, start=START)
        self._exchange = exchange = SandboxExchange(options)
        account = exchange.venue.accounts[SANDBOX_KEY]
        self._watch = Watch(self._loop, exchange, account, CLIP, TARGET, SANDBOX_SECRET)
        async with exchange:
            self._watch.begin()
            self._settings = self._settings_at(exchange.options.ready_file)
            async with TaskTree("world") as tree:
                tree.spawn("market", self._keep_moving())
                tree.spawn("lives", self._keep_living())
                await asyncio.sleep(WARM_S)
                await self._through_chaos()
                await self._converge()
                self._is_over = True
                if self._life is not None and self._life.daemon is not None:
                    self._life.daemon.supervisor.request_stop()
                await self._drained()
                self._watch.judge_burials()
                tree.cancel_all("over")

    def _days(self) -> int:
        """Of market: enough for every second that this seed may last."""
        return DAYS_MIN + int((self._chaos_s + 2 * CONVERGE_S) / FRAME_S * STEP_S / DAY_S)

    def _settings_at(self, ready_file: Path) -> Settings:
        given = {"BASIS_DAEMON__SANDBOX__READY_FILE": str(ready_file)}
        return load_settings(BOOK, given, with_secrets=False).settings

    async def _through_chaos(self) -> None:
        self.chance.is_on = self.weather.is_on = True
        await self._chaos()
        self.chance.is_on = self.weather.is_on = False
        self._exchange.faults.clear()
        self._clock.skew = timedelta()
        if self._life is not None and not self._life.is_armed:
            self._life.kill()

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(CONVERGE_S):
                await self._awake.wait()
        except TimeoutError:
            self._watch.fail("I14", f"the last life did not drain within {CONVERGE_S:.0f} s")

    # ------------------------------------------------------------------------------------------------ the outside
    async def _keep_moving(self) -> None:
        while True:
            await asyncio.sleep(FRAME_S)
            await self._exchange.advance(STEP_S)

    async def _chaos(self) -> None:
        for _ in range(int(self._chaos_s)):
            await asyncio.sleep(1.0)
            strikes, life = self.chance.strikes, self._life
            if (misbehaviour := self._scripted.next()) is not None:
                self._exchange.faults.arm(misbehaviour)
            if strikes(Fault.KILLED) and life is not None:
                life.kill()
            if strikes(Fault.CLOCK_STEPS):
                self._clock.skew = timedelta(seconds=self.chance.between(-STEP_MAX_S, STEP_MAX_S))

    async def _converge(self) -> None:
        """I14: no doubt, no break, nothing open, armed, within its time."""
        deadline = self._loop.time() + CONVERGE_S
        found = "no daemon lives"
        while self._loop.time() < deadline:
            await asyncio.sleep(1.0)
            life = self._life
            if life is None or life.daemon is None or life.killed.is_set():
                continue
            found = self._unsettled(life.daemon)
            if not found and self._rearmed(life.daemon):
                self._watch.at_rest(life.daemon, life.disk)
                return
        self._watch.fail("I14", f"{CONVERGE_S:.0f} s after the last fault: {found}")

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
            "exchange": "has just moved" if self._loop.time() - self._watch.moved_at < QUIET_S else "",
            "phase": daemon.supervisor.phase.value if daemon.supervisor.phase is not Phase.ARMED else "",
            "in doubt": ", ".join(state.in_doubt()),
            "open": ", ".join(life.order.order_id for life in state.open_orders()),
            "plans": ", ".join(plan.plan_id for plan in state.running_plans()),
            "breaks": ", ".join(f"{b.key} {b.expected} {b.actual}" for b in state.breaks.values()),
        }
        return "; ".join(f"{name}: {what}" for name, what in told.items() if what)

    # ------------------------------------------------------------------------------------------------- the daemons
    async def _keep_living(self) -> None:
        disk, number = DrillDisk(self._clock, self.chance, set()), 0
        while True:
            number += 1
            process = Process(f"daemon {number}")
            process.on_write = self._watch.wrote
            PROCESS.set(process)
            life = self._life = _Life(disk, process, is_armed=not self.chance.strikes(Fault.DISARMED))
            self._watch.disk, self._watch.is_armed = disk, life.is_armed
            how = await self._live(life)
            self._ends[how] += 1
            self._told_all(life, how)
            if self._is_over:
                self._awake.set()
                return
            life.kill()
            await asyncio.sleep(self.chance.between(*RESTART_S))
            disk = disk.after_crash()

    def _told_all(self, life: _Life, how: str) -> None:
        rows = life.disk.read()
        self._watch.note(self._loop.now_ns, how, len(rows))
        for row in rows:
            self._watch.note(row.sequence, row.record.kind, row.record.payload)
        for row in rows:
            if row.record.kind is RecordKind.ORDER_STATE and row.generation == life.disk.generation:
                step = load(OrderStateRow, row.record.payload)
                self._unknown += step.state is OrderState.UNKNOWN
                if step.state in {OrderState.NEVER_ACCEPTED, OrderState.REJECTED}:
                    self._watch.buried.add(step.order_id)
        self._watch.of_life(life.disk, [*life.alarms, self._log.getvalue()])
        self._log.seek(0)
        self._log.truncate()

    async def _live(self, life: _Life) -> str:
        """How this life ended."""
        how = ["drained"]
        try:
            async with TaskTree("life") as tree:
                tree.spawn("reaper", life.reap())
                life.daemon = self._daemon(life, tree)
                await life.daemon.supervisor.run(tree, arm=life.is_armed)
                tree.cancel_all("drained")
        except* BasisError as errors:
            how = self._told(life, errors)
        except* BUGS as errors:
            how = self._told(life, errors)
        except* KilledError:
            how = ["killed"]
        return ", ".join(how)

    def _told(self, life: _Life, errors: BaseExceptionGroup[Exception]) -> list[str]:
        causes = list(leaves_of(errors))
        for cause in [] if life.killed.is_set() else causes:
            if not isinstance(cause, BasisError) or isinstance(cause, SecondDaemonError):
                self._watch.fail("I15", f"the daemon ended with {type(cause).__name__}: {cause}")
        return sorted({type(cause).__name__ for cause in causes})

    def _daemon(self, life: _Life, tree: TaskTree) -> Daemon:
        def alarm(what: str, facts: Mapping[str, str]) -> None:
            life.alarms.append(f"{what} {sorted(facts.items())}")
            self._watch.note("alarm", life.alarms[-1])

        def probe(_: KillPoint) -> None:
            if self.chance.strikes(Fault.KILLED_AT_POINT):
                life.kill()
                raise KilledError

        settings, clock, rarely = self._settings, self._clock, self.chance.rarely
        ground = Ground(
            clock=clock,
            journal=life.disk,
            journal_name=f"{settings.book.name}@drill",
            scope=tree,
            alarm=alarm,
            venues=lambda strategies, recorder: make_venues(
                settings, strategies, recorder.state, clock, alarm, probe, rarely
            ),
            on_phase=lambda _: None,
            on_beat=lambda: None,
            kept=lambda _: None,
            disk=lambda _: None,
            memory_share=float,
            probe=probe,
            rarely=rarely,
        )
        return assemble(settings, make_strategies(settings), ground)
