"""Recorded bars and settled funding read from CSV: every fault names file, line, column, value and remedy.

Holes stay holes. Only the rows of the venue and symbols asked for are read as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from basis_daemon.research.windows import CANDLES, FUNDING
from basis_daemon.simulation.rows import Row, rows_of

SPOT, PERP = "spot", "perp"
CANDLE_COLUMNS = ("timestamp", "venue", "market", "symbol", "open", "high", "low", "close")
FUNDING_COLUMNS = ("timestamp", "venue", "symbol", "funding_rate", "interval_hours")
INTERVALS_H = frozenset({1, 2, 4, 8})
RATE_MAX = Decimal("0.05")
HOUR, FIVE_MINUTES = timedelta(hours=1), timedelta(minutes=5)
FILES = {HOUR: CANDLES, FIVE_MINUTES: "candles_5m.csv"}
"""Where the bars of each length are; a window has the hourly ones, the others, or both."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of time; ``opened`` is its first instant. Nothing of it is known before, and its close a step later."""

    opened: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass(frozen=True, slots=True)
class Settlement:
    """One settled funding rate, positive when longs pay."""

    at: datetime
    rate: Decimal
    interval_hours: int


@dataclass(frozen=True, slots=True)
class SeriesName:
    """Whose rows: ``market`` is spot or perp, ``symbol`` such as BTCUSDT."""

    venue: str
    market: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.venue} {self.market} {self.symbol}"


@dataclass(frozen=True, slots=True)
class History:
    """What one directory holds of what was asked for; a series without rows is absent."""

    directory: Path
    bars: Mapping[SeriesName, Sequence[Bar]] = field(default_factory=dict)
    settled: Mapping[SeriesName, Sequence[Settlement]] = field(default_factory=dict)
    step: timedelta = HOUR

    @property
    def stamps(self) -> tuple[datetime, datetime] | None:
        """First and last bar open of any series; None without one."""
        firsts = [bars[0].opened for bars in self.bars.values()]
        return (min(firsts), max(bars[-1].opened for bars in self.bars.values())) if firsts else None


def with_stand_in(history: History, wanted: Sequence[SeriesName], venue: str) -> History:
    """The same history, in which the spot rows of ``venue`` stand for wanted spot series that have none."""
    lent = {
        name: history.bars[other]
        for name in wanted
        if name.market == SPOT and name not in history.bars
        if (other := SeriesName(venue, SPOT, name.symbol)) in history.bars
    }
    own = {name: bars for name, bars in history.bars.items() if name in wanted}
    return History(history.directory, own | lent, history.settled)


def read_history(directory: Path, wanted: Sequence[SeriesName], step: timedelta = HOUR) -> History:
    """The bars of these series, and the settlements of the perps among them. Raises HistoryError.

    A window that has no file of shorter bars than hours has no such series.
    """
    bars: dict[SeriesName, list[Bar]] = {name: [] for name in wanted}
    file = directory / FILES[step]
    for row in rows_of(file, CANDLE_COLUMNS) if step == HOUR or file.is_file() else ():
        name = SeriesName(row["venue"], row["market"], row["symbol"])
        if name.market not in {SPOT, PERP}:
            raise row.fault("market", "spot or perp", "correct the word")
        if name in bars:
            _append(bars[name], _bar(row, step), row)
    settled: dict[SeriesName, list[Settlement]] = {name: [] for name in wanted if name.market == PERP}
    for row in rows_of(directory / FUNDING, FUNDING_COLUMNS):
        name = SeriesName(row["venue"], PERP, row["symbol"])
        if name in settled:
            _append(settled[name], _settlement(row), row)
    return History(
        directory,
        {name: found for name, found in bars.items() if found},
        {name: found for name, found in settled.items() if found},
        step,
    )


def stamps_in(directory: Path) -> tuple[datetime, datetime] | None:
    """First and last bar open of anything hourly there, whoever it is of; None without hours. Raises HistoryError."""
    file = directory / CANDLES
    found = [row.stamp() for row in rows_of(file, ("timestamp",))] if file.is_file() else []
    return (min(found), max(found)) if found else None


def _append(known: list[Bar] | list[Settlement], new: Bar | Settlement, row: Row) -> None:
    at = new.opened if isinstance(new, Bar) else new.at
    if known:
        last = known[-1]
        before = last.opened if isinstance(last, Bar) else last.at
        if at == before:
            raise row.fault("timestamp", "every stamp once in a series", "keep one of the two rows")
        if at < before:
            raise row.fault("timestamp", f"a stamp behind {before.isoformat()}", "sort the file by its stamps")
    known.append(new)  # type: ignore[arg-type]  # the caller hands a list of the same kind


def _bar(row: Row, step: timedelta) -> Bar:
    at = row.stamp()
    if (at - at.replace(hour=0, minute=0, second=0, microsecond=0)) % step:
        expected = f"a multiple of {step}: the stamp of a bar is its open"
        raise row.fault("timestamp", "a full hour: the stamp of a bar is its open" if step == HOUR else expected,
                        "give hourly bars" if step == HOUR else "give such bars")  # fmt: skip
    first, high, low, last = (row.price(column) for column in ("open", "high", "low", "close"))
    if high < max(first, last):
        raise row.fault("high", "no open or close above it", "correct the bar")
    if low > min(first, last):
        raise row.fault("low", "no open or close below it", "correct the bar")
    return Bar(at, first, high, low, last)


def _settlement(row: Row) -> Settlement:
    hours, rate = row.number("interval_hours"), row.number("funding_rate")
    if hours not in INTERVALS_H:
        raise row.fault("interval_hours", "1, 2, 4 or 8 hours", "give the interval of this settlement")
    if abs(rate) > RATE_MAX:
        raise row.fault("funding_rate", f"a fraction per interval, at most {RATE_MAX}", "a basis point is 0.0001")
    return Settlement(row.stamp(), rate, int(hours))
