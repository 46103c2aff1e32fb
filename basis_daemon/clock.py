"""Process time and the wall clock. The only file that may read time; everything else is handed a `ports.Clock`."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

_NANOSECONDS = 1_000_000_000
_PROMPT_TURNS = 50
"""Turns of the event loop that a woken sleeper gets before time moves on: more than any chain of awaits here."""


class SystemClock:
    """The machine's clocks, asked without a call of ours between: a frame on its way to an order asks eleven times."""

    wall = staticmethod(partial(datetime.now, UTC))
    monotonic_ns = staticmethod(time.monotonic_ns)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """Time that moves only when it is told to: for tests, paper and replay.

    Both clocks start where the constructor says and move together. Sleepers wake in order of their deadline, those of
    one deadline in the order in which they lay down, so that equal calls give equal runs.
    """

    def __init__(self, start: datetime, monotonic_ns: int = 0, prompt_turns: int = _PROMPT_TURNS) -> None:
        if start.tzinfo is None:
            message = f"start {start.isoformat()} has no time zone, expected an aware instant"
            raise ValueError(message)
        self._start = start.astimezone(UTC)
        self._start_ns = monotonic_ns
        self._elapsed_ns = 0
        self._prompt_turns = prompt_turns
        self._laid_down = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._watchers: deque[tuple[int, asyncio.Future[None]]] = deque()

    def wall(self) -> datetime:
        """Exact to the microsecond, the resolution of datetime; the monotonic clock keeps the nanoseconds."""
        return self._start + timedelta(microseconds=self._elapsed_ns // 1000)

    def monotonic_ns(self) -> int:
        return self._start_ns + self._elapsed_ns

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._laid_down += 1
        heapq.heappush(self._sleepers, (self._elapsed_ns + _in_ns(seconds), self._laid_down, wake))
        self._tell_watchers()
        await wake

    @property
    def sleepers(self) -> int:
        """How many tasks wait for this clock now."""
        return sum(not wake.done() for _, _, wake in self._sleepers)

    async def until_sleepers(self, count: int) -> None:
        """Return once at least ``count`` tasks wait for this clock: the moment from which moving it means something."""
        if self.sleepers < count:
            seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append((count, seen))
            await seen

    async def advance(self, seconds: Decimal | float) -> None:
        """Move both clocks by ``seconds``, halting at every deadline on the way.

        Each sleeper acts at its own time, and one that lies down again within the span is woken again.
        """
        if seconds < 0:
            message = f"advance by {seconds} s, expected 0 or more: time does not go back"
            raise ValueError(message)
        target_ns = self._elapsed_ns + _in_ns(seconds)
        await self._let_others_run()
        while (deadline_ns := self._next_deadline_ns()) is not None and deadline_ns <= target_ns:
            self._elapsed_ns = max(self._elapsed_ns, deadline_ns)
            _, _, wake = heapq.heappop(self._sleepers)
            wake.set_result(None)
            await self._let_others_run()
        self._elapsed_ns = target_ns

    async def advance_to(self, instant: datetime) -> None:
        """Move the wall clock to ``instant`` (aware, not before now), the monotonic clock by the same span."""
        behind = instant - self.wall()
        await self.advance(Decimal(behind // timedelta(microseconds=1)) / 1_000_000)

    def _next_deadline_ns(self) -> int | None:
        while self._sleepers and self._sleepers[0][2].done():  # cancelled while asleep
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def _let_others_run(self) -> None:
        for _ in range(self._prompt_turns):
            await asyncio.sleep(0)

    def _tell_watchers(self) -> None:
        asleep = self.sleepers
        for _ in range(len(self._watchers)):
            count, seen = self._watchers.popleft()
            if seen.done():
                continue
            if count <= asleep:
                seen.set_result(None)
            else:
                self._watchers.append((count, seen))


def _in_ns(seconds: Decimal | float) -> int:
    return round(Decimal(str(seconds)) * _NANOSECONDS)
