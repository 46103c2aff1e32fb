"""Streams of the paper venue: market events of any other feed, and what follows from them on the paper accounts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from datetime import datetime

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, MarketEvent, MarkTick, StreamChanged
from basis_daemon.ports import Feed, FeedEvent
from basis_daemon.venues.paper.venue import PaperVenue

BACKLOG_MAX = 100_000
PRIVATE = "private"
_MARKET = (BookTick, MarkTick, FundingSettled)


class PaperFeed:
    """Honours ``ports.Feed``. ``upstream`` brings the market; what it says of real accounts is not passed on.

    ``market_time`` is what day it is in that market once it has started, before the first event says so.
    """

    def __init__(self, venue: PaperVenue, upstream: Feed, market_time: Callable[[], datetime] | None = None) -> None:
        self._venue = venue
        self._upstream = upstream
        self._market_time = market_time

    async def start(self) -> Mapping[PositionKey, Instrument]:
        """Start the market data and list its instruments for trading."""
        instruments = await self._upstream.start()
        self._venue.list_instruments(instruments.values())
        if self._market_time is not None:
            self._venue.exchange.market.learn_time(self._market_time())
        return instruments

    async def history(self) -> Sequence[MarketEvent]:
        return await self._upstream.history()

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        """A market event comes first, then the fills, settlements and liquidations that it causes."""
        venue, on_market = self._venue, self._venue.exchange.on_market

        def deliver(event: FeedEvent) -> None:
            if isinstance(event, _MARKET):
                sink(event)
                if said := on_market(event):
                    venue.tell(said)
            elif isinstance(event, StreamChanged):
                sink(event)

        venue.connect(sink)
        for account in venue.accounts:
            sink(StreamChanged(account, PRIVATE, is_up=True, received_ns=venue.clock.monotonic_ns()))
        try:
            await self._upstream.run(deliver)
        finally:
            venue.connect(None)

    async def close(self) -> None:
        await self._upstream.close()


class PushedFeed:
    """Market data handed in by its owner. Honours ``ports.Feed``; ``push`` delivers at once, or keeps until ``run``."""

    def __init__(self, instruments: Sequence[Instrument], history: Sequence[MarketEvent] = ()) -> None:
        self._instruments = {instrument.key: instrument for instrument in instruments}
        self._history = tuple(history)
        self._backlog: deque[FeedEvent] = deque()
        self._sink: Callable[[FeedEvent], None] | None = None
        self._closed = asyncio.Event()

    def push(self, *events: FeedEvent) -> None:
        """Deliver in order; raises IntegrityError when nobody has listened for too long."""
        for event in events:
            if self._sink is not None:
                self._sink(event)
                continue
            if len(self._backlog) >= BACKLOG_MAX:
                raise IntegrityError(f"{BACKLOG_MAX} events were pushed into a feed that does not run")
            self._backlog.append(event)

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return self._instruments

    async def history(self) -> Sequence[MarketEvent]:
        return self._history

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        while self._backlog:
            sink(self._backlog.popleft())
        self._sink = sink
        try:
            await self._closed.wait()
        finally:
            self._sink = None

    async def close(self) -> None:
        self._closed.set()


class RecordedFeed:
    """Market data of an iterator, as fast as it comes. Honours ``ports.Feed``; ``ended`` is set behind the last."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        events: AsyncIterable[MarketEvent],
        history: Sequence[MarketEvent] = (),
    ) -> None:
        self._instruments = {instrument.key: instrument for instrument in instruments}
        self._events = events
        self._history = tuple(history)
        self._closed = asyncio.Event()
        self.ended = asyncio.Event()

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return self._instruments

    async def history(self) -> Sequence[MarketEvent]:
        return self._history

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        async for event in self._events:
            if self._closed.is_set():
                return
            sink(event)
        self.ended.set()
        await self._closed.wait()

    async def close(self) -> None:
        self._closed.set()
