"""What every seed of the whole stack leaves behind: its trace, its counts, and what was violated in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from basis_daemon.domain.trade import OrderState
from basis_daemon.simulation.drill.checks import Violation
from basis_daemon.simulation.drill.disk import DrillDisk
from basis_daemon.simulation.drill.invariants import of_history
from basis_daemon.simulation.full_stack.loop import NetworkLoop

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon


@dataclass(slots=True)
class StackWitness(ABC):
    """Honours ``lives.Witness``. ``secrets`` are what nobody may ever read."""

    loop: NetworkLoop
    secrets: Sequence[str]
    disk: DrillDisk | None = None
    is_armed: bool = True
    orders: int = 0
    fills: int = 0
    moved_at: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    buried: set[str] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    _trace: Any = field(default_factory=sha256)

    @property
    def burials(self) -> frozenset[OrderState]:
        """Ends by which an order is said to have done nothing."""
        return frozenset({OrderState.NEVER_ACCEPTED, OrderState.REJECTED})

    def now_ns(self) -> int:
        """Since the seed began."""
        return self.loop.now_ns

    def note(self, *words: object) -> None:
        """Something happened that every run of this seed must repeat."""
        self._trace.update(repr(words).encode())

    @property
    def trace(self) -> str:
        """Of everything noted."""
        return str(self._trace.hexdigest())

    def fail(self, invariant: str, facts: str) -> None:
        """One that did not hold."""
        self.violations.append(Violation(invariant, round(self.loop.time(), 3), facts))

    def wrote(self, data: bytes) -> None:
        """Bytes of the daemon on their way out."""
        if any(secret.encode() in data for secret in self.secrets):
            self.fail("I13", "a secret left the process")
        self.seen(data)

    @abstractmethod
    def seen(self, data: bytes) -> None:
        """The same, for what they say."""

    def at_rest(self, daemon: Daemon, disk: DrillDisk) -> None:
        """I4, I6, I7: the book is its history; I14: nobody is frozen."""
        for invariant, facts in of_history(daemon.recorder.state, disk):
            self.fail(invariant, facts)
        for engine in daemon.supervisor.engines:
            if engine.is_frozen:
                self.fail("I14", f"strategy {engine.strategy.name} is frozen")

    def judge_burials(self) -> None:
        """I4: what was taken for never accepted, or for refused, was taken by nobody."""
        for order_id in sorted(self.buried & self._taken):
            self.fail("I4", f"{order_id} was taken for dead, and it lives")

    def of_life(self, disk: DrillDisk, told: Sequence[str]) -> None:
        """I13: nothing that a life has written down, logged or cried out holds a secret."""
        texts = [*told, *(row.record.payload for row in disk.read())]
        if any(secret in text for text in texts for secret in self.secrets):
            self.fail("I13", "a secret stands in the journal, in the log or in an alarm")
