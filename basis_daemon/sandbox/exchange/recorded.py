"""A market from recorded hours: `candles_1h.csv` and `funding.csv` in the format of the acceptance data.

The Bybit spot series is the reference spot of each asset; the perp is the venue's own. A candle is walked open, low,
high, close if it closes up, else open, high, low, close, at minutes 0, 20, 40 and 60, straight in between. Holes are
never filled.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from basis_daemon.sandbox.exchange.instruments import LISTED, Key
from basis_daemon.sandbox.exchange.money import E8
from basis_daemon.sandbox.exchange.path import DAY_MS, HOUR_MS, Rate

CANDLE_COLUMNS = ("timestamp", "venue", "market", "symbol", "open", "high", "low", "close")
FUNDING_COLUMNS = ("timestamp", "venue", "symbol", "funding_rate", "interval_hours")
LEG_MS = HOUR_MS // 3
REFERENCE_VENUE = "bybit"
Walk = tuple[int, int, int, int]


class DataError(ValueError):
    """A file of recorded data cannot be used; the message names file, line, column, value and remedy."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One CSV line with its place, so that every complaint can name it."""

    file: Path
    line: int
    values: dict[str, str]

    def error(self, column: str, remedy: str) -> DataError:
        return DataError(f"{self.file}, line {self.line}, column {column!r}: {self.values.get(column)!r}: {remedy}")

    def stamp(self) -> int:
        raw = self.values["timestamp"]
        try:
            at = datetime.fromisoformat(raw)
        except ValueError:
            raise self.error("timestamp", "write UTC as 2024-03-01T00:00:00Z") from None
        if at.tzinfo is None or at.utcoffset() != timedelta(0):
            raise self.error("timestamp", "stamps must be UTC and end in Z")
        return int(at.timestamp() * 1000)

    def number(self, column: str) -> Decimal:
        try:
            value = Decimal(self.values[column])
        except InvalidOperation:
            raise self.error(column, "write a plain decimal number with a point") from None
        if not value.is_finite():
            raise self.error(column, "the number must be finite")
        return value

    def price_e8(self, column: str) -> int:
        value = self.number(column)
        if value <= 0:
            raise self.error(column, "prices are above zero")
        return int(value * E8)


class RecordedPath:
    """A `PricePath` over one directory. Without dates it runs over everything the candles cover."""

    def __init__(
        self, directory: Path, venue: str = "binance", start_ms: int | None = None, end_ms: int | None = None
    ) -> None:
        listed = {instrument.key for instrument in LISTED}
        self._walks = {key: walks for key, walks in _candles(directory, venue).items() if key in listed}
        if not self._walks:
            raise DataError(
                f"{directory / 'candles_1h.csv'}: no usable series: give market 'spot' rows of venue "
                f"{REFERENCE_VENUE} (or {venue}) and market 'perp' rows of venue {venue} for {sorted(listed)}"
            )
        stamps = [stamp for walks in self._walks.values() for stamp in walks]
        self.start_ms = min(stamps) if start_ms is None else start_ms
        self.end_ms = max(stamps) + HOUR_MS if end_ms is None else end_ms
        perps = [symbol for market, symbol in self._walks if market == "usdm"]
        self._rates = _funding(directory, venue, perps)

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(sorted(self._walks))

    def price_e8(self, key: Key, at_ms: int) -> int | None:
        walks = self._walks[key]
        hour = at_ms - at_ms % HOUR_MS
        walk = walks.get(hour)
        if walk is None:
            before = walks.get(hour - HOUR_MS)
            return before[3] if before is not None and at_ms == self.end_ms else None
        leg, gone = divmod(at_ms - hour, LEG_MS)
        return walk[leg] + (walk[leg + 1] - walk[leg]) * gone // LEG_MS

    def rates(self, symbol: str) -> Sequence[Rate]:
        return self._rates[symbol]


