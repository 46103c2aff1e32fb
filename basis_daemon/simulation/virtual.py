"""Virtual process time: an event loop that, when nothing is left to do, leaps to the next deadline instead of waiting.

No clock of the machine is read, and nothing else may wake the loop: equal programs run equally, at full speed.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from basis_daemon.domain.errors import IntegrityError

_NS = 1_000_000_000


class _Leaping(selectors.SelectSelector):
    """Never waits, and asks no system: hands the span that it was asked to wait for to ``leap``."""

    def __init__(self, leap: Callable[[float], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise IntegrityError("virtual time stands still: every task waits for something that nobody will do")
        self._leap(max(timeout, 0.0))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at zero seconds. Threads and sockets are no part of it: what they take would cost no time."""

    def __init__(self) -> None:
        self.now_ns = 0
        super().__init__(_Leaping(self._leap))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.now_ns / _NS

    def _leap(self, seconds: float) -> None:
        """Always forward, if by a nanosecond: what is left of a span may be less than a float of years can add."""
        self.now_ns += max(math.ceil(seconds * _NS), 1)


class VirtualClock:
    """Honours ``ports.Clock`` inside a `VirtualLoop`.

    Process time is the loop's. The wall clock goes with it, and is put forward to each point of market time that the
    driver reaches: between two points of recorded history no process needs to run for twenty minutes.
    """

    def __init__(self, loop: VirtualLoop, start: datetime) -> None:
        self._loop = loop
        self._anchor, self._anchored_ns = start.astimezone(UTC), loop.now_ns

    def wall(self) -> datetime:
        """Market time of the last point reached, and process time since."""
        return self._anchor + timedelta(microseconds=(self._loop.now_ns - self._anchored_ns) // 1000)

    def monotonic_ns(self) -> int:
        return self._loop.now_ns

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def reach(self, instant: datetime) -> None:
        """Put the wall clock forward; one that is ahead already stays where it is."""
        now = self.wall()
        self._anchor, self._anchored_ns = max(now, instant), self._loop.now_ns
