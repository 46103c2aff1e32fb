"""Orders at Aave: read the reserve, refuse what the pool would refuse, and name the bound; then the one call."""

from __future__ import annotations

from collections.abc import Mapping

from basis_daemon.domain.chain import SECONDS_PER_YEAR, ReserveTick
from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain import aave
from basis_daemon.venues.chain.aave_reads import EMODE_CONFIG, USER_EMODE, read_emode, read_reserves
from basis_daemon.venues.chain.abi import MAX
from basis_daemon.venues.chain.erc20 import BALANCE_OF
from basis_daemon.venues.chain.prepared import (
    Preparation,
    Prepared,
    Situation,
    allowance,
    ask_balance,
    check_balance,
    symbol_of,
    units_for,
)
from basis_daemon.venues.chain.refusals import at_most, misfit, refuse
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import amount_of, units_owed

O = OrderOperation  # noqa: E741 - the table below is read by operation
ACCRUAL_S = 3_600
"""A debt that is paid back whole grows until it is included: the allowance covers this long, and two units."""
ROUNDING_UNITS = 2
EMODE_MAX = 255
ON, OFF = "on", "off"


async def _supply(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_in, "token_in")
    token = at.book.token(symbol)
    units = units_for(order, token.decimals)
    reserve = await _reserve(order, at, symbol)
    if reserve.is_frozen:
        refuse(order, f"reserve {symbol} is frozen, expected not", ErrorClass.MARKET_CLOSED, "frozen")
    if reserve.supply_cap:
        room = reserve.supply_cap - reserve.supplied
        at_most(order, f"supplies {symbol}", token.amount(units), room, ErrorClass.MARKET_CLOSED, "supply_cap")
    await _check_wallet(order, at, symbol, units)
    need = allowance(at, symbol, at.book.aave.pool, units)
    return Prepared(aave.supply(at.book, symbol, units, at.owner), need)


async def _withdraw(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_out, "token_out")
    token = at.book.token(symbol)
    reserve = await _reserve(order, at, symbol)
    supplied = await _balance(at, at.book.reserve(symbol).atoken)
    units = supplied if order.amount == "MAX" else units_for(order, token.decimals)
    if not supplied:
        refuse(order, f"supplied {symbol} 0, expected more", ErrorClass.INSUFFICIENT, "balance")
    wanted = token.amount(units)
    at_most(order, f"withdraws {symbol}", wanted, token.amount(supplied), ErrorClass.INSUFFICIENT, "balance")
    at_most(order, f"withdraws {symbol} of idle", wanted, reserve.idle, ErrorClass.MARKET_CLOSED, "idle")
    return Prepared(aave.withdraw(at.book, symbol, MAX if order.amount == "MAX" else units, at.owner))


async def _borrow(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_out, "token_out")
    token = at.book.token(symbol)
    units = units_for(order, token.decimals)
    reserve = await _reserve(order, at, symbol)
    if reserve.is_frozen:
        refuse(order, f"reserve {symbol} is frozen, expected not", ErrorClass.MARKET_CLOSED, "frozen")
    await _check_borrowable(order, at, symbol, reserve)
    wanted = token.amount(units)
    if reserve.borrow_cap:
        room = reserve.borrow_cap - reserve.debt
        at_most(order, f"borrows {symbol}", wanted, room, ErrorClass.MARKET_CLOSED, "borrow_cap")
    at_most(order, f"borrows {symbol} of idle", wanted, reserve.idle, ErrorClass.MARKET_CLOSED, "idle")
    return Prepared(aave.borrow(at.book, symbol, units, at.owner))


