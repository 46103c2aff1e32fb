"""Market inputs as compressed CSV, one file per kind, UTC day and session: what `sandbox exchange --data DIR` plays.

`books-DAY-N.csv.gz` top of book with the levels behind it, `marks-...` mark, index and predicted funding, `funding-...`
settled rates in the columns of `funding.csv`. Every row bears the venue's stamp and the wall time of its arrival. Each
write ends in a sync flush, so that a process that dies leaves a file that reads up to its last write.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.market import BookTick, ExchangeEvent, Level, MarkTick

BOOKS, MARKS, FUNDING = "books", "marks", "funding"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    BOOKS: (
        "timestamp", "received", "venue", "market", "symbol", "bid", "bid_size", "ask", "ask_size", "bids", "asks",
    ),
    MARKS: (
        "timestamp", "received", "venue", "market", "symbol", "mark", "index", "funding_predicted", "next_funding_time",
    ),
    FUNDING: ("timestamp", "received", "venue", "symbol", "funding_rate", "interval_hours"),
}  # fmt: skip
"""The header of each kind of file; ``bids`` and ``asks`` are the levels behind the best, `price:size|price:size`."""
_LEVEL = 5
"""Of compression: a busy day is written in seconds, and is a sixth of its text."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event and when it arrived, on the wall clock."""

    event: ExchangeEvent
    received: datetime


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: at most so many days behind the newest, and so many bytes in all; the oldest days go first."""

    days_max: int
    bytes_max: int


class Tape:
    """The files of one venue's market. Belongs to one thread at a time; raises OSError when the disk does."""

    def __init__(self, directory: Path, venue: str, levels: int, retention: Retention) -> None:
        self._directory, self._venue, self._levels, self._retention = directory, venue, levels, retention
        self._names: dict[PositionKey, str] = {}
        self._open: dict[str, tuple[str, gzip.GzipFile, BinaryIO]] = {}

    def name(self, instruments: Mapping[PositionKey, Instrument]) -> None:
        """Learn what the venue calls each key."""
        for key, instrument in instruments.items():
            is_perp = key.kind is Kind.PERP
            self._names[key] = key.symbol if is_perp else f"{instrument.base}{instrument.quote}"

    def write(self, heard: Iterable[Heard]) -> None:
        """Append everything, then make it readable."""
        for item in heard:
            kind, row = self._row(item)
            at = item.received if kind == FUNDING else item.event.venue_time
            self._file(kind, at).write((",".join(row) + "\n").encode())
        for _, packed, raw in self._open.values():
            packed.flush()
            raw.flush()

    def close(self) -> None:
        """Finish every file."""
        for kind in list(self._open):
            self._finish(kind)

    def _row(self, item: Heard) -> tuple[str, Sequence[str]]:
        event = item.event
        at, received, symbol = _stamp(event.venue_time), _stamp(item.received), self._names[event.instrument]
        market = event.instrument.kind.value
        if isinstance(event, BookTick):
            (bid, bid_size), (ask, ask_size) = event.bids[0], event.asks[0]
            best = [f"{number:f}" for number in (bid, bid_size, ask, ask_size)]
            rest = [_levels(side[1 : self._levels]) for side in (event.bids, event.asks)]
            return BOOKS, [at, received, self._venue, market, symbol, *best, *rest]
        if isinstance(event, MarkTick):
            figures = [f"{number:f}" for number in (event.mark, event.index, event.funding_predicted)]
            return MARKS, [at, received, self._venue, market, symbol, *figures, _stamp(event.next_funding_time)]
        return FUNDING, [at, received, self._venue, symbol, f"{event.rate:f}", str(event.interval_hours)]

    def _file(self, kind: str, at: datetime) -> gzip.GzipFile:
        """The file of that kind for the day of ``at``: the venue's, or of arrival for rates, which tell of the past."""
        day = f"{at:%Y-%m-%d}"
        found = self._open.get(kind)
        if found is not None and found[0] >= day:
            return found[1]
        if found is not None:
            self._finish(kind)
        self._directory.mkdir(parents=True, exist_ok=True)
        number = len(list(self._directory.glob(f"{kind}-{day}-*.csv.gz")))
        raw = (self._directory / f"{kind}-{day}-{number:04d}.csv.gz").open("xb")
        packed = gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=_LEVEL, mtime=0)
        packed.write((",".join(COLUMNS[kind]) + "\n").encode())
        self._open[kind] = (day, packed, raw)
        self._prune(kind, day)
        return packed

    def _finish(self, kind: str) -> None:
        _, packed, raw = self._open.pop(kind)
        packed.close()
        raw.flush()
        os.fsync(raw.fileno())
        raw.close()

    def _prune(self, kind: str, today: str) -> None:
        """Forget whole days of this kind, the oldest first, never the one that is written."""
        oldest = datetime.fromisoformat(today) - timedelta(days=self._retention.days_max)
        left = sum(file.stat().st_size for file in self._directory.glob("*.csv.gz"))
        for file in sorted(self._directory.glob(f"{kind}-????-??-??-????.csv.gz")):
            day = file.name.removeprefix(f"{kind}-")[: len(today)]
            if day >= today or not (day < f"{oldest:%Y-%m-%d}" or left > self._retention.bytes_max):
                continue
            left -= file.stat().st_size
            file.unlink()


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _levels(side: Sequence[Level]) -> str:
    return "|".join(f"{price:f}:{size:f}" for price, size in side)
