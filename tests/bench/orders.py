"""P3: what one order costs the book, from intent to booked fill and published book, after few orders and after many.

The journal is in memory: the disk is P6's affair. Orders that ended long ago are put into the state directly, because
only their number matters.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median

from basis_daemon.clock import SystemClock
from basis_daemon.domain.market import DecisionIds
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.journal.memory import MemoryJournal
from tests.bench.measure import ROUNDS, Bound, Row, Target, percentile, settle_memory
from tests.bench.stack import silent
from tests.bench.trigger import CASH, QUANTITY, SPOT, small_order

NAME = "orders"
RATIO_MAX = 1.1
FEW, MANY, PER_ROUND = 1_000, 100_000, 50
NOW = datetime(2026, 5, 9, 12, tzinfo=UTC)
PRICE = Decimal(60_000)


class _Book:
    """A book with ``ended`` orders behind it."""

    def __init__(self, ended: int) -> None:
        self.state = BookState()
        self.recorder = Recorder(self.state, MemoryJournal(SystemClock()))
        self.handler = PositionUpdateHandler(self.recorder, PositionMonitor(), silent)
        self._number = 0
        life = OrderLife(self._next(), "bench:1:1", OrderState.FILLED)
        self.state.orders |= {f"{number:032x}": life for number in range(ended)}

    def _next(self) -> Order:
        self._number += 1
        return small_order(DecisionIds("bench", 1, self._number), PRICE, NOW)

    async def order_ns(self) -> int:
        """Nanoseconds of one order's bookkeeping, its construction left out."""
        order = self._next()
        trade = _fill(order)
        start = time.perf_counter_ns()
        await self.recorder.intents([order])
        self.recorder.move(order, OrderState.SUBMITTED, at=NOW)
        self.handler.process_trades([trade])
        return time.perf_counter_ns() - start


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Rows for the report."""
    few, many = asyncio.run(_rounds(rounds))
    ratio = median(median(late) / median(early) for early, late in zip(few, many, strict=True))
    early, late = ([value for taken in taken_by_round for value in taken] for taken_by_round in (few, many))
    return [
        Row(NAME, f"one order after {FEW:,}", median(early) / 1000, "us", percentile(early, 99) / 1000),
        Row(NAME, f"one order after {MANY:,}", median(late) / 1000, "us", percentile(late, 99) / 1000),
        Row(NAME, "P3 late order / early order", ratio, target=Target(Bound.AT_MOST, RATIO_MAX)),
    ]


async def _rounds(rounds: int) -> tuple[list[list[int]], list[list[int]]]:
    few, many = _Book(FEW), _Book(MANY)
    settle_memory()
    early: list[list[int]] = []
    late: list[list[int]] = []
    for _ in range(rounds + 1):
        early.append([await few.order_ns() for _ in range(PER_ROUND)])
        late.append([await many.order_ns() for _ in range(PER_ROUND)])
    return early[1:], late[1:]


def _fill(order: Order) -> Trade:
    return Trade(
        trade_id=f"t{order.order_id}",
        order_id=order.order_id,
        account=order.venue,
        instrument=order.instrument,
        status=TradeStatus.FILLED,
        order_state=OrderState.FILLED,
        price=PRICE,
        qty_base=QUANTITY,
        qty_quote=QUANTITY * PRICE,
        venue_time=NOW,
        recv_time=NOW,
        cum_filled=QUANTITY,
        deltas={SPOT: QUANTITY, CASH: -QUANTITY * PRICE},
    )
