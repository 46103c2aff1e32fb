"""Settled funding: fetched from the venue's record whenever the next funding time moves on, never assumed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from operator import itemgetter

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import FundingSettled
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.frames import EPOCH, Row, exact, instant, milliseconds
from basis_daemon.venues.cex.outcome import CallError

HOUR = timedelta(hours=1)
LOOK_BACK = timedelta(hours=25)
"""Before the first row wanted there must be another one, because an interval is the distance between two."""
STAMP_SLACK = timedelta(minutes=1)
TRIES_MAX, PAUSE_S = 8, 1.0


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
        """The newest ``rows`` settlements of each perp, oldest first. Raises CallError."""
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
        """Fetch whatever falls due, until ``stop``."""
        while not self._is_closed:
            await self._wake.wait()
            self._wake.clear()
            for key, due in list(self._due.items()):
                if await self._settled(key, due):
                    if self._due.get(key) == due:
                        del self._due[key]
                else:
                    self._desk.note("funding_unsettled_alarm", {"instrument": key, "due": due})

    def stop(self) -> None:
        """Let ``run`` end."""
        self._is_closed = True
        self._wake.set()

    async def _settled(self, key: PositionKey, due: datetime) -> bool:
        """True once the venue has published the settlement of ``due``."""
        for attempt in range(TRIES_MAX):
            if self._is_closed:
                return True
            since = self._known.get(key, due) - LOOK_BACK
            try:
                events = await self._fetch(key, since, 1000)
            except CallError as fault:
                self._desk.note("funding_unanswered", {"instrument": key, "text": fault.text})
                events = ()
            for event in events:
                if event.venue_time > self._known.get(key, due - STAMP_SLACK):
                    self._known[key] = event.venue_time
                    self._deliver(event)
            if self._known.get(key, EPOCH) >= due - STAMP_SLACK:
                return True
            await self._desk.clock.sleep(PAUSE_S * (attempt + 1))
        return False

    async def _fetch(self, key: PositionKey, since: datetime | None, rows: int) -> Sequence[FundingSettled]:
        start = milliseconds(since) if since is not None else None
        arguments = (self._desk.listing_of(key).symbol, start, rows)
        return await self._desk.ask(
            self._desk.data, "fetch_funding_rate_history", *arguments, read=lambda answer: settlements(answer, key)
        )

    def _perps(self) -> Sequence[PositionKey]:
        return [listing.key for listing in self._desk.declared()] if self._desk.quirks.has_perps else []
