"""What the market does by itself: prices and funding over market time, whoever provides them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from basis_daemon.sandbox.exchange.instruments import Key

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Rate:
    """One funding settlement: longs pay `rate` of the notional at `at_ms` when it is positive."""

    at_ms: int
    rate: Decimal
    interval_hours: int


class PricePath(Protocol):
    """A market's script. Times are milliseconds UTC; prices are 1e-8 of the quote asset."""

    @property
    def start_ms(self) -> int: ...

    @property
    def end_ms(self) -> int: ...

    @property
    def keys(self) -> tuple[Key, ...]:
        """The markets that have a series."""

    def price_e8(self, key: Key, at_ms: int) -> int | None:
        """The mid price, or None where the series has a hole and the market is silent."""

    def rates(self, symbol: str) -> Sequence[Rate]:
        """All settlements of a perp in time order, beginning before `start_ms` with the history a client may want."""
