"""Recorded history for a window: fetched page by page, merged with what is there, and written whole each time.

A run that was cut is taken up where its files end. What a venue tells twice alike is kept once and counted, what it
tells twice otherwise is refused: two words for one hour are no record. Holes stay holes and are listed in gaps.csv.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from basis_daemon.domain.errors import ConfigError, IntegrityError
from basis_daemon.research.windows import CANDLE_COLUMNS, CANDLES, FUNDING, FUNDING_COLUMNS, GAP_COLUMNS, GAPS
from basis_daemon.venues.cex.history import HOUR, Candle, SettledRate

INTERVALS_H = (1, 2, 4, 8)
LOOK_BACK = timedelta(hours=9)
"""Before the first settlement there must be another one: an interval is the distance between two."""
Row = tuple[str, ...]
Key = tuple[str, ...]


class Source(Protocol):
    """Whose record it is, one answer at a time; raises VenueUnreachableError."""

    @property
    def name(self) -> str:
        """The venue of every row."""
        ...

    async def candles(self, market: str, symbol: str, start: datetime, end: datetime) -> Sequence[Candle]:
        """Closed hours from ``start``, oldest first; none when nothing follows before ``end``."""
        ...

    async def rates(self, symbol: str, start: datetime, end: datetime) -> Sequence[SettledRate]:
        """Settlements from ``start``, oldest first; none when nothing follows before ``end``."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """One series over [start, end); ``market`` is spot, perp, or funding."""

    market: str
    symbol: str
    start: datetime
    end: datetime


@dataclass(slots=True)
class Shelf:
    """One CSV file by key: the first ``keys`` columns of a row, of which the first is its stamp."""

    file: Path
    columns: Sequence[str]
    keys: int
    rows: dict[Key, Row] = field(default_factory=dict)
    told: set[Key] = field(default_factory=set)
    twice: Counter[str] = field(default_factory=Counter)

    def load(self) -> None:
        """What a run before has left. Raises ConfigError for a file of another form."""
        if not self.file.is_file():
            return
        with self.file.open(newline="", encoding="utf-8") as handle:
            reader = csv.reader(handle)
            header = next(reader, [])
            if tuple(header) != tuple(self.columns):
                raise ConfigError(
                    f"{self.file}: found the columns {','.join(header)}; expected {','.join(self.columns)}; "
                    "name another directory"
                )
            for row in reader:
                self.rows[tuple(row[: self.keys])] = tuple(row)

    def add(self, row: Row) -> None:
        """What a venue told. Raises IntegrityError for a second word on the same hour."""
        key = row[: self.keys]
        known = self.rows.get(key)
        if known is not None and known != row:
            raise IntegrityError(
                f"{self.file}: {' '.join(key)}: found {','.join(row[self.keys :])} beside "
                f"{','.join(known[self.keys :])}; expected one record; move the file away and fetch again"
            )
        if key in self.told:
            self.twice[":".join(key[1:])] += 1
        self.told.add(key)
        self.rows[key] = row

    def series(self, *key: str) -> list[Row]:
        """The rows of one series, oldest first."""
        return [row for row in sorted(self.rows.values()) if row[1 : self.keys] == key]

    def write(self) -> None:
        """Sorted by stamp, then by series; the old file stands until the new one is whole on disk."""
        _write(self.file, self.columns, sorted(self.rows.values()))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one series has come."""

    wanted: Wanted
    reached: datetime
    rows: int