def load_window(data: Path, window: str) -> RecordedPath:
    """The window `window` of `data/windows.json`, first to last day inclusive, with its lead-in as history."""
    index = data / "windows.json"
    try:
        content: dict[str, Any] = json.loads(index.read_text())
    except FileNotFoundError:
        raise DataError(f"{index}: not found: `window` needs it to tell first and last day") from None
    known = {entry["id"]: entry for entry in content["windows"]}
    if window not in known:
        raise DataError(f"{index}: no window {window!r}; known: {', '.join(known)}")
    first, last = (datetime.fromisoformat(known[window][name]).replace(tzinfo=UTC) for name in ("start", "end"))
    return RecordedPath(
        data / window, start_ms=int(first.timestamp() * 1000), end_ms=int(last.timestamp() * 1000) + DAY_MS
    )


def _rows(file: Path, columns: Sequence[str]) -> Iterator[_Row]:
    try:
        handle = file.open(newline="")
    except FileNotFoundError:
        raise DataError(f"{file}: not found: a data directory needs candles_1h.csv and funding.csv") from None
    with handle:
        reader = csv.DictReader(handle)
        absent = [column for column in columns if column not in (reader.fieldnames or ())]
        if absent:
            raise DataError(f"{file}, line 1: columns {absent} are missing; the header is {','.join(columns)}")
        for values in reader:
            if None in values or None in values.values():
                raise DataError(f"{file}, line {reader.line_num}: the line does not have one value per column")
            yield _Row(file, reader.line_num, values)


def _candles(directory: Path, venue: str) -> dict[Key, dict[int, Walk]]:
    """Walks by key and hour. The reference venue's spot wins over the venue's own."""
    found: dict[Key, dict[int, Walk]] = {}
    reference: dict[Key, dict[int, Walk]] = {}
    for row in _rows(directory / "candles_1h.csv", CANDLE_COLUMNS):
        market, source = row.values["market"], row.values["venue"]
        if market not in ("spot", "perp"):
            raise row.error("market", "market is 'spot' or 'perp'")
        if market == "spot" and source == REFERENCE_VENUE:
            series = reference.setdefault(("spot", row.values["symbol"]), {})
        elif source == venue:
            series = found.setdefault(("usdm" if market == "perp" else "spot", row.values["symbol"]), {})
        else:
            continue
        stamp = row.stamp()
        if stamp % HOUR_MS:
            raise row.error("timestamp", "candles open at full hours")
        if stamp in series:
            raise row.error("timestamp", "this hour was given before for the same series: keep one of the rows")
        series[stamp] = _walk(row)
    return found | reference


def _walk(row: _Row) -> Walk:
    opened, high, low, close = (row.price_e8(column) for column in ("open", "high", "low", "close"))
    if high < max(opened, low, close):
        raise row.error("high", "the high is below another price of the candle")
    if low > min(opened, close):
        raise row.error("low", "the low is above another price of the candle")
    return (opened, low, high, close) if close > opened else (opened, high, low, close)


def _funding(directory: Path, venue: str, symbols: Sequence[str]) -> dict[str, list[Rate]]:
    rates: dict[str, list[Rate]] = {symbol: [] for symbol in symbols}
    for row in _rows(directory / "funding.csv", FUNDING_COLUMNS):
        symbol = row.values["symbol"]
        if row.values["venue"] != venue or symbol not in rates:
            continue
        hours = row.number("interval_hours")
        if hours not in (1, 2, 4, 8):
            raise row.error("interval_hours", "the interval is 1, 2, 4 or 8 hours")
        rate = row.number("funding_rate")
        if abs(rate) > Decimal("0.05"):
            raise row.error("funding_rate", "a rate per interval, as a fraction: 0.0001 is one basis point")
        rates[symbol].append(Rate(row.stamp(), rate, int(hours)))
    for symbol, own in rates.items():
        own.sort(key=lambda rate: rate.at_ms)
        if not own:
            raise DataError(f"{directory / 'funding.csv'}: no rows of venue {venue} for {symbol}, which has candles")
    return rates
