"""What the paper venue knows of the market: the book left of the last tick, marks, and market time."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeGuard

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, MarketEvent, MarkTick
from basis_daemon.venues.paper.matching import Depth

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class PaperMarket:
    """Newest values per instrument; time is the newest stamp of any of them and only goes forward."""

    def __init__(self) -> None:
        self.time = NEVER
        self._opened_at: datetime | None = None
        self._ticks: dict[PositionKey, BookTick] = {}
        self._priced: dict[PositionKey, BookTick] = {}
        self._depths: dict[PositionKey, tuple[BookTick, Depth]] = {}
        self._marks: dict[PositionKey, MarkTick] = {}
        self._at_settlement: dict[PositionKey, tuple[datetime, Decimal]] = {}
        self._settled: dict[PositionKey, datetime] = {}

    def see(self, event: MarketEvent) -> None:
        """Take the event in; a tick shows the book anew, whatever was taken from the one before."""
        if type(event) is BookTick:
            self._show(event)
        elif isinstance(event, MarkTick):
            self._keep_settlement_mark(event)
            self._marks[event.instrument] = event
        stamp = event.venue_time
        if self._opened_at is None:
            self._opened_at = stamp
        self.time = max(self.time, stamp)

    def _show(self, tick: BookTick) -> None:
        key = tick.instrument
        if (
            not (tick.bids and tick.asks)
            and (before := self._ticks.get(key)) is not None
            and before.bids
            and before.asks
        ):
            self._priced[key] = before
        self._ticks[key] = tick

    def learn_time(self, stamp: datetime) -> None:
        """What day it is, told by other means than an event."""
        self.time = max(self.time, stamp)

    def depth(self, key: PositionKey) -> Depth | None:
        """What is left of the newest tick, None before the first one; made when somebody looks for it."""
        tick = self._ticks.get(key)
        if tick is None:
            return None
        seen, depth = self._depths.get(key, (None, None))
        if depth is None or seen is not tick:
            depth = Depth.of(tick)
            self._depths[key] = (tick, depth)
        return depth

    def mark(self, key: PositionKey) -> Decimal | None:
        """The venue's mark, before its first one the mid of the book; None when neither was seen."""
        tick = self._marks.get(key)
        if tick is not None:
            return tick.mark
        shown = self._ticks.get(key)
        priced = shown if _has_mid(shown) else self._priced.get(key)
        return priced.mid if priced is not None else None

    def settle(self, event: FundingSettled) -> Decimal | None:
        """The mark at this settlement, once; None if it was paid, lies before the first event, or has no mark."""
        key, at = event.instrument, event.venue_time
        if self._opened_at is None or at < self._opened_at or at <= self._settled.get(key, NEVER):
            return None
        kept_at, kept = self._at_settlement.get(key, (NEVER, None))
        mark = kept if kept_at == at else self.mark(key)
        if mark is not None:
            self._settled[key] = at
        return mark

    def _keep_settlement_mark(self, tick: MarkTick) -> None:
        """The rate is published after the settlement: the mark of that instant is the last one up to it."""
        before = self._marks.get(tick.instrument)
        if before is not None and before.next_funding_time <= tick.venue_time:
            at = before.next_funding_time
            self._at_settlement[tick.instrument] = (at, tick.mark if tick.venue_time == at else before.mark)


def _has_mid(tick: BookTick | None) -> TypeGuard[BookTick]:
    return tick is not None and bool(tick.bids and tick.asks)
