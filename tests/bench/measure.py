"""Ratios of one interleaved run: every round measures each candidate in turn, so that a slow spell hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from basis_daemon.telemetry import settle_heap

ROUNDS = 9


class Bound(StrEnum):
    """Which side of the target is good."""

    AT_MOST = "<="
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio is held against; ``is_gate`` false for an aim that is reported and not judged."""

    bound: Bound
    value: float
    is_gate: bool = True

    def is_met(self, measured: float) -> bool:
        """True when the measured value is on the good side."""
        return measured <= self.value if self.bound is Bound.AT_MOST else measured >= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report: a value in its unit, p99 beside it where there is one, and what it is held against."""

    bench: str
    what: str
    value: float
    unit: str = "x"
    p99: float | None = None
    target: Target | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """``passed`` or ``MISSED`` against a gate, ``met`` or ``above aim`` against an aim, empty otherwise."""
        if self.target is None:
            return ""
        words = ("passed", "MISSED") if self.target.is_gate else ("met", "missed aim")
        return words[0] if self.target.is_met(self.value) else words[1]


@dataclass(frozen=True, slots=True)
class Sample:
    """Nanoseconds per item of one candidate: the median of its rounds and the 99th percentile of its chunks."""

    median: float
    p99: float


class Rounds:
    """Collects nanoseconds per item by candidate, round after round."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[list[float]]] = {}

    def measure(self, name: str, chunks: Iterable[tuple[Callable[[], object], int]]) -> None:
        """One round of ``name``: each chunk is timed on its own, with how many items it works through."""
        taken: list[float] = []
        for work, items in chunks:
            start = time.perf_counter_ns()
            work()
            taken.append((time.perf_counter_ns() - start) / items)
        self._by_name.setdefault(name, []).append(taken)

    def sample(self, name: str) -> Sample:
        """Over all rounds of one candidate."""
        rounds = self._by_name[name]
        return Sample(
            statistics.median(statistics.median(taken) for taken in rounds),
            percentile([value for taken in rounds for value in taken], 99),
        )

    def ratio(self, name: str, floor: str) -> float:
        """Median over the rounds of candidate ÷ floor, each of the same round."""
        pairs = zip(self._by_name[name], self._by_name[floor], strict=True)
        return statistics.median(statistics.median(one) / statistics.median(other) for one, other in pairs)


def percentile(values: Sequence[float], percent: int) -> float:
    """Nearest rank, of the values as they are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def settle_memory() -> None:
    """What set-up left behind is out of the collector's sight, as in the daemon once it has started."""
    settle_heap()


def as_plain(row: Row) -> Mapping[str, object]:
    """The row for JSON."""
    target = row.target
    return {
        "bench": row.bench,
        "what": row.what,
        "value": row.value,
        "unit": row.unit,
        "p99": row.p99,
        "target": f"{target.bound} {target.value}" if target else None,
        "verdict": row.verdict or None,
        "note": row.note or None,
    }
