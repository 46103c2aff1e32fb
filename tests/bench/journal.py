"""P6: what a durable trade costs over the disk's own price, and what waiting together saves."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import Record, RecordKind
from basis_daemon.telemetry import settle_heap

SEQUENTIAL_RATIO_MAX = 1.6
CONCURRENT_RATIO_MIN = 25.0

ROUNDS = 9
WRITES_PER_ROUND = 150
CALLERS = 100
ROWS_PER_CALLER = 40
RAW_BYTES = bytes(256)

_TRADE = (
    '{"trade_id":"7711223344","order_id":"3f9a1c0b5d7e48269a0b1c2d3e4f5061","account":"binanceusdm","status":"FILLED",'
    '"deltas":{"binanceusdm:perp:BTCUSDT":"-0.125","binanceusdm:spot:USDT":"-3.21450000"},"price":"64290.10",'
    '"quantity":"0.125","fee":{"asset":"USDT","amount":"3.21450000"},"liquidity":"taker",'
    '"venue_time":"2026-05-09T12:00:00.123000+00:00","recv_time":"2026-05-09T12:00:00.151342+00:00"}'
)


class _RealClock:
    def wall(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


@dataclass
class _Samples:
    """Nanoseconds per write, and rows per second of each round."""

    raw: list[int] = field(default_factory=list)
    handed_over: list[int] = field(default_factory=list)
    durable: list[int] = field(default_factory=list)
    sequential_ratio: list[float] = field(default_factory=list)
    sequential_rows_per_s: list[float] = field(default_factory=list)
    concurrent_rows_per_s: list[float] = field(default_factory=list)
    concurrent_ratio: list[float] = field(default_factory=list)


def durable_trade_ratio(directory: Path | None = None, rounds: int = ROUNDS) -> dict[str, float]:
    """Interleaved rounds in ``directory`` (default: below the working directory, on its disk); ratios are of medians.

    ``sequential_ratio`` (gate: at most 1.6) and ``concurrent_ratio`` (gate: at least 25), with p50 and p99 of both
    writes beside them. ``handed_over_p50_us`` is the raw write done by another thread for the loop: the price of not
    blocking the loop, before there is any journal.
    """
    with TemporaryDirectory(prefix=".bench-", dir=directory or Path.cwd()) as place, _collector_of_the_daemon():
        samples = uvloop.run(_measure(Path(place), rounds))
    raw_p50, raw_p99 = _percentiles(samples.raw)
    durable_p50, durable_p99 = _percentiles(samples.durable)
    return {
        "sequential_ratio": statistics.median(samples.sequential_ratio),
        "concurrent_ratio": statistics.median(samples.concurrent_ratio),
        "raw_p50_us": raw_p50,
        "raw_p99_us": raw_p99,
        "handed_over_p50_us": _percentiles(samples.handed_over)[0],
        "durable_p50_us": durable_p50,
        "durable_p99_us": durable_p99,
        "p99_ratio": durable_p99 / raw_p99,
        "sequential_rows_per_s": statistics.median(samples.sequential_rows_per_s),
        "concurrent_rows_per_s": statistics.median(samples.concurrent_rows_per_s),
    }


@contextmanager
def _collector_of_the_daemon() -> Iterator[None]:
    """The garbage collector as a warm daemon sets it."""
    before = gc.get_threshold()
    settle_heap()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def _measure(place: Path, rounds: int) -> _Samples:
    samples = _Samples()
    identity, run = Identity("bench", Mode.SANDBOX, "bench"), Run("bench", "bench")
    journal = SqliteJournal.open(place / "journal.db", identity, run, _RealClock())
    raw = os.open(place / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with ThreadPoolExecutor(1) as other_thread:
            await _one_by_one(journal, WRITES_PER_ROUND)  # warm
            for _ in range(rounds):
                await _round(journal, raw, other_thread, samples)
    finally:
        os.close(raw)
        await journal.close()
    return samples


async def _round(journal: SqliteJournal, raw: int, other_thread: Executor, samples: _Samples) -> None:
    raw_ns: list[int] = []
    durable_ns: list[int] = []
    for _ in range(WRITES_PER_ROUND // 10):  # tens of each in turn: a slow spell of the disk hits both
        raw_ns += _raw_writes(raw, 10)
        samples.handed_over += await _handed_over(raw, other_thread, 10)
        durable_ns += await _one_by_one(journal, 10)
    samples.raw += raw_ns
    samples.durable += durable_ns
    samples.sequential_ratio.append(statistics.median(durable_ns) / statistics.median(raw_ns))
    sequential = 1e9 / statistics.fmean(durable_ns)
    concurrent = await _together(journal)
    samples.sequential_rows_per_s.append(sequential)
    samples.concurrent_rows_per_s.append(concurrent)
    samples.concurrent_ratio.append(concurrent / sequential)


def _raw_writes(descriptor: int, count: int) -> list[int]:
    taken = []
    for _ in range(count):
        start = time.perf_counter_ns()
        os.write(descriptor, RAW_BYTES)
        os.fdatasync(descriptor)
        taken.append(time.perf_counter_ns() - start)
    return taken


async def _handed_over(descriptor: int, other_thread: Executor, count: int) -> list[int]:
    loop = asyncio.get_running_loop()
    taken = []
    for _ in range(count):
        start = time.perf_counter_ns()
        await loop.run_in_executor(other_thread, _raw_writes, descriptor, 1)
        taken.append(time.perf_counter_ns() - start)
    return taken


async def _one_by_one(journal: SqliteJournal, count: int) -> list[int]:
    record = _record()
    taken = []
    for _ in range(count):
        start = time.perf_counter_ns()
        await journal.append_durable((record,))
        taken.append(time.perf_counter_ns() - start)
    return taken


async def _together(journal: SqliteJournal) -> float:
    start = time.perf_counter_ns()
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(_caller(journal))
    return CALLERS * ROWS_PER_CALLER * 1e9 / (time.perf_counter_ns() - start)


async def _caller(journal: SqliteJournal) -> None:
    record = _record()
    for _ in range(ROWS_PER_CALLER):
        await journal.append_durable((record,))


def _record() -> Record:
    now = datetime.now(UTC)
    return Record(RecordKind.TRADE, now, "3f9a1c0b5d7e48269a0b1c2d3e4f5061", "a0b1c2d3e4f506172839405162738495", _TRADE)


def _percentiles(nanoseconds: list[int]) -> tuple[float, float]:
    """Median and 99th percentile in microseconds."""
    ordered = sorted(nanoseconds)
    return statistics.median(ordered) / 1000, ordered[len(ordered) * 99 // 100] / 1000
