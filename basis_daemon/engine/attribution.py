"""Where the change of equity came from, interval by interval, and what a share was worth: folds of valuations.

An interval lies between two valuations of one strategy and belongs to the hour or day in which it ends. Its sources sum
to its change of equity, so that any sum of intervals does too. A share price moves by what was earned, never by what
came in or went out: deposits and withdrawals change the number of shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from basis_daemon.domain.errors import BasisError
from basis_daemon.domain.pnl import SOURCES, by_source
from basis_daemon.domain.valuation import Shares, shares_after

Json = dict[str, Any]
ZERO, ONE = Decimal(0), Decimal(1)
QUOTE = "USDT"
_INSTANT = timedelta(microseconds=1)
"""A valuation on the hour ends the hour before it."""


class NothingValuedError(BasisError):
    """No valuation lies there; the message says where they lie."""


class By(StrEnum):
    """What the periods of an answer are."""

    HOUR = "hour"
    DAY = "day"
    STRATEGY = "strategy"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which intervals: those that end after ``start`` and not after ``end``; None is the journal's own end."""

    start: datetime | None = None
    end: datetime | None = None
    by: By | None = None
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A strategy at one valuation, or all strategies of a share class together. Money is in ``numeraire``."""

    strategy: str
    numeraire: str
    time: datetime
    equity: Decimal
    shares: Shares

    @property
    def drawdown(self) -> Decimal:
        """Fraction that a share lies below its highest price."""
        return ONE - self.shares.unit_value / self.shares.high if self.shares.high > 0 else ZERO


@dataclass(frozen=True, slots=True)
class Interval:
    """Between two valuations: ``sources`` sum to the change of equity."""

    opening: Point
    closing: Point
    sources: Mapping[str, Decimal]

    @property
    def change(self) -> Decimal:
        """Of equity, what came in and went out included."""
        return self.closing.equity - self.opening.equity


@dataclass(slots=True)
class Course:
    """A strategy, or all of one share class, from its first valuation to its last."""

    points: list[Point] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)

    def equity_at(self, time: datetime) -> Decimal:
        """At the last valuation by then; 0 before the first."""
        return next((point.equity for point in reversed(self.points) if point.time <= time), ZERO)


def courses_of(rows: Iterable[Json]) -> dict[str, Course]:
    """Each strategy's own course, by its name. What its first row says leads up to it, and is left out."""
    found: dict[str, Course] = {}
    for row in rows:
        course = found.setdefault(row["strategy"], Course())
        point = _point(row)
        if course.points:
            amounts = {name: Decimal(amount) for name, amount in row["components"].items()}
            course.intervals.append(Interval(course.points[-1], point, by_source(amounts)))
        course.points.append(point)
    return found


def _point(row: Json) -> Point:
    shares = Shares(Decimal(row["units"]), Decimal(row["unit_value"]), Decimal(row["unit_value_high"]))
    at, equity = datetime.fromisoformat(row["time"]), Decimal(row["equity_usdt"])
    return Point(row["strategy"], row.get("numeraire", QUOTE), at, equity, shares)


def together(own: Sequence[Course]) -> list[Point]:
    """The courses of one share class as one book: equity summed, and one share of all of it.

    A strategy's first equity is money that came in, behind what the others earned until then. A single strategy's
    share is the book's share.
    """
    if len(own) == 1:
        return own[0].points
    numeraire = own[0].points[0].numeraire
    steps = [(step.closing, step.sources["flows"]) for course in own for step in course.intervals]
    steps += [(course.points[0], course.points[0].equity) for course in own]
    latest: dict[str, Decimal] = {}
    shares: Shares | None = None
    found: list[Point] = []
    for point, flows in sorted(steps, key=lambda step: step[0].time):
        latest[point.strategy] = point.equity
        equity = sum(latest.values(), ZERO)
        shares = shares_after(shares, equity, flows)
        if found and found[-1].time == point.time:
            found.pop()  # a moment counts once, when all of it is told
        found.append(Point("", numeraire, point.time, equity, shares))
    return found


def chosen(course: Course, asked: Asked) -> list[Interval]:
    """The intervals that end within what was asked for."""
    return [
        step
        for step in course.intervals
        if (asked.start is None or step.closing.time > asked.start)
        and (asked.end is None or step.closing.time <= asked.end)
    ]


def summed(steps: Iterable[Interval]) -> dict[str, Decimal]:
    """Sources of several intervals added."""
    found = dict.fromkeys(SOURCES, ZERO)
    for step in steps:
        for source, amount in step.sources.items():
            found[source] += amount
    return found


Bucket = tuple[datetime, str]
"""Beginning of an hour or a day, and the share class."""


def periods(steps: Iterable[Interval], by: By) -> dict[Bucket, list[Interval]]:
    """Intervals by the hour or day in which they end, oldest first; share classes apart."""
    found: dict[Bucket, list[Interval]] = {}
    for step in sorted(steps, key=lambda step: step.closing.time):
        found.setdefault((floor(step.closing.time, by), step.closing.numeraire), []).append(step)
    return found


def floor(time: datetime, by: By) -> datetime:
    """Beginning of the hour or day that ends at ``time`` or later."""
    inside = (time - _INSTANT).replace(minute=0, second=0, microsecond=0)
    return inside.replace(hour=0) if by is By.DAY else inside


def first_and_last(steps: Sequence[Interval]) -> tuple[Decimal, Decimal]:
    """Equity at the opening of each strategy's first interval, and at the close of its last."""
    first: dict[str, Decimal] = {}
    last: dict[str, Decimal] = {}
    for step in steps:
        first.setdefault(step.opening.strategy, step.opening.equity)
        last[step.closing.strategy] = step.closing.equity
    return sum(first.values(), ZERO), sum(last.values(), ZERO)


def refuse_nothing(courses: Mapping[str, Course], asked: Asked) -> None:
    """Raises NothingValuedError when there is no interval to tell of, with what there is."""
    if asked.strategy is not None and asked.strategy not in courses:
        known = ", ".join(sorted(courses)) or "none yet"
        raise NothingValuedError(f"strategy {asked.strategy}: no valuation is of it; expected one of: {known}")
    own = [course for name, course in courses.items() if asked.strategy in {None, name}]
    if any(chosen(course, asked) for course in own):
        return
    times = [point.time for course in own for point in course.points]
    if all(len(course.points) == 1 for course in own):
        raise NothingValuedError(
            f"one valuation only, at {max(times).isoformat()}; expected two or more, for what lies between them: wait "
            "for the next one"
        )
    wanted = f"{_words(asked.start, 'the beginning')} to {_words(asked.end, 'the end')}"
    raise NothingValuedError(
        f"no interval between valuations ends within {wanted}; the valuations lie from {min(times).isoformat()} to "
        f"{max(times).isoformat()}: ask for a part of that"
    )


def _words(time: datetime | None, else_: str) -> str:
    return time.isoformat() if time is not None else else_
