"""Virtual process time: an event loop that, when nothing is left to do, leaps to the next deadline instead of waiting.

No clock of the machine is read, and nothing else may wake the loop: equal programs run equally, at full speed.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections import deque
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush

from basis_daemon.domain.errors import IntegrityError

_NS = 1_000_000_000
WAIT_MAX_S = 86_400.0
GIVEN_UP_LEAST, GIVEN_UP_SHARE = 100, 0.5
"""Of so many timers more than this share given up: then they are thrown out, as asyncio does."""


class _Due(float):
    """When a timer is due, and the timer: floats are compared with each other in C, timers are not."""

    __slots__ = ("timer",)

    timer: asyncio.TimerHandle


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at zero seconds. Threads and sockets are no part of it: what they take would cost no time.

    Its turn is asyncio's without what sockets, threads and debugging need: nobody is asked what has happened outside.
    Callbacks, and timers that are due at one instant, run in the order in which asyncio would run them.
    """

    _ready: deque[asyncio.Handle]
    _stopping: bool
    _clock_resolution: float

    def __init__(self) -> None:
        self.now_ns = 0
        self._due: list[_Due] = []
        self._given_up = 0
        super().__init__(selectors.SelectSelector())

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.now_ns / _NS

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 - as its base has it, to be told of an end
        due = _Due(when)
        due.timer = timer
        heappush(self._due, due)
        return timer

    def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
        """Each says so itself, once."""
        self._given_up += timer._scheduled  # type: ignore[attr-defined]  # noqa: SLF001 - as above

    def _run_once(self) -> None:
        """One turn: what is due by now, after what was ready before it; what that makes ready has the next turn."""
        due, ready = self._due, self._ready
        if len(due) > GIVEN_UP_LEAST and self._given_up / len(due) > GIVEN_UP_SHARE:
            due[:] = [one for one in due if not one.timer.cancelled()]
            heapify(due)
            self._given_up = 0
        while due and due[0].timer.cancelled():
            heappop(due)
            self._given_up -= 1
        if ready or self._stopping:
            self.now_ns += 1
        elif due:
            self._leap(min(max(0.0, due[0] - self.now_ns / _NS), WAIT_MAX_S))
        else:
            raise IntegrityError("virtual time stands still: every task waits for something that nobody will do")
        end = self.now_ns / _NS + self._clock_resolution
        while due and due[0] < end:
            timer = heappop(due).timer
            timer._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001 - as above
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - what a loop is for

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
