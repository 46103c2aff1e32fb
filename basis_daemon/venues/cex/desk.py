"""One account's desk: its two clients, what is listed there, its fills and its clock, and how it asks the venue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from basis_daemon.domain.errors import InvalidOrderError, VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.ports import Clock
from basis_daemon.venues.cex.ccxt_client import ExchangeClient
from basis_daemon.venues.cex.clock_skew import ClockSkew
from basis_daemon.venues.cex.fills import FillBook, Listing
from basis_daemon.venues.cex.frames import EPOCH
from basis_daemon.venues.cex.limiter import DEFAULT, Request
from basis_daemon.venues.cex.options import CEXOptions, Note
from basis_daemon.venues.cex.outcome import CallError, outcome_of
from basis_daemon.venues.cex.quirks import AccountQuirks, Fate, VenueQuirks

T = TypeVar("T")
LEAP_MAX_DAYS = 40


class MarketTime:
    """The newest stamp that a venue has put on anything; grows only."""

    def __init__(self) -> None:
        self.newest = EPOCH

    def advance(self, stamp: datetime) -> None:
        """Raises ValueError for a stamp too far ahead to be true: it would make everything else look stale."""
        if self.newest is not EPOCH and (stamp - self.newest).days > LEAP_MAX_DAYS:
            raise ValueError(f"stamp {stamp}, expected at most {LEAP_MAX_DAYS} days after {self.newest}")
        self.newest = max(self.newest, stamp)

    def is_known(self) -> bool:
        """True once the venue has stamped something."""
        return self.newest > EPOCH


def _ignore() -> None:
    """Nobody listens for missed fills yet."""


async def _leave() -> None:
    """Nobody reads terms again yet."""


def _nobodys(_tx_id: str, _number: str) -> bool:
    """No wallet of ours is anywhere."""
    return False


class Desk:
    """Shared by the interface, the source and the feed of one account. The feed's start fills ``instruments``.

    ``is_own_transfer`` knows what crosses between here and our wallet, by transaction and number: nobody's capital.
    ``money_moved_ns`` is when the venue last said that a balance moved without an order; process time.
    """

    def __init__(
        self,
        venue: VenueQuirks,
        quirks: AccountQuirks,
        options: CEXOptions,
        clock: Clock,
        note: Note,
    ) -> None:
        self.venue, self.quirks, self.options, self.clock, self.note = venue, quirks, options, clock, note
        self.skew = ClockSkew(quirks.name, options.skew_alarm_ms, note)
        self._clients: tuple[ExchangeClient, ExchangeClient] | None = None
        self.fills = FillBook(venue.origin_of)
        self.instruments: Mapping[PositionKey, Instrument] = {}
        self.on_fill_missed: Callable[[], None] = _ignore
        self.on_terms_doubted: Callable[[], Awaitable[None]] = _leave
        self.is_own_transfer: Callable[[str, str], bool] = _nobodys
        self.money_moved_ns: int | None = None
        self.patience = DEFAULT

    def connect(self, clients: tuple[ExchangeClient, ExchangeClient]) -> None:
        """Take the (orders, data) clients; before that every question raises VenueUnreachableError."""
        self._clients = clients
        self.skew.take(clients)

    @property
    def orders(self) -> ExchangeClient:
        """The client that orders do not have to wait for."""
        if self._clients is None:
            raise VenueUnreachableError(f"{self.name}: not connected, its feed was not started")
        return self._clients[0]

    @property
    def data(self) -> ExchangeClient:
        """The client of streams and questions."""
        if self._clients is None:
            raise VenueUnreachableError(f"{self.name}: not connected, its feed was not started")
        return self._clients[1]

    async def disconnect(self) -> None:
        """Close both clients."""
        clients, self._clients = self._clients, None
        for client in clients or ():
            await client.close()

    @property
    def name(self) -> str:
        """The account: the venue part of its keys."""
        return self.quirks.name

    @property
    def spot_symbols(self) -> tuple[str, ...]:
        """The ccxt names of the declared spot pairs, if this account trades them."""
        pairs = tuple(f"{asset}/{self.options.quote}" for asset in self.options.spot_assets)
        return pairs if self.quirks.has_spot else ()

    @property
    def perp_ids(self) -> tuple[str, ...]:
        """The venue's symbols of the declared contracts, if this account trades them."""
        return tuple(symbol + self.quirks.contract_suffix for symbol in self._perps)

    @property
    def _perps(self) -> tuple[str, ...]:
        return self.options.perp_symbols if self.quirks.has_perps else ()

    def declared(self) -> tuple[Listing, ...]:
        """What the options declare for this account; once markets are loaded."""
        keys = [PositionKey.of(self.name, Kind.SPOT, pair.split("/")[0]) for pair in self.spot_symbols]
        keys += [PositionKey.of(self.name, Kind.PERP, symbol) for symbol in self._perps]
        return tuple(self.listing_of(key) for key in keys)

    async def load_markets(self) -> None:
        """Load what is listed, into both clients. Raises ConfigError for what is declared but not listed; CallError."""

        async def work() -> None:
            await self.data.load_markets(self.spot_symbols, self.perp_ids)

        await outcome_of(work, self.venue.verdicts, self.options.data_timeout_s + Request().wait_max_s + 1)
        self.orders.share_markets_of(self.data)

    def listing_of(self, key: PositionKey) -> Listing:
        """What an instrument key trades. Raises InvalidOrderError for one that is not listed here."""
        try:
            if key.kind is Kind.PERP:
                return self.data.listing(key.symbol + self.quirks.contract_suffix)
            return self.data.listing_of(f"{key.symbol}/{self.options.quote}")
        except KeyError:
            msg = f"{self.name}: instrument {key} is not listed, expected one of {', '.join(sorted(self.instruments))}"
            raise InvalidOrderError(msg) from None

    def listing_of_id(self, symbol_id: str) -> Listing:
        """What a symbol of the venue is here, declared or not. Raises KeyError when it is not listed."""
        return self.data.listing(symbol_id)

    async def ask(
        self,
        client: ExchangeClient,
        method: str,
        *args: object,
        read: Callable[[Any], T],
        request: Request | None = None,
    ) -> T:
        """What ``read`` makes of the venue's answer. Raises CallError.

        A request refused for its time stamp never reached matching: the clock is measured and it goes once more.
        """
        try:
            return await self._ask_once(client, method, args, read, request)
        except CallError as fault:
            if fault.fate is not Fate.SKEWED:
                raise
            self.note("time_stamp_refused", {"account": self.name, "method": method, "was_ms": self.skew.ahead_ms})
        await self.measure_skew()
        return await self._ask_once(client, method, args, read, request)

    async def learn(self, method: str, *args: object, read: Callable[[Any], T], request: Request | None = None) -> T:
        """``ask`` where every failure means only that there is no usable answer: raises VenueUnreachableError."""
        try:
            return await self.ask(self.data, method, *args, read=read, request=request)
        except CallError as fault:
            raise VenueUnreachableError(f"{self.name}: {method} gave no usable answer: {fault.text}") from fault

    async def measure_skew(self) -> int:
        """Milliseconds our clock is ahead of the venue's. Raises CallError."""
        return await self.skew.measure(self.venue.verdicts, self.options.order_timeout_s)

    async def _ask_once(
        self,
        client: ExchangeClient,
        method: str,
        args: tuple[object, ...],
        read: Callable[[Any], T],
        request: Request | None,
    ) -> T:
        patience = request or self.patience

        async def work() -> T:
            return read(await client.ask(method, *args, request=patience))

        is_order = client is self.orders
        seconds = self.options.order_timeout_s if is_order else self.options.data_timeout_s
        return await outcome_of(work, self.venue.verdicts, seconds + patience.wait_max_s + 1)
