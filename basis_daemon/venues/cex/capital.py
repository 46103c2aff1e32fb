"""Deposits to and withdrawals from a spot wallet, out of the venue's own record: capital that came or went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from basis_daemon.domain.ledger import CashFlow
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.frames import Row, milliseconds
from basis_daemon.venues.cex.paging import Page, every_page

LOOK_BACK = timedelta(days=7)
"""A row is found by when it began: a deposit waits for the chain, a withdrawal for a person, before it is booked."""
PERIOD_NS, AFTER_MOVE_NS = 60 * 1_000_000_000, 30 * 1_000_000_000
"""The record is asked once a minute, it weighs much, and at every look soon after the venue said that money moved."""


class CapitalRecord:
    """What one desk's venue knows of capital; ``now`` is market time. Nothing where the venue keeps no such record."""

    def __init__(self, desk: Desk, now: Callable[[], datetime]) -> None:
        self._desk, self._now = desk, now
        self._asked_ns: int | None = None
        self._asked_until: datetime | None = None

    async def flows(self, since: datetime) -> Sequence[CashFlow]:
        """Flows that became true since ``since``, some of them told before. Raises VenueUnreachableError."""
        calls, now_ns = self._desk.quirks.capital_calls, self._desk.clock.monotonic_ns()
        if not calls or self._desk.options.demo_trading or not self._is_due(now_ns):
            return ()
        until = self._now()
        begin = min(since, self._asked_until or since) - LOOK_BACK
        found: list[CashFlow] = []
        for call, read in calls:
            found += await self._rows(call, read, begin, until)
        self._asked_ns, self._asked_until = now_ns, until
        return found

    def _is_due(self, now_ns: int) -> bool:
        moved_ns = self._desk.money_moved_ns
        is_young = moved_ns is not None and now_ns - moved_ns < AFTER_MOVE_NS
        return is_young or self._asked_ns is None or now_ns - self._asked_ns >= PERIOD_NS

    async def _rows(
        self, call: str, read_row: Callable[[str, Row], Sequence[CashFlow]], begin: datetime, until: datetime
    ) -> list[CashFlow]:
        def read(answer: object) -> Page[CashFlow]:
            if not isinstance(answer, list):
                raise ValueError(f"answer is {type(answer).__name__}, expected a list")  # noqa: TRY004 - a bad answer
            is_own = self._desk.is_own_transfer
            rows = [row for row in answer if not is_own(str(row.get("txId") or ""), _number(row))]
            return Page([flow for row in rows for flow in read_row(self._desk.name, row)], None)

        async def fetch(start: datetime, end: datetime) -> Page[CashFlow]:
            window = {"startTime": milliseconds(start), "endTime": milliseconds(end), "limit": 1000}
            return await self._desk.learn(call, window, read=read)

        options = self._desk.options
        return await every_page(begin, until, self._desk.quirks.capital_window, fetch, options.rarely)


def _number(row: Row) -> str:
    """The exchange's own of a withdrawal, which was applied for; none of a deposit."""
    return str(row["id"]) if "applyTime" in row else ""
