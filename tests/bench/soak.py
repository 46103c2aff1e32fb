"""P9: the daemon under bursts of market frames: memory, tasks and descriptors stay flat, and no fill is lost or merged.

A sandbox exchange in its own process sends bursts of 2,000 frames a second, every other second, with fills of another
hand among them. The daemon listens through ccxt, tap, mailbox and handler, and journals to disk. Gates are ratios of
the last quarter of the run to its second; the loop's lag and the highest rate that the tap sustains are reported.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import uvloop
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.market import BookTick, MarketEvent
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import FeedEvent
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.network import sandbox_from_ready_file
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.venue import CEXVenue
from tests.bench.measure import Bound, Row, Target, percentile, settle_memory
from tests.bench.stack import silent

NAME = "soak"
RATE, FILLS = 2_000, 20
STEP_S, MARKET_MINUTES_MIN = 0.1, 30
RAMP = (1_000, 2_000, 4_000, 8_000, 16_000)
SUSTAINED = 0.95
LAG_EVERY_S = 0.005
START_S, DRAIN_S = 30.0, 10.0
FLAT = Target(Bound.AT_MOST, 1.05)
SAME = Target(Bound.AT_MOST, 1.0)
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Seen:
    """What the daemon's side counted: ticks, fills, samples of itself after each burst, and the loop's lag in us."""

    ticks: int = 0
    fills: set[str] = field(default_factory=set)
    rss: list[float] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    lag_us: list[float] = field(default_factory=list)
    is_burst: bool = False

    def sample(self) -> None:
        """Resident bytes, live tasks and open descriptors of this process now."""
        self.rss.append(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE)
        self.tasks.append(len(asyncio.all_tasks()))
        self.descriptors.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))


def measure(minutes: float = 2.0) -> list[Row]:
    """Rows for the report, after so many minutes of process time."""
    with TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as place:
        return uvloop.run(_soak(Path(place), minutes))


class Speaker:
    """The other end of the exchange process."""

    def __init__(self, process: asyncio.subprocess.Process, ready: Mapping[str, Any]) -> None:
        self._process, self.ready = process, ready

    async def burst(self, frames: int, rate: int, fills: int) -> Mapping[str, Any]:
        """Ask for one and return what the exchange managed."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the exchange process has no pipes")
        self._process.stdin.write(orjson.dumps({"frames": frames, "rate": rate, "fills": fills}) + b"\n")
        told: Mapping[str, Any] = orjson.loads(await self._process.stdout.readline())
        return told


@asynccontextmanager
async def _exchange(directory: Path) -> AsyncIterator[Speaker]:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.bench.soak_exchange", str(directory))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 24)
    try:
        if process.stdout is None:
            raise RuntimeError("the exchange process has no pipes")
        yield Speaker(process, orjson.loads(await process.stdout.readline()))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _soak(place: Path, minutes: float) -> list[Row]:
    clock, seen = SystemClock(), Seen()
    journal = SqliteJournal.open(
        place / "journal.db", Identity("bench", Mode.SANDBOX, "bench"), Run("bench", "bench"), clock
    )
    state = BookState()
    try:
        async with _exchange(place) as speaker, TaskTree("soak") as tree:
            options = CEXOptions(
                api_key=SecretStr("sandbox-key"),
                api_secret=SecretStr("sandbox-secret"),
                spot_assets=("BTC",),
                perp_symbols=(),
                network=sandbox_from_ready_file(speaker.ready),
                book_silence_s=3_600.0,
            )
            venue = CEXVenue(BINANCE, options, clock)
            feed = venue.feed(tree)
            state.instruments.update(await feed.start())
            handler = PositionUpdateHandler(Recorder(state, journal), PositionMonitor(), silent)
            for account in venue.accounts:
                handler.adopt(await venue.source(account).fetch_report())
            tree.spawn("feed", feed.run(_sink(seen, Mailbox(), handler)))
            tree.spawn("lag", _lag(seen, clock))
            async with asyncio.timeout(START_S):
                while seen.ticks == 0:
                    await speaker.burst(10, RATE, 0)
                    await clock.sleep(0.1)
            rows = await _bursts(speaker, seen, clock, minutes, state)
            await feed.close()
            tree.cancel_all("the soak is over")
        return rows
    finally:
        await journal.close()


