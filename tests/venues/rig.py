"""A real sandbox exchange in manual time, and the whole adapter connected to it through unmodified ccxt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, StreamChanged
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import FeedEvent
from basis_daemon.sandbox.exchange.accounts import AccountSpec
from basis_daemon.sandbox.exchange.faults import Fault
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.account import CEXAccountSource
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.binance_coinm import BINANCE_COINM
from basis_daemon.venues.cex.interface import CEXExecutionInterface
from basis_daemon.venues.cex.network import SandboxNetwork
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.quirks import VenueQuirks
from basis_daemon.venues.cex.venue import CEXVenue
from basis_daemon.web.client import LocalClient

T = TypeVar("T")
KEY, SECRET = "sandbox-key", "sandbox-canary-d41d8cd98f"
SPEC = AccountSpec(
    api_key=KEY,
    api_secret=SECRET,
    spot=(("USDT", Decimal(100_000)), ("BTC", Decimal(1)), ("BNB", Decimal(5))),
    usdm=(("USDT", Decimal(50_000)),),
    coinm=(("BTC", Decimal(2)),),
)
SPOT_BTC, PERP_BTC = PositionKey("binance:spot:BTC"), PositionKey("binanceusdm:perp:BTCUSDT")
INVERSE_BTC = PositionKey("binancecoinm:perp:BTCUSD")
QUIET = CEXOptions(
    api_key=SecretStr(KEY),
    api_secret=SecretStr(SECRET),
    spot_assets=("BTC", "ETH"),
    perp_symbols=("BTCUSDT",),
    book_silence_s=3_600.0,  # in manual time books stand still
    mark_silence_s=3_600.0,
    fill_wait_s=0.5,
    retry_pause_s=0.02,
)
IN_COIN = replace(QUIET, perp_symbols=("BTCUSD",), moved_coins=("BTC",))
PATIENCE_S = 20.0


class SteppedClock(SystemClock):
    """The machine's clocks, which a test may push on."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.wall_jump = timedelta()

    def wall(self) -> datetime:
        return super().wall() + self.ahead + self.wall_jump

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead // timedelta(microseconds=1) * 1_000


class Rig:
    """Exchange, adapter and everything it said. ``listen`` starts the streams; ``start`` alone opens the REST road."""

    def __init__(
        self, directory: Path, options: CEXOptions = QUIET, step_s: int = 60, quirks: VenueQuirks = BINANCE
    ) -> None:
        world = ExchangeOptions(directory=directory, mode="manual", accounts=(SPEC,), step_s=step_s)
        self.exchange = SandboxExchange(world)
        self._options, self._quirks = options, quirks
        self._tree = TaskTree("rig")
        self._changed = asyncio.Event()
        self.clock = SteppedClock()
        self.events: list[FeedEvent] = []
        self.trades: list[Trade] = []
        self.open_orders: list[Order] = []
        self.notes: list[tuple[str, Mapping[str, object]]] = []
        self.instruments: Mapping[PositionKey, Instrument] = {}

    async def __aenter__(self) -> Self:
        await self.exchange.start()
        await self._tree.__aenter__()
        network = SandboxNetwork(self.exchange.port, self.exchange.ca_file)
        options = replace(self._options, network=network)
        self.venue = CEXVenue(self._quirks, options, self.clock, self._note, open_orders=lambda: self.open_orders)
        self.feed = self.venue.feed(self._tree)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.feed.close()
        self._tree.cancel_all("the test is over")
        await self._tree.__aexit__(None, None, None)
        await self.exchange.stop()

    async def start(self) -> Self:
        self.instruments = await self.feed.start()
        return self

    async def listen(self) -> Self:
        """Streams up, with a first book of every instrument."""
        await self.start()
        self._tree.spawn("feed", self.feed.run(self.sink))
        streams = {(account, stream) for account in self.venue.accounts for stream in ("book", "user")}
        await self.until(lambda: streams <= {(e.account, e.stream) for e in self.of(StreamChanged) if e.is_up})
        await self.exchange.advance(60)
        wanted = {SPOT_BTC, INVERSE_BTC if self._quirks is BINANCE_COINM else PERP_BTC}
        await self.until(lambda: wanted <= {tick.instrument for tick in self.of(BookTick)})
        return self

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tree.spawn(name, work)

    def sink(self, event: FeedEvent) -> None:
        self.events.append(event)
        self._changed.set()

    def on_trade(self, trade: Trade) -> None:
        self.trades.append(trade)

    def of(self, kind: type[T]) -> Sequence[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def noted(self, event: str) -> Sequence[Mapping[str, object]]:
        return [facts for name, facts in self.notes if name == event]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return once events make it so; fails with what was heard of the streams instead."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            streams = [f"{e.account}:{e.stream} {'up' if e.is_up else e.why}" for e in self.of(StreamChanged)]
            raise AssertionError(f"it never came so; streams {streams}, notes {self.notes}") from None

    async def wire_is_empty(self) -> None:
        """Return once the venue has answered everything; asked at its control port, which no budget counts."""
        async with asyncio.timeout(PATIENCE_S), LocalClient.at_port(self.exchange.control_port) as control:
            while (await control.get("/status"))["outstanding"]:
                pass

    def interface(self, account: str) -> CEXExecutionInterface:
        return self.venue.interface(account, self.on_trade)

    def source(self, account: str) -> CEXAccountSource:
        return self.venue.source(account)

    def book(self, key: PositionKey) -> BookTick:
        return next(tick for tick in reversed(self.of(BookTick)) if tick.instrument == key)

    def arm(self, kind: str, **fields: object) -> None:
        self.exchange.faults.arm(Fault(kind, **fields))  # type: ignore[arg-type]  # the fields of Fault by name

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        self.notes.append((event, facts))
        self._changed.set()


class AccountUnderTest:
    """One account of a rig, as the venue contract wants it."""

    def __init__(self, rig: Rig, key: PositionKey) -> None:
        self._rig, self._key = rig, key
        self.interface = rig.interface(key.venue)
        self.source = rig.source(key.venue)

    @property
    def instrument(self) -> Instrument:
        return self._rig.instruments[self._key]

    @property
    def trades(self) -> Sequence[Trade]:
        return self._rig.trades

    @property
    def wall(self) -> datetime:
        return self._rig.clock.wall()

    def book(self) -> BookTick:
        return self._rig.book(self._key)

    def lose_answer(self) -> None:
        self._rig.arm("accept_then_drop", method="POST", path="/order")

    def lose_request(self) -> None:
        self._rig.arm("unavailable", method="POST", path="/order")

    def pass_time(self, seconds: float) -> None:
        self._rig.clock.ahead += timedelta(seconds=seconds)
