"""A feed that is written down while it speaks: off the road of an event, bounded, harmless when it fails."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import ExchangeEvent, MarketEvent
from basis_daemon.ports import Clock, Feed, FeedEvent, TaskScope
from basis_daemon.research.tape import Heard, Tape

WRITE_EVERY_S = 1.0
Tell = Callable[[str, Mapping[str, str]], None]
"""Takes what an operator must know: what happened and the facts; never blocks."""


class RecordingFeed:
    """The feed ``inner``, with its market events kept on a tape. Honours `ports.Feed`.

    At most ``queue_max`` events wait for the disk; what does not fit is dropped, counted and told once per write.
    """

    def __init__(self, inner: Feed, tape: Tape, clock: Clock, scope: TaskScope, tell: Tell, *, queue_max: int) -> None:
        self._inner, self._tape, self._clock, self._scope, self._tell = inner, tape, clock, scope, tell
        self._queue_max = queue_max
        self._waiting: deque[Heard] = deque()
        self._dropped_now = 0
        self.written = self.dropped = 0
        self.failure = ""

    def state(self) -> dict[str, Any]:
        """For an operator: how much was kept and lost, and why nothing is kept any more."""
        return {"written": self.written, "dropped": self.dropped, "failure": self.failure}

    async def start(self) -> Mapping[PositionKey, Instrument]:
        """As the inner feed."""
        instruments = await self._inner.start()
        self._tape.name(instruments)
        return instruments

    async def history(self) -> Sequence[MarketEvent]:
        """As the inner feed; a replay wants the same past."""
        events = await self._inner.history()
        for event in events:
            if isinstance(event, ExchangeEvent):
                self._take(event)
        return events

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        """As the inner feed; every market event is also queued for the disk."""

        def heard(event: FeedEvent) -> None:
            if isinstance(event, ExchangeEvent):
                self._take(event)
            sink(event)

        self._scope.spawn("recording", self._keep_writing())
        await self._inner.run(heard)

    async def close(self) -> None:
        """As the inner feed, with the tape finished; a second call does nothing more."""
        await self._inner.close()
        await self._write()
        await self._on_disk(self._tape.close)

    def _take(self, event: ExchangeEvent) -> None:
        if self.failure:
            return
        if len(self._waiting) < self._queue_max:
            self._waiting.append(Heard(event, self._clock.wall()))
        else:
            self._dropped_now += 1

    async def _keep_writing(self) -> None:
        while not self.failure:
            await self._clock.sleep(WRITE_EVERY_S)
            await self._write()

    async def _write(self) -> None:
        """Everything that waits, in a thread; what is dropped meanwhile is told."""
        batch, self._waiting = self._waiting, deque()
        if batch and await self._on_disk(lambda: self._tape.write(batch)):
            self.written += len(batch)
        if self._dropped_now:
            lost, self._dropped_now = self._dropped_now, 0
            self.dropped += lost
            self._tell("market events not recorded", {"dropped": str(lost), "queue_max": str(self._queue_max)})

    async def _on_disk(self, work: Callable[[], None]) -> bool:
        """False once the disk refuses: the recording ends there, the daemon goes on."""
        if self.failure:
            return False
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            self.failure = f"{type(error).__name__}: {error}"
            self._waiting.clear()
            self._tell("recording of the market stopped", {"why": self.failure})
            return False
        return True
