"""A virtual loop that runs tasks which are ready at once in an order of the seed, and says when nothing ever ends.

Only steps of tasks change places among themselves: asyncio promises the order of callbacks, and none among tasks.
"""

from __future__ import annotations

import asyncio

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.virtual import VirtualLoop

STEPS_PER_INSTANT_MAX = 100_000
"""Turns of the loop without time going on: more of them are a circle of tasks that wake each other."""


class SeededLoop(VirtualLoop):
    """Its order of tasks, and nothing else, is the seed's."""

    def __init__(self, chance: Chance) -> None:
        super().__init__()
        self._chance = chance
        self._instant_ns, self._turns = 0, 0
        self.steps = 0

    def _run_once(self) -> None:
        self._shuffle()
        self._count()
        super()._run_once()

    @property
    def tasks(self) -> int:
        """How many have not ended."""
        return len(asyncio.all_tasks(self))

    def _count(self) -> None:
        self.steps += 1
        if self.now_ns != self._instant_ns:
            self._instant_ns, self._turns = self.now_ns, 0
        self._turns += 1
        if self._turns > STEPS_PER_INSTANT_MAX:
            raise IntegrityError(f"{STEPS_PER_INSTANT_MAX} turns at one instant: tasks wake each other in a circle")

    def _shuffle(self) -> None:
        ready = self._ready
        if len(ready) < 2:  # noqa: PLR2004 - one alone has no order
            return
        places = [place for place, handle in enumerate(ready) if _is_step(handle)]
        if len(places) < 2:  # noqa: PLR2004 - as above
            return
        steps = [ready[place] for place in places]
        for place, chosen in zip(places, self._chance.order(len(places)), strict=True):
            ready[place] = steps[chosen]


def _is_step(handle: asyncio.Handle) -> bool:
    callback = handle._callback  # type: ignore[attr-defined]  # noqa: SLF001 - a handle does not say what it calls
    return isinstance(getattr(callback, "__self__", None), asyncio.Task)
