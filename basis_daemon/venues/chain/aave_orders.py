"""Orders at Aave: read the reserve, refuse what the pool would refuse, and name the bound; then the one call."""

from __future__ import annotations

from collections.abc import Mapping

from basis_daemon.domain.chain import SECONDS_PER_YEAR
from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain import aave
from basis_daemon.venues.chain.aave_reads import EMODE_CONFIG, USER_EMODE, ReserveAsked, ask_reserve, read_emode
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
    questions = Questions()
    reserve, held = ask_reserve(questions, at.book, symbol), ask_balance(questions, at, symbol)
    await questions.put(at.reader, at.block)
    _check_open(order, reserve, is_new_risk=True)
    if reserve.supply_cap:
        room = reserve.supply_cap - reserve.supplied
        at_most(order, f"supplies {symbol}", token.amount(units), room, ErrorClass.MARKET_CLOSED, "supply_cap")
    check_balance(order, at, symbol, units, held.value)
    need = allowance(at, symbol, at.book.aave.pool, units)
    return Prepared(aave.supply(at.book, symbol, units, at.owner), need)


async def _withdraw(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_out, "token_out")
    token = at.book.token(symbol)
    questions = Questions()
    reserve = ask_reserve(questions, at.book, symbol)
    supplied = questions.ask(BALANCE_OF, at.book.reserve(symbol).atoken, at.owner)
    await questions.put(at.reader, at.block)
    _check_open(order, reserve, is_new_risk=False)
    units = supplied.value if order.amount == "MAX" else units_for(order, token.decimals)
    if not supplied.value:
        refuse(order, f"supplied {symbol} 0, expected more", ErrorClass.INSUFFICIENT, "balance")
    wanted, most = token.amount(units), token.amount(supplied.value)
    at_most(order, f"withdraws {symbol}", wanted, most, ErrorClass.INSUFFICIENT, "balance")
    at_most(order, f"withdraws {symbol} of idle", wanted, reserve.idle, ErrorClass.MARKET_CLOSED, "idle")
    return Prepared(aave.withdraw(at.book, symbol, MAX if order.amount == "MAX" else units, at.owner))


async def _borrow(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_out, "token_out")
    token = at.book.token(symbol)
    units = units_for(order, token.decimals)
    questions = Questions()
    reserve = ask_reserve(questions, at.book, symbol)
    mode = questions.ask(USER_EMODE, at.book.aave.pool, at.owner)
    await questions.put(at.reader, at.block)
    _check_open(order, reserve, is_new_risk=True)
    await _check_borrowable(order, at, reserve, mode.value)
    wanted = token.amount(units)
    if reserve.borrow_cap:
        room = reserve.borrow_cap - reserve.debt
        at_most(order, f"borrows {symbol}", wanted, room, ErrorClass.MARKET_CLOSED, "borrow_cap")
    at_most(order, f"borrows {symbol} of idle", wanted, reserve.idle, ErrorClass.MARKET_CLOSED, "idle")
    return Prepared(aave.borrow(at.book, symbol, units, at.owner))


async def _repay(order: Order, at: Situation) -> Prepared:
    symbol = symbol_of(order, order.token_in, "token_in")
    token = at.book.token(symbol)
    questions = Questions()
    reserve, held = ask_reserve(questions, at.book, symbol), ask_balance(questions, at, symbol)
    debt = questions.ask(BALANCE_OF, at.book.reserve(symbol).vdebt, at.owner)
    await questions.put(at.reader, at.block)
    _check_open(order, reserve, is_new_risk=False)
    owed = debt.value
    if not owed:
        refuse(order, f"debt of {symbol} 0, expected more", ErrorClass.INSUFFICIENT, "debt")
    is_all = order.amount == "MAX"
    units = owed + _accrual(owed, reserve) if is_all else min(units_for(order, token.decimals), owed)
    check_balance(order, at, symbol, owed if is_all else units, held.value)
    need = allowance(at, symbol, at.book.aave.pool, units)
    return Prepared(aave.repay(at.book, symbol, MAX if is_all else units, at.owner), need)


def _accrual(owed: int, reserve: ReserveAsked) -> int:
    interest = amount_of(owed, reserve.decimals) * reserve.borrow_rate * ACCRUAL_S / SECONDS_PER_YEAR
    return units_owed(interest, reserve.decimals) + ROUNDING_UNITS


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
    questions = Questions()
    reserve = ask_reserve(questions, at.book, symbol)
    await questions.put(at.reader, at.block)
    _check_open(order, reserve, is_new_risk=False)
    return Prepared(aave.set_collateral(at.book, symbol, is_collateral=wish == ON))


def _check_open(order: Order, reserve: ReserveAsked, *, is_new_risk: bool) -> None:
    """Refuse when the reserve is not active or paused; a frozen one still lets out what is in."""
    faults = {
        "inactive": (not reserve.is_active, "is not active, expected active"),
        "paused": (reserve.is_paused, "is paused, expected not"),
        "frozen": (reserve.is_frozen and is_new_risk, "is frozen, expected not"),
    }
    for code, (is_so, why) in faults.items():
        if is_so:
            refuse(order, f"reserve {reserve.symbol} {why}", ErrorClass.MARKET_CLOSED, code)


async def _check_borrowable(order: Order, at: Situation, reserve: ReserveAsked, category: int) -> None:
    """In an e-mode its own list says what may be borrowed, outside the reserve's flag."""
    symbol = reserve.symbol
    if category:
        terms = await read_emode(at.reader, at.block, at.book, category, symbol, 0)
        if symbol not in terms.borrowables:
            why = f"e-mode {category} lends {sorted(terms.borrowables)}, expected {symbol} among them"
            refuse(order, why, ErrorClass.BAD_PARAMS, "emode")
    elif not reserve.is_borrowable:
        refuse(order, f"reserve {symbol} lends nothing, expected it to", ErrorClass.MARKET_CLOSED, "not_borrowable")


AAVE_ORDERS: Mapping[OrderOperation, Preparation] = {
    O.SUPPLY: _supply,
    O.WITHDRAW: _withdraw,
    O.BORROW: _borrow,
    O.REPAY: _repay,
    O.SET_EMODE: _set_emode,
    O.SET_COLLATERAL: _set_collateral,
}
