"""An order on its way to the chain: what was read for it, the call that it became, and what that call needs allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import AmountUnit, Order
from basis_daemon.venues.chain.abi import Call, function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.erc20 import BALANCE_OF, Allowance
from basis_daemon.venues.chain.refusals import at_most, misfit
from basis_daemon.venues.chain.seams import PinnedReader, Questions, Slot
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS, WALLET, amount_of, held_at, units_of

_ETH_BALANCE = function("getEthBalance(address) -> (uint256)")
"""Of Multicall3: ether has no token contract to ask."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One transaction, checked against the state of one block."""

    call: Call
    allowance: Allowance | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an order is prepared: whose account, by which book, at which block."""

    book: AddressBook
    owner: str
    reader: PinnedReader
    block: BlockRef


Preparation = Callable[[Order, Situation], Awaitable[Prepared]]
"""Makes an order into its call. Raises OrderRejectedError, InvalidOrderError or VenueUnreachableError."""


def symbol_of(order: Order, key: PositionKey | None, side: str) -> str:
    """The token that an order names in ``side``; raises InvalidOrderError when it is not one of the wallet's."""
    if key is None or key.venue != WALLET or key.kind not in {Kind.TOKEN, Kind.LST} or key != held_at(key.symbol):
        misfit(order, f"{side} is {key}, expected a key of the wallet such as {held_at('WETH')}")
    return key.symbol


def units_for(order: Order, decimals: int) -> int:
    """Base units of the order's amount, rounded down; raises InvalidOrderError for less than one or another unit."""
    if order.amount_unit is not AmountUnit.BASE:
        misfit(order, f"amount_unit {order.amount_unit}, expected {AmountUnit.BASE}")
    units = units_of(order.quantity, decimals)
    if units <= 0:
        misfit(order, f"amount {order.amount} is less than one unit of {decimals} decimals")
    return units


def decimals_of(book: AddressBook, symbol: str) -> int:
    """Digits of a token or of ether."""
    return ETHER_DECIMALS if symbol == "ETH" else book.token(symbol).decimals


def ask_balance(questions: Questions, at: Situation, symbol: str) -> Slot:
    """What the account holds of a token or of ether."""
    if symbol == "ETH":
        return questions.ask(_ETH_BALANCE, at.book.multicall3, at.owner)
    return questions.ask(BALANCE_OF, at.book.token(symbol).address, at.owner)


def check_balance(order: Order, at: Situation, symbol: str, units: int, held: int) -> None:
    """Raises OrderRejectedError when the wallet holds less than the order spends."""
    digits = decimals_of(at.book, symbol)
    spends, has = amount_of(units, digits), amount_of(held, digits)
    at_most(order, f"spends {symbol}", spends, has, ErrorClass.INSUFFICIENT, "balance")


def allowance(at: Situation, symbol: str, spender: str, units: int) -> Allowance:
    """What ``spender`` has to be allowed."""
    return Allowance(symbol, at.book.token(symbol).address, spender, units)
