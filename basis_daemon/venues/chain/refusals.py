"""What an order is refused for before anything is sent: the value found and the bound it breaks, in one sentence."""

from __future__ import annotations

from decimal import Decimal
from typing import NoReturn

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError
from basis_daemon.domain.order import Order


def refuse(order: Order, why: str, error_class: ErrorClass, code: str) -> NoReturn:
    """Nothing left; ``code`` is a word for machines."""
    raise OrderRejectedError(f"order {order.order_id} ({order.operation} at {order.venue}): {why}", error_class, code)


def at_most(order: Order, what: str, found: Decimal, bound: Decimal, error_class: ErrorClass, code: str) -> None:
    """Refuse when ``found`` exceeds ``bound``."""
    if found > bound:
        refuse(order, f"{what} {plain(found)}, expected at most {plain(bound)}", error_class, code)


def plain(amount: Decimal) -> str:
    """Digits as a person writes them: no exponent, no zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def misfit(order: Order, why: str) -> NoReturn:
    """The order does not say what its operation needs: build another one."""
    raise InvalidOrderError(f"order {order.order_id} ({order.operation} at {order.venue}): {why}")
