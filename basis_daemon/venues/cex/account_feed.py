"""One account's frames on their way to the engine: decoded, checked at the boundary, told in order of arrival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

from basis_daemon.domain.errors import IntegrityError, VenueUnreachableError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarkTick, StreamChanged
from basis_daemon.domain.position import AccountReport
from basis_daemon.ports import AccountChanged, FeedEvent, InstrumentDoubted
from basis_daemon.venues.cex.account import holdings_of
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.fills import outcome_trade, trade_of
from basis_daemon.venues.cex.frames import (
    BookMoved,
    FillSeen,
    Foreign,
    FrameEvent,
    LoggedIn,
    LoginLost,
    MarkMoved,
    OrderEnded,
    OrderLinked,
    PrivateEvent,
    WalletMoved,
    WalletView,
)
from basis_daemon.venues.cex.funding import FundingWatch
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError, outcome_of
from basis_daemon.venues.cex.quirks import Stream
from basis_daemon.venues.cex.streams import GAP, Line, StreamKeeper
from basis_daemon.venues.cex.tap import Tap
from basis_daemon.venues.cex.ticks import REFUSALS_MAX, MarkGate, TickGate

HANG_UP_S = 1.0
BOOKLESS_NS = 3 * 1_000_000_000
"""A gap in the very first frames leaves ccxt without a book for good, and without a word."""
Emit = Callable[[FeedEvent], None]
_WATCHES = {Stream.BOOK: "watch_order_book_for_symbols", Stream.MARK: "watch_mark_prices", Stream.USER: "watch_balance"}


class AccountFeed:
    """Listens to the tap of one account's data client. ``counts`` says what was refused and why."""

    def __init__(self, desk: Desk, market_time: MarketTime, emit: Emit) -> None:
        self._desk, self._market_time, self._emit = desk, market_time, emit
        self._gates: dict[PositionKey, TickGate] = {}
        self._mark_gates: dict[PositionKey, MarkGate] = {}
        self._has_book: set[str] = set()
        self._bookless_ns: dict[str, int] = {}
        self._is_delivering = False
        self.crash: Exception | None = None
        self.on_crash: Callable[[], None] = lambda: None
        self.counts: Counter[str] = Counter()
        self.funding = FundingWatch(desk, self._deliver)
        self.keepers = {stream: self._keeper(stream) for stream in self._streams()}
        desk.on_fill_missed = self._fill_missed

    @property
    def name(self) -> str:
        """The account."""
        return self._desk.name

    def attach(self) -> None:
        """Tap the connected data client and open a gate per declared instrument."""
        self._desk.data.tap(Tap(self, self._desk.clock))
        options = self._desk.options
        self._gates = {
            listing.key: TickGate(listing.key, options.book_levels, options.jump_max)
            for listing in self._desk.declared()
        }
        self._mark_gates = {key: MarkGate(options.jump_max) for key in self._gates}

    def check_silence(self) -> None:
        """Lose the connections that have been silent for too long; notice a delivery that never came to its end."""
        if self._is_delivering:  # ccxt swallows what is raised while it dials
            self._fail(IntegrityError(f"{self.name}: the engine refused an event of its feed"))
        for keeper in self.keepers.values():
            keeper.check()

    async def keep_login(self) -> None:
        """Prolong the private login. Ccxt does so once only: its chain of keep-alives does not find its own client."""
        call = self._desk.quirks.keep_login_call
        if call is None or Stream.USER not in self.keepers or not self.keepers[Stream.USER].is_up:
            return
        try:
            await self._desk.learn(call, {}, read=lambda _: None)
        except VenueUnreachableError as fault:
            self._desk.note("login_not_kept", {"account": self.name, "text": str(fault)})
            self.keepers[Stream.USER].lose("the login could not be prolonged")

    # ------------------------------------------------------------------------------------- what the tap tells us
    def frame(self, url: str, message: Foreign, received_ns: int) -> None:
        """Raises on nonsense: the tap's guard counts it as poison."""
        if (stream := self._desk.quirks.stream_of(url)) is None or stream not in self.keepers:
            return
        self.keepers[stream].heard(received_ns)
        if isinstance(message, dict):
            for event in self._desk.quirks.decode(message):
                self._take(event, received_ns)

    def poison(self, url: str, fault: Exception) -> None:
        """A frame could not be read. On the private stream it may have been a fill: reconnect, so that we reconcile."""
        if self._is_delivering:  # not the frame's fault: the engine refused what was delivered
            self._fail(fault)
            return
        stream = self._desk.quirks.stream_of(url)
        self._count("poison", f"{type(fault).__name__} on the {stream} stream")
        if stream is Stream.USER:
            self.keepers[stream].lose("unreadable frame")

    def connected(self, url: str) -> None:
        """A private connection of some exchanges needs nothing more."""
        stream = self._desk.quirks.stream_of(url)
        if stream is Stream.USER and self._desk.quirks.is_up_when_connected:
            self.keepers[stream].rise()

    def dropped(self, url: str, why: str) -> None:
        """A connection is gone."""
        if (stream := self._desk.quirks.stream_of(url)) in self.keepers and stream is not None:
            self.keepers[stream].lose(why)

    # ------------------------------------------------------------------------------------------- what frames mean
    def _take(self, event: FrameEvent, received_ns: int) -> None:
        if isinstance(event, BookMoved):
            self._market_time.advance(event.time)
            self._take_book(event, received_ns)
        elif isinstance(event, LoggedIn):
            self.keepers[Stream.USER].rise()
        elif isinstance(event, LoginLost):
            self.keepers[Stream.USER].lose(event.why)
        else:
            self._market_time.advance(event.time)
            if isinstance(event, MarkMoved):
                self._take_mark(event, received_ns)
            else:
                self._take_private(event, received_ns)

    def _take_private(self, event: PrivateEvent, received_ns: int) -> None:
        desk = self._desk
        if isinstance(event, FillSeen):
            desk.fills.add(event.fill)
            fill = desk.fills.named(event.fill)
            self._deliver(trade_of(fill, desk.listing_of_id(fill.symbol_id), desk.clock.wall()))
        elif isinstance(event, OrderLinked):
            desk.fills.link((event.symbol_id, event.order_no), event.client_id)
        elif isinstance(event, OrderEnded):
            desk.fills.learn(event.view)
            listing = desk.listing_of_id(event.view.symbol_id)
            self._deliver(outcome_trade(event.view, listing, event.view.client_id, None, desk.clock.wall()))
        elif isinstance(event, WalletMoved):
            wallet = WalletView(event.balances, event.positions, event.time)
            holdings = holdings_of(desk, wallet)
            kinds = frozenset(key.kind for key in holdings)
            self._deliver(AccountReport(desk.name, event.time, received_ns, holdings, kinds, is_partial=True))
        else:
            desk.money_moved_ns = received_ns
            self._deliver(AccountChanged(desk.name, event.time, event.reason))

    def _take_book(self, event: BookMoved, received_ns: int) -> None:
        data = self._desk.data
        listing = data.listing(event.symbol_id)
        if (gate := self._gates.get(listing.key)) is None:
            return
        book = data.book(listing.symbol)
        if book is None:
            if listing.symbol in self._has_book:  # ccxt threw it away: a frame was missing
                self._has_book.discard(listing.symbol)
                self._count("gap", str(listing.key))
                self.keepers[Stream.BOOK].lose(GAP)
            elif received_ns - self._bookless_ns.setdefault(listing.symbol, received_ns) > BOOKLESS_NS:
                self._bookless_ns.clear()
                self.keepers[Stream.BOOK].lose(f"{listing.key}: frames, but no book to apply them to")
            return
        self._has_book.add(listing.symbol)
        self._bookless_ns.pop(listing.symbol, None)
        tick = gate.admit(book, event.time, received_ns)
        if tick is not None:
            self._deliver(tick)
            return
        self._count("tick_refused", str(listing.key))
        if gate.refusals >= REFUSALS_MAX:
            gate.forget()
            self._disbelieve(listing.key, Stream.BOOK, "books")

    def _disbelieve(self, key: PositionKey, stream: Stream, what: str) -> None:
        """So much nonsense in a row is no slip: asked for again, and no new risk until an operator has looked."""
        why = f"{key}: {REFUSALS_MAX} {what} in a row make no sense"
        self._deliver(InstrumentDoubted(key, why))
        self.keepers[stream].lose(why)

    def _take_mark(self, event: MarkMoved, received_ns: int) -> None:
        key = self._desk.listing_of_id(event.symbol_id).key
        if key not in self._gates:
            return
        gate = self._mark_gates[key]
        if not gate.admits(event.mark, event.time):
            self._count("mark_refused", f"{key} {event.mark}")
            if gate.refusals >= REFUSALS_MAX:
                gate.forget()
                self._disbelieve(key, Stream.MARK, "marks")
            return
        self.funding.expect(key, event.next_funding_time)
        self._deliver(
            MarkTick(key, event.time, received_ns, event.mark, event.index, event.funding, event.next_funding_time)
        )

    def _deliver(self, event: FeedEvent) -> None:
        self._is_delivering = True
        self._emit(event)
        self._is_delivering = False

    def _fail(self, fault: Exception) -> None:
        self.crash, self._is_delivering = fault, False
        self.on_crash()

    def _count(self, what: str, detail: str) -> None:
        self.counts[what] += 1
        if self.counts[what] == 1 or self.counts[what] % 100 == 0:
            facts = {"account": self._desk.name, "what": what, "count": self.counts[what], "detail": detail}
            self._desk.note("frame_refused", facts)

    # ------------------------------------------------------------------------------------------------ connections
    def _streams(self) -> tuple[Stream, ...]:
        wanted = {Stream.BOOK: True, Stream.MARK: self._desk.quirks.has_perps}
        wanted[Stream.USER] = not self._desk.options.is_read_only
        return tuple(stream for stream in Stream if wanted[stream])

    def _keeper(self, stream: Stream) -> StreamKeeper:
        options = self._desk.options
        silence = {Stream.BOOK: options.book_silence_s, Stream.MARK: options.mark_silence_s}.get(stream)

        async def subscribe() -> None:
            await self._subscribe(stream)

        async def hang_up() -> None:
            await self._hang_up(stream)

        is_public = stream is not Stream.USER
        line = Line(self._desk.name, stream, subscribe, hang_up, silence, options.backoff_max_s, is_public)
        seed = f"{options.jitter_seed}:{self._desk.name}:{stream}"
        return StreamKeeper(line, self._desk.clock, self._told, Random(seed))  # noqa: S311 - jitter is no secret

    def _fill_missed(self) -> None:
        self.keepers[Stream.USER].lose("a fill did not come over the stream")

    def _told(self, change: StreamChanged) -> None:
        self._deliver(change)

    async def _subscribe(self, stream: Stream) -> None:
        """Raises CallError, also when the dial takes too long; VenueUnreachableError when our budget forbids it."""
        desk = self._desk
        symbols = [listing.symbol for listing in desk.declared()]
        args = () if stream is Stream.USER else (symbols,)

        async def work() -> None:
            await desk.data.ask(_WATCHES[stream], *args, request=Request())

        await outcome_of(work, desk.venue.verdicts, desk.options.dial_timeout_s)

    async def _hang_up(self, stream: Stream) -> None:
        desk = self._desk
        if stream is Stream.USER:
            desk.quirks.forget_login(desk.data.options)
        if stream is Stream.BOOK:
            self._has_book.clear()
            self._bookless_ns.clear()
            desk.data.forget_books()

        async def work() -> None:
            await desk.data.hang_up(lambda url: desk.quirks.stream_of(url) is stream)

        with suppress(CallError):  # a dead peer does not answer the farewell
            await outcome_of(work, desk.venue.verdicts, HANG_UP_S)
