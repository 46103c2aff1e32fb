"""A sandbox exchange in a process of its own that speaks in bursts: `python -m tests.bench.soak_exchange DIRECTORY`.

It prints its ready file as one line. Each line it reads is a burst, `{"frames": n, "rate": per second, "fills": m}`: so
many market steps of `STEP_MS`, with fills of another hand spread over them; it answers with what it managed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import uvloop

from basis_daemon.clock import SystemClock
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange

STEP_MS = 100
WEIGHT_1M = 10_000_000
BREATH = 20
"""Steps after which the sockets are let write, if the rate has not asked for a pause before."""

SIDES = (("BUY", "0.001"), ("SELL", "0.0009"))
"""The fee of a buy is taken from the coin: as much can never be sold again."""


def step(exchange: SandboxExchange) -> None:
    """One market step and its frames."""
    stamp = exchange.clock.now_ms(time.monotonic()) + STEP_MS
    exchange.world.advance(stamp)
    exchange.clock.moved(stamp, time.monotonic())
    exchange.hub.frame()
    exchange.hub.flush()


async def burst(exchange: SandboxExchange, clock: SystemClock, frames: int, rate: int, fills: int) -> dict[str, Any]:
    """Frames sent and seconds taken, and every fill that the venue holds by now."""
    began = time.perf_counter()
    every = max(frames // fills, 1) if fills else 0
    for number in range(frames):
        if every and number % every == 0:
            side, quantity = SIDES[number // every % len(SIDES)]
            trade = {"market": "spot", "symbol": "BTCUSDT", "side": side, "quantity": quantity}
            exchange.happen({"kind": "trade", **trade})
        step(exchange)
        ahead_s = number / rate - (time.perf_counter() - began)
        if ahead_s > 0 or number % BREATH == 0:
            await clock.sleep(max(ahead_s, 0))
    (account,) = exchange.venue.accounts.values()
    taken = time.perf_counter() - began
    return {"frames": frames, "seconds": taken, "fills": len(account.store("spot").fills)}


async def serve(directory: Path) -> None:
    """Market time is ahead of the wall clock: a daemon takes the wall clock for it until a stream has spoken."""
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    options = ExchangeOptions(directory=directory, mode="manual", start=tomorrow, spot_weight_1m=WEIGHT_1M)
    clock = SystemClock()
    async with SandboxExchange(options) as exchange:
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        _say(exchange.ready())
        while line := await lines.readline():
            _say(await burst(exchange, clock, **orjson.loads(line)))
        await exchange.stopped()


def _say(body: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(body) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
