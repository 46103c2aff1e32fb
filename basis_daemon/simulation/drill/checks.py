"""What must hold at every step, seen from the exchange: nothing here asks the daemon what it believes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING

from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.trade import Trade
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.state import BookState, recover
from basis_daemon.simulation.drill.disk import DrillDisk
from basis_daemon.simulation.drill.exchange import Connection, Exchange
from basis_daemon.simulation.drill.invariants import of_request, of_rest

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

CLIPS_NAKED, SLACK = 2, Decimal("1.10")
"""Clips of difference between the two legs that may stand at the exchange; what size may exceed its target by."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant (reliability: I1 to I19) that did not hold, when, and by which numbers."""

    invariant: str
    at_s: float
    facts: str


@dataclass(slots=True)
class Checks:
    """Honours ``Watcher``. ``clip`` and ``target`` in USDT: one clip, and the notional that a full book has."""

    exchange: Exchange
    clip: Decimal
    target: Decimal
    disk: DrillDisk | None = None
    is_halted: bool = False
    rivals: int = 0
    orders: int = 0
    fills: int = 0
    violations: list[Violation] = field(default_factory=list)
    naked_max: Decimal = Decimal(0)
    _sent: set[str] = field(default_factory=set)
    _hand: Decimal = Decimal(0)
    _under_way: frozenset[str] = frozenset()
    _trace: object = field(default_factory=sha256)

    def note(self, *words: object) -> None:
        """Something happened that every run of this seed must repeat."""
        self._trace.update(repr(words).encode())  # type: ignore[attr-defined]  # a hash object has no public type

    @property
    def trace(self) -> str:
        """Of everything noted."""
        return str(self._trace.hexdigest())  # type: ignore[attr-defined]  # as above

    def fail(self, invariant: str, facts: str) -> None:
        """One that did not hold."""
        self.violations.append(Violation(invariant, round(self.exchange.loop.time(), 3), facts))

    def requested(self, order: Order, connection: Connection) -> None:
        self.orders += 1
        self.note(self.exchange.loop.now_ns, "sent", order.order_id)
        if self.disk is None or order.order_id not in self.disk.durable_intents:
            self.fail("I1", f"{order.order_id} left without a durable intent")
        if order.order_id in self._sent:
            self.fail("I2", f"{order.order_id} left twice")
        self._sent.add(order.order_id)
        if self.is_halted and order.order_id not in self._under_way and self._grows(order):
            what = f"{order.operation} {order.side} {order.amount} of {order.instrument} ({order.order_id})"
            self.fail("I8", f"{what} adds risk after the halt was acknowledged")
        if connection is not self.exchange.connection:
            self.fail("I17", f"{order.order_id} left a daemon that another one has followed")
        for invariant, facts in of_request(order, connection, self.exchange):
            self.fail(invariant, facts)

    def accepted(self, order: Order, trades: Sequence[Trade]) -> None:
        filled = sum((trade.qty_base for trade in trades), Decimal(0))
        self.fills += sum(trade.is_fill for trade in trades)
        self.note(self.exchange.loop.now_ns, "taken", order.order_id, filled)
        if order.amount != "MAX" and filled > order.quantity:
            self.fail("I4", f"{order.order_id} filled {filled} of {order.quantity}")
        if filled:
            self._exposure(order)

    def halt(self) -> None:
        """The halt is acknowledged: only what was on disk before it may still leave, so that no pair stays naked."""
        self.is_halted = True
        self._under_way = frozenset(self.disk.durable_intents) if self.disk is not None else frozenset()

    def _grows(self, order: Order) -> bool:
        """True for an order that takes a leg further from nothing, and the two legs no nearer to each other."""
        if order.side is None or order.operation is OrderOperation.TRANSFER or order.is_risk_reducing:
            return False
        wallets, change = self.exchange.paper.wallets, order.side.sign * order.quantity
        held = wallets.holding(order.instrument)
        naked = sum((wallets.holding(key) for key in wallets.instruments), Decimal(0))
        return abs(held + change) > abs(held) and abs(naked + change) >= abs(naked)

    def by_hand(self, quantity: Decimal) -> None:
        """Somebody else has traded: what that leaves open is not the daemon's doing."""
        self._hand += abs(quantity)

    def before_rearming(self, daemon: Daemon) -> None:
        """I17: fills of a second daemon are booked by now, and have halted this one."""
        if self.rivals and daemon.guard.state is not GuardState.HALTED:
            self.fail(
                "I17", f"{self.rivals} orders of a second daemon are booked, and the guard is {daemon.guard.state}"
            )
        self.rivals = 0

    def _exposure(self, order: Order) -> None:
        """I5: at the exchange the legs are never further apart than the clips in flight, nor larger than the book."""
        wallets, market = self.exchange.paper.wallets, self.exchange.paper.market
        sizes = {kind: Decimal(0) for kind in (Kind.SPOT, Kind.PERP)}
        price = Decimal(0)
        for key in wallets.instruments:
            sizes[key.kind] += wallets.holding(key)
            price = market.mark(key) or price
        naked = abs(sizes[Kind.SPOT] + sizes[Kind.PERP]) * price
        self.naked_max = max(self.naked_max, naked)
        allowed = CLIPS_NAKED * self.clip * SLACK + self._hand * price
        if naked > allowed + self.target * Decimal("0.03"):
            self.fail("I5", f"after {order.order_id} {naked:.0f} USDT are naked, expected at most {allowed:.0f}")
        grows = order.operation is OrderOperation.SPOT_TRADE and order.side is Side.BUY
        largest = self.target * SLACK + self.clip + self._hand * price
        if grows and sizes[Kind.SPOT] * price > largest:
            self.fail("I5", f"after {order.order_id} spot is {sizes[Kind.SPOT] * price:.0f}, expected {largest:.0f}")

    def at_rest(self, daemon: Daemon, disk: DrillDisk) -> None:
        """I3, I6, I18: the book is the exchange's to the last digit, and a fold of its journal is the live state."""
        state, wallets = daemon.recorder.state, self.exchange.paper.wallets
        keys = {key for key in (*wallets.balances, *state.ledger.holdings()) if key.kind is not Kind.TRANSIT}
        for key in sorted(keys, key=str):
            booked, held = state.ledger.holding(key), wallets.holding(key)
            if booked != held:
                self.fail("I3", f"{key}: book {booked}, exchange {held}")
        again = recover(disk)
        if again.dump() != state.dump():
            self.fail("I6", f"a fold of {len(disk.read())} rows is not the live state: {_difference(again, state)}")
        numbers = [row.sequence for row in disk.read()]
        if numbers != list(range(1, len(numbers) + 1)):
            self.fail("I7", "the rows of the journal are not numbered without a gap")
        for invariant, facts in of_rest(daemon, disk, self.exchange):
            self.fail(invariant, facts)


def _difference(one: BookState, other: BookState) -> str:
    first, second = one.dump(), other.dump()
    place = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    return f"{first[place : place + 80]!r} against {second[place : place + 80]!r}"
