"""One seed from its first tick to its verdict: warm, chaos, healing, and then everything has to be in order again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.errors import BasisError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.order import Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import GuardLatchedError
from basis_daemon.simulation.drill.chain.checks import ChainChecks
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.chain.scene import past_of, scene_of
from basis_daemon.simulation.drill.chance import CHAOS_S, Chance, Fault, Trouble
from basis_daemon.simulation.drill.checks import Checks, Violation
from basis_daemon.simulation.drill.connections import Connections
from basis_daemon.simulation.drill.disk import KilledError
from basis_daemon.simulation.drill.exchange import Connection, Exchange
from basis_daemon.simulation.drill.hedge.ferry import Ferry
from basis_daemon.simulation.drill.lives import BUGS, Lives, leaves_of
from basis_daemon.simulation.drill.loop import SeededLoop
from basis_daemon.simulation.drill.market import BLOCK, START, STEP, TICK_S, DrillMarket
from basis_daemon.simulation.drill.stage import House, Stage
from basis_daemon.simulation.opening import Opening
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.paper.exchange import PaperExchange
from basis_daemon.wiring_book import Daemon

WARM_S, CONVERGE_S = 2.0, 120.0
CLOCK_STEP_S = 3_600.0
RIVAL_EPOCH = 9_999
LIE_S = (2.0, 30.0)
QUIET_S = 6.0
"""Since a venue last did something, before book and venue have to be equal to the last digit."""
WELL_S = 12.0
"""Since the faults have ended: an account that gave no answer is asked again ten seconds later."""
LOOKED_S = 15.0
"""Within which every account was looked at again: what hours at once have made of a debt is in the book by then."""


class DrillClock(VirtualClock):
    """A wall clock that somebody sets; process time goes on as it was."""

    skew = timedelta()

    def wall(self) -> datetime:
        return super().wall() + self.skew


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed. ``trace`` is equal in every run of it; troubles, paths and ends are counted."""

    seed: int
    profile: str
    trace: str
    violations: tuple[Violation, ...]
    struck: Mapping[str, int]
    rare_paths: Mapping[str, int]
    ends: Mapping[str, int]
    orders: int
    fills: int
    unknown: int
    late: int
    seconds: float
    steps: int
    naked_max: Decimal
    leg_risk_usdt_s: Decimal = Decimal(0)
    reorgs: int = 0
    transfers: int = 0


