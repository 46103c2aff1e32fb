"""An exchange's terms read again while it runs: filters, fees, margin tiers, funding intervals, and what is halted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.ports import InstrumentsChanged
from basis_daemon.venues.cex.boot import reread_instruments
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.frames import EPOCH
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError

EVERY = timedelta(hours=1)
"""Market time between two looks; process time bounds it from below (``terms_pause_s``)."""
DOUBT_PAUSE_S = 5.0
"""A venue that refuses one order after the other for its terms is asked about that no more often than this."""
SECOND_NS = 1_000_000_000
PATIENT, URGENT = Request(), Request(is_urgent=True, wait_max_s=1.0)


class TermsWatch:
    """Keeps one account's instruments as its venue has them, and tells of each that changed."""

    def __init__(self, desk: Desk, market_time: MarketTime, deliver: Callable[[InstrumentsChanged], None]) -> None:
        self._desk, self._market_time, self._deliver = desk, market_time, deliver
        self._due = EPOCH
        self._read_ns = 0
        self._doubted_ns: int | None = None
        self._is_reading = False
        desk.on_terms_doubted = self.doubted

    def begin(self) -> None:
        """The terms have just been read, at the start."""
        self._due, self._read_ns = self._market_time.newest + EVERY, self._desk.clock.monotonic_ns()

    async def check(self) -> None:
        """Read again once an hour of the market is over."""
        now = self._market_time.newest
        if now >= self._due and self._is_rested(self._read_ns, self._desk.options.terms_pause_s):
            self._due = now + EVERY
            await self._read(PATIENT)

    async def doubted(self) -> None:
        """An order was refused for the venue's terms: read them now, in no more time than an order has.

        However lately they were read for another reason: they were read before it was refused.
        """
        if self._is_reading or (self._doubted_ns is not None and not self._is_rested(self._doubted_ns, DOUBT_PAUSE_S)):
            return
        self._doubted_ns = self._desk.clock.monotonic_ns()
        try:
            async with asyncio.timeout(self._desk.options.order_timeout_s):
                await self._read(URGENT)
        except TimeoutError:
            self._desk.note("terms_unread", {"account": self._desk.name, "text": "no answer in the time of an order"})

    def _is_rested(self, since_ns: int, pause_s: float) -> bool:
        return self._desk.clock.monotonic_ns() - since_ns >= pause_s * SECOND_NS

    async def _read(self, request: Request) -> None:
        if self._is_reading:
            return
        self._is_reading, self._read_ns = True, self._desk.clock.monotonic_ns()
        try:
            found = await reread_instruments(self._desk, request)
        except (CallError, VenueUnreachableError, ValueError, KeyError) as fault:
            self._desk.note("terms_unread", {"account": self._desk.name, "text": f"{type(fault).__name__}: {fault}"})
            return
        finally:
            self._is_reading = False
        changed = {key: now for key, now in found.items() if now != self._desk.instruments.get(key)}
        if changed:
            self._desk.instruments = {**self._desk.instruments, **found}
            self._deliver(InstrumentsChanged(self._desk.name, changed))
