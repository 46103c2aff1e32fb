"""The daemon and the sandbox exchange as two processes that talk over loopback TLS, ready to be measured."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import orjson
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick, MarketEvent, MarkTick
from basis_daemon.domain.position import AccountReport
from basis_daemon.ports import FeedEvent, Journal
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.feed import CEXFeed
from basis_daemon.venues.cex.network import SandboxNetwork, sandbox_from_ready_file
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.venue import CEXVenue
from tests.bench.stack import Stack, assemble
from tests.bench.trigger import SPOT, Trigger

API_KEY, API_SECRET = "sandbox-key", "sandbox-secret"
ACCOUNT, PERP = "binance", PositionKey("binanceusdm:perp:BTCUSDT")
START_TIMEOUT_S, TRIAL_TIMEOUT_S = 30.0, 10.0
"""They end a hang; nothing is measured by them."""
REPORTS_PER_ORDER = 2
"""An order locks its money and frees it again; behind the second report nothing more comes of it."""
TURN_S = 0.001
"""Process seconds in which the loop ends what it was about to do."""
KNOCK_S = 0.5
"""Process seconds until a daemon that has just started, and may not hear yet, is sent another frame."""


class ExchangeProcess:
    """The other end of a sandbox exchange in its own process."""

    def __init__(self, process: asyncio.subprocess.Process, network: SandboxNetwork) -> None:
        self._process = process
        self.network = network

    def push(self) -> None:
        """Ask for one market step; its frames leave as soon as the process has read this."""
        if self._process.stdin is not None:
            self._process.stdin.write(b"go\n")

    async def stamps(self) -> list[int]:
        """Nanoseconds from frame to order, one per push that was answered; nothing may be pushed after."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the exchange process has no pipes")
        self._process.stdin.close()
        said = orjson.loads(await self._process.stdout.readline())
        left, arrived = said["left_ns"], said["arrived_ns"]
        if len(left) != len(arrived):
            raise RuntimeError(f"{len(left)} frames left and {len(arrived)} orders arrived, expected one each")
        return [there - here for here, there in zip(left, arrived, strict=True)]


@asynccontextmanager
async def exchange_process(directory: Path) -> AsyncIterator[ExchangeProcess]:
    """A running exchange that serves ``directory``."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.bench.exchange_process", str(directory))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 24)
    try:
        if process.stdout is None:
            raise RuntimeError("the exchange process has no pipes")
        ready = orjson.loads(await process.stdout.readline())
        yield ExchangeProcess(process, sandbox_from_ready_file(ready))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class _Watched:
    """A feed that tells when its ticks and the venue's words on the wallet come by; otherwise the real one.

    With the first tick it also brings the index of a perp that is not traded here: the last hop wants a second source.
    """

    def __init__(self, inner: CEXFeed) -> None:
        self._inner = inner
        self.reports = 0
        self._news = asyncio.Event()
        self.on_tick: Callable[[], None] = lambda: None

    async def start(self) -> Mapping[PositionKey, Instrument]:
        loaded = await self._inner.start()
        return {**loaded, PERP: replace(loaded[SPOT], key=PERP)}

    async def history(self) -> Sequence[MarketEvent]:
        return await self._inner.history()

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        is_marked: list[bool] = []

        def watched(event: FeedEvent) -> None:
            if isinstance(event, BookTick):
                self.on_tick()
                if not is_marked:
                    is_marked.append(True)
                    sink(_mark_of(event))
            sink(event)
            if isinstance(event, AccountReport):
                self.reports += 1
                self._news.set()

        await self._inner.run(watched)

    async def told_all(self) -> None:
        """Return when the private stream has told of the wallet as the last order's start and its end left it."""
        while self.reports < REPORTS_PER_ORDER:
            self._news.clear()
            await self._news.wait()
        self.reports = 0

    async def close(self) -> None:
        await self._inner.close()

    def counts(self) -> Counter[str]:
        """Frames that it refused, by what was wrong."""
        return sum((account.counts for account in self._inner.accounts), Counter[str]())


def _mark_of(tick: BookTick) -> MarkTick:
    return MarkTick(PERP, tick.venue_time, tick.received_ns, tick.mid, tick.mid, Decimal(0), tick.venue_time)


@dataclass(slots=True)
class Live:
    """A daemon that has answered its first tick."""

    stack: Stack
    venue: CEXVenue
    feed: _Watched
    strategy: Trigger
    said: list[str]

    async def answered(self, act: Callable[[], None]) -> None:
        """Do ``act`` and return when the plan that it caused has ended."""
        ended = asyncio.Event()
        self.strategy.on_end = ended.set

        async def work() -> None:
            act()
            await ended.wait()

        await self._in_time(work())

    async def at_rest(self) -> None:
        """Return when the exchange has told everything of the last order: its frames would come into the next trial."""
        await self._in_time(self.feed.told_all())
        await SystemClock().sleep(TURN_S)

    async def quiet(self) -> None:
        """Let pass what came of the first orders, which may have been answered before the private stream stood."""
        await SystemClock().sleep(KNOCK_S)
        self.feed.reports = 0

    async def _in_time(self, work: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(TRIAL_TIMEOUT_S):
                await work
        except TimeoutError:
            raise RuntimeError(f"a tick was not answered; the daemon {self.says()}") from None

    def says(self) -> str:
        """What an operator would hear of it."""
        engine = self.stack.engines[0]
        seen = self.stack.mailbox.books.get(SPOT)
        return (
            f"decided {engine._last_reason or 'nothing'}, has {engine.plans_in_flight} plans, saw its last tick "
            f"at {seen.venue_time if seen else 'no time'}, frames refused {dict(self.feed.counts())}, said {self.said}"
        )

    async def has_answered(self, act: Callable[[], None]) -> bool:
        """False when it did not answer for a while: its streams may not stand yet."""
        ended = asyncio.Event()
        self.strategy.on_end = ended.set
        act()
        try:
            async with asyncio.timeout(KNOCK_S):
                await ended.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def live_daemon(exchange: ExchangeProcess, journal: Journal) -> AsyncIterator[Live]:
    """The whole daemon, armed, with spot BTC alone; its first plan is over when this yields."""
    options = CEXOptions(
        api_key=SecretStr(API_KEY),
        api_secret=SecretStr(API_SECRET),
        spot_assets=("BTC",),
        perp_symbols=(),
        network=exchange.network,
    )
    clock, strategy = SystemClock(), Trigger()
    venue = CEXVenue(BINANCE, options, clock)
    said: list[str] = []
    armed = asyncio.Event()

    def on_phase(phase: Phase) -> None:
        if phase is Phase.ARMED:
            armed.set()

    async with TaskTree("bench") as tree:
        feed = _Watched(venue.feed(tree))
        stack = assemble(
            [strategy],
            journal,
            feed=lambda _mailbox: feed,
            interface=lambda on_trade: venue.interface(ACCOUNT, on_trade),
            source=venue.source(ACCOUNT),
            alarm=lambda what, values: said.append(f"{what}: {dict(values)}"),
            on_phase=on_phase,
        )
        live = Live(stack, venue, feed, strategy, said)
        tree.spawn("supervisor", stack.supervisor.run(tree, arm=True))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await armed.wait()
                while not await live.has_answered(exchange.push):
                    pass
            yield live
        except TimeoutError:
            raise RuntimeError(f"the first tick was not answered; the daemon {live.says()}") from None
        finally:
            stack.supervisor.request_stop()
