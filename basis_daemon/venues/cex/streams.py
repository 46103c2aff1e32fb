"""One connection kept alive: subscribed, watched for silence, dialled again with patience when it is lost.

A silent stall raises nothing anywhere: TCP lives, pongs come, data does not. Only the watchdog sees it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.market import StreamChanged
from basis_daemon.ports import Clock
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quirks import Stream

SECOND_NS = 1_000_000_000
FIRST_PAUSE_S, DOUBLINGS_MAX = 0.2, 8
GAP = "gap in the sequence"
"""Lost books are asked for again on the same connection."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a keeper does to its connection. ``is_up_when_subscribed``: subscribing returns only once data flows."""

    account: str
    stream: Stream
    subscribe: Callable[[], Awaitable[None]]
    hang_up: Callable[[], Awaitable[None]]
    silence_max_s: float | None
    pause_max_s: float
    is_up_when_subscribed: bool


class StreamKeeper:
    """Keeps one ``Line`` up and tells of every change through ``emit``."""

    def __init__(self, line: Line, clock: Clock, emit: Callable[[StreamChanged], None], jitter: Random) -> None:
        self.line = line
        self._clock, self._emit, self._jitter = clock, emit, jitter
        self._lost = asyncio.Event()
        self._why = ""
        self._heard_ns = 0
        self._attempt = 0
        self._is_closed = False
        self._dialling: asyncio.Timeout | None = None
        self.is_up = False

    async def run(self) -> None:
        """Live until ``stop``."""
        while not self._is_done():
            self._lost.clear()
            why = await self._hold()
            self.lose(why)
            if self._is_done():
                return
            if why != GAP:
                await self.line.hang_up()
            await self._clock.sleep(self._pause_s())
            self._attempt += 1

    def heard(self, received_ns: int) -> None:
        """A frame came in."""
        self._heard_ns = received_ns

    def rise(self) -> None:
        """The subscription stands."""
        if not self.is_up and not self._is_closed:
            self.is_up = True
            self._attempt = 0
            self._heard_ns = self._clock.monotonic_ns()
            self._tell("")

    def lose(self, why: str) -> None:
        """The connection is of no more use: told once, then dialled again."""
        self._why = self._why if self._lost.is_set() else why
        self._lost.set()
        self._stop_dialling()
        if self.is_up:
            self.is_up = False
            if not self._is_closed:
                self._tell(why)

    def check(self) -> None:
        """Lose a connection that has been silent for too long."""
        silent_ns = self._clock.monotonic_ns() - self._heard_ns
        limit = self.line.silence_max_s
        if limit is not None and self.is_up and silent_ns > limit * SECOND_NS:
            self.lose(f"silent for {silent_ns / SECOND_NS:.1f} s, at most {limit} s")

    def stop(self) -> None:
        """Let ``run`` end."""
        self._is_closed = True
        self._lost.set()
        self._stop_dialling()

    def _stop_dialling(self) -> None:
        """A watch that waits for its first word would not hear that the connection is of no use."""
        dialling, self._dialling = self._dialling, None
        if dialling is not None and not dialling.expired():
            dialling.reschedule(0)

    def _is_done(self) -> bool:
        return self._is_closed

    async def _hold(self) -> str:
        """Subscribe and wait; returns why the connection was lost."""
        try:
            async with asyncio.timeout(None) as self._dialling:
                await self.line.subscribe()
        except TimeoutError:
            return self._why
        except VenueUnreachableError as fault:
            return str(fault)
        except CallError as fault:
            if (
                not self.is_up or self._lost.is_set()
            ):  # a private watch that heard nothing yet times out while it stands
                return fault.text
        finally:
            self._dialling = None
        if self.line.is_up_when_subscribed:
            self.rise()
        if not self.is_up:
            return "no answer to the subscription"
        await self._lost.wait()
        return self._why

    def _pause_s(self) -> float:
        pause: float = FIRST_PAUSE_S * 2 ** min(self._attempt, DOUBLINGS_MAX)
        return min(pause, self.line.pause_max_s) * (0.5 + self._jitter.random() / 2)

    def _tell(self, why: str) -> None:
        now_ns = self._clock.monotonic_ns()
        self._emit(StreamChanged(self.line.account, self.line.stream.value, self.is_up, now_ns, why))
