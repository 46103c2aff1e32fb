"""The path through bars, point by point, as the venue learns it: nothing later than the point is looked at.

A bar that closes up goes open, low, high, close, another one open, high, low, close. The last point stands a sixtieth
of the bar before its end, so that the next bar's open is an instant of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.simulation.history import HOUR, PERP, Bar, History, SeriesName, Settlement

SIXTIETHS = (0, 20, 40, 59)
"""Of a bar: minutes of an hour."""
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Stress:
    """All prices times ``factor`` from ``since`` on; None is never."""

    factor: Decimal = ONE
    since: datetime | None = None

    def at(self, instant: datetime) -> Decimal:
        """The factor of a point of the path."""
        return self.factor if self.since is not None and instant >= self.since else ONE


@dataclass(frozen=True, slots=True)
class Point:
    """One instant: the prices of the series that have one, and what was settled since the point before."""

    at: datetime
    prices: Mapping[SeriesName, Decimal]
    settled: tuple[tuple[SeriesName, Settlement], ...] = ()


def walked(bar: Bar, stress: Stress, step: timedelta = HOUR) -> tuple[Decimal, ...]:
    """The four prices of a bar so long, in order of time; the order is the recorded one, whatever befalls them."""
    is_up = bar.close >= bar.open
    path = (bar.open, bar.low, bar.high, bar.close) if is_up else (bar.open, bar.high, bar.low, bar.close)
    stamps = (bar.opened + step * part / 60 for part in SIXTIETHS)
    return tuple(price * stress.at(stamp) for stamp, price in zip(stamps, path, strict=True))


def points(history: History, start: datetime, end: datetime, stress: Stress) -> Iterator[Point]:
    """Every point from ``start`` to before ``end``; settlements up to the first one belong to the lead-in."""
    walks = {
        name: {bar.opened: walked(bar, stress, history.step) for bar in bars if start <= bar.opened < end}
        for name, bars in history.bars.items()
    }
    pending = sorted(
        ((name, settlement) for name, rows in history.settled.items() for settlement in rows if settlement.at > start),
        key=lambda item: (item[1].at, str(item[0])),
    )
    known = 0
    for opened in sorted({stamp for walk in walks.values() for stamp in walk}):
        for place, part in enumerate(SIXTIETHS):
            at = opened + history.step * part / 60
            if at >= end:
                return
            first = known
            while known < len(pending) and pending[known][1].at <= at:
                known += 1
            prices = {name: walk[opened][place] for name, walk in walks.items() if opened in walk}
            yield Point(at, prices, tuple(pending[first:known]))


def hours(start: datetime, end: datetime) -> Iterator[Point]:
    """Every full hour from ``start`` to before ``end``: for books that nothing is priced for at an exchange."""
    at = start + (-(start - datetime.min.replace(tzinfo=start.tzinfo)) % HOUR)
    while at < end:
        yield Point(at, {})
        at += HOUR


def lead_in(history: History, start: datetime, stress: Stress) -> Sequence[Point]:
    """Everything before ``start``, and what was settled at that very instant: what a strategy has seen by then."""
    settled = [(name, row) for name, rows in history.settled.items() for row in rows if row.at <= start]
    found = [Point(row.at, {}, ((name, row),)) for name, row in settled]
    for name, bars in history.bars.items():
        if name.market == PERP:
            for bar in bars:
                if bar.opened < start:
                    prices = zip(SIXTIETHS, walked(bar, stress, history.step), strict=True)
                    found += [Point(bar.opened + history.step * part / 60, {name: price}) for part, price in prices]
    return sorted(found, key=lambda point: point.at)
