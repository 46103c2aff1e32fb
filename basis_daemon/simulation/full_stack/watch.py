"""What is seen on the wire and at the sandbox exchange, and what must hold there at every moment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.sandbox.exchange.venue import Event, OrderEvent
from basis_daemon.simulation.drill.checks import Violation
from basis_daemon.simulation.drill.disk import DrillDisk
from basis_daemon.simulation.drill.invariants import of_history
from basis_daemon.simulation.full_stack.loop import NetworkLoop

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

_ORDER = re.compile(rb"newClientOrderId=([0-9A-Za-z_-]+)")
GRAIN = Decimal("1e-7")
"""Of an asset: an exchange keeps eight digits, and the book every digit that it was told."""
CLIPS_NAKED, SLACK, TARGET_SHARE = 2, Decimal("1.10"), Decimal("0.03")
ZERO = Decimal(0)


@dataclass(slots=True)
class Watch:
    """``clip`` and ``target`` in USDT, ``secret`` is what nobody may ever read; ``hand`` is what others have traded."""

    loop: NetworkLoop
    exchange: SandboxExchange
    account: Account
    clip: Decimal
    target: Decimal
    secret: str
    disk: DrillDisk | None = None
    is_armed: bool = True
    hand: Decimal = ZERO
    orders: int = 0
    fills: int = 0
    moved_at: float = 0.0
    naked_max: Decimal = ZERO
    violations: list[Violation] = field(default_factory=list)
    buried: set[str] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)
    _sent: set[str] = field(default_factory=set)
    _trace: Any = field(default_factory=sha256)

    def begin(self) -> None:
        """See everything that happens at the exchange from now on."""
        tell = self.exchange.venue.sink

        def seen(account: Account, event: Event) -> None:
            self._happened(event)
            tell(account, event)

        self.exchange.venue.sink = seen

    def note(self, *words: object) -> None:
        """Something happened that every run of this seed must repeat."""
        self._trace.update(repr(words).encode())

    @property
    def trace(self) -> str:
        """Of everything noted."""
        return str(self._trace.hexdigest())

    def fail(self, invariant: str, facts: str) -> None:
        """One that did not hold."""
        self.violations.append(Violation(invariant, round(self.loop.time(), 3), facts))

    def wrote(self, data: bytes) -> None:
        """Bytes of the daemon on their way out."""
        if self.secret.encode() in data:
            self.fail("I13", "the API secret left the process")
        for found in _ORDER.findall(data):
            self._left(found.decode())

    def _left(self, order_id: str) -> None:
        self.orders += 1
        self.note(self.loop.now_ns, "sent", order_id)
        if self.disk is None or order_id not in self.disk.durable_intents:
            self.fail("I1", f"{order_id} left without a durable intent")
        if order_id in self._sent:
            self.fail("I2", f"{order_id} left twice")
        self._sent.add(order_id)
        if not self.is_armed:
            self.fail("I12", f"{order_id} left a daemon that was never armed")

    def _happened(self, event: Event) -> None:
        self.moved_at = self.loop.time()
        if not isinstance(event, OrderEvent):
            return
        order = event.order
        self.note(self.loop.now_ns, event.execution, order.client_id, order.status, order.filled)
        self._taken.add(order.client_id)
        self.fills += event.fill is not None
        if order.filled > order.quantity:
            self.fail("I4", f"{order.client_id} filled {order.filled} of {order.quantity}")
        if event.fill is not None:
            self._exposure(order.client_id)

    def _exposure(self, order_id: str) -> None:
        """I5: at the exchange the legs are never further apart than the clips in flight."""
        coin, perp = self.account.holding("BTC"), self.account.position("BTCUSDT")
        price = self.exchange.venue.marks["BTCUSDT"]
        naked = abs(coin.free + coin.locked + perp.quantity) * price
        self.naked_max = max(self.naked_max, naked)
        allowed = CLIPS_NAKED * self.clip * SLACK + self.hand * price + self.target * TARGET_SHARE
        if naked > allowed:
            self.fail("I5", f"after {order_id} {naked:.0f} USDT are naked, expected at most {allowed:.0f}")

    def at_rest(self, daemon: Daemon, disk: DrillDisk) -> None:
        """I3: the book is the exchange's; I4, I6, I7: so is its history."""
        state = daemon.recorder.state
        for key, held in self._held():
            booked = state.ledger.holding(key)
            if abs(booked - held) > GRAIN:
                self.fail("I3", f"{key}: book {booked}, exchange {held}")
        for invariant, facts in of_history(state, disk):
            self.fail(invariant, facts)
        for engine in daemon.supervisor.engines:
            if engine.is_frozen:
                self.fail("I14", f"strategy {engine.strategy.name} is frozen")

    def _held(self) -> Iterator[tuple[PositionKey, Decimal]]:
        for asset, holding in sorted(self.account.spot.items()):
            yield PositionKey.of("binance", Kind.SPOT, asset), holding.free + holding.locked
        for asset, amount in sorted(self.account.wallet.items()):
            yield PositionKey.of("binanceusdm", Kind.SPOT, asset), amount
        for symbol, position in sorted(self.account.positions.items()):
            yield PositionKey.of("binanceusdm", Kind.PERP, symbol), position.quantity

    def judge_burials(self) -> None:
        """I4: what was taken for never accepted, or for refused, is not at the exchange."""
        for order_id in sorted(self.buried & self._taken):
            self.fail("I4", f"{order_id} was taken for dead, and the exchange had taken it")

    def of_life(self, disk: DrillDisk, told: Sequence[str]) -> None:
        """I13: nothing that a life has written down, logged or cried out holds the secret."""
        texts = [*told, *(row.record.payload for row in disk.read())]
        if any(self.secret in text for text in texts):
            self.fail("I13", "the API secret stands in the journal, in the log or in an alarm")