def told_of(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """By name, what came at all."""
    return {str(what): times for what, times in sorted(counts) if times}


class World:
    """``without`` leaves faults out, ``chaos_s`` shortens: a failure is made small by both."""

    def __init__(self, stage: Stage, seed: int, without: Collection[Trouble] = (), chaos_s: float = CHAOS_S) -> None:
        self._stage, self._seed, self._chaos_s = stage, seed, chaos_s
        self.chance = Chance(seed, without)
        self._loop = SeededLoop(self.chance)

    def run(self) -> Verdict:
        """Plays it; what is wrong stands in the verdict."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._play())
        except* (BasisError, *BUGS) as errors:
            for error in leaves_of(errors):
                self._checks.fail("I15", f"the drill itself ended with {type(error).__name__}: {error}")
        checks = self._checks
        return Verdict(
            seed=self._seed,
            profile=self._stage.name,
            trace=checks.trace,
            violations=tuple(checks.violations),
            struck=told_of(self.chance.struck.items()),
            rare_paths=told_of(self.chance.taken.items()),
            ends=dict(sorted(self._lives.ends.items())),
            orders=checks.orders,
            fills=checks.fills,
            unknown=self._lives.unknown,
            reorgs=self._node.reorgs if self._node is not None else 0,
            transfers=self._ferry.made if self._ferry is not None else 0,
            late=sum(exchange.late for exchange in self._exchanges.values()),
            seconds=round(self._loop.time(), 3),
            steps=self._loop.steps,
            naked_max=checks.naked_max,
            leg_risk_usdt_s=checks.leg_risk_usdt_s,
        )

    def _build(self) -> None:
        stage, self._clock = self._stage, DrillClock(self._loop, START)
        self._checks = Checks(stage, self._loop)
        step = BLOCK if stage.is_on_chain else STEP
        self._market = DrillMarket(stage.instruments, stage.shape, self.chance, step)
        self._node: ChainNode | None = None
        self._ferry: Ferry | None = None
        self._leapt_at = -LOOKED_S
        self._rivals = 0
        past, opening = tuple[MarketEvent, ...](), Opening(dict(stage.balances))
        if stage.is_on_chain:
            self._chain_checks = ChainChecks(self._checks, stage.ltv_most)
            prices = {key: self._market.price(one.base) for key, one in stage.instruments.items()}
            self._node, opening = scene_of(stage, self.chance, self._chain_checks, prices)
            past = tuple(past_of(stage))
        self._exchanges = {house: self._exchange(house, opening) for house in stage.houses}
        self._exchange_of = {account: one for one in self._exchanges.values() for account in one.accounts}
        self._checks.watch(list(self._exchanges.values()))
        if self._node is not None:
            self._ferry = Ferry(stage.settings, self._exchanges.values(), self._node, self._checks, self.chance)
        outside = Connections(
            self._clock, self.chance, self._checks, stage.settings, self._connect, self._node, self._ferry, past
        )
        self._lives = Lives(stage.settings, stage.strategies, self._clock, self.chance, self._checks, outside)

    def _exchange(self, house: House, opening: Opening) -> Exchange:
        covers = {spec.name: frozenset({Kind.PERP} if spec.trades_perps else {Kind.SPOT}) for spec in house.specs}
        covers = {name: kinds | {Kind.SPOT} for name, kinds in covers.items()}
        balances = {key: amount for key, amount in opening.held.items() if key.venue in house.accounts}
        paper = PaperExchange(covers, balances, opening.costs, self._clock, self._stage.liquidation_fee, house.leverage)
        for instrument in self._stage.instruments_of(house).values():
            paper.wallets.list_instrument(instrument)
        return Exchange(house.accounts, paper, self._loop, self.chance, self._checks)

    def _connect(self) -> dict[House, Connection]:
        past = self._market.past()
        return {
            house: Connection(
                exchange,
                self._stage.instruments_of(house),
                [event for event in past if event.instrument.venue in house.accounts],
            )
            for house, exchange in self._exchanges.items()
        }

    async def _play(self) -> None:
        self._build()
        for event in self._market.now():
            self._at(event.instrument).on_market(event)
        async with TaskTree("world") as tree:
            tree.spawn("market", self._keep_moving())
            tree.spawn("lives", self._lives.run())
            await asyncio.sleep(WARM_S)
            self.chance.is_on = True
            await self._chaos()
            self.chance.is_on, self._healed_at = False, self._loop.time()
            if self._node is not None:
                self._node.weather.calm()
            self._clock.skew = timedelta()
            if self._lives.now is not None and not self._lives.now.is_armed:
                self._lives.now.kill()
            await self._converge()
            self._lives.end()
            await self._drained()
            self._checks.judge_burials()
            tree.cancel_all("over")

    async def _drained(self) -> None:
        """The last life ends by itself, and leaves a journal that can be taken up."""
        try:
            async with asyncio.timeout(CONVERGE_S):
                await self._lives.all_ended.wait()
        except TimeoutError:
            self._checks.fail("I14", f"the last life did not drain within {CONVERGE_S:.0f} s")

    # ------------------------------------------------------------------------------------------------ the outside
    def _at(self, key: PositionKey) -> Exchange:
        return self._exchange_of[key.venue]

    async def _keep_moving(self) -> None:
        while True:
            await asyncio.sleep(TICK_S + self._market.stall_s())
            if self._node is not None and not self._node.pool and self._is_leaping(self._node):
                self._leapt_at = self._loop.time()
            following = self._market.following()
            if self._node is not None and self._ferry is not None:
                self._node.ether = self._market.ether or self._node.ether
                self._node.tick(self._market.at)
                self._ferry.tick()
            for event in following:
                exchange = self._at(event.instrument)
                exchange.on_market(event)
                if exchange.connection is not None:
                    exchange.connection.show(event)

    def _is_leaping(self, node: ChainNode) -> bool:
        """Hours at once: now and then; after the chaos at every block, as long as an issuer keeps the book waiting."""
        if self.chance.is_on:
            return self._market.leaps()
        waits = any(not claim.is_payable for claim in node.head.world.claims().values())
        return waits and self._market.leaps(one_in=1)

    async def _chaos(self) -> None:
        for _ in range(int(self._chaos_s)):
            await asyncio.sleep(1.0)
            self._checks.bounded(len(asyncio.all_tasks(self._loop)))
            strikes, life = self.chance.strikes, self._lives.now
            is_last = strikes(Fault.KILLED)
            self._look(is_last=is_last)
            if is_last and life is not None:
                life.kill()
            if strikes(Fault.BY_HAND) and self._stage.instruments:
                self._by_hand()
            if strikes(Fault.RIVAL) and self._stage.instruments:
                self._by_rival()
            if strikes(Fault.REPORT_LIES) and self._stage.instruments:
                self._lie()
            if strikes(Fault.CLOCK_STEPS):
                self._clock.skew = timedelta(seconds=self.chance.between(-CLOCK_STEP_S, CLOCK_STEP_S))
            if self._ferry is not None:
                self._ferry.disturb(None if life is None or life.killed.is_set() else life.daemon)
            if strikes(Fault.HALTED):
                await self._operate(lambda daemon: daemon.guard.tighten(GuardState.HALTED, "drill"))
            if strikes(Fault.FLATTENED):
                await self._operate(lambda daemon: daemon.flattening.begin("drill"))

    def _look(self, *, is_last: bool = False) -> None:
        """What holds at every moment, of a daemon that lives."""
        life = self._lives.now
        if life is not None and life.daemon is not None and not life.killed.is_set():
            self._checks.at_step(life.daemon, life.disk, is_last=is_last)

    def _by_hand(self) -> None:
        """Somebody trades a little on one of our accounts."""
        perps = [key for key in self._stage.instruments if key.kind is Kind.PERP]
        key = perps[self.chance.below(len(perps))]
        quantity = self._stage.instruments[key].quantity_step * (1 + self.chance.below(20))
        side = Side.BUY if self.chance.below(2) else Side.SELL
        if not self._at(key).carries(key, quantity):
            return
        self._checks.by_hand(key, side, quantity)
        self._at(key).by_hand(key, side, quantity)

    def _lie(self) -> None:
        """An exchange tells a position that nobody has; before a book has begun there is nothing to doubt it by."""
        perps = [key for key in self._stage.instruments if key.kind is Kind.PERP]
        key, life = perps[self.chance.below(len(perps))], self._lives.now
        if life is None or life.daemon is None or key.venue not in life.daemon.recorder.state.openings:
            return
        amount = self._stage.instruments[key].quantity_step * (1 + self.chance.below(50))
        self._at(key).lie(key, amount, self.chance.between(*LIE_S))

    def _by_rival(self) -> None:
        """A second daemon, on a copy of the journal, trades a little on our account: an epoch that none of ours had."""
        key = next(key for key in self._stage.instruments if key.kind is Kind.PERP)
        quantity = self._stage.instruments[key].quantity_step * (1 + self.chance.below(20))
        if not self._at(key).carries(key, quantity):
            return
        self._checks.by_hand(key, Side.SELL, quantity)
        self._rivals += 1
        client_id = order_id(f"{self._stage.settings.book.name}@drill", RIVAL_EPOCH, "rival", self._rivals, 0, 0, 0)
        self._checks.rivals += self._at(key).by_hand(key, Side.SELL, quantity, client_id)

    async def _operate(self, act: Callable[[Daemon], None]) -> None:
        """An operator halts or flattens; it holds from when the row is on disk, for this life and every later one."""
        life = self._lives.now
        if life is None or life.daemon is None or life.killed.is_set():
            return
        try:
            act(life.daemon)
            await life.disk.flush()
        except (BasisError, KilledError):
            return
        self._checks.halt()

    async def _converge(self) -> None:
        """I14: no doubt, no break, nothing open, armed, within its time."""
        deadline = self._loop.time() + CONVERGE_S
        while self._loop.time() < deadline:
            await asyncio.sleep(1.0)
            self._look()
            life = self._lives.now
            if life is None or life.daemon is None or life.killed.is_set() or not life.disk.is_sound:
                continue
            if self._ferry is not None:
                self._ferry.look(life.daemon)
            if not self._unsettled(life.daemon) and await self._rearmed(life.daemon):
                self._checks.at_rest(life.daemon, life.disk)
                if self._node is not None:
                    self._chain_checks.at_rest(self._node, life.daemon)
                if self._ferry is not None:
                    self._ferry.at_rest(life.daemon)
                return
        daemon = self._lives.now.daemon if self._lives.now is not None else None
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
        now, moved_at = self._loop.time(), max((one.moved_at for one in self._exchanges.values()), default=0.0)
        told = {
            "venues": "have just moved" if now - moved_at < QUIET_S or now - self._healed_at < WELL_S else "",
            "chain": "has just leapt" if now - self._leapt_at < LOOKED_S else "",
            "phase": daemon.supervisor.phase.value if daemon.supervisor.phase is not Phase.ARMED else "",
            "in doubt": ", ".join(state.in_doubt()),
            "not flat": ", ".join(daemon.flattening.state()["remains"]),
            "chain's": "a transaction is not final" if any(one.needed_from() for one in daemon.venues) else "",
            "open": ", ".join(life.order.order_id for life in state.open_orders()),
            "transfers": ", ".join(row.order_id for row in state.transfers.values() if row.is_open),
            "plans": ", ".join(plan.plan_id for plan in state.running_plans()),
            "breaks": ", ".join(f"{b.key} {b.expected} {b.actual}" for b in state.breaks.values()),
        }
        return "; ".join(f"{name}: {what}" for name, what in told.items() if what)
