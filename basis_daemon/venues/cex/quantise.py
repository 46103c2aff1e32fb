"""An order in the venue's steps: prices never beyond their bound, quantities never above what was asked for."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError
from basis_daemon.domain.instrument import Instrument, round_down, round_up
from basis_daemon.domain.order import AmountUnit, Order, OrderType, Side, TimeInForce

BASIS_POINT = Decimal("1e-4")


class Quantised(Struct, frozen=True):
    """The numbers of an order that leaves as a limit order: in exact steps, with how long it may rest."""

    quantity: Decimal
    price: Decimal
    tif: TimeInForce

    @property
    def is_immediate(self) -> bool:
        """True when it cannot rest: its answer is final."""
        return self.tif in {TimeInForce.IOC, TimeInForce.FOK}


def plain(number: Decimal) -> str:
    """Digits without an exponent."""
    return f"{number:f}"


def quantised(order: Order, instrument: Instrument) -> Quantised:
    """The order as the venue takes it; ``market`` becomes a limit IOC at its slippage bound.

    Raises InvalidOrderError for what cannot be expressed, OrderRejectedError (BAD_PARAMS) for what its filters refuse.
    """
    if order.side is None:
        raise InvalidOrderError(f"order {order.order_id}: has no side, expected BUY or SELL")
    price, tif = _price(order, instrument, order.side), order.tif or TimeInForce.GTC
    if order.order_type is OrderType.MARKET:
        tif = TimeInForce.IOC
    quantity = round_down(_base_quantity(order, price), instrument.quantity_step)
    if (fault := _filter_fault(quantity, price, instrument, is_exit=order.reduce_only)) is not None:
        msg = f"order {order.order_id} on {order.instrument}: {fault}"
        raise OrderRejectedError(msg, ErrorClass.BAD_PARAMS, "filter")
    return Quantised(quantity, price, tif)


def quantised_trigger(order: Order, instrument: Instrument) -> Quantised:
    """A stop or take-profit, its trigger rounded up for a sale and down for a purchase. Raises like ``quantised``."""
    if order.side is None or order.trigger_price is None:
        raise InvalidOrderError(f"order {order.order_id}: expected side and trigger_price")
    rounding = round_down if order.side is Side.BUY else round_up
    trigger = rounding(order.trigger_price, instrument.price_tick)
    quantity = round_down(order.quantity, instrument.quantity_step)
    if (fault := _filter_fault(quantity, trigger, instrument, is_exit=True)) is not None:
        msg = f"order {order.order_id} on {order.instrument}: {fault}"
        raise OrderRejectedError(msg, ErrorClass.BAD_PARAMS, "filter")
    return Quantised(quantity, trigger, TimeInForce.GTC)


def bound(side: Side, ref_price: Decimal, max_slippage_bp: Decimal, tick: Decimal) -> Decimal:
    """The worst price an order may trade at, on the tick and not beyond the bound: a buy down, a sell up."""
    limit = ref_price * (1 + side.sign * max_slippage_bp * BASIS_POINT)
    return round_down(limit, tick) if side is Side.BUY else round_up(limit, tick)


def _price(order: Order, instrument: Instrument, side: Side) -> Decimal:
    if order.order_type is OrderType.MARKET and order.ref_price is not None and order.max_slippage_bp is not None:
        price = bound(side, order.ref_price, order.max_slippage_bp, instrument.price_tick)
    elif order.order_type is OrderType.LIMIT and order.price is not None:
        price = (round_down if side is Side.BUY else round_up)(order.price, instrument.price_tick)
    else:
        raise InvalidOrderError(f"order {order.order_id}: type {order.order_type}, expected market or limit")
    if price <= 0:
        raise InvalidOrderError(f"order {order.order_id}: price {price} after rounding, expected above zero")
    return price


def _base_quantity(order: Order, price: Decimal) -> Decimal:
    if order.amount_unit in {
        AmountUnit.BASE,
        AmountUnit.CONTRACTS,
    }:  # contracts, as the venue counts them
        return order.quantity
    if order.amount_unit is AmountUnit.QUOTE:  # a budget: never more than it buys at the worst price
        return order.quantity / price
    msg = f"order {order.order_id}: amount_unit {order.amount_unit}, expected base, contracts or quote"
    raise InvalidOrderError(msg)


def _filter_fault(quantity: Decimal, price: Decimal, instrument: Instrument, *, is_exit: bool) -> str | None:
    if quantity <= 0 or quantity < instrument.quantity_min:
        return f"quantity {plain(quantity)} in steps of {instrument.quantity_step}, at least {instrument.quantity_min}"
    if quantity > instrument.quantity_max:
        return f"quantity {plain(quantity)}, at most {instrument.quantity_max}"
    notional = instrument.notional(quantity, price)
    if notional < instrument.notional_min and not is_exit:
        return f"notional {plain(notional)}, at least {instrument.notional_min} unless reduce_only"
    return None
