"""A process that leaves an order behind: `python -m tests.venues.orphaned READY_FILE` rests one and waits to be killed.

It prints the order's id when the order rests, and keeps its dead man's switch as a daemon does.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson

from basis_daemon.clock import SystemClock
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side, TimeInForce
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import FeedEvent
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.network import SandboxNetwork, sandbox_from_ready_file
from basis_daemon.venues.cex.venue import CEXVenue
from tests.venues.rig import PERP_BTC, QUIET

COUNTDOWN_S = 1.5


def resting_order(book: BookTick) -> Order:
    """A buy two percent below the market, good till cancelled."""
    price = (book.mid * Decimal("0.98")).quantize(Decimal(1))
    quantity = Decimal("0.010")
    return Order(
        order_id=order_id("orphaned", 1, "orphaned", 1, 0, 0, 0),
        strategy="orphaned",
        decision=1,
        leg=0,
        operation=OrderOperation.PERP_TRADE,
        venue=PERP_BTC.venue,
        instrument=PERP_BTC,
        side=Side.BUY,
        amount=quantity,
        order_type=OrderType.LIMIT,
        price=price,
        tif=TimeInForce.GTC,
        ref_price=book.mid,
        ref_time=book.venue_time,
        expected_deltas={PERP_BTC: quantity},
        reason="left behind",
        created_at=book.venue_time,
    )


async def rest(network: SandboxNetwork) -> None:
    """Start, wait for a book, rest an order, and live on."""
    ours: list[Order] = []
    first: asyncio.Future[BookTick] = asyncio.get_running_loop().create_future()

    def sink(event: FeedEvent) -> None:
        if isinstance(event, BookTick) and event.instrument == PERP_BTC and not first.done():
            first.set_result(event)

    def on_trade(trade: Trade) -> None:
        raise RuntimeError(f"a fill two percent away from the market: {trade}")

    options = replace(QUIET, network=network, dead_man_s=COUNTDOWN_S)
    venue = CEXVenue(BINANCE, options, SystemClock(), open_orders=lambda: ours)
    async with TaskTree("orphaned") as tree:
        feed = venue.feed(tree)
        await feed.start()
        tree.spawn("feed", feed.run(sink))
        ours.append(resting_order(await first))
        await venue.interface(PERP_BTC.venue, on_trade).execute_order(ours[0], SystemClock().wall())
        sys.stdout.write(f"{ours[0].order_id}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(rest(sandbox_from_ready_file(orjson.loads(Path(sys.argv[1]).read_bytes()))))
