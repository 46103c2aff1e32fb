"""P5: from a frame leaving the exchange to the order arriving there, the whole daemon against a raw client.

Both stamps are the exchange's own, in its process: taken when nothing but the write of the frame is left, and when the
head of the order's request has been parsed. Each client has an exchange process of its own and they take turns trial by
trial, so that a client that waits gets no frames. The daemon is all of it: ccxt's book and the tap, mailbox, picture,
assessment, risk gate, plan, journal, routing, ccxt's signing, aiohttp over TLS. The raw client decodes, signs, posts.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop

from basis_daemon.clock import SystemClock
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from tests.bench.live import exchange_process, live_daemon
from tests.bench.measure import ROUNDS, Bound, Row, Target, percentile, settle_memory
from tests.bench.raw_client import raw_client

NAME = "loopback"
P50_AIM, P99_AIM = 1.7, 2.5
TRIALS, WARM_UP = 100, 50


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Rows for the report."""
    with TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as place:
        quick, durable, raw = uvloop.run(_trials(Path(place), rounds * TRIALS))
    rows = [_time("raw signed POST", raw), _time("daemon, journal in memory", quick), _time("daemon, durable", durable)]
    for name, taken in (("journal in memory", quick), ("durable intent", durable)):
        p50 = median(median(one) / median(other) for one, other in zip(_rounds(taken), _rounds(raw), strict=True))
        p99 = percentile(taken, 99) / percentile(raw, 99)
        aims = (Target(Bound.AT_MOST, P50_AIM, is_gate=False), Target(Bound.AT_MOST, P99_AIM, is_gate=False))
        rows.append(Row(NAME, f"P5 tick to order / raw POST, p50, {name}", p50, target=aims[0]))
        rows.append(Row(NAME, f"P5 tick to order / raw POST, p99, {name}", p99, target=aims[1]))
    return rows


def _rounds(taken: Sequence[int]) -> list[Sequence[int]]:
    return [taken[start : start + TRIALS] for start in range(0, len(taken), TRIALS)]


def _time(what: str, taken: Sequence[int]) -> Row:
    return Row(NAME, what, median(taken) / 1000, "us", percentile(taken, 99) / 1000)


async def _trials(place: Path, count: int) -> tuple[list[int], list[int], list[int]]:
    """Nanoseconds per trial of the daemon without and with a disk, and of the raw client."""
    disk = SqliteJournal.open(
        place / "journal.db", Identity("bench", Mode.SANDBOX, "bench"), Run("bench", "bench"), SystemClock()
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(disk.close)
        for name in ("q", "d", "r"):
            (place / name).mkdir()
        exchanges = [await stack.enter_async_context(exchange_process(place / name)) for name in ("q", "d", "r")]
        memory = MemoryJournal(SystemClock())
        quick = await stack.enter_async_context(live_daemon(exchanges[0], memory))
        durable = await stack.enter_async_context(live_daemon(exchanges[1], disk))
        raw = await stack.enter_async_context(raw_client(exchanges[2].network))
        settle_memory()
        for _ in range(WARM_UP + count):
            await quick.answered(exchanges[0].push)
            await durable.answered(exchanges[1].push)
            await raw.answered(exchanges[2])
        quick_ns, durable_ns, raw_ns = [(await exchange.stamps())[-count:] for exchange in exchanges]
    return quick_ns, durable_ns, raw_ns