def _sink(seen: Seen, mailbox: Mailbox, handler: PositionUpdateHandler) -> Callable[[FeedEvent], None]:
    """What a supervisor does with events, counted."""

    def sink(event: FeedEvent) -> None:
        if isinstance(event, MarketEvent):
            seen.ticks += isinstance(event, BookTick)
            mailbox.put(event)
        elif isinstance(event, Trade):
            seen.fills.add(event.trade_id)
            handler.process_trades([event])

    return sink


async def _lag(seen: Seen, clock: SystemClock) -> None:
    """How late the loop is for a timer, while frames come in."""
    while True:
        asked_ns = clock.monotonic_ns()
        await clock.sleep(LAG_EVERY_S)
        if seen.is_burst:
            seen.lag_us.append((clock.monotonic_ns() - asked_ns) / 1000 - LAG_EVERY_S * 1e6)


async def _bursts(speaker: Speaker, seen: Seen, clock: SystemClock, minutes: float, state: BookState) -> list[Row]:
    until_ns = clock.monotonic_ns() + int(minutes * 60e9)
    rates: list[float] = []
    fills = bursts = 0
    while clock.monotonic_ns() < until_ns or bursts * RATE * STEP_S < MARKET_MINUTES_MIN * 60:
        told, rate = await _one(speaker, seen, clock, RATE, FILLS)
        fills, bursts = told["fills"], bursts + 1
        rates.append(rate)
        if bursts == 2:
            settle_memory()
        seen.sample()
        await clock.sleep(1.0)
    lag = list(seen.lag_us)
    best, sent = await _ramp(speaker, seen, clock)
    market = f"{bursts} bursts, {bursts * RATE * STEP_S / 60:.0f} market minutes"
    return [
        Row(NAME, "resident memory, last quarter / second", _drift(seen.rss), target=FLAT, note=market),
        Row(NAME, "tasks, last quarter / second", _drift(seen.tasks), target=SAME, note=f"{seen.tasks[-1]} tasks"),
        Row(NAME, "descriptors, last quarter / second", _drift(seen.descriptors), target=SAME,
            note=f"{seen.descriptors[-1]} open"),
        Row(NAME, "fills of the venue that were not booked", float(fills - state.trade_count), "fills",
            target=Target(Bound.AT_MOST, 0.0), note=f"{state.trade_count} booked, each once"),
        Row(NAME, f"frames/s taken in bursts of {RATE:,}", mean(rates), "frames/s"),
        Row(NAME, "loop lag in bursts, p50", percentile(lag, 50), "us", percentile(lag, 99)),
        Row(NAME, "loop lag in bursts, p99.9", sorted(lag)[len(lag) * 999 // 1000], "us"),
        Row(NAME, "highest rate the tap sustains", best, "frames/s", note=f"the exchange managed {sent:,.0f}"),
    ]  # fmt: skip


async def _one(
    speaker: Speaker, seen: Seen, clock: SystemClock, rate: int, fills: int
) -> tuple[Mapping[str, Any], float]:
    """One second at this rate: what the exchange says, and frames taken in per second of process time."""
    before, began_ns = seen.ticks, clock.monotonic_ns()
    seen.is_burst = True
    told = await speaker.burst(rate, rate, fills)
    limit_ns = clock.monotonic_ns() + int(DRAIN_S * 1e9)
    while seen.ticks < before + rate and clock.monotonic_ns() < limit_ns:
        last = seen.ticks
        await clock.sleep(0.02)
        if seen.ticks == last:
            break
    seen.is_burst = False
    return told, (seen.ticks - before) / ((clock.monotonic_ns() - began_ns) / 1e9)


async def _ramp(speaker: Speaker, seen: Seen, clock: SystemClock) -> tuple[float, float]:
    """The highest rate at which every frame sent was taken in as fast as it was sent, and what was sent then."""
    best = sent = 0.0
    for rate in RAMP:
        before = seen.ticks
        told, taken = await _one(speaker, seen, clock, rate, 0)
        sent = told["frames"] / told["seconds"]
        best = max(best, taken)
        is_whole = seen.ticks - before >= rate * SUSTAINED
        if not is_whole or taken < sent * SUSTAINED or sent < rate * SUSTAINED:
            break
    return best, sent


def _drift(samples: Sequence[float]) -> float:
    """Median of the last quarter over median of the second: the first is for warming up."""
    quarter = max(len(samples) // 4, 1)
    return median(samples[-quarter:]) / median(samples[quarter : 2 * quarter] or samples)
