"""The venue's dead man's switch: what rests there is cancelled by the venue itself once this daemon falls silent.

Armed before a resting order leaves, renewed while the book holds one, disarmed when none is left. It works by symbol,
on every order that rests there: what it may touch is a question of the orders' class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import CEX_TRADES, PROTECTIVE, Order
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError

RENEWALS_PER_COUNTDOWN = 3
"""Two of them may be lost before the venue believes us dead."""
_MS, _NS = 1_000, 1_000_000_000
OpenOrders = Callable[[], Sequence[Order]]
"""The book's word: every order of ours that has not ended, at any account."""


class OrderClass(StrEnum):
    """What the switch asks of an order."""

    NO_TRADE = "no_trade"
    IMMEDIATE = "immediate"
    RESTING = "resting"
    PROTECTIVE = "protective"


POLICY: Mapping[OrderClass, str] = {
    OrderClass.NO_TRADE: "money that moves rests in no book: it has no symbol to watch",
    OrderClass.IMMEDIATE: "over before it could be orphaned: needs no switch",
    OrderClass.RESTING: "cancelled by the venue when this daemon falls silent",
    OrderClass.PROTECTIVE: "must outlive us: the switch of its symbol stays disarmed, lest it take the stop too",
}


def class_of(order: Order) -> OrderClass:
    """Which policy an order falls under."""
    if order.operation in PROTECTIVE:
        return OrderClass.PROTECTIVE
    if order.operation not in CEX_TRADES:
        return OrderClass.NO_TRADE
    return OrderClass.IMMEDIATE if order.is_immediate else OrderClass.RESTING


class DeadManSwitch:
    """The switch of one account; where the venue has none, every method does nothing and ``state`` says so."""

    def __init__(self, desk: Desk, open_orders: OpenOrders) -> None:
        self._desk, self._open_orders = desk, open_orders
        self._armed: dict[PositionKey, datetime] = {}
        self._renewed_ns = 0
        self._is_kicked = False

    @property
    def exists(self) -> bool:
        """True where the venue offers one."""
        return self._desk.quirks.countdown_call is not None and not self._desk.options.is_read_only

    def state(self) -> Mapping[str, object]:
        """For an operator: what is armed, when it was last renewed (wall time), and what is left to itself."""
        if not self.exists:
            return {"exists": False, "why": f"{self._desk.name} has none: what rests there outlives this daemon"}
        return {
            "exists": True,
            "countdown_s": self._desk.options.dead_man_s,
            "armed": {key: at.isoformat() for key, at in sorted(self._armed.items())},
            "withheld": sorted(self._protected()),
        }

    async def before(self, order: Order) -> None:
        """Arm the symbol of an order that will rest. Raises VenueUnreachableError: it must not leave unwatched."""
        key = order.instrument
        if not self.exists or class_of(order) is not OrderClass.RESTING or key in self._protected():
            return
        try:
            await self._count_down(key, self._desk.options.dead_man_s)
        except CallError as fault:
            msg = f"order {order.order_id}: the dead man's switch of {key} could not be armed: {fault.text}"
            raise VenueUnreachableError(msg) from fault

    def kick(self) -> None:
        """A connection came back: renew at the next look, whenever that was due."""
        self._is_kicked = True

    async def keep(self) -> None:
        """Renew what needs it and disarm what does not; cheap between two renewals."""
        now_ns = self._desk.clock.monotonic_ns()
        pause_ns = self._desk.options.dead_man_s * _NS / RENEWALS_PER_COUNTDOWN
        if not self.exists or not (self._is_kicked or now_ns - self._renewed_ns >= pause_ns):
            return
        self._is_kicked, self._renewed_ns = False, now_ns
        wanted = self._resting() - self._protected()
        for key in sorted(wanted | self._armed.keys()):
            await self._try(key, self._desk.options.dead_man_s if key in wanted else 0)

    async def release(self) -> None:
        """An orderly end: disarmed where nothing of ours rests. What still rests is left to the countdown."""
        for key in sorted(self._armed.keys() - self._resting()):
            await self._try(key, 0)
        self._armed.clear()

    async def _try(self, key: PositionKey, seconds: float) -> None:
        try:
            await self._count_down(key, seconds)
        except CallError as fault:
            facts = {"account": self._desk.name, "instrument": key, "text": fault.text}
            self._desk.note("dead_man_unanswered_alarm" if seconds else "dead_man_unanswered", facts)

    async def _count_down(self, key: PositionKey, seconds: float) -> None:
        quirks = self._desk.quirks
        if quirks.countdown_call is None:
            return
        arguments = quirks.countdown_params(self._desk.listing_of(key).symbol_id, int(seconds * _MS))
        await self._desk.ask(
            self._desk.orders, quirks.countdown_call, arguments, read=lambda _: None, request=Request(is_urgent=True)
        )
        if seconds:
            self._armed[key] = self._desk.clock.wall()
        else:
            self._armed.pop(key, None)

    def _resting(self) -> set[PositionKey]:
        return self._instruments_of(OrderClass.RESTING)

    def _protected(self) -> set[PositionKey]:
        return self._instruments_of(OrderClass.PROTECTIVE)

    def _instruments_of(self, wanted: OrderClass) -> set[PositionKey]:
        ours = (order for order in self._open_orders() if order.venue == self._desk.name)
        return {order.instrument for order in ours if class_of(order) is wanted}
