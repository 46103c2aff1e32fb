"""A market from what a daemon recorded: `books-*.csv.gz`, `marks-*.csv.gz` and `funding-*.csv.gz` of one directory.

A spot price is the mid of its best bid and ask, a perp's price its mark: each holds until the next row. Where a series
says nothing for longer than `HOLE_MS` the market is silent: holes are never filled. A file whose process died ends
where its last whole line ends.
"""

from __future__ import annotations

import csv
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from basis_daemon.sandbox.exchange.instruments import LISTED, Key
from basis_daemon.sandbox.exchange.money import E8
from basis_daemon.sandbox.exchange.path import Rate
from basis_daemon.sandbox.exchange.recorded import DataError

HOLE_MS = 15 * 60 * 1000
GZIP_BITS = 31
MARKETS = {"spot": "spot", "perp": "usdm"}


def is_recording(directory: Path) -> bool:
    """True for a directory that holds what a daemon recorded."""
    return any(directory.glob("marks-*.csv.gz")) or any(directory.glob("books-*.csv.gz"))


class TickPath:
    """A `PricePath` over one recording, from the first instant at which every series has spoken to the last row."""

    def __init__(self, directory: Path, venue: str = "binance") -> None:
        listed = {instrument.key for instrument in LISTED}
        self._series = {key: series for key, series in _series(directory, venue).items() if key in listed}
        if not self._series:
            raise DataError(f"{directory}: the recording holds no series of venue {venue} for {sorted(listed)}")
        self.start_ms = max(stamps[0] for stamps, _ in self._series.values())
        self.end_ms = max(stamps[-1] for stamps, _ in self._series.values())
        if self.end_ms <= self.start_ms:
            raise DataError(f"{directory}: the recording ends before every series has spoken")
        perps = [symbol for market, symbol in self._series if market == "usdm"]
        self._rates = _rates(directory, venue, perps)

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(sorted(self._series))

    def price_e8(self, key: Key, at_ms: int) -> int | None:
        stamps, prices = self._series[key]
        place = bisect_right(stamps, at_ms) - 1
        if place < 0 or at_ms - stamps[place] > HOLE_MS:
            return None
        return prices[place]

    def rates(self, symbol: str) -> Sequence[Rate]:
        return self._rates[symbol]


def _series(directory: Path, venue: str) -> dict[Key, tuple[list[int], list[int]]]:
    found: dict[Key, dict[int, int]] = {}
    for file, row in _rows(directory, "books", venue):
        if row["market"] == "spot":
            mid = (_number(file, row, "bid") + _number(file, row, "ask")) / 2
            found.setdefault(("spot", row["symbol"]), {})[_stamp(file, row)] = int(mid * E8)
    for file, row in _rows(directory, "marks", venue):
        mark = _number(file, row, "mark")
        found.setdefault(("usdm", row["symbol"]), {})[_stamp(file, row)] = int(mark * E8)
    return {key: (sorted(ticks), [ticks[at] for at in sorted(ticks)]) for key, ticks in found.items()}


def _rates(directory: Path, venue: str, symbols: Sequence[str]) -> dict[str, list[Rate]]:
    found: dict[str, dict[int, Rate]] = {symbol: {} for symbol in symbols}
    for file, row in _rows(directory, "funding", venue):
        if row["symbol"] in found:
            at_ms = _stamp(file, row)
            found[row["symbol"]][at_ms] = Rate(at_ms, _number(file, row, "funding_rate"), int(row["interval_hours"]))
    for symbol, rates in found.items():
        if not rates:
            raise DataError(f"{directory}: no funding rows of {symbol}, which has marks: record its history too")
    return {symbol: [rates[at] for at in sorted(rates)] for symbol, rates in found.items()}


def _rows(directory: Path, kind: str, venue: str) -> Iterator[tuple[Path, Mapping[str, str]]]:
    for file in sorted(directory.glob(f"{kind}-*.csv.gz")):
        for row in csv.DictReader(_whole_lines(file)):
            if row["venue"] == venue:
                yield file, row


def _whole_lines(file: Path) -> list[str]:
    """Every line that was written to its end, also of a file that was cut off."""
    unpacker = zlib.decompressobj(GZIP_BITS)
    try:
        text = unpacker.decompress(file.read_bytes())
    except zlib.error as error:
        raise DataError(f"{file}: {error}: not a recording, or damaged: take it out of the directory") from None
    return text[: text.rfind(b"\n") + 1].decode().splitlines()


def _stamp(file: Path, row: Mapping[str, str]) -> int:
    try:
        return int(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000)
    except ValueError:
        raise DataError(f"{file}: timestamp {row['timestamp']!r}: write UTC as 2024-03-01T00:00:00.000Z") from None


def _number(file: Path, row: Mapping[str, str], column: str) -> Decimal:
    try:
        return Decimal(row[column])
    except InvalidOperation:
        raise DataError(f"{file}: {column} {row[column]!r}: write a plain decimal number with a point") from None
