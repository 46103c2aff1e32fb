"""Orders of the wallet itself: wrapping and unwrapping, and allowances on their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.venues.chain import erc20, etherfi, lido
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.addresses import AddressBook, EtherfiEntry, LidoEntry
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
from basis_daemon.venues.chain.refusals import misfit
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS

O = OrderOperation  # noqa: E741 - the table below is read by operation
WRAPPERS = {"ETH": "WETH", "stETH": "wstETH", "eETH": "weETH"}
"""What becomes what by wrapping."""
REVOKE = "revoke"


async def _wrap(order: Order, at: Situation) -> Prepared:
    symbol, _ = _pair(order, order.token_in, order.token_out)
    units = await _affordable(order, at, symbol)
    wrappers: Mapping[str, Callable[[], tuple[Call, str | None]]] = {
        "ETH": lambda: (erc20.WRAP(at.book.token("WETH").address, value_wei=units), None),
        "stETH": lambda: (lido.wrap(_lido(at.book), units), _lido(at.book).wsteth),
        "eETH": lambda: (etherfi.wrap(_etherfi(at.book), units), _etherfi(at.book).weeth),
    }
    call, spender = wrappers[symbol]()
    return Prepared(call, allowance(at, symbol, spender, units) if spender else None)


async def _unwrap(order: Order, at: Situation) -> Prepared:
    symbol, wrapped = _pair(order, order.token_out, order.token_in)
    units = await _affordable(order, at, wrapped)
    unwrappers: Mapping[str, Callable[[], Call]] = {
        "ETH": lambda: erc20.UNWRAP(at.book.token("WETH").address, units),
        "stETH": lambda: lido.unwrap(_lido(at.book), units),
        "eETH": lambda: etherfi.unwrap(_etherfi(at.book), units),
    }
    return Prepared(unwrappers[symbol]())


async def _approve(order: Order, at: Situation) -> Prepared:
    """An exact allowance for one of the book's spenders; ``memo`` revoke takes it back."""
    symbol = symbol_of(order, order.token_in, "token_in")
    spender = at.book.spenders.get(order.recipient or "")
    if spender is None or symbol == "ETH":
        known = ", ".join(at.book.spenders)
        misfit(order, f"{symbol} for {order.recipient}, expected a token for one of {known}")
    units = 0 if order.memo == REVOKE else units_for(order, at.book.token(symbol).decimals)
    return Prepared(erc20.APPROVE(at.book.token(symbol).address, spender, units))


async def _affordable(order: Order, at: Situation, symbol: str) -> int:
    """The order's amount in base units, which the wallet holds; raises OrderRejectedError when it does not."""
    units = units_for(order, ETHER_DECIMALS)
    questions = Questions()
    held = ask_balance(questions, at, symbol)
    await questions.put(at.reader, at.block)
    check_balance(order, at, symbol, units, held.value)
    return units


def _pair(order: Order, bare: PositionKey | None, wrapped: PositionKey | None) -> tuple[str, str]:
    """(symbol, its wrapper's) of an order's two sides; raises InvalidOrderError for any other pair."""
    symbol, wrapper = symbol_of(order, bare, "the bare side"), symbol_of(order, wrapped, "the wrapped side")
    if WRAPPERS.get(symbol) != wrapper:
        known = ", ".join(f"{one} and {other}" for one, other in WRAPPERS.items())
        misfit(order, f"{order.token_in} to {order.token_out}, expected one of {known}")
    return symbol, wrapper


def _lido(book: AddressBook) -> LidoEntry:
    return book.part(book.lido, "lido")


def _etherfi(book: AddressBook) -> EtherfiEntry:
    return book.part(book.etherfi, "etherfi")


WALLET_ORDERS: Mapping[OrderOperation, Preparation] = {
    O.WRAP: _wrap,
    O.UNWRAP: _unwrap,
    O.APPROVE: _approve,
}
