"""What is seen on the wire and at the sandbox exchange, and what must hold there at every moment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.sandbox.exchange.accounts import Account
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.sandbox.exchange.venue import Event, OrderEvent
from basis_daemon.simulation.drill.disk import DrillDisk
from basis_daemon.simulation.full_stack.witness import StackWitness

if TYPE_CHECKING:
    from basis_daemon.wiring_book import Daemon

_ORDER = re.compile(rb"newClientOrderId=([0-9A-Za-z_-]+)")
GRAIN = Decimal("1e-7")
"""Of an asset: an exchange keeps eight digits, and the book every digit that it was told."""
CLIPS_NAKED, SLACK, TARGET_SHARE = 2, Decimal("1.10"), Decimal("0.03")
ZERO = Decimal(0)


@dataclass(slots=True, kw_only=True)
class ExchangeWatch(StackWitness):
    """``clip`` and ``target`` in USDT; ``hand`` is what others have traded."""

    exchange: SandboxExchange
    account: Account
    clip: Decimal
    target: Decimal
    hand: Decimal = ZERO
    naked_max: Decimal = ZERO
    _sent: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """See everything that happens at the exchange from now on."""
        tell = self.exchange.venue.sink

        def seen(account: Account, event: Event) -> None:
            self._happened(event)
            tell(account, event)

        self.exchange.venue.sink = seen

    def seen(self, data: bytes) -> None:
        """Orders that leave."""
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
        """I3: the book is the exchange's; and as the base says."""
        for key, held in self._held():
            booked = daemon.recorder.state.ledger.holding(key)
            if abs(booked - held) > GRAIN:
                self.fail("I3", f"{key}: book {booked}, exchange {held}")
        StackWitness.at_rest(self, daemon, disk)

    def _held(self) -> Iterator[tuple[PositionKey, Decimal]]:
        for asset, holding in sorted(self.account.spot.items()):
            yield PositionKey.of("binance", Kind.SPOT, asset), holding.free + holding.locked
        for asset, amount in sorted(self.account.wallet.items()):
            yield PositionKey.of("binanceusdm", Kind.SPOT, asset), amount
        for symbol, position in sorted(self.account.positions.items()):
            yield PositionKey.of("binanceusdm", Kind.PERP, symbol), position.quantity
