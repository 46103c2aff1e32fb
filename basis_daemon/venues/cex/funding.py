"""Settled funding: fetched from the venue's record whenever the next funding time moves on, never assumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from operator import itemgetter

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import FundingSettled
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.frames import EPOCH, Row, exact, instant, milliseconds
from basis_daemon.venues.cex.limiter import Request

HOUR = timedelta(hours=1)
LOOK_BACK = timedelta(hours=25)
"""Before the first row wanted there must be another one, because an interval is the distance between two."""
STAMP_SLACK = timedelta(minutes=1)
PAUSE_S, PAUSE_MAX_S = 1.0, 10.0
TRIES_TOLD = 8
"""So many answers without the settlement are told of, and then as many again: nobody gives up."""
URGENT = Request(is_urgent=True, wait_max_s=5.0)
"""Without its settlements a book knows neither when to leave nor what it earns: they do not queue behind valuations."""


def settlements(rows: object, instrument: PositionKey) -> Sequence[FundingSettled]:
    """Rates of a funding history, oldest first; the first row only dates the second. Raises ValueError, KeyError."""
    if not isinstance(rows, list):
        raise ValueError(f"funding history is {type(rows).__name__}, expected a list")  # noqa: TRY004 - a bad answer
    dated: list[tuple[datetime, Row]] = [(instant(row["timestamp"]), row) for row in rows]
    dated.sort(key=itemgetter(0))
    found = []
    for (before, _), (time, row) in pairwise(dated):
        hours = round((time - before) / HOUR)
        found.append(FundingSettled(instrument, time, exact(row["fundingRate"]), max(hours, 1)))
    return found


class FundingWatch:
    """Fetches what was settled since the last settlement known, for every perp of one account."""

    def __init__(self, desk: Desk, deliver: Callable[[FundingSettled], None]) -> None:
        self._desk, self._deliver = desk, deliver
        self._next: dict[PositionKey, datetime] = {}
        self._due: dict[PositionKey, datetime] = {}
        self._known: dict[PositionKey, datetime] = {}
        self._wake = asyncio.Event()
        self._is_closed = False

    async def history(self, rows: int) -> Sequence[FundingSettled]:
        """The newest ``rows`` settlements of each perp, oldest first. Raises VenueUnreachableError."""
        found: list[FundingSettled] = []
        for key in self._perps():
            events = await self._fetch(key, None, rows + 1)
            found += events
            if events:
                self._known[key] = max(self._known.get(key, EPOCH), events[-1].venue_time)
        return sorted(found, key=lambda event: (event.venue_time, event.instrument))

    def expect(self, key: PositionKey, next_time: datetime) -> None:
        """Note the next settlement; when it moves on, the one before is due."""
        before = self._next.get(key)
        if before is not None and next_time > before:
            self._due[key] = before
            self._wake.set()
        self._next[key] = next_time

    async def run(self) -> None:
        """Fetch whatever falls due until the venue has published it, or until ``stop``."""
        tries = 0
        while not self._is_closed:
            if not self._due:
                tries = 0
                self._wake.clear()
                await self._wake.wait()
            for key, due in list(self._due.items()):
                if await self._is_settled(key, due) and self._due.get(key) == due:
                    del self._due[key]
            if self._due and not self._is_closed:
                tries += 1
                if tries % TRIES_TOLD == 0:
                    self._desk.note("funding_unsettled_alarm", {"due": dict(self._due), "tries": tries})
                await self._desk.clock.sleep(min(PAUSE_S * tries, PAUSE_MAX_S))

    def stop(self) -> None:
        """Let ``run`` end."""
        self._is_closed = True
        self._wake.set()

    async def _is_settled(self, key: PositionKey, due: datetime) -> bool:
        """True once the venue has published the settlement of ``due``; whatever is new is delivered."""
        try:
            events = await self._fetch(key, self._known.get(key, due) - LOOK_BACK, 1000, URGENT)
        except VenueUnreachableError as fault:
            self._desk.note("funding_unanswered", {"instrument": key, "due": due, "text": str(fault)})
            return False
        for event in events:
            if event.venue_time > self._known.get(key, due - STAMP_SLACK):
                self._known[key] = event.venue_time
                self._deliver(event)
        return self._known.get(key, EPOCH) >= due - STAMP_SLACK

    async def _fetch(
        self, key: PositionKey, since: datetime | None, rows: int, request: Request | None = None
    ) -> Sequence[FundingSettled]:
        start = milliseconds(since) if since is not None else None
        arguments = (self._desk.listing_of(key).symbol, start, rows)

        def read(answer: object) -> Sequence[FundingSettled]:
            return settlements(answer, key)

        return await self._desk.learn("fetch_funding_rate_history", *arguments, read=read, request=request)

    def _perps(self) -> Sequence[PositionKey]:
        return [listing.key for listing in self._desk.declared()] if self._desk.quirks.has_perps else []
