"""Delivery: the latest value per instrument, to the strategies that asked for it and to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from basis_daemon.domain.chain import ChainEvent
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, MarketEvent, MarkTick
from basis_daemon.engine.state import EPOCH

Wake = Callable[[MarketEvent], None]


class Mailbox:
    """Conflates: a newer value replaces an older one, an older one is dropped and counted. Fills never pass through."""

    def __init__(self) -> None:
        self.books: dict[PositionKey, BookTick] = {}
        self.marks: dict[PositionKey, MarkTick] = {}
        self.chain: dict[str, ChainEvent] = {}
        self.newest: datetime = EPOCH
        self.dropped = 0
        self._wakes: dict[PositionKey, tuple[Wake, ...]] = {}

    def subscribe(self, instrument: PositionKey, wake: Wake) -> None:
        """Call ``wake`` with every accepted event of ``instrument``."""
        self._wakes[instrument] = (*self._wakes.get(instrument, ()), wake)

    def put(self, event: MarketEvent) -> None:
        """Keep the event if it is not older than the one held, and wake who subscribed."""
        stamp, instrument = event.venue_time, event.instrument
        if stamp >= self.newest:  # then nothing held is newer, and there is nothing to compare with
            self.newest = stamp
        elif self._is_overtaken(event):
            self.dropped += 1
            return
        if isinstance(event, BookTick):
            self.books[instrument] = event
        elif isinstance(event, MarkTick):
            self.marks[instrument] = event
        elif not isinstance(event, FundingSettled):
            self.chain[event.name] = event
        for wake in self._wakes.get(instrument, ()):
            wake(event)

    def _is_overtaken(self, event: MarketEvent) -> bool:
        """True when a newer value of the same kind is held. Settled funding is news however late it comes."""
        if isinstance(event, FundingSettled):
            return False
        held: MarketEvent | None
        if isinstance(event, BookTick | MarkTick):
            held = (self.books if isinstance(event, BookTick) else self.marks).get(event.instrument)
        else:
            held = self.chain.get(event.name)
        return held is not None and event.venue_time < held.venue_time
