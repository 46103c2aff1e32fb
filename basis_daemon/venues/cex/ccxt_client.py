"""The one door to ccxt: builds its exchanges, budgets and mutes their requests, and hands out what they answer.

Nobody else imports ccxt. An answer leaves here as ccxt gave it; whoever asked reads it inside ``outcome_of``.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import localcontext
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import ccxt.pro
from ccxt.base import errors

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.venues.cex.books import follows, merge
from basis_daemon.venues.cex.fills import Listing
from basis_daemon.venues.cex.frames import Foreign, Row, exact
from basis_daemon.venues.cex.limiter import DEFAULT, REQUEST, SECTION, Request, WeightLimiter
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.quirks import AccountQuirks, VenueQuirks
from basis_daemon.venues.cex.read_only import Gate
from basis_daemon.venues.cex.tap import Tap

__all__ = ["ExchangeClient", "client_pair", "errors"]

KEEP_ALIVE_MS = 5_000
CACHED_ORDERS = 10_000
_MUTED = logging.getLogger("basis_daemon.muted")
_MUTED.disabled = True  # ccxt logs headers and signed bodies at DEBUG
_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""ccxt reads all certificates of the machine for connections of its own, and has none: every session is ours."""


def _rounding_alone(work: Callable[..., Foreign]) -> Callable[..., Foreign]:
    """The same, without what ccxt does to the decimal context of whoever calls it: our sums round half to even."""

    def alone(*args: Foreign, **named: Foreign) -> Foreign:
        with localcontext():
            return work(*args, **named)

    return alone


