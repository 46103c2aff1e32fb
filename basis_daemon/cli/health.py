"""Alive, ready, and trading as it should: three questions, from what a daemon says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PROGRESS_MAX_S = 120
"""WatchdogSec of the unit: a trading loop that has not come round for so long does not move any more."""
ARMED = "armed"
READY = frozenset({ARMED, "disarmed"})


@dataclass(frozen=True, slots=True)
class Health:
    """The daemon answered, so it is alive; the rest is judged."""

    phase: str
    progress_age_s: float | None
    guard: str = "ACTIVE"
    troubles: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """True once the book is reconciled, until the drain."""
        return self.phase in READY

    @property
    def is_moving(self) -> bool:
        """True while the trading loop comes round; before its first round there is nothing to miss."""
        return self.progress_age_s is None or self.progress_age_s < PROGRESS_MAX_S

    @property
    def is_good(self) -> bool:
        """What a HEALTHCHECK asks."""
        return self.is_ready and self.is_moving

    @property
    def hindrances(self) -> tuple[str, ...]:
        """What keeps it from trading as it should; a daemon that is restarted for these only loses time."""
        own = [] if self.is_good and self.phase == ARMED else [f"phase {self.phase}"]
        latch = [] if self.guard == "ACTIVE" else [f"guard {self.guard}"]
        return (*own, *latch, *(f"{kind}: {', '.join(found)}" for kind, found in self.troubles.items() if found))

    @property
    def sentence(self) -> str:
        """For people."""
        moved = "not yet" if self.progress_age_s is None else f"{self.progress_age_s:.0f} s ago"
        expected = "" if self.is_good else f"; expected {' or '.join(sorted(READY))}, within {PROGRESS_MAX_S} s"
        trading = "; trading" if not self.hindrances else f"; not trading: {'; '.join(self.hindrances)}"
        return f"{self.phase}, the trading loop came round {moved}{expected}{trading}"

    @property
    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "healthy": self.is_good,
            "alive": True,
            "ready": self.is_ready,
            "moving": self.is_moving,
            "trading": not self.hindrances,
            "hindrances": list(self.hindrances),
            "phase": self.phase,
            "progress_age_s": self.progress_age_s,
        }


def judge(live: Mapping[str, Any]) -> Health:
    """The health behind the daemon's own words."""
    guard, troubles = str(live.get("guard", "ACTIVE")), live.get("troubles", {})
    return Health(str(live.get("phase")), live.get("progress_age_s"), guard, troubles)
