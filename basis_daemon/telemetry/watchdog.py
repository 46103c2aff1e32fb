"""Watches the event loop from a thread of its own: how late it turns, and an end with every stack when it does not.

Nothing in a loop that stands can say so, and what rests at a venue is left to the venue's dead man's switch, which is
renewed no more. A process that was stopped as a whole (SIGSTOP, a suspended machine) was not blocked: its thread stood
as well, and counts from its own waking on. What holds the interpreter itself is left to the service manager's watchdog.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

STALLED = 5
"""Exit code; the unit starts the daemon again."""
STALL_MAX_S = 10.0
"""Longer than any work of ours keeps the loop, snapshots of a large book included; a venue forgives as much."""
PULSE_S = 0.5
_ASLEEP_S = 4 * PULSE_S
"""A watcher that itself slept for so long was not running either."""


class Pulse(Protocol):
    """The clock of the loop, which its watcher reads too."""

    def monotonic_ns(self) -> int:
        """Never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the caller."""
        ...


@dataclass(slots=True)
class Silence:
    """For how long a loop that had begun to turn has not turned, in seconds that the watcher itself was awake."""

    looked_ns: int
    turns: int = 0
    lasted_s: float = 0.0

    def look(self, turns: int, now_ns: int) -> float:
        """``turns`` of the loop until now, 0 while it is not watched."""
        gap_s = (now_ns - self.looked_ns) / 1_000_000_000
        is_alive = turns != self.turns or not turns or gap_s > _ASLEEP_S
        self.looked_ns, self.turns = now_ns, turns
        self.lasted_s = 0.0 if is_alive else self.lasted_s + gap_s
        return self.lasted_s


class LoopWatchdog:
    """A context: its thread lives inside. It counts once ``keep`` runs in the loop, and no more once that has ended."""

    def __init__(
        self, stacks: Path, clock: Pulse, on_pulse: Callable[[float], None], stall_max_s: float = STALL_MAX_S
    ) -> None:
        """``stacks`` is the file for the stacks; ``on_pulse`` is told, in the loop, by how many seconds it was late."""
        self._stacks, self._clock, self._on_pulse, self._stall_max_s = stacks, clock, on_pulse, stall_max_s
        self._turns = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    async def keep(self) -> None:
        """The pulse, until it is cancelled."""
        try:
            while True:
                self._turns += 1
                asked_ns = self._clock.monotonic_ns()
                await self._clock.sleep(PULSE_S)
                late_s = (self._clock.monotonic_ns() - asked_ns) / 1_000_000_000 - PULSE_S
                self._on_pulse(max(late_s, 0.0))
        finally:
            self._turns = 0

    def _watch(self) -> None:
        silence = Silence(self._clock.monotonic_ns())
        while not self._is_over.wait(PULSE_S):
            silent_s = silence.look(self._turns, self._clock.monotonic_ns())
            if silent_s >= self._stall_max_s:
                self._end(silent_s)

    def _end(self, silent_s: float) -> None:
        """Stacks of all threads into the file and to stderr; then the process is over, without a word to anybody."""
        print(f"event loop stalled for {silent_s:.1f} s: exit {STALLED}, stacks in {self._stacks}", file=sys.stderr)  # noqa: T201  no logging: its lock may be held by what stands
        try:
            file = os.open(self._stacks, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            faulthandler.dump_traceback(file, all_threads=True)
            os.fsync(file)
        except OSError:  # a full disk must not keep it from ending
            pass
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        os._exit(STALLED)
