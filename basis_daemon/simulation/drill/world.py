"""One seed from its first tick to its verdict: warm, chaos, healing, and then everything has to be in order again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.errors import BasisError, SecondDaemonError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.order import Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import GuardLatchedError
from basis_daemon.ports import KillPoint, TradeSink
from basis_daemon.settings import Settings, make_strategies, strategy_parameters
from basis_daemon.settings.replay import ReplaySettings
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.checks import Checks, Violation
from basis_daemon.simulation.drill.disk import DrillDisk, KilledError
from basis_daemon.simulation.drill.exchange import Connection, Exchange, WiredAccount
from basis_daemon.simulation.drill.loop import SeededLoop
from basis_daemon.simulation.drill.market import TICK_S, DrillMarket
from basis_daemon.simulation.market import BookShape
from basis_daemon.simulation.venue import listing, paper_of
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.strategies.parameters import BasisParameters
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.exchange import PaperExchange
from basis_daemon.venues.paper.venue import PaperAccountSpec
from basis_daemon.wiring_book import Daemon, Ground, Routes, Venue, assemble

WARM_S, CHAOS_S, CONVERGE_S = 2.0, 180.0, 120.0
RESTART_S = (0.5, 5.0)
RIVAL_EPOCH = 9_999
CLOCK_STEP_S = 3_600.0
SNAPSHOT_ROWS = 300
"""Between two snapshots: several in every run, and most lives begin behind one."""
QUIET_S = 6.0
"""Since the exchange last did something, before book and exchange have to be equal to the last digit."""
BUGS = ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError
"""What no daemon may end with."""


class DrillClock(VirtualClock):
    """A wall clock that somebody sets; process time goes on as it was."""

    skew = timedelta()

    def wall(self) -> datetime:
        return super().wall() + self.skew


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed. ``trace`` is equal in every run of it; ``struck`` counts faults, ``ends`` lives."""

    seed: int
    trace: str
    violations: tuple[Violation, ...]
    struck: Mapping[str, int]
    ends: Mapping[str, int]
    orders: int
    fills: int
    unknown: int
    late: int
    seconds: float
    steps: int
    naked_max: Decimal


@dataclass(slots=True)
class _Life:
    """One process of the daemon."""

    disk: DrillDisk
    connection: Connection
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    daemon: Daemon | None = None

    def kill(self) -> None:
        """From now on nothing of it reaches the outside."""
        self.disk.is_dead = self.connection.is_dead = True
        self.killed.set()

    async def reap(self) -> None:
        """Ends every task once it was killed."""
        await self.killed.wait()
        raise KilledError


