"""How an order meets a displayed book: filters, price band, time in force. Pure; shared by paper and replay.

A displayed quantity fills once: what was taken is gone until the next tick shows the book anew. Takers pay the price
of the level they hit; a resting order fills at its own price when the opposite side reaches it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.instrument import Instrument, round_down, round_up
from basis_daemon.domain.market import BookTick, Level
from basis_daemon.domain.order import AmountUnit, Order, OrderOperation, OrderType, Side, TimeInForce

_BP = Decimal(10_000)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Fill:
    """A piece of an order: quote per base, base units."""

    price: Decimal
    quantity: Decimal
    is_maker: bool = False


class Depth:
    """What is left of one displayed book."""

    def __init__(self, bids: Iterable[Level] = (), asks: Iterable[Level] = ()) -> None:
        self._bids, self._asks = list(bids), list(asks)

    @classmethod
    def of(cls, tick: BookTick) -> Depth:
        """The whole book of one tick."""
        return cls(tick.bids, tick.asks)

    def fillable(self, side: Side, limit: Decimal | None = None) -> Decimal:
        """Base quantity that an order of ``side`` could take at ``limit`` or better; without one, all of it."""
        return sum((size for price, size in self._facing(side) if _reaches(side, limit, price)), ZERO)

    def take(self, side: Side, quantity: Decimal, limit: Decimal | None = None) -> tuple[Fill, ...]:
        """Remove up to ``quantity`` from the best levels within ``limit``; one fill per level, best first."""
        levels, fills = self._facing(side), []
        while quantity > 0 and levels and _reaches(side, limit, levels[0][0]):
            price, size = levels.pop(0)
            got = min(quantity, size)
            if got < size:
                levels.insert(0, (price, size - got))
            if got > 0:
                fills.append(Fill(price, got))
            quantity -= got
        return tuple(fills)

    def take_resting(self, side: Side, quantity: Decimal, price: Decimal) -> Fill | None:
        """What a resting order gets from the levels that reached it, all at its own price; None when none did."""
        got = sum((fill.quantity for fill in self.take(side, quantity, price)), ZERO)
        return Fill(price, got, is_maker=True) if got > 0 else None

    def _facing(self, side: Side) -> list[Level]:
        return self._asks if side is Side.BUY else self._bids


def _reaches(side: Side, limit: Decimal | None, price: Decimal) -> bool:
    return limit is None or (price <= limit if side is Side.BUY else price >= limit)


def reject(order: Order, why: str, error_class: ErrorClass, code: str) -> OrderRejectedError:
    """The venue's no, with the order's id in front."""
    return OrderRejectedError(f"order {order.order_id}: {why}", error_class, code)


def side_of(order: Order) -> Side:
    """The side of a trade; raises OrderRejectedError for an order that has none."""
    if order.side is None:
        raise reject(order, f"{order.operation} has no side", ErrorClass.BAD_PARAMS, "SIDE")
    return order.side


def limit_of(order: Order, instrument: Instrument) -> Decimal:
    """The worst price that the order accepts: its limit, or the band around ``ref_price`` cut inwards to a tick."""
    if order.price is not None:
        return order.price
    if order.ref_price is None or order.max_slippage_bp is None:
        raise reject(order, f"{order.order_type} order without a price band", ErrorClass.BAD_PARAMS, "PRICE")
    side = side_of(order)
    edge = order.ref_price * (1 + side.sign * order.max_slippage_bp / _BP)
    return round_down(edge, instrument.price_tick) if side is Side.BUY else round_up(edge, instrument.price_tick)


def time_in_force(order: Order) -> TimeInForce:
    """As stated; a market order without one is IOC, a limit order GTC."""
    if order.tif is not None:
        return order.tif
    return TimeInForce.IOC if order.order_type is OrderType.MARKET else TimeInForce.GTC


def check_filters(order: Order, instrument: Instrument, limit: Decimal) -> None:
    """Raises OrderRejectedError for a quantity, price or notional that the instrument does not take."""
    quantity = order.quantity
    unit = AmountUnit.BASE if instrument.contract_value is None else AmountUnit.CONTRACTS
    if order.amount_unit is not unit:
        raise reject(order, f"amount_unit {order.amount_unit}, expected {unit}", ErrorClass.BAD_PARAMS, "UNIT")
    if quantity % instrument.quantity_step:
        why = f"quantity {quantity}, expected a multiple of {instrument.quantity_step}"
        raise reject(order, why, ErrorClass.BAD_PARAMS, "STEP")
    if not instrument.quantity_min <= quantity <= instrument.quantity_max:
        why = f"quantity {quantity}, expected {instrument.quantity_min} to {instrument.quantity_max}"
        raise reject(order, why, ErrorClass.BAD_PARAMS, "QUANTITY")
    if order.price is not None and order.price % instrument.price_tick:
        why = f"price {order.price}, expected a multiple of {instrument.price_tick}"
        raise reject(order, why, ErrorClass.BAD_PARAMS, "TICK")
    notional = instrument.notional(quantity, limit)
    if not order.reduce_only and notional < instrument.notional_min:
        why = f"notional {notional}, expected at least {instrument.notional_min}"
        raise reject(order, why, ErrorClass.BAD_PARAMS, "NOTIONAL")


def is_reached(order: Order, mark: Decimal) -> bool:
    """A stop waits for the market to run away from the side that it trades, a take-profit for it to come."""
    upward = (side_of(order) is Side.BUY) is (order.operation is OrderOperation.STOP)
    trigger = order.trigger_price or ZERO
    return mark >= trigger if upward else mark <= trigger


def at_trigger(fill: Fill, order: Order) -> Fill:
    """A take-profit gets no better price than its trigger, which the market passed on its way to what is shown now."""
    if order.operation is OrderOperation.STOP or order.trigger_price is None:
        return fill
    worse = max if order.side is Side.BUY else min
    return replace(fill, price=worse(fill.price, order.trigger_price))


def match_now(order: Order, limit: Decimal, most: Decimal, depth: Depth, available: Decimal) -> tuple[Fill, ...]:
    """What the order takes on arrival, at most ``most`` (base) of the ``available`` part of what the book shows.

    FOK takes ``most`` or nothing. Raises OrderRejectedError for a POST_ONLY order that would take.
    """
    side, tif = side_of(order), time_in_force(order)
    if tif is TimeInForce.POST_ONLY:
        if depth.fillable(side, limit) > 0:
            raise reject(order, f"would take at {limit}", ErrorClass.RETRYABLE, "POST_ONLY")
        return ()
    takeable = min(most, available)
    if tif is TimeInForce.FOK and takeable < most:
        return ()
    return depth.take(side, takeable, limit)
