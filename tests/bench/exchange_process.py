"""A sandbox exchange in a process of its own that stamps, by its own clock, when a frame leaves and an order arrives.

`python -m tests.bench.exchange_process DIRECTORY` prints its ready file as one line, pushes one market step per line it
reads, and prints the pairs of stamps when its input ends. It lives until it is terminated.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import uvloop
from aiohttp import web

from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange

STEP_MS = 10_000
ORDER_PATH = "/api/v3/order"
WEIGHT_1M = 10_000_000
"""The bench asks more often than a venue would let it."""


class StampingExchange(SandboxExchange):
    """The sandbox exchange with two stamps per round trip, in nanoseconds."""

    def __init__(self, options: ExchangeOptions) -> None:
        super().__init__(options)
        self._left_ns: int | None = None
        self.left_ns: list[int] = []
        self.arrived_ns: list[int] = []

    def push(self) -> None:
        """One market step; the stamp is taken when its frames are rendered and nothing but the write is left."""
        stamp = self.clock.now_ms(time.monotonic()) + STEP_MS
        self.world.advance(stamp)
        self.clock.moved(stamp, time.monotonic())
        self.hub.frame()
        self._left_ns = time.perf_counter_ns()
        self.hub.flush()

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        now_ns = time.perf_counter_ns()
        if self._left_ns is not None and request.method == "POST" and request.path == ORDER_PATH:
            self.left_ns.append(self._left_ns)
            self.arrived_ns.append(now_ns)
            self._left_ns = None
        return await super()._dispatch(request)


async def serve(directory: Path) -> None:
    """Market time is ahead of the wall clock: a daemon takes the wall clock for it until a stream has spoken."""
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    options = ExchangeOptions(directory=directory, mode="manual", start=tomorrow, spot_weight_1m=WEIGHT_1M)
    async with StampingExchange(options) as exchange:
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        _say(exchange.ready())
        while await lines.readline():
            exchange.push()
        _say({"left_ns": exchange.left_ns, "arrived_ns": exchange.arrived_ns})
        await exchange.stopped()  # clients leave first, then this process is told to


def _say(body: object) -> None:
    sys.stdout.buffer.write(orjson.dumps(body) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
