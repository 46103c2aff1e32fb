"""One daemon after another over one disk: each is assembled as at any start, killed at any moment, and followed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import msgspec

from basis_daemon.domain.errors import BasisError, SecondDaemonError
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock, KillPoint, Probe, RecordKind
from basis_daemon.settings import Settings
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.disk import DrillDisk, KilledError
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.transfers.bridge import Bridge
from basis_daemon.wiring_book import Daemon, Ground, Venue, assemble

RESTART_S = (0.5, 5.0)
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


class Witness(Protocol):
    """Keeps the trace of a seed and what was violated in it; ``disk`` and ``is_armed`` are those of the present life.

    ``buried`` are orders that the daemon took for dead, which ``burials`` names.
    """

    disk: DrillDisk | None
    is_armed: bool
    buried: set[str]

    @property
    def burials(self) -> frozenset[OrderState]:
        """Ends by which an order is said to have done nothing."""
        ...

    def note(self, *words: object) -> None: ...

    def now_ns(self) -> int: ...

    def fail(self, invariant: str, facts: str) -> None: ...


@dataclass(slots=True)
class Life:
    """One process of the daemon; ``sever`` cuts it off from everything outside."""

    disk: DrillDisk
    sever: Callable[[], None]
    is_armed: bool
    alarms: list[str] = field(default_factory=list)
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    daemon: Daemon | None = None

    def kill(self) -> None:
        """From now on nothing of it reaches the outside."""
        self.disk.is_dead = True
        self.sever()
        self.killed.set()

    async def reap(self) -> None:
        """Ends every task once it was killed."""
        await self.killed.wait()
        raise KilledError


MakeVenues = Callable[[list[BookStrategy], Recorder], list[Venue]]


class Outside(Protocol):
    """What the daemons of one seed live in."""

    def connect(self) -> Callable[[], None]:
        """Wire a new process to everything; what is returned severs it."""
        ...

    def begun(self, life: Life) -> None:
        """It is about to start."""
        ...

    async def venues(self, life: Life, tree: TaskTree, probe: Probe) -> MakeVenues:
        """What its venues are made by, once what has to answer first has. Raises BasisError."""
        ...

    def bridge(self, life: Life, probe: Probe, venues: Sequence[Venue], recorder: Recorder) -> Bridge | None:
        """What carries money between its venues; None where it stays where it is."""
        ...

    def ended(self, life: Life) -> None:
        """It is over, and all that it wrote is in its journal."""
        ...


@dataclass(slots=True)
class Lives:
    """``settings`` are this seed's, ``strategies`` are shared: they are pure."""

    settings: Settings
    strategies: Sequence[BookStrategy]
    clock: Clock
    chance: Chance
    witness: Witness
    outside: Outside
    now: Life | None = None
    is_over: bool = False
    all_ended: asyncio.Event = field(default_factory=asyncio.Event)
    ends: Counter[str] = field(default_factory=Counter)
    unknown: int = 0

    async def run(self) -> None:
        """Until the life that ends after ``is_over`` was set."""
        disk, witness = DrillDisk(self.clock, self.chance, set()), self.witness
        known = 0
        while True:
            sever = self.outside.connect()
            life = self.now = Life(disk, sever, is_armed=not self.chance.strikes(Fault.DISARMED))
            witness.disk, witness.is_armed = disk, life.is_armed
            self.outside.begun(life)
            how = await self._live(life)
            self.ends[how] += 1
            known = self._remember(how, disk, known)
            self.outside.ended(life)
            if self.is_over:
                self.all_ended.set()
                return
            life.kill()
            await asyncio.sleep(self.chance.between(*RESTART_S))
            disk = disk.after_crash()
            known = min(known, len(disk.read()) - 1)

    @property
    def living(self) -> Daemon | None:
        """The daemon that runs now."""
        life = self.now
        return None if life is None or life.killed.is_set() else life.daemon

    def kill(self) -> None:
        """Whoever lives now."""
        if self.now is not None:
            self.now.kill()

    def end(self) -> None:
        """Ask the present life to drain; none follows it."""
        self.is_over = True
        if self.now is not None and self.now.daemon is not None:
            self.now.daemon.supervisor.request_stop()

    def _remember(self, how: str, disk: DrillDisk, known: int) -> int:
        """What this life wrote is part of the trace; how many rows that are now."""
        rows, witness = disk.read(after=known), self.witness
        witness.note(witness.now_ns(), how, known)
        for row in rows:
            payload = row.record.payload
            witness.note(row.sequence, row.record.kind, payload)
            if row.record.kind is RecordKind.ORDER_STATE and row.generation == disk.generation:
                step = _STEPS.decode(payload)
                self.unknown += step.state == OrderState.UNKNOWN
                if step.state in witness.burials:
                    witness.buried.add(step.order_id)
        return known + len(rows)

    async def _live(self, life: Life) -> str:
        """How this life ended."""
        how = ["drained"]
        try:
            async with TaskTree("life") as tree:
                tree.spawn("reaper", life.reap())
                life.daemon = self._daemon(life, tree, await self.outside.venues(life, tree, self._probe(life)))
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
                self.witness.fail("I15", f"the daemon ended with {type(cause).__name__}: {cause}")
        return sorted({type(cause).__name__ for cause in causes})

    def _probe(self, life: Life) -> Probe:
        def probe(point: KillPoint) -> None:
            if self.chance.strikes(Fault.KILLED_IN_TRANSFER if point in IN_TRANSFER else Fault.KILLED_AT_POINT):
                life.kill()
                raise KilledError

        return probe

    def alarm(self, life: Life, what: str, facts: Mapping[str, str]) -> None:
        """It cries out."""
        life.alarms.append(f"{what} {sorted(facts.items())}")
        self.witness.note("alarm", what, sorted(facts.items()))

    def _daemon(self, life: Life, tree: TaskTree, venues: MakeVenues) -> Daemon:
        probe = self._probe(life)
        ground = Ground(
            clock=self.clock,
            journal=life.disk,
            journal_name=f"{self.settings.book.name}@drill",
            scope=tree,
            alarm=partial(self.alarm, life),
            venues=venues,
            on_phase=lambda _: None,
            on_beat=lambda: None,
            kept=lambda _: None,
            disk=lambda _: None,
            memory_share=float,
            probe=probe,
            rarely=self.chance.rarely,
            bridge=partial(self.outside.bridge, life, probe),
        )
        return assemble(self.settings, list(self.strategies), ground)


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """Every error in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves_of(one)
    else:
        yield error
