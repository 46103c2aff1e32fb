"""One order from intent to its end, as the book follows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import PROTECTIVE, Order, OrderOperation
from basis_daemon.domain.trade import IN_DOUBT, REVERSAL, TERMINAL, TRANSITIONS, OrderState, Trade
from basis_daemon.engine.codec import OrderLifeRow


@dataclass(slots=True)
class OrderLife:
    """One order from intent to its end; quantities in base units, deltas as booked so far."""

    order: Order
    plan_id: str
    state: OrderState = OrderState.PERSISTED
    sent_at: datetime | None = None
    cum_filled: Decimal = Decimal(0)
    deltas: dict[PositionKey, Decimal] = field(default_factory=dict)
    ended_at: datetime | None = None
    trade_ids: list[str] = field(default_factory=list)

    def row(self) -> OrderLifeRow:
        """What a snapshot, or the journal in the end, keeps of it."""
        return OrderLifeRow(
            self.order, self.plan_id, self.state, self.sent_at, self.cum_filled, dict(self.deltas), self.ended_at,
            tuple(self.trade_ids),
        )  # fmt: skip

    @classmethod
    def of(cls, row: OrderLifeRow) -> OrderLife:
        """Inverse of ``row``."""
        return cls(
            row.order, row.plan_id, row.state, row.sent_at, row.cum_filled, dict(row.deltas), row.ended_at,
            list(row.trade_ids),
        )  # fmt: skip

    def follow(self, trade: Trade, *, is_new: bool) -> None:
        """Take in what a trade tells of the order: its money when it is new, its state where that is legal."""
        if is_new:
            self.cum_filled += trade.qty_base
            self.trade_ids.append(trade.trade_id)
            for key, amount in trade.deltas.items():
                self.deltas[key] = self.deltas.get(key, Decimal(0)) + amount
        if is_new and trade.order_state is OrderState.REORGED and self._has_ended_on_chain:
            self.state, self.ended_at = OrderState.SUBMITTED, None
        elif trade.order_state is not self.state and trade.order_state in TRANSITIONS[self.state]:
            self.state = trade.order_state

    @property
    def was_taken_back(self) -> bool:
        """True once a block that held its transaction was no longer in the chain."""
        return any(name.endswith(REVERSAL) for name in self.trade_ids)

    @property
    def _has_ended_on_chain(self) -> bool:
        """True for an end that a reorganisation undoes, after which the transaction waits again.

        A transfer's end is in steps of its own.
        """
        return self.state in TERMINAL and self.order.operation is not OrderOperation.TRANSFER

    def end(self, market_time: datetime) -> None:
        """Note when it ended, once it has."""
        if self.ended_at is None and not self.is_open:
            self.ended_at = market_time

    @property
    def is_open(self) -> bool:
        """True while it may still change something."""
        return self.state not in TERMINAL

    @property
    def rests(self) -> bool:
        """True for a stop or take-profit that its venue holds: it moves nothing until the market comes to it."""
        return self.order.operation in PROTECTIVE and self.state is OrderState.ACKED

    @property
    def is_in_doubt(self) -> bool:
        """True when no venue has told us its outcome."""
        return self.state in IN_DOUBT

    @property
    def is_travelling(self) -> bool:
        """True for a transfer whose money has left, which is booked, and is not there yet: not open at its source."""
        return self.state in {OrderState.PENDING, OrderState.OVERDUE} and self.in_transit > 0

    @property
    def in_transit(self) -> Decimal:
        """What of it is on its way."""
        return sum((amount for key, amount in self.deltas.items() if key.kind is Kind.TRANSIT), Decimal(0))

    @property
    def was_never_alive(self) -> bool:
        """True when we concluded that the venue never took it; a fill says that we were wrong."""
        return self.state in {OrderState.REJECTED, OrderState.NEVER_ACCEPTED}

    @property
    def was_sent(self) -> bool:
        """True when the venue saw it or may have seen it."""
        return self.state not in {OrderState.PERSISTED, OrderState.NEVER_ACCEPTED}
