"""Who listens to what, and the frames they get: each frame is serialised once and sent to all its subscribers.

After a frame every receiver is pinged, and the next jump of market time waits for the pongs: a client is never further
behind than one step, however fast the market runs. A client that stays silent longer than `PATIENCE_S` is no longer
waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
from aiohttp import WSCloseCode

from basis_daemon.sandbox.exchange import render_spot, render_usdm
from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.book import Book
from basis_daemon.sandbox.exchange.connection import Connection, text_frame
from basis_daemon.sandbox.exchange.distortions import bad_depth, bad_mark
from basis_daemon.sandbox.exchange.faults import PRICES, FaultBoard, Subject
from basis_daemon.sandbox.exchange.instruments import FUTURES
from basis_daemon.sandbox.exchange.money import text8
from basis_daemon.sandbox.exchange.venue import AlgoEvent, Event, OrderEvent, SpotBalanceEvent, Venue

PATIENCE_S = 10.0
MARK_PRICES = tuple(word for word in PRICES if word != "crossed")
BOOK_PRICES = tuple(word for word in PRICES if word != "leap")


class Hub:
    """All connections of the venue."""

    def __init__(self, venue: Venue, faults: FaultBoard) -> None:
        self._venue, self._faults = venue, faults
        self._connections: dict[Connection, None] = {}
        self._subscribers: dict[tuple[str, str], list[Connection]] = {}
        self._answer = asyncio.Event()
        self._arrival = asyncio.Event()
        self._untrue: dict[str, list[list[str]]] = {}
        self.frames = 0

    def add(self, connection: Connection) -> None:
        self._connections[connection] = None

    def remove(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self.unsubscribe(connection, list(connection.channels))
        self._answer.set()

    def subscribe(self, connection: Connection, channels: Iterable[str]) -> None:
        for channel in channels:
            if channel not in connection.channels:
                connection.channels.add(channel)
                self._subscribers.setdefault((connection.kind, _plain(channel)), []).append(connection)
                self._follow(connection.kind, channel, 1)

    def unsubscribe(self, connection: Connection, channels: Iterable[str]) -> None:
        for channel in channels:
            if channel in connection.channels:
                connection.channels.discard(channel)
                self._subscribers[connection.kind, _plain(channel)].remove(connection)
                self._follow(connection.kind, channel, -1)

    def _follow(self, kind: str, channel: str, change: int) -> None:
        symbol, _, rest = channel.partition("@")
        for (market, name), book in self._venue.books.items():
            if market == kind and name.lower() == symbol and rest.startswith(("depth", "bookTicker")):
                book.followed += change

    @property
    def open_connections(self) -> tuple[Connection, ...]:
        return tuple(self._connections)

    async def next_arrival(self) -> None:
        """Return when the next account attaches to a connection."""
        self._arrival.clear()
        await self._arrival.wait()

    def attach(self, connection: Connection, account: Account | None, subscription_id: int | None = None) -> None:
        """From now on `connection` gets the events of `account`."""
        connection.account, connection.subscription_id = account, subscription_id
        self._arrival.set()

    @property
    def subscriptions(self) -> int:
        return sum(len(receivers) for receivers in self._subscribers.values())

    def connections(self) -> list[dict[str, object]]:
        return [
            {
                "kind": c.kind,
                "channels": sorted(c.channels),
                "unread_pings": c.pinged - c.answered,
                "lagging": c.lagging,
            }
            for c in self._connections
        ]

    def frame(self) -> None:
        """Post one frame: a depth difference, best prices and mark of every instrument someone listens to."""
        self.frames += 1
        for market in ("spot", *FUTURES):
            self._post_market(market)

    def greet(self, connection: Connection, channels: Iterable[str]) -> None:
        """A first frame after a subscription, so that a client need not wait for the market to move."""
        for channel in map(_plain, channels):
            symbol, _, what = channel.partition("@")
            named = (connection.kind, symbol.upper())
            book = next((book for key, book in self._venue.books.items() if key == named and book.open), None)
            if book is None:
                continue
            if what == "depth":
                self._post_book(book)
            elif what == "bookTicker":
                self._send([connection], channel, _ticker(book, self._venue.now_ms))
            elif what == "markPrice":
                self._send([connection], channel, _mark(self._venue, symbol.upper()))

    def changes(self) -> None:
        """Post what orders have eaten from the books since the last frame."""
        for book in self._venue.books.values():
            if book.touched and book.followed and book.open:
                self._post_book(book)

    def _post_market(self, kind: str) -> None:
        for (market, symbol), book in self._venue.books.items():
            if market == kind and book.open and book.followed:
                self._post_book(book)
            if market == kind and market in FUTURES and (book.open or not book.instrument.trading):
                self._post_mark(market, symbol)

    def _post_book(self, book: Book) -> None:
        market, previous, now_ms = book.instrument.market, book.update_id, self._venue.now_ms
        book.publish(force=True)
        if self._faults.take_stream("gap_ws", market, _about(book.instrument.symbol)):
            return
        lower = book.instrument.symbol.lower()
        depth = self._subscribers.get((market, f"{lower}@depth"))
        if depth:
            self._send(depth, f"{lower}@depth", self._depth(book, previous, now_ms))
        ticker = self._subscribers.get((market, f"{lower}@bookTicker"))
        if ticker:
            self._send(ticker, f"{lower}@bookTicker", _ticker(book, now_ms))

    def _post_mark(self, market: str, symbol: str) -> None:
        lower = symbol.lower()
        own = self._subscribers.get((market, f"{lower}@markPrice"))
        everyone = self._subscribers.get((market, "!markPrice@arr"))
        body = _mark(self._venue, symbol)
        if fault := (own or everyone) and self._faults.take_stream("price_ws", "mark", _about(symbol), MARK_PRICES):
            body = bad_mark(body, fault.text)
        if own:
            self._send(own, f"{lower}@markPrice", body)
        if everyone:
            self._send(everyone, "!markPrice@arr", [body])

    def _depth(self, book: Book, previous: int, now_ms: int) -> dict[str, Any]:
        """The frame that tells of the last difference; a fault may add a price, and the next frame takes it back."""
        body, market = _depth(book, previous, now_ms), book.instrument.market
        name = f"{market}/{book.instrument.symbol}"
        taken_back = [[price, "0"] for price, _ in self._untrue.pop(name, [])]
        fault = self._faults.take_stream("price_ws", market, _about(book.instrument.symbol), BOOK_PRICES)
        if fault is not None:
            bid, _, ask, _ = book.best()
            body = bad_depth(body, fault.text, book.price_text(bid), book.price_text(ask))
            self._untrue[name] = body["b"][:1]
        return body | {"b": taken_back + body["b"]}

    def _send(self, receivers: Iterable[Connection], channel: str, body: object) -> None:
        raw = orjson.dumps(body)
        frame = text_frame(raw)
        for connection in receivers:
            if connection.combined:
                full = next((name for name in connection.channels if _plain(name) == channel), channel)
                connection.post(text_frame(b'{"stream":"' + full.encode() + b'","data":' + raw + b"}"))
            else:
                connection.post(frame)

    def event(self, account: Account, event: Event) -> None:
        """Post one account event to the account's own streams; faults may repeat or lose a fill here."""
        kind = "user-spot" if _is_spot(event) else f"user-{account.market}"
        receivers = [c for c in self._connections if c.kind == kind and c.account is account]
        if not receivers:
            return
        times = 1
        if isinstance(event, OrderEvent) and event.fill is not None:
            whose = Subject(account.api_key, frozenset({event.order.symbol}))
            if self._faults.take_stream("duplicate_fill", kind, whose):
                times = 2
            elif self._faults.take_stream("drop_fill", kind, whose):
                times = 0
        for body in self._render(account, event):
            for connection in receivers:
                wrapped = body
                if connection.subscription_id is not None:
                    wrapped = {"subscriptionId": connection.subscription_id, "event": body}
                for _ in range(times):
                    connection.post(text_frame(orjson.dumps(wrapped)))

    def _render(self, account: Account, event: Event) -> list[render_spot.Json]:
        now = self._venue.now_ms
        if isinstance(event, SpotBalanceEvent):
            return render_spot.balance_events(account, event, now)
        if isinstance(event, AlgoEvent):
            return [render_usdm.algo_update(event.algo, now)]
        if not isinstance(event, OrderEvent):
            return [render_usdm.account_update(account, event, self._venue)]
        if event.order.instrument.market == "spot":
            return [render_spot.execution_report(event, now)]
        return [render_usdm.order_update(event, now)]

    def expire_listen_keys(self, expired: Iterable[tuple[str, Account]], real_ms: int) -> None:
        for text, account in expired:
            notice = text_frame(orjson.dumps({"e": "listenKeyExpired", "E": real_ms, "listenKey": text}))
            for connection in self._connections:
                if connection.kind == f"user-{account.market}" and connection.account is account:
                    connection.post(notice)
                    connection.account = None

    def _stream_faults(self) -> None:
        if not self._faults.armed:
            return
        for connection in list(self._connections):
            if self._faults.take_stream("stall_ws", connection.kind, connection.subject):
                connection.stalled = True
            poison = self._faults.take_stream("poison_ws", connection.kind, connection.subject)
            if poison:
                connection.post(text_frame(poison.text.encode() * poison.repeat))
            if self._faults.take_stream("duplicate_ws", connection.kind, connection.subject):
                connection.doubles_next = True
            if self._faults.take_stream("reorder_ws", connection.kind, connection.subject):
                connection.swaps_next = True
            if self._faults.take_stream("close_ws", connection.kind, connection.subject):
                connection.abort()

    def flush(self, *, ping: bool = False) -> None:
        """Write everything posted; with `ping`, ask every receiver to confirm that it has read it."""
        self._stream_faults()
        for connection in list(self._connections):
            connection.flush(ping=ping)

    def answered(self) -> None:
        self._answer.set()

    async def all_read(self) -> None:
        """Return when every pinged client has answered, or has been silent too long and is left behind."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while any(connection.awaited for connection in self._connections):
                    self._answer.clear()
                    await self._answer.wait()
        except TimeoutError:
            for connection in self._connections:
                if connection.awaited:
                    connection.lagging = True

    async def close(self) -> None:
        for connection in list(self._connections):
            await connection.socket.close(code=WSCloseCode.GOING_AWAY)


def _about(symbol: str) -> Subject:
    return Subject(symbols=frozenset({symbol}))


def _is_spot(event: Event) -> bool:
    if isinstance(event, OrderEvent):
        return event.order.instrument.market == "spot"
    return isinstance(event, SpotBalanceEvent)


def _plain(channel: str) -> str:
    """`btcusdt@depth@100ms` and `btcusdt@markPrice@1s` without their speed."""
    parts = channel.split("@")
    return "@".join(parts[:2])


def _depth(book: Book, previous: int, now_ms: int) -> dict[str, Any]:
    bids, asks = book.difference()
    symbol = book.instrument.symbol
    body: dict[str, Any] = {"e": "depthUpdate", "E": now_ms, "s": symbol, "U": previous + 1, "u": book.update_id}
    if book.instrument.market in FUTURES:
        body |= {"T": now_ms, "pu": previous}
    return body | {"b": bids, "a": asks}


def _ticker(book: Book, now_ms: int) -> dict[str, object]:
    bid, bid_quantity, ask, ask_quantity = book.best()
    body: dict[str, object] = {
        "u": book.update_id,
        "s": book.instrument.symbol,
        "b": book.price_text(bid),
        "B": book.quantity_text(bid_quantity),
        "a": book.price_text(ask),
        "A": book.quantity_text(ask_quantity),
    }
    if book.instrument.market in FUTURES:
        body = {"e": "bookTicker"} | body | {"T": now_ms, "E": now_ms}
    return body


def _mark(venue: Venue, symbol: str) -> dict[str, Any]:
    mark, funding = venue.marks[symbol], venue.funding[symbol]
    index = text8(venue.index_price(symbol))
    return {
        "e": "markPriceUpdate",
        "E": venue.now_ms,
        "s": symbol,
        "p": text8(mark),
        "P": index,
        "i": index,
        "r": text8(funding.predicted),
        "T": funding.next_ms,
    }