class World:
    """``without`` leaves faults out, ``chaos_s`` shortens: a failure is made small by both."""

    def __init__(
        self, settings: Settings, seed: int, without: Collection[Fault] = (), chaos_s: float = CHAOS_S
    ) -> None:
        often = settings.journal.model_copy(update={"snapshot_rows": SNAPSHOT_ROWS})
        self._settings, self._seed, self._chaos_s = settings.model_copy(update={"journal": often}), seed, chaos_s
        self.chance = Chance(seed, without)
        self._loop = SeededLoop(self.chance)
        self._ends: Counter[str] = Counter()
        self._unknown = 0
        self._is_over = False
        self._life: _Life | None = None
        self._awake = asyncio.Event()

    def run(self) -> Verdict:
        """Plays it; what is wrong stands in the verdict."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._play())
        except* (BasisError, *BUGS) as errors:
            for error in _leaves(errors):
                self._checks.fail("I15", f"the drill itself ended with {type(error).__name__}: {error}")
        checks = self._checks
        return Verdict(
            seed=self._seed,
            trace=checks.trace,
            violations=tuple(checks.violations),
            struck={fault.value: times for fault, times in sorted(self.chance.struck.items()) if times},
            ends=dict(sorted(self._ends.items())),
            orders=checks.orders,
            fills=checks.fills,
            unknown=self._unknown,
            late=self._exchange.late,
            seconds=round(self._loop.time(), 3),
            steps=self._loop.steps,
            naked_max=checks.naked_max,
        )

    def _build(self) -> None:
        settings = self._settings
        listed = listing(settings, make_strategies(settings))
        (parameters,) = (strategy_parameters(settings, name) for name in settings.enabled_strategies)
        if not isinstance(parameters, BasisParameters):
            raise TypeError(f"{type(parameters).__name__}: the drill plays books with pairs")
        paper, replay = paper_of(settings), settings.replay or ReplaySettings()
        self._clock = DrillClock(self._loop, DrillMarket({}, _shape(replay), self.chance).at)
        self._specs = list(_specs(settings))
        covers = {
            spec.name: frozenset({Kind.SPOT, Kind.PERP} if spec.trades_perps else {Kind.SPOT}) for spec in self._specs
        }
        balances = {PositionKey(key): amount for key, amount in paper.balances.items()}
        leverage = Decimal(max(venue.leverage for venue in settings.enabled_venues.values()))
        exchange = PaperExchange(covers, balances, {}, self._clock, paper.liquidation_fee, leverage)
        self._instruments: dict[PositionKey, Instrument] = dict(listed.instruments)
        for instrument in self._instruments.values():
            exchange.wallets.list_instrument(instrument)
        self._market = DrillMarket(self._instruments, _shape(replay), self.chance)
        self._exchange = Exchange(exchange, self._loop, self.chance, self._clock.wall)
        capital = sum(balances.values(), Decimal(0))
        self._checks = Checks(self._exchange, parameters.clip_usdt, capital / (1 + parameters.m_star))
        self._exchange.watcher = self._checks

    async def _play(self) -> None:
        self._build()
        for event in self._market.now():
            self._exchange.on_market(event)
        async with TaskTree("world") as tree:
            tree.spawn("market", self._keep_moving())
            tree.spawn("lives", self._keep_living())
            await asyncio.sleep(WARM_S)
            self.chance.is_on = True
            await self._chaos()
            self.chance.is_on = False
            self._clock.skew = timedelta()
            if self._life is not None and not self._life.connection.is_armed:
                self._life.kill()
            await self._converge()
            self._is_over = True
            if self._life is not None and self._life.daemon is not None:
                self._life.daemon.supervisor.request_stop()
            await self._drained()
            tree.cancel_all("over")

    async def _drained(self) -> None:
        """The last life ends by itself, and leaves a journal that can be taken up."""
        try:
            async with asyncio.timeout(CONVERGE_S):
                await self._awake.wait()
        except TimeoutError:
            self._checks.fail("I14", f"the last life did not drain within {CONVERGE_S:.0f} s")

    # ------------------------------------------------------------------------------------------------ the outside
    async def _keep_moving(self) -> None:
        while True:
            await asyncio.sleep(TICK_S + self._market.stall_s())
            for event in self._market.following():
                self._exchange.on_market(event)
                if self._exchange.connection is not None:
                    self._exchange.connection.show(event)

    async def _chaos(self) -> None:
        for _ in range(int(self._chaos_s)):
            await asyncio.sleep(1.0)
            strikes, life = self.chance.strikes, self._life
            if strikes(Fault.KILLED) and life is not None:
                life.kill()
            if strikes(Fault.BY_HAND):
                self._by_hand()
            if strikes(Fault.RIVAL):
                self._by_rival()
            if strikes(Fault.CLOCK_STEPS):
                self._clock.skew = timedelta(seconds=self.chance.between(-CLOCK_STEP_S, CLOCK_STEP_S))
            if strikes(Fault.HALTED) and life is not None and life.daemon is not None and not life.killed.is_set():
                await self._halt(life, life.daemon)

    def _by_hand(self) -> None:
        """Somebody trades a little on our account."""
        perps = [key for key in self._instruments if key.kind is Kind.PERP]
        quantity = Decimal(1 + self.chance.below(20)) / 1000
        side = Side.BUY if self.chance.below(2) else Side.SELL
        self._checks.by_hand(quantity)
        self._exchange.by_hand(perps[0], side, quantity)

    def _by_rival(self) -> None:
        """A second daemon, on a copy of the journal, trades a little on our account: an epoch that none of ours had."""
        perps = [key for key in self._instruments if key.kind is Kind.PERP]
        quantity = Decimal(1 + self.chance.below(20)) / 1000
        self._checks.by_hand(quantity)
        self._checks.rivals += 1
        name, number = f"{self._settings.book.name}@drill", self._checks.rivals
        self._exchange.by_hand(perps[0], Side.SELL, quantity, order_id(name, RIVAL_EPOCH, "rival", number, 0, 0, 0))

    async def _halt(self, life: _Life, daemon: Daemon) -> None:
        """An operator halts; it holds from when the row is on disk, for this life and every later one."""
        try:
            daemon.guard.tighten(GuardState.HALTED, "drill")
            await life.disk.flush()
        except (BasisError, KilledError):
            return
        self._checks.halt()

    async def _converge(self) -> None:
        """I14: no doubt, no break, nothing open, armed, within its time."""
        deadline = self._loop.time() + CONVERGE_S
        while self._loop.time() < deadline:
            await asyncio.sleep(1.0)
            life = self._life
            if life is None or life.daemon is None or life.killed.is_set():
                continue
            if not self._unsettled(life.daemon) and await self._rearmed(life.daemon):
                self._checks.at_rest(life.daemon, life.disk)
                return
        daemon = self._life.daemon if self._life is not None else None
        found = self._unsettled(daemon) if daemon is not None else "no daemon lives"
        self._checks.fail("I14", f"{CONVERGE_S:.0f} s after the last fault: {found}")

    async def _rearmed(self, daemon: Daemon) -> bool:
        """The operator takes the halt back, and looks again a while later."""
        self._checks.before_rearming(daemon)
        if daemon.guard.state is GuardState.ACTIVE and not daemon.recorder.state.halts:
            return True
        try:
            daemon.rearm("drill is over")
        except GuardLatchedError:
            return False
        self._checks.is_halted = False
        return False

    def _unsettled(self, daemon: Daemon) -> str:
        """What is not in order yet; empty when all is."""
        state = daemon.recorder.state
        told = {
            "exchange": "has just moved" if self._loop.time() - self._exchange.moved_at < QUIET_S else "",
            "phase": daemon.supervisor.phase.value if daemon.supervisor.phase is not Phase.ARMED else "",
            "in doubt": ", ".join(state.in_doubt()),
            "open": ", ".join(life.order.order_id for life in state.open_orders()),
            "plans": ", ".join(plan.plan_id for plan in state.running_plans()),
            "breaks": ", ".join(f"{b.key} {b.expected} {b.actual}" for b in state.breaks.values()),
        }
        return "; ".join(f"{name}: {what}" for name, what in told.items() if what)

    # ------------------------------------------------------------------------------------------------- the daemons
    async def _keep_living(self) -> None:
        disk = DrillDisk(self._clock, self.chance)
        while True:
            life = self._life = _Life(disk, self._connect())
            self._checks.disk = disk
            how = await self._live(life)
            self._ends[how] += 1
            self._checks.note(self._loop.now_ns, how, len(disk.read()))
            for row in disk.read():
                self._checks.note(row.sequence, row.record.kind, row.record.payload)
            own = (row.record.payload for row in disk.read() if row.generation == disk.generation)
            self._unknown += sum('"UNKNOWN"' in payload for payload in own)
            if self._is_over:
                self._awake.set()
                return
            life.kill()
            await asyncio.sleep(self.chance.between(*RESTART_S))
            disk = disk.after_crash()

    def _connect(self) -> Connection:
        return Connection(self._exchange, self._instruments, self._market.past(), [spec.name for spec in self._specs])

    async def _live(self, life: _Life) -> str:
        """How this life ended."""
        how = ["drained"]
        try:
            async with TaskTree("life") as tree:
                tree.spawn("reaper", life.reap())
                life.daemon = self._daemon(life, tree)
                life.connection.is_armed = not self.chance.strikes(Fault.DISARMED)
                await life.daemon.supervisor.run(tree, arm=life.connection.is_armed)
                tree.cancel_all("drained")
        except* BasisError as errors:
            how = self._told(life, errors)
        except* BUGS as errors:
            how = self._told(life, errors)
        except* KilledError:
            how = ["killed"]
        return ", ".join(how)

    def _told(self, life: _Life, errors: BaseExceptionGroup[Exception]) -> list[str]:
        """Kinds of what ended a life; I15: nothing ends one but what the daemon says on purpose."""
        causes = list(_leaves(errors))
        for cause in [] if life.killed.is_set() else causes:
            if not isinstance(cause, BasisError) or isinstance(cause, SecondDaemonError):
                self._checks.fail("I15", f"the daemon ended with {type(cause).__name__}: {cause}")
        return sorted({type(cause).__name__ for cause in causes})

    def _daemon(self, life: _Life, tree: TaskTree) -> Daemon:
        accounts = {spec.name: WiredAccount(self._exchange, life.connection, spec) for spec in self._specs}

        def routes(on_trade: TradeSink) -> Routes:
            for account in accounts.values():
                account.on_trade = on_trade
            return list(accounts.items())

        venue = Venue(
            sources=list(accounts.values()),
            routes=routes,
            feed=lambda _: life.connection,
            dead_men=dict,
        )

        def probe(_: KillPoint) -> None:
            if self.chance.strikes(Fault.KILLED_AT_POINT):
                life.kill()
                raise KilledError

        ground = Ground(
            clock=self._clock,
            journal=life.disk,
            journal_name=f"{self._settings.book.name}@drill",
            scope=tree,
            alarm=lambda what, facts: self._checks.note("alarm", what, sorted(facts.items())),
            venues=lambda _strategies, _recorder: [venue],
            on_phase=lambda _: None,
            on_beat=lambda: None,
            kept=lambda _: None,
            disk=lambda _: None,
            memory_share=float,
            probe=probe,
        )
        return assemble(self._settings, make_strategies(self._settings), ground)


def _shape(replay: ReplaySettings) -> BookShape:
    return BookShape(replay.slippage_bp, replay.depth_step_bp, replay.depth_usdt, replay.depth_levels)


def _specs(settings: Settings) -> Iterator[PaperAccountSpec]:
    for venue in settings.enabled_venues.values():
        spot, perps = venue.accounts.spot, venue.accounts.derivatives
        yield PaperAccountSpec(spot, trades_spot=True, trades_perps=spot == perps)
        if spot != perps:
            yield PaperAccountSpec(perps, trades_spot=False, trades_perps=True)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
