"""One daemon after another over one disk: each is assembled as at any start, killed at any moment, and followed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from basis_daemon.domain.errors import BasisError, ConfigError, SecondDaemonError
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock, KillPoint, Probe, RecordKind, TradeSink
from basis_daemon.settings import Settings
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.chain.wallet import Post, chain_venue
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.checks import Checks
from basis_daemon.simulation.drill.disk import DrillDisk, KilledError
from basis_daemon.simulation.drill.exchange import Connection, WiredAccount
from basis_daemon.simulation.drill.hedge.ends import WiredCustody, terms_of
from basis_daemon.simulation.drill.hedge.ferry import Ferry
from basis_daemon.simulation.drill.stage import House
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.transfers.bridge import Bridge
from basis_daemon.venues.transfers.ends import ExchangeEnd
from basis_daemon.wiring_book import Daemon, Ground, Routes, Venue, assemble
from basis_daemon.wiring_transfers import make_bridge

RESTART_S = (0.5, 5.0)
TRANSFERS = frozenset({OrderOperation.TRANSFER})
IN_TRANSFER = frozenset({KillPoint.TRANSFER_SUBMITTING, KillPoint.TRANSFER_LEFT, KillPoint.TRANSFER_ARRIVED})
"""Points that few seeds pass, and none often."""
BUGS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NameError),
    *(OSError, RuntimeError, TypeError, ValueError),
)
"""What no daemon may end with."""


class _Step(msgspec.Struct):
    order_id: str
    state: str


_STEPS: msgspec.json.Decoder[_Step] = msgspec.json.Decoder(_Step)


@dataclass(slots=True)
class Life:
    """One process of the daemon."""

    disk: DrillDisk
    connections: Mapping[House, Connection]
    is_armed: bool = True
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    daemon: Daemon | None = None

    def kill(self) -> None:
        """From now on nothing of it reaches the outside."""
        self.disk.is_dead = True
        for connection in self.connections.values():
            connection.is_dead = True
        self.killed.set()

    async def reap(self) -> None:
        """Ends every task once it was killed."""
        await self.killed.wait()
        raise KilledError


@dataclass(slots=True)
class Lives:
    """``connect`` wires a new process to every exchange; ``settings`` are this seed's, ``strategies`` are shared.

    ``past`` is what was read of the ``chain`` before the first tick.
    """

    settings: Settings
    strategies: Sequence[BookStrategy]
    clock: Clock
    chance: Chance
    checks: Checks
    connect: Callable[[], Mapping[House, Connection]]
    chain: ChainNode | None = None
    ferry: Ferry | None = None
    past: Sequence[MarketEvent] = ()
    now: Life | None = None
    is_over: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    ends: Counter[str] = field(default_factory=Counter)
    unknown: int = 0

    async def run(self) -> None:
        """Until the life that ends after ``is_over`` was set."""
        disk = DrillDisk(self.clock, self.chance, set())
        known = 0
        while True:
            life = self.now = Life(disk, self.connect(), is_armed=not self.chance.strikes(Fault.DISARMED))
            for connection in life.connections.values():
                connection.is_armed = life.is_armed
            self.checks.disk, self.checks.is_armed = disk, life.is_armed
            how = await self._live(life)
            self.ends[how] += 1
            known = self._remember(how, disk, known)
            if self.is_over:
                self.ended.set()
                return
            life.kill()
            await asyncio.sleep(self.chance.between(*RESTART_S))
            disk = disk.after_crash()
            known = min(known, len(disk.read()) - 1)

    def _remember(self, how: str, disk: DrillDisk, known: int) -> int:
        """What this life wrote is part of the trace; how many rows that are now."""
        rows = disk.read(after=known)
        self.checks.note(self.checks.loop.now_ns, how, known)
        for row in rows:
            payload = row.record.payload
            self.checks.note(row.sequence, row.record.kind, payload)
            if row.record.kind is RecordKind.ORDER_STATE and row.generation == disk.generation:
                step = _STEPS.decode(payload)
                self.unknown += step.state == OrderState.UNKNOWN
                if step.state == OrderState.NEVER_ACCEPTED:
                    self.checks.buried.add(step.order_id)
        return known + len(rows)

    async def _live(self, life: Life) -> str:
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

    def _told(self, life: Life, errors: BaseExceptionGroup[Exception]) -> list[str]:
        """Kinds of what ended a life; I15: nothing ends one but what the daemon says on purpose."""
        causes = list(leaves_of(errors))
        for cause in [] if life.killed.is_set() else causes:
            if not isinstance(cause, BasisError) or isinstance(cause, SecondDaemonError):
                self.checks.fail("I15", f"the daemon ended with {type(cause).__name__}: {cause}")
        return sorted({type(cause).__name__ for cause in causes})

    def _probe(self, life: Life) -> Probe:
        def probe(point: KillPoint) -> None:
            if self.chance.strikes(Fault.KILLED_IN_TRANSFER if point in IN_TRANSFER else Fault.KILLED_AT_POINT):
                life.kill()
                raise KilledError

        return probe

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        self.checks.note("noted", event, sorted((name, str(value)) for name, value in facts.items()))

    def _venues(self, life: Life, tree: TaskTree, strategies: list[BookStrategy], recorder: Recorder) -> list[Venue]:
        venues = [_venue(house, connection, self.ferry) for house, connection in life.connections.items()]
        if self.chain is None:
            return venues
        post = Post(
            self.chain, self.chance, life.killed.is_set, self.clock, tree, self._note, self._probe(life), self.past
        )
        return [chain_venue(post, strategies, recorder, life.disk), *venues]

    def _bridge(self, life: Life, venues: Sequence[Venue], recorder: Recorder) -> Bridge | None:
        terms = terms_of(self.settings)
        return make_bridge(self.settings, venues, recorder, self.clock, self._alarm, self._probe(life), terms)

    def _alarm(self, what: str, facts: Mapping[str, str]) -> None:
        self.checks.note("alarm", what, sorted(facts.items()))

    def _daemon(self, life: Life, tree: TaskTree) -> Daemon:
        ground = Ground(
            clock=self.clock,
            journal=life.disk,
            journal_name=f"{self.settings.book.name}@drill",
            scope=tree,
            alarm=self._alarm,
            venues=partial(self._venues, life, tree),
            on_phase=lambda _: None,
            on_beat=lambda: None,
            kept=lambda _: None,
            disk=lambda _: None,
            memory_share=float,
            probe=self._probe(life),
            rarely=self.chance.rarely,
            bridge=partial(self._bridge, life),
        )
        return assemble(self.settings, list(self.strategies), ground)


def _venue(house: House, connection: Connection, ferry: Ferry | None) -> Venue:
    accounts = {spec.name: WiredAccount(connection, spec, spec.operations - TRANSFERS) for spec in house.specs}
    doors = [*accounts.values(), *(WiredAccount(connection, spec, TRANSFERS) for spec in house.specs)]
    custody = next((ferry.cashiers[name] for name in accounts if ferry is not None and name in ferry.cashiers), None)

    def cashier(is_own: Callable[[str], bool]) -> ExchangeEnd:
        if ferry is None or custody is None:
            raise ConfigError(f"{house.name}: has no cashier, expected one")
        accounts[custody.account].capital = partial(custody.capital, is_own=is_own)
        return WiredCustody(custody, connection, ferry.checks.requested)

    def routes(on_trade: TradeSink) -> Routes:
        for door in doors:
            door.on_trade = on_trade
        return [(door.account, door) for door in doors]

    return Venue(
        sources=list(accounts.values()),
        routes=routes,
        feed=lambda _: connection,
        dead_men=dict,
        custody=None if custody is None else cashier,
    )


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Every error in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves_of(one)
    else:
        yield error