class Collector:
    """Fills one directory from one source."""

    def __init__(self, directory: Path, source: Source, on_page: Callable[[Progress], None] = lambda _: None) -> None:
        self._source, self._on_page, self._directory = source, on_page, directory
        self._candles = Shelf(directory / CANDLES, CANDLE_COLUMNS, 4)
        self._funding = Shelf(directory / FUNDING, FUNDING_COLUMNS, 3)
        self._candles.load()
        self._funding.load()

    async def collect(self, wanted: Sequence[Wanted]) -> Mapping[str, int]:
        """Fetches what is missing and writes after every page; rows by series. Raises as source and shelves do."""
        for series in wanted:
            await (self._rates(series) if series.market == "funding" else self._bars(series))
        for shelf in (self._candles, self._funding):
            shelf.write()
        self._list_gaps(wanted)
        return {self._name(series): len(self._rows(series)) for series in wanted}

    async def _bars(self, series: Wanted) -> None:
        at = self._resume(series, HOUR)
        while at < series.end and (page := await self._source.candles(series.market, series.symbol, at, series.end)):
            for bar in page:
                words = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.quote_volume)
                self._candles.add((stamp_of(bar.opened), self._source.name, series.market, series.symbol, *words))
            at = page[-1].opened + HOUR
            self._candles.write()
            self._on_page(Progress(series, at, len(page)))

    async def _rates(self, series: Wanted) -> None:
        """An interval is told by the settlement before, to the hour: stamps may be some milliseconds late."""
        since = self._resume(series, timedelta(minutes=1))
        at = since - LOOK_BACK
        before: datetime | None = None
        while at < series.end and (page := await self._source.rates(series.symbol, at, series.end)):
            for rate in page:
                settled = _on_the_minute(rate.at)
                hours = _interval(before, settled)
                before = settled
                if settled >= since and hours is not None:
                    row = (stamp_of(settled), self._source.name, series.symbol, rate.rate, str(hours))
                    self._funding.add(row)
            at = page[-1].at + timedelta(milliseconds=1)
            self._funding.write()
            self._on_page(Progress(series, at, len(page)))

    def _resume(self, series: Wanted, step: timedelta) -> datetime:
        """Behind the newest row that is there, if what is there begins where it was asked to."""
        rows = self._rows(series)
        if not rows or _instant(rows[0][0]) > series.start + LOOK_BACK:
            return series.start
        return max(series.start, min(_instant(rows[-1][0]) + step, series.end))

    def _rows(self, series: Wanted) -> list[Row]:
        if series.market == "funding":
            return self._funding.series(self._source.name, series.symbol)
        return self._candles.series(self._source.name, series.market, series.symbol)

    def _name(self, series: Wanted) -> str:
        return f"{self._source.name}:{series.market}:{series.symbol}"

    def _list_gaps(self, wanted: Iterable[Wanted]) -> None:
        """Holes between rows and at both ends, and what came twice; what other runs have listed stays."""
        shelf = Shelf(self._directory / GAPS, GAP_COLUMNS, 4)
        shelf.load()
        mine = {self._name(series) for series in wanted}
        rows = [row for row in shelf.rows.values() if row[0] not in mine]
        for series in wanted:
            rows += self._gaps(series)
        twice = sorted((self._candles.twice + self._funding.twice).items())
        rows += [(name, "", "", f"{times} exact duplicate rows removed") for name, times in twice]
        _write(shelf.file, GAP_COLUMNS, rows)

    def _gaps(self, series: Wanted) -> Iterable[Row]:
        name, rows = self._name(series), self._rows(series)
        if not rows:
            yield name, stamp_of(series.start), stamp_of(series.end), "all"
            return
        is_funding = series.market == "funding"
        if not is_funding and (late := (_instant(rows[0][0]) - series.start) // HOUR) > 0:
            yield name, stamp_of(series.start - HOUR), rows[0][0], str(late)
        for before, after in pairwise(rows):
            step = timedelta(hours=int(after[-1])) if is_funding else HOUR
            missing = round((_instant(after[0]) - _instant(before[0])) / step) - 1
            if missing > 0:
                yield name, before[0], after[0], str(missing)
        if not is_funding and (rest := (series.end - _instant(rows[-1][0])) // HOUR - 1) > 0:
            yield name, rows[-1][0], stamp_of(series.end), str(rest)


def _interval(before: datetime | None, settled: datetime) -> int | None:
    """Hours since the settlement before, as venues settle; None for the first one, whose interval nobody told."""
    if before is None:
        return None
    hours = round((settled - before) / HOUR)
    return min(INTERVALS_H, key=lambda known: (abs(known - hours), known)) if hours else None


def _on_the_minute(at: datetime) -> datetime:
    return (at + timedelta(seconds=30)).replace(second=0, microsecond=0)


def stamp_of(at: datetime) -> str:
    """As every file of a window writes it, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _write(file: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", newline="", encoding="utf-8") as handle:
            handle.write(text.getvalue())
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(file)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; name a directory that can be written") from error