class ExchangeClient:
    """One ccxt.pro instance. It holds the secrets; neither its repr nor its errors show them."""

    def __init__(
        self, account: AccountQuirks, config: Mapping[str, object], limiter: WeightLimiter, gate: Gate | None
    ) -> None:
        self._account = account
        self._limiter = limiter
        self._gate = gate
        self._timers: dict[str, Foreign] = {}
        self._listings: dict[str, Listing] = {}
        self._by_symbol: dict[str, Listing] = {}
        self._exchange = getattr(ccxt.pro, account.ccxt_id)(dict(config))
        self._exchange.logger = _MUTED
        self._exchange.ssl_context = _TRUSTS_NOBODY
        self._hook()

    def __repr__(self) -> str:
        return f"ExchangeClient({self._account.name})"

    def _hook(self) -> None:
        exchange, limiter, timers, gate = self._exchange, self._limiter, self._timers, self._gate
        request, answered, delay = exchange.request, exchange.on_rest_response, exchange.delay

        async def budgeted(
            path: str, api: Foreign = "public", method: str = "GET", params: Foreign = None, config: Foreign = None
        ) -> Foreign:
            section = api if isinstance(api, str) else api[0]
            if section not in exchange.urls["api"]:
                raise errors.NotSupported(f"{section}/{path} is not offered with this kind of money")
            params, config = params or {}, config or {}
            if gate is not None:
                gate.check_call(section, method, path)
            await limiter.acquire(section, exchange.calculate_rate_limiter_cost(api, method, path, params, config))
            SECTION.set(section)
            return await request(path, api, method, params, config)

        def observed(status: int, reason: str, url: str, method: str, headers: Foreign, *rest: Foreign) -> Foreign:
            limiter.observe(SECTION.get(), status, headers)
            return answered(status, reason, url, method, headers, *rest)

        def single_timer(timeout: float, method: Callable[..., Foreign], *args: Foreign) -> Foreign:
            """One timer per purpose: ccxt would start a chain of keep-alives with every login."""
            if (previous := timers.pop(method.__name__, None)) is not None:
                previous.cancel()
            timers[method.__name__] = delay(timeout, method, *args)
            return timers[method.__name__]

        exchange.request, exchange.on_rest_response, exchange.delay = budgeted, observed, single_timer
        exchange.decimal_to_precision = _rounding_alone(exchange.decimal_to_precision)
        if lines := self._account.lines:
            exchange.stream = lambda _, what, *__: lines[what.partition("::")[0]]

    async def ask(self, method: str, *args: object, request: Request | None = None) -> Any:
        """The answer of one ccxt method. Raises whatever ccxt raises: call it inside ``outcome_of``."""
        token = REQUEST.set(request or DEFAULT)
        try:
            return await getattr(self._exchange, method)(*args)
        finally:
            REQUEST.reset(token)

    async def load_markets(self, symbols: Sequence[str], symbol_ids: Sequence[str]) -> None:
        """Load what is listed. Raises ConfigError naming what is not: ccxt takes an empty answer for a success."""
        self._listings.clear()
        self._by_symbol.clear()
        markets = await self.ask("load_markets", False, dict(self._account.markets_params))  # noqa: FBT003 - ccxt's order
        missing = (set(symbols) - set(markets)) | (set(symbol_ids) - set(self._exchange.markets_by_id or {}))
        if missing:
            msg = f"{self._account.name}: {', '.join(sorted(missing))} not among the venue's {len(markets)} markets"
            raise ConfigError(msg)

    def share_markets_of(self, other: ExchangeClient) -> None:
        """Use the same markets dictionary as ``other``."""
        self._listings.clear()
        self._by_symbol.clear()
        self._exchange.set_markets_from_exchange(other._exchange)

    def relist(self, row: Row) -> None:
        """Take the raw listing of a known market; both clients share its description. Raises KeyError, ValueError.

        Only what is traded is read again: all markets of an exchange would stop the loop and double its memory.
        """
        parsed = self._exchange.parse_market(row)
        if parsed is None:
            raise ValueError(f"{self._account.name}: listing of {row.get('symbol')!r} cannot be read")
        self._listings.clear()
        self._by_symbol.clear()
        self._exchange.markets[parsed["symbol"]].update(parsed)

    def listing_of(self, symbol: str) -> Listing:
        """What a unified symbol means on this account; raises KeyError when it is not listed."""
        found = self._by_symbol.get(symbol)
        if found is None:
            found = self._by_symbol[symbol] = self.listing(str(self.market(symbol)["id"]))
        return found

    def market(self, symbol: str) -> Row:
        """The description of a unified symbol; raises KeyError when it is not listed."""
        market: Row = self._exchange.markets[symbol]
        return market

    def listing(self, symbol_id: str) -> Listing:
        """What the venue's own symbol means on this account; raises KeyError when it is not listed."""
        found = self._listings.get(symbol_id)
        if found is None:
            found = self._listings[symbol_id] = self._find_listing(symbol_id)
        return found

    def _find_listing(self, symbol_id: str) -> Listing:
        for market in self._exchange.markets_by_id[symbol_id]:
            if market["spot"] and self._account.has_spot:
                return self._listing(market, Kind.SPOT, market["base"])
            if market["inverse" if self._account.is_inverse else "linear"] and self._account.has_perps:
                return self._listing(market, Kind.PERP, symbol_id.removesuffix(self._account.contract_suffix))
        raise KeyError(symbol_id)

    def _listing(self, market: Row, kind: Kind, symbol: str) -> Listing:
        return Listing(
            symbol=market["symbol"],
            symbol_id=market["id"],
            key=PositionKey.of(self._account.name, kind, symbol),
            base=market["base"],
            quote=market["quote"],
            settle=market["settle"] or market["quote"],
            contract_value=exact(market["contractSize"]) if market["inverse"] else None,
        )

    def book(self, symbol: str) -> Row | None:
        """The order book of ccxt with float levels, or None while it has none; alive, so copy what you keep."""
        book: Row | None = self._exchange.orderbooks.get(symbol)
        return book if book is not None and book.get("nonce") is not None else None

    def tap(self, tap: Tap) -> None:
        """Let ``tap`` see every frame; before the first ``watch_*``."""
        exchange, handle = self._exchange, self._exchange.handle_message

        def handle_message(client: Foreign, message: Foreign) -> None:
            if not self._continue_book(client, message):
                handle(client, message)

        exchange.handle_message = handle_message
        tap.install(exchange)

    def _continue_book(self, client: Foreign, message: Foreign) -> bool:
        """Merge a frame that is the next change of a book; whatever else it is, or hides, is ccxt's to handle."""
        try:
            delta = self._account.read_delta(message) if isinstance(message, dict) else None
            if delta is None:
                return False
            symbol = self.listing(delta.symbol_id).symbol
            book = self._exchange.orderbooks.get(symbol)
            if not follows(book, delta):
                return False
            merge(book, delta)
        except (LookupError, TypeError, ValueError):
            return False
        client.resolve(book, f"orderbook::{symbol}")
        return True

    @property
    def options(self) -> Row:
        """The mutable options of ccxt."""
        options: Row = self._exchange.options
        return options

    def milliseconds(self) -> int:
        """The clock that ccxt signs with, before correction."""
        return int(self._exchange.milliseconds())

    def set_time_difference(self, ahead_ms: int) -> None:
        """How far our clock is ahead of the venue's; subtracted from every signing stamp."""
        self._exchange.options["timeDifference"] = ahead_ms

    def choose(self, *, is_demo: bool, is_testnet: bool) -> None:
        """Point every URL at the venue's play money, before anything is sent."""
        if is_demo:
            self._exchange.enable_demo_trading(True)  # noqa: FBT003 - ccxt has no keyword for it
        if is_testnet:
            self._exchange.set_sandbox_mode(True)

    def hosts(self) -> frozenset[str]:
        """Every host that a request or a stream could reach."""
        return frozenset(urlsplit(url).hostname or "" for url in _urls(self._exchange.urls["api"]))

    async def hang_up(self, is_meant: Callable[[str], bool]) -> None:
        """Close the connections whose URL ``is_meant``; pending watches of them are cancelled."""
        for url in [url for url in self._exchange.clients or {} if is_meant(url)]:
            client = self._exchange.clients.pop(url)
            await client.close()

    def forget_books(self) -> None:
        """Drop every book: the next subscription starts from a snapshot."""
        self._exchange.orderbooks.clear()

    async def close(self) -> None:
        """Close every connection; the session belongs to whoever opened it."""
        for timer in self._timers.values():
            timer.cancel()
        await self._exchange.close()


