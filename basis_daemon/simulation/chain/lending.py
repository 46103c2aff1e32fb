"""What a lending pool does with an order: what it rounds, by a unit at most, it rounds against its user."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.simulation.chain.books import decimals_of
from basis_daemon.simulation.chain.reserve import RAY
from basis_daemon.simulation.chain.scene import Scene, refuse, symbol_in, symbol_out, units_asked
from basis_daemon.venues.chain.tokens import amount_of, atoken, units_of, units_owed, vdebt

DEBT_MODE = "debt_mode"


def supply(scene: Scene, order: Order) -> None:
    """Inside a group all that came is supplied: the amount is the least of it."""
    symbol = symbol_in(order)
    units = units_asked(order, symbol)
    if scene.is_atomic:
        units = max(units, scene.books.units(symbol, scene.worth))
    scene.take(order, symbol, units)
    books = scene.books
    books.supplied[symbol] = books.supplied.get(symbol, 0) + units * RAY // _income(scene, order, symbol)
    books.collateral.add(symbol)  # a first supply counts by itself
    scene.ask(atoken(symbol), amount_of(units, decimals_of(symbol)))


def withdraw(scene: Scene, order: Order) -> None:
    """MAX takes what has accrued too."""
    symbol, books = symbol_out(order), scene.books
    held = books.lent(symbol, scene.worth)
    units = held if order.amount == "MAX" else units_asked(order, symbol)
    if units > held:
        refuse(order, f"{units} base units, supplied {held}", "balance", ErrorClass.INSUFFICIENT)
    _check_idle(scene, order, symbol, units)
    scaled = books.supplied.get(symbol, 0)
    books.supplied[symbol] = 0 if units == held else scaled + -units * RAY // _income(scene, order, symbol)
    if units == held:
        books.collateral.discard(symbol)
    scene.give(symbol, units)
    scene.ask(atoken(symbol), -amount_of(units, decimals_of(symbol)))


def borrow(scene: Scene, order: Order) -> None:
    """In debt mode the loan of the group becomes debt, and nothing passes through the wallet."""
    symbol = symbol_out(order)
    units = units_asked(order, symbol)
    _check_idle(scene, order, symbol, units)
    books = scene.books
    books.owed[symbol] = books.owed.get(symbol, 0) - -units * RAY // _debt(scene, order, symbol)
    if order.memo == DEBT_MODE:
        scene.loan -= units
    else:
        scene.give(symbol, units)
    scene.ask(vdebt(symbol), amount_of(units, decimals_of(symbol)))


def repay(scene: Scene, order: Order) -> None:
    """MAX takes what is owed by then."""
    symbol, books = symbol_in(order), scene.books
    owed = books.debt(symbol, scene.worth)
    units = owed if order.amount == "MAX" else min(owed, units_asked(order, symbol))
    scene.take(order, symbol, units)
    scaled = books.owed.get(symbol, 0)
    books.owed[symbol] = 0 if units == owed else scaled - units * RAY // _debt(scene, order, symbol)
    scene.ask(vdebt(symbol), -amount_of(units, decimals_of(symbol)))


def flash_borrow(scene: Scene, order: Order) -> None:
    """For this transaction."""
    symbol = symbol_out(order)
    units = units_asked(order, symbol)
    _check_idle(scene, order, symbol, units)
    scene.loan += units
    scene.give(symbol, units)


def flash_repay(scene: Scene, order: Order) -> None:
    """Loan and fee; raises OrderRejectedError for less."""
    symbol = symbol_in(order)
    units = units_owed(order.quantity, decimals_of(symbol))
    due = units_owed(amount_of(scene.loan, decimals_of(symbol)) * (1 + scene.flash_fee), decimals_of(symbol))
    if units < due:
        refuse(order, f"{units} base units, owed {due}", "flash_loan")
    scene.take(order, symbol, units)
    scene.loan = 0


def set_emode(scene: Scene, order: Order) -> None:
    """The category travels as text."""
    scene.books.emode = int(order.memo or 0)


def set_collateral(scene: Scene, order: Order) -> None:
    """What is supplied counts."""
    scene.books.collateral.add(symbol_in(order))


def _income(scene: Scene, order: Order, symbol: str) -> int:
    return scene.worth.income.get(symbol) or refuse(order, f"no reserve of {symbol} is recorded", "reserve")


def _debt(scene: Scene, order: Order, symbol: str) -> int:
    return scene.worth.debt.get(symbol) or refuse(order, f"no reserve of {symbol} is recorded", "reserve")


def _check_idle(scene: Scene, order: Order, symbol: str, units: int) -> None:
    idle = scene.idle.get(symbol, Decimal(0))
    if units > units_of(idle, decimals_of(symbol)):
        refuse(order, f"{units} base units of {symbol}, idle {idle}", "liquidity", ErrorClass.RETRYABLE)


O = OrderOperation  # noqa: E741 - the table below is read by operation
LENDING: Mapping[OrderOperation, Callable[[Scene, Order], None]] = {
    O.SUPPLY: supply,
    O.WITHDRAW: withdraw,
    O.BORROW: borrow,
    O.REPAY: repay,
    O.FLASH_BORROW: flash_borrow,
    O.FLASH_REPAY: flash_repay,
    O.SET_EMODE: set_emode,
    O.SET_COLLATERAL: set_collateral,
}
