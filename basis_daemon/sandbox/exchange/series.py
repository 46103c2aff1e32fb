"""A seeded market as files of recorded history: bars of five minutes of both kinds of perps, and their funding."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from basis_daemon.sandbox.exchange.instruments import Key
from basis_daemon.sandbox.exchange.money import from_e8, plain
from basis_daemon.sandbox.exchange.path import PricePath

BAR_MS, MINUTE_MS = 300_000, 60_000
SERIES: dict[Key, tuple[str, str]] = {
    ("usdm", "BTCUSDT"): ("bybit", "BTCUSDT"),
    ("coinm", "BTCUSD_PERP"): ("binancecoinm", "BTCUSD"),
}
"""Markets that are written down, and the venue and symbol that their rows bear."""
CANDLES, FUNDING = "candles_5m.csv", "funding.csv"


def write_series(path: PricePath, directory: Path) -> tuple[datetime, datetime]:
    """Both files, for every series that the market has; returns when it begins and ends. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / CANDLES, ("timestamp", "venue", "market", "symbol", "open", "high", "low", "close"), _bars(path))
    _write(directory / FUNDING, ("timestamp", "venue", "symbol", "funding_rate", "interval_hours"), _rates(path))
    return datetime.fromtimestamp(path.start_ms / 1000, UTC), datetime.fromtimestamp(path.end_ms / 1000, UTC)


def _bars(path: PricePath) -> Iterator[tuple[str, ...]]:
    for key, (venue, symbol) in SERIES.items():
        if key in path.keys:
            for opened in range(path.start_ms, path.end_ms, BAR_MS):
                yield (_stamp(opened), venue, "perp", symbol, *map(plain, _bar(path, key, opened)))


def _bar(path: PricePath, key: Key, opened: int) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Open, high, low and close of its minutes; a bar closes where the next one opens."""
    found = (path.price_e8(key, at) for at in range(opened, opened + BAR_MS + 1, MINUTE_MS))
    prices = [from_e8(price) for price in found if price is not None]
    return prices[0], max(prices), min(prices), prices[-1]


def _rates(path: PricePath) -> Iterator[tuple[str, ...]]:
    for (market, listed), (venue, symbol) in SERIES.items():
        for rate in path.rates(listed) if (market, listed) in path.keys else ():
            yield _stamp(rate.at_ms), venue, symbol, plain(rate.rate), str(rate.interval_hours)


def _stamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(file: Path, header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