async def _repay(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_in, "token_in")
    token = at.book.token(symbol)
    reserve = await _reserve(order, at, symbol)
    owed = await _balance(at, at.book.reserve(symbol).vdebt)
    if not owed:
        refuse(order, f"debt of {symbol} 0, expected more", ErrorClass.INSUFFICIENT, "debt")
    is_all = order.amount == "MAX"
    units = owed + _accrual(owed, reserve, token.decimals) if is_all else min(units_for(order, token.decimals), owed)
    await _check_wallet(order, at, symbol, owed if is_all else units)
    need = allowance(at, symbol, at.book.aave.pool, units)
    return Prepared(aave.repay(at.book, symbol, MAX if is_all else units, at.owner), need)


def _accrual(owed: int, reserve: ReserveTick, decimals: int) -> int:
    interest = amount_of(owed, decimals) * reserve.borrow_rate * ACCRUAL_S / SECONDS_PER_YEAR
    return units_owed(interest, decimals) + ROUNDING_UNITS


async def _set_emode(order: Order, at: Situation) -> Prepared:
    memo = order.memo or ""
    if not memo.isdecimal() or int(memo) > EMODE_MAX:
        misfit(order, f"memo {order.memo!r}, expected the number of an e-mode, 0 to {EMODE_MAX}")
    category = int(memo)
    if category:
        questions = Questions()
        config = questions.ask(EMODE_CONFIG, at.book.aave.pool, category)
        await questions.put(at.reader, at.block)
        if not config.value[1]:
            refuse(order, f"e-mode {category} has no terms, expected one that exists", ErrorClass.BAD_PARAMS, "emode")
    return Prepared(aave.set_emode(at.book, category))


async def _set_collateral(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_in, "token_in")
    wish = order.memo or ON
    if wish not in {ON, OFF}:
        misfit(order, f"memo {order.memo!r}, expected {ON} or {OFF}")
    await _reserve(order, at, symbol)
    return Prepared(aave.set_collateral(at.book, symbol, is_collateral=wish == ON))


async def _reserve(order: Order, at: Situation, symbol: str) -> ReserveTick:
    """The reserve at the block; refused when it is not active or paused, for whatever it is asked."""
    at.book.reserve(symbol)
    (tick,) = await read_reserves(at.reader, at.block, at.book, [symbol], 0)
    if not tick.is_active:
        refuse(order, f"reserve {symbol} is not active, expected active", ErrorClass.MARKET_CLOSED, "inactive")
    if tick.is_paused:
        refuse(order, f"reserve {symbol} is paused, expected not", ErrorClass.MARKET_CLOSED, "paused")
    return tick


async def _check_borrowable(order: Order, at: Situation, symbol: str, reserve: ReserveTick) -> None:
    """In an e-mode its own list says what may be borrowed, outside the reserve's flag."""
    questions = Questions()
    mode = questions.ask(USER_EMODE, at.book.aave.pool, at.owner)
    await questions.put(at.reader, at.block)
    category = mode.value
    if category:
        terms = await read_emode(at.reader, at.block, at.book, category, symbol, 0)
        if symbol not in terms.borrowables:
            why = f"e-mode {category} lends {sorted(terms.borrowables)}, expected {symbol} among them"
            refuse(order, why, ErrorClass.BAD_PARAMS, "emode")
    elif not reserve.is_borrowable:
        refuse(order, f"reserve {symbol} lends nothing, expected it to", ErrorClass.MARKET_CLOSED, "not_borrowable")


async def _check_wallet(order: Order, at: Situation, symbol: str, units: int) -> None:
    questions = Questions()
    held = ask_balance(questions, at, symbol)
    await questions.put(at.reader, at.block)
    check_balance(order, at, symbol, units, held.value)


async def _balance(at: Situation, token: str) -> int:
    questions = Questions()
    held = questions.ask(BALANCE_OF, token, at.owner)
    await questions.put(at.reader, at.block)
    return int(held.value)


AAVE_ORDERS: Mapping[OrderOperation, Preparation] = {
    O.SUPPLY: _supply,
    O.WITHDRAW: _withdraw,
    O.BORROW: _borrow,
    O.REPAY: _repay,
    O.SET_EMODE: _set_emode,
    O.SET_COLLATERAL: _set_collateral,
}
