"""What an exchange has recorded of its markets: hourly bars and settled funding, every number as it was written.

Public questions only, through the one door to ccxt, its budget and its gate; no key is needed or used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

import aiohttp

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.ports import Clock
from basis_daemon.venues.cex.ccxt_client import ExchangeClient, client_pair
from basis_daemon.venues.cex.frames import Foreign, Row, exact, instant, milliseconds, positive
from basis_daemon.venues.cex.limiter import Request, WeightLimiter
from basis_daemon.venues.cex.network import SandboxNetwork, open_session
from basis_daemon.venues.cex.options import CEXOptions, Note, Terms, ignore_note
from basis_daemon.venues.cex.outcome import CallError, outcome_of
from basis_daemon.venues.cex.quirks import AccountQuirks, Fate, VenueQuirks
from basis_daemon.venues.cex.read_only import ReadOnly

T = TypeVar("T")
HOUR = timedelta(hours=1)
PATIENT = Request(wait_max_s=600.0)
"""Nothing waits for a history: it takes its turn behind whatever else the address asks."""
CALL_TIMEOUT_S = 700.0
"""Of one question, its turn in the budget included; the request itself has ccxt's own time-out."""
TRIES, PAUSE_S = 5, 2.0
SPOT, PERP = "spot", "perp"


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed hour in the venue's own digits; ``volume`` is in base, ``quote_volume`` in quote units."""

    opened: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str


@dataclass(frozen=True, slots=True)
class SettledRate:
    """One settlement in the venue's own digits, positive when longs pay."""

    at: datetime
    rate: str


@dataclass(frozen=True, slots=True)
class HistoryCalls:
    """How one exchange is asked: ccxt's names of the raw calls by market, and the rows that an answer holds at most."""

    candles: Mapping[str, str]
    candles_max: int
    rates: str
    rates_max: int


HISTORIES: Mapping[str, HistoryCalls] = {
    "binance": HistoryCalls(
        candles={SPOT: "publicGetKlines", PERP: "fapiPublicGetKlines"},
        candles_max=1000,
        rates="fapiPublicGetFundingRate",
        rates_max=1000,
    )
}
"""Exchanges whose history can be fetched."""


class CEXHistory:
    """One exchange's public record; use it as an async context."""

    def __init__(
        self, quirks: VenueQuirks, clock: Clock, network: SandboxNetwork | None = None, note: Note = ignore_note
    ) -> None:
        self.name = quirks.name
        self._quirks, self._clock, self._network = quirks, clock, network
        self._calls = HISTORIES[quirks.name]
        self._limiter = WeightLimiter(quirks.pools, clock, note)
        self._session: aiohttp.ClientSession | None = None
        self._clients: list[ExchangeClient] = []
        self._by_market: dict[str, ExchangeClient] = {}

    async def __aenter__(self) -> Self:
        options = CEXOptions(
            None, None, ("BTC",), ("BTCUSDT",), network=self._network, is_read_only=True, terms=Terms({}, ())
        )
        gate = ReadOnly(self._quirks)
        self._session = open_session(self._network, gate.check_request)
        for account in self._quirks.accounts:
            pair = client_pair(self._quirks, account, options, self._session, self._limiter, gate)
            self._clients += pair
            self._by_market[_market_of(account)] = pair[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.close()
        if self._session is not None:
            await self._session.close()

    async def candles(self, market: str, symbol: str, start: datetime, end: datetime) -> Sequence[Candle]:
        """Hours that opened in [start, end) and have closed, oldest first; one answer, so perhaps not all of them.

        An hour has closed when the venue tells of a later one: the last of an answer may still be running, whatever
        time it is here. Raises VenueUnreachableError.
        """
        parameters = {
            "symbol": symbol,
            "interval": "1h",
            "startTime": milliseconds(start),
            "limit": self._calls.candles_max,
        }
        found = await self._ask(market, self._calls.candles[market], parameters, _candle)
        return [row for row in found[:-1] if start <= row.opened < end]

    async def rates(self, symbol: str, start: datetime, end: datetime) -> Sequence[SettledRate]:
        """Settlements in [start, end), oldest first; one answer, so perhaps not all. Raises VenueUnreachableError."""
        parameters = {
            "symbol": symbol,
            "startTime": milliseconds(start),
            "endTime": milliseconds(end) - 1,
            "limit": self._calls.rates_max,
        }
        found = await self._ask(PERP, self._calls.rates, parameters, _rate)
        return [row for row in found if start <= row.at < end]

    async def _ask(
        self, market: str, call: str, parameters: Mapping[str, object], read: Callable[[Foreign], T]
    ) -> Sequence[T]:
        """Tries again what the venue may answer later; what it refuses is told at once."""
        client = self._by_market[market]

        async def work() -> Sequence[T]:
            answer = await client.ask(call, dict(parameters), request=PATIENT)
            if not isinstance(answer, list):
                raise ValueError(f"{call} answered {type(answer).__name__}, expected a list")  # noqa: TRY004 - an answer
            return [read(row) for row in answer]

        for number in range(1, TRIES + 1):
            try:
                return await outcome_of(work, self._quirks.verdicts, CALL_TIMEOUT_S)
            except CallError as fault:
                if number == TRIES or fault.fate in {Fate.REJECTED, Fate.NOT_FOUND}:
                    what = f"{self.name} {market} {parameters['symbol']} {call}"
                    raise VenueUnreachableError(f"{what}: {fault.text} (asked {number} times)") from fault
            await self._clock.sleep(PAUSE_S * number)
        raise VenueUnreachableError(f"{self.name} {call}: no answer")


def _market_of(account: AccountQuirks) -> str:
    return PERP if account.has_perps else SPOT


def _candle(row: Foreign) -> Candle:
    """Raises ValueError, IndexError, TypeError for a row that is no bar: then the whole answer is doubted."""
    words = [str(word) for word in (*row[1:6], row[7])]
    first, high, low, last = (positive(word) for word in words[:4])
    if not low <= min(first, last) <= max(first, last) <= high:
        raise ValueError(f"bar {row[:5]!r}, expected low <= open, close <= high")
    for word in words[4:]:
        exact(word)
    return Candle(instant(row[0]), *words)


def _rate(row: Row) -> SettledRate:
    word = str(row["fundingRate"])
    exact(word)
    return SettledRate(instant(row["fundingTime"]), word)
