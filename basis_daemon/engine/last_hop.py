"""The last look before the wire: what goes out is compared with what was intended, and counted by the minute.

Every other check sits before the plan. This one sits behind everything that could go wrong after it: clips, retries, a
loop that sends old orders again. It believes nobody: an order leaves only by spending the durable intent of that very
order, and only as long as orders and notional of the last minute stay within their limits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from basis_daemon.domain.errors import LastHopError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import CEX_TRADES, Order
from basis_daemon.domain.risk_money import BP, price_bound
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock

ZERO = Decimal(0)
_NS = 1_000_000_000
_MINUTE_NS = 60 * _NS


@dataclass(frozen=True, slots=True)
class Collars:
    """Bounds of one order and of one minute of process time. USDT, bp, and seconds of a second source's silence."""

    order_notional_max_usdt: Decimal
    orders_per_minute_max: int
    notional_per_minute_max_usdt: Decimal
    price_collar_bp: Decimal
    source_max_s: Decimal


class SecondSource:
    """What the market says of an underlying beside an instrument's own book: indices of perps, and other books."""

    def __init__(self, mailbox: Mailbox, recorder: Recorder, max_s: Decimal) -> None:
        self._mailbox = mailbox
        self._recorder = recorder
        self._max_ns = int(max_s * _NS)

    def price(self, key: PositionKey, now_ns: int) -> Decimal | None:
        """Quote units per base: the median of the other sources that are fresh at ``now_ns``; None without any."""
        instruments = self._recorder.state.instruments
        own = instruments.get(key)
        if own is None:
            return None
        since_ns = now_ns - self._max_ns
        seen: list[Decimal] = []
        for other, instrument in instruments.items():
            if instrument.base != own.base or instrument.quote != own.quote:
                continue
            mark, book = self._mailbox.marks.get(other), self._mailbox.books.get(other)
            if mark is not None and mark.received_ns >= since_ns:
                seen.append(mark.index)
            if other != key and book is not None and book.received_ns >= since_ns and book.bids and book.asks:
                seen.append(book.mid)
        return median(seen) if len(seen) > 1 else seen[0] if seen else None


class LastHop:
    """Lets an order out or raises LastHopError. A mismatch or a runaway halts the guard before anything has left."""

    def __init__(
        self, recorder: Recorder, guard: Guard, clock: Clock, alarm: Alarm, collars: Collars, mailbox: Mailbox
    ) -> None:
        self._recorder = recorder
        self._guard = guard
        self._clock = clock
        self._alarm = alarm
        self._collars = collars
        self._source = SecondSource(mailbox, recorder, collars.source_max_s)
        self._minute: deque[tuple[int, Decimal]] = deque()
        self._notional = ZERO
        self.orders_out = 0

    def let_out(self, order: Order) -> None:
        """Count the order as sent. Raises LastHopError, and then it must not leave."""
        self._compare(order)
        now_ns = self._clock.monotonic_ns()
        self._forget_old(now_ns)
        bound = price_bound(order) if order.operation in CEX_TRADES else None
        notional = ZERO if bound is None else self._notional_of(order, bound)
        if not order.is_risk_reducing:
            self._check_size(order, notional)
            if bound is not None:
                self._check_price(order, bound, now_ns)
            self._check_rate(order, notional)
        self._minute.append((now_ns, notional))
        self._notional += notional
        self.orders_out += 1

    def _notional_of(self, order: Order, bound: Decimal) -> Decimal:
        """In quote units; of an instrument that nobody has described as if it were linear."""
        instrument = self._recorder.state.instruments.get(order.instrument)
        return order.quantity * bound if instrument is None else instrument.notional(order.quantity, bound)

    def _compare(self, order: Order) -> None:
        """Orders out against intents in: each intent lets exactly one order out, and exactly that one."""
        intent = self._recorder.spend_intent(order.order_id)
        if intent is order or intent == order:
            return
        if intent is not None:
            why = f"order {order.order_id} differs from its durable intent"
        elif order.order_id in self._recorder.state.orders:
            why = f"order {order.order_id} was sent before or its intent is not durable, expected one send of a new one"
        else:
            why = f"order {order.order_id} has no intent in the journal"
        self._stop(why)

    def _check_size(self, order: Order, notional: Decimal) -> None:
        limit = self._collars.order_notional_max_usdt
        if notional > limit:
            self._refuse(f"order {order.order_id}: notional {notional:.2f}, expected at most {limit} USDT")

    def _check_price(self, order: Order, bound: Decimal, now_ns: int) -> None:
        """Against a second source: the book that an order was priced from may itself be wrong."""
        second, limit = self._source.price(order.instrument, now_ns), self._collars.price_collar_bp
        if second is None and order.closes_a_gap:  # a venue that died between two legs must not keep the book naked
            return
        if second is None:
            self._refuse(f"order {order.order_id}: no second source has a fresh price for {order.instrument}")
        elif abs(bound - second) > limit * BP * second:
            found = f"price bound {bound} against {second} of the second source"
            self._refuse(f"order {order.order_id} on {order.instrument}: {found}, expected within {limit} bp")

    def _check_rate(self, order: Order, notional: Decimal) -> None:
        if order.closes_a_gap:  # counted, but what hedges a leg that has filled is not what runs away
            return
        count, total = len(self._minute) + 1, self._notional + notional
        if count > self._collars.orders_per_minute_max:
            limit = self._collars.orders_per_minute_max
            self._stop(f"order {order.order_id} is number {count} within a minute, expected at most {limit}")
        if total > self._collars.notional_per_minute_max_usdt:
            limit_usdt = self._collars.notional_per_minute_max_usdt
            self._stop(f"order {order.order_id} makes {total:.2f} USDT within a minute, expected at most {limit_usdt}")

    def _refuse(self, why: str) -> None:
        self._alarm("order stopped by a collar", {"why": why})
        raise LastHopError(why)

    def _stop(self, why: str) -> None:
        self._guard.tighten(GuardState.HALTED, f"last hop: {why}")
        raise LastHopError(why)

    def _forget_old(self, now_ns: int) -> None:
        since_ns = now_ns - _MINUTE_NS
        while self._minute and self._minute[0][0] < since_ns:
            self._notional -= self._minute.popleft()[1]