def client_pair(
    venue: VenueQuirks,
    account: AccountQuirks,
    options: CEXOptions,
    session: aiohttp.ClientSession,
    limiter: WeightLimiter,
    gate: Gate | None = None,
) -> tuple[ExchangeClient, ExchangeClient]:
    """(orders, data): one instance that is never kept waiting, and one for streams and questions."""
    secrets = {"apiKey": options.api_key, "secret": options.api_secret, "password": options.api_password}
    common: dict[str, object] = {
        **{name: secret.get_secret_value() for name, secret in secrets.items() if secret},
        "session": session,
        "number": str,
        "timeout_on_exit": 0,  # ccxt would sleep for its own session; ours is closed by the venue
        "enableRateLimit": False,  # its bucket costs 200 ms per order; ours is the WeightLimiter
        "streaming": {"keepAlive": KEEP_ALIVE_MS, "maxPingPongMisses": 2.0},
    }
    ccxt_options = {
        **account.client_options,
        "maxRetriesOnFailure": 0,
        "fetchCurrencies": False,
        "fetchMargins": False,
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "recvWindow": venue.receive_window_ms,
        "ordersLimit": CACHED_ORDERS,
        "watchPositions": {"fetchPositionsSnapshot": False},
    }
    timeouts = options.order_timeout_s, options.data_timeout_s
    pair = [
        ExchangeClient(
            account, {**common, "options": dict(ccxt_options), "timeout": int(seconds * 1000)}, limiter, gate
        )
        for seconds in timeouts
    ]
    for client in pair:
        client.choose(is_demo=options.demo_trading, is_testnet=options.sandbox)
        _assert_money(venue, account, options, client)
    return pair[0], pair[1]


def _assert_money(venue: VenueQuirks, account: AccountQuirks, options: CEXOptions, client: ExchangeClient) -> None:
    """Play money reaches none but the venue's hosts of play money, and real money none of them."""
    hosts = client.hosts()
    strangers = sorted(hosts - venue.play_hosts if not options.is_live_api else hosts - venue.live_hosts)
    if strangers or not hosts:
        msg = (
            f"{account.name}: demo_trading {options.demo_trading}, sandbox {options.sandbox}, network "
            f"{options.network is not None}, but requests could reach {', '.join(strangers) or 'no host at all'}; "
            f"expected {'live hosts' if options.is_live_api else 'hosts of play money'} only: is this another ccxt?"
        )
        raise ConfigError(msg)


def _urls(tree: Foreign) -> Iterator[str]:
    """Every URL in ccxt's table, however deep."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for branch in tree.values():
            yield from _urls(branch)
