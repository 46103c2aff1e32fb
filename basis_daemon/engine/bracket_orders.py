"""The orders of a bracket: its two halves, a cancel of one of them, and the exit of what nothing guards."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from basis_daemon.domain.bracket import Guarding, Live, Place
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, MarkTick
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.recorder import Recorder

_HALVES = {
    Guarding.STOP: (OrderOperation.STOP, OrderType.STOP_MARKET),
    Guarding.TAKE_PROFIT: (OrderOperation.TAKE_PROFIT, OrderType.TAKE_PROFIT_MARKET),
}
_HALF_OF = {operation: half for half, (operation, _) in _HALVES.items()}
REASON = "BRACKET"


def half_of(order: Order) -> Guarding | None:
    """Which half of a bracket an order is; None for any other order."""
    return _HALF_OF.get(order.operation)


def live_of(life: OrderLife) -> Live:
    """A half as it stands: what is left of it."""
    order = life.order
    left = order.quantity - life.cum_filled
    return Live(order.order_id, _HALF_OF[order.operation], left, order.trigger_price or Decimal(0))


def exit_side(held: Decimal) -> Side:
    """The side that reduces a position."""
    return Side.SELL if held > 0 else Side.BUY


class BracketOrders:
    """Makes the orders of one strategy's brackets; their ids do not repeat in a generation of the journal."""

    def __init__(
        self,
        strategy: str,
        book: str,
        recorder: Recorder,
        slippage_bp: Decimal,
        prices: tuple[Mapping[PositionKey, BookTick], Mapping[PositionKey, MarkTick]],
    ) -> None:
        """``slippage_bp`` bounds an exit, against the mid or, where there is none, the mark."""
        self.strategy = strategy
        self._book, self._recorder, self._slippage_bp = book, recorder, slippage_bp
        self._quotes, self._marks = prices
        self._sent = 0

    def mark(self, key: PositionKey) -> Decimal | None:
        """What the venue last marked it at."""
        found = self._marks.get(key)
        return None if found is None else found.mark

    def half(self, entry: Order, held: Decimal, wanted: Place) -> Order:
        """A stop or take-profit of a position."""
        operation, order_type = _HALVES[wanted.half]
        fields = self._fields(entry) | {"operation": operation, "order_type": order_type, "side": exit_side(held)}
        fields |= {"amount": wanted.quantity, "trigger_price": wanted.trigger, "reduce_only": True}
        return Order.model_validate(fields)

    def cancel(self, target: Order) -> Order:
        """Take a half away."""
        fields = self._fields(target) | {"operation": OrderOperation.CANCEL, "amount": target.amount}
        return Order.model_validate(fields | {"order_type": target.order_type, "memo": target.order_id})

    def exit(self, entry: Order, held: Decimal) -> Order | None:
        """All of it, at the market; None while there is no price to bound it by."""
        quote = self._quotes.get(entry.instrument)
        price = quote.mid if quote is not None and quote.bids and quote.asks else self.mark(entry.instrument)
        if price is None:
            return None
        fields = self._fields(entry) | {
            "operation": OrderOperation.PERP_TRADE,
            "order_type": OrderType.MARKET,
            "side": exit_side(held),
            "amount": abs(held),
            "reduce_only": True,
            "ref_price": price,
            "ref_time": self._recorder.state.market_time,
            "max_slippage_bp": self._slippage_bp,
            "expected_deltas": {entry.instrument: -held},
        }
        return Order.model_validate(fields)

    def _fields(self, cause: Order) -> dict[str, object]:
        """What every one of them has of the order that it belongs to."""
        self._sent += 1
        identity = (self._book, self._recorder.epoch, f"{self.strategy}/bracket", cause.decision, cause.leg)
        return {
            "order_id": order_id(*identity, self._sent, 0),
            "parent_id": cause.order_id,
            "strategy": self.strategy,
            "decision": cause.decision,
            "leg": cause.leg,
            "clip": self._sent,
            "venue": cause.venue,
            "instrument": cause.instrument,
            "amount_unit": cause.amount_unit,
            "reason": REASON,
            "created_at": self._recorder.state.market_time,
        }
