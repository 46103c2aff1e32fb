"""A transaction at work: a copy of the books, what things cost at its block, and why it comes to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NoReturn

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order
from basis_daemon.simulation.chain.books import WAD, WRAPPED, Books, Worth, decimals_of
from basis_daemon.venues.chain.tokens import units_of

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Quotes:
    """ETH per unit that a sale brings and a purchase costs, by symbol; ``ether`` is USDT per ETH, None unknown.

    ``size`` is how many staking tokens the market takes at that price.
    """

    sale: Mapping[str, Decimal]
    purchase: Mapping[str, Decimal]
    ether: Decimal | None
    size: Decimal


@dataclass(frozen=True, slots=True)
class Delays:
    """From a request until it is payable: in an issuer's queue, and in the restaking contract before it."""

    queue: timedelta
    restaked: timedelta


@dataclass(slots=True)
class Scene:
    """One transaction. ``asked`` is what lending operations were asked to move, ``loan`` the flash loan that is out.

    ``idle`` is what reserves can give, by symbol, in tokens; ``next_request`` numbers what issuers owe.
    """

    books: Books
    worth: Worth
    quotes: Quotes
    at: datetime
    delays: Delays
    flash_fee: Decimal
    idle: Mapping[str, Decimal]
    next_request: int
    is_atomic: bool = False
    loan: int = 0
    asked: dict[PositionKey, Decimal] = field(default_factory=dict)

    def ask(self, key: PositionKey, amount: Decimal) -> None:
        """Count what an operation at a reserve was asked for: what the reserve makes of it differs by a rounding."""
        self.asked[key] = self.asked.get(key, ZERO) + amount

    def take(self, order: Order, symbol: str, units: int) -> None:
        """Out of the wallet; raises OrderRejectedError for more than is there."""
        held = self.books.units(symbol, self.worth)
        if units > held:
            refuse(order, f"{units} base units of {symbol}, held {held}", "balance", ErrorClass.INSUFFICIENT)
        whole = self.books.tokens.get(symbol, 0)
        self.books.tokens[symbol] = 0 if units == held else whole - self.stored(symbol, units)

    def give(self, symbol: str, units: int) -> None:
        """Into the wallet."""
        self.books.tokens[symbol] = self.books.tokens.get(symbol, 0) + self.stored(symbol, units)

    def stored(self, symbol: str, units: int) -> int:
        """As the contract keeps it: shares of what rebases."""
        return units * WAD // self.worth.rates[WRAPPED[symbol]] if symbol in WRAPPED else units


def units_asked(order: Order, symbol: str) -> int:
    """The order's amount in base units of a token; raises InvalidOrderError for MAX."""
    return units_of(order.quantity, decimals_of(symbol))


def symbol_in(order: Order) -> str:
    """What the order gives."""
    return (order.token_in or order.instrument).symbol


def symbol_out(order: Order) -> str:
    """What the order takes."""
    return (order.token_out or order.instrument).symbol


def refuse(order: Order, why: str, code: str, error_class: ErrorClass = ErrorClass.BAD_PARAMS) -> NoReturn:
    """Raises OrderRejectedError as a simulation does that would revert."""
    raise OrderRejectedError(f"order {order.order_id} ({order.operation}): {why}", error_class, code)
