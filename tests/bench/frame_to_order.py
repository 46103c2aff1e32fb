"""P4: from the text of a Binance depth frame to the order request handed to ccxt, inside one process.

Included: JSON, the merge into ccxt's book, tap and decoder, twenty levels a side checked and the best one made exact,
mailbox, picture, assessment, decision, risk gate, their journal rows folded and queued, the task of the plan, intent,
routing, the venue's steps, and the arguments of ccxt's create_order. Not included: what ccxt and aiohttp do with them,
any disk, and the text of the rows, which the journal's thread makes while the order waits for the disk anyway (P5, with
a durable intent, has all of it). A frame names the best ten levels of each side; the strategy is the shortest there is.

The floor is decoding and the construction of the same Order. Decoding is orjson over the same frame and exact numbers
of the levels that it names, because a dictionary of strings is no market event that one could decide on; against orjson
alone, without the numbers, the ratio is printed beside it. A trial begins when the exchange has told everything of the
last order, so that none of its private frames is worked in between a tick and the next order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import uvloop

from basis_daemon.clock import SystemClock
from basis_daemon.domain.market import DecisionIds
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.venues.cex.binance import spot_stream
from basis_daemon.venues.cex.ccxt_client import ExchangeClient
from basis_daemon.venues.cex.frames import instant, milliseconds
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.quirks import Stream
from tests.bench.live import ACCOUNT, Live, exchange_process, live_daemon
from tests.bench.measure import ROUNDS, Bound, Row, Target, percentile, settle_memory
from tests.bench.trigger import SPOT, small_order

NAME = "frame"
RATIO_MAX = 2.0
TRIALS, WARM_UP = 60, 50
LEVELS = 10
APART = timedelta(seconds=2)
SYMBOL, SYMBOL_ID = "BTC/USDT", "BTCUSDT"


class _StampingClient(ExchangeClient):
    """The client of orders, which notes when it is asked for one."""

    def __init__(self, real: ExchangeClient) -> None:
        self._real = real
        self.asked_ns = 0

    async def ask(self, method: str, *args: object, request: Request | None = None) -> Any:  # noqa: ANN401 - as the class above
        if method == "create_order":
            self.asked_ns = time.perf_counter_ns()
        return await self._real.ask(method, *args, request=request)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@dataclass(slots=True)
class _Stages:
    """Nanoseconds of each trial."""

    bare: list[int] = field(default_factory=list)
    floor: list[int] = field(default_factory=list)
    to_tick: list[int] = field(default_factory=list)
    to_plan: list[int] = field(default_factory=list)
    to_request: list[int] = field(default_factory=list)

    @property
    def whole(self) -> list[int]:
        """Frame to request."""
        return [sum(parts) for parts in zip(self.to_tick, self.to_plan, self.to_request, strict=True)]


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Rows for the report."""
    with TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as place:
        stages = uvloop.run(_trials(Path(place), rounds * TRIALS))
    ratios, bare_ratios = (
        [whole / floor for whole, floor in zip(stages.whole, floors, strict=True)]
        for floors in (stages.floor, stages.bare)
    )
    return [
        _time("orjson + Order", stages.bare),
        _time("floor: orjson + 2 x 10 exact levels + Order", stages.floor),
        _time("frame to tick: ccxt's book, tap, 2 x 20 levels checked", stages.to_tick),
        _time("tick to plan: picture, decision, risk gate", stages.to_plan),
        _time("plan to request: intent, route, wire steps", stages.to_request),
        Row(
            NAME, "P4 frame to request / floor", median(ratios), p99=percentile(ratios, 99),
            target=Target(Bound.AT_MOST, RATIO_MAX), note="up to ccxt's create_order, journal in memory",
        ),
        Row(NAME, "frame to request / orjson + Order", median(bare_ratios), p99=percentile(bare_ratios, 99)),
    ]  # fmt: skip


def _time(what: str, taken: Sequence[int]) -> Row:
    return Row(NAME, what, median(taken) / 1000, "us", percentile(taken, 99) / 1000)


async def _trials(place: Path, count: int) -> _Stages:
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(exchange_process(place))
        live = await stack.enter_async_context(live_daemon(exchange, MemoryJournal(SystemClock())))
        desk = live.venue.desks[ACCOUNT]
        orders = _StampingClient(desk.orders)
        desk.connect((orders, desk.data))
        frames = _Frames(live, desk.data)
        await live.quiet()
        settle_memory()
        stages = _Stages()
        for number in range(WARM_UP + count):
            await _trial(live, orders, frames, stages if number >= WARM_UP else _Stages())
    return stages


class _Frames:
    """Depth frames that continue the book which ccxt holds, and the connection that they come over."""

    def __init__(self, live: Live, data: ExchangeClient) -> None:
        exchange = data._exchange
        (self._connection,) = [c for url, c in exchange.clients.items() if spot_stream(url) is Stream.BOOK]
        self._book = exchange.orderbooks[SYMBOL]
        self._now = live.stack.mailbox.books[SPOT].venue_time

    def following(self) -> str:
        """The next frame: new sizes for the best levels of both sides."""
        self._now += APART
        number = self._book["nonce"] + 1
        bids, asks = (
            [[f"{p:.8f}", f"{1 + number % 7}.00000000"] for p, _ in self._book[side][:LEVELS]]
            for side in ("bids", "asks")
        )
        body = {
            "e": "depthUpdate",
            "E": milliseconds(self._now),
            "s": SYMBOL_ID,
            "U": number,
            "u": number,
            "b": bids,
            "a": asks,
        }
        return orjson.dumps(body).decode()

    def hand_over(self, text: str) -> None:
        """As aiohttp does, once it has unmasked the frame."""
        self._connection.handle_text_or_binary_message(text)


async def _trial(live: Live, orders: _StampingClient, frames: _Frames, into: _Stages) -> None:
    text = frames.following()
    bare, levels = _floor(text)
    into.bare.append(bare)
    into.floor.append(bare + levels)
    stamps: list[int] = []
    live.feed.on_tick = lambda: stamps.append(time.perf_counter_ns())

    def arrive() -> None:
        stamps.append(time.perf_counter_ns())
        frames.hand_over(text)
        stamps.append(time.perf_counter_ns())

    await live.answered(arrive)
    await live.at_rest()
    came, ticked, planned = stamps
    into.to_tick.append(ticked - came)
    into.to_plan.append(planned - ticked)
    into.to_request.append(orders.asked_ns - planned)


def _floor(text: str) -> tuple[int, int]:
    """Nanoseconds of JSON and an Order, and of exact numbers of every level."""
    start = time.perf_counter_ns()
    frame = orjson.loads(text)
    small_order(DecisionIds("floor", 1, frame["u"]), Decimal(frame["b"][0][0]), instant(frame["E"]))
    done = time.perf_counter_ns()
    for side in (frame["b"], frame["a"]):
        tuple([(Decimal(price), Decimal(size)) for price, size in side])
    return done - start, time.perf_counter_ns() - done
