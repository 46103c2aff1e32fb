"""Uniswap V3: quotes and single-pool swaps with a least output and a deadline. Pure; amounts are base units."""

from __future__ import annotations

from dataclasses import dataclass

from basis_daemon.venues.chain.abi import Call, function
from basis_daemon.venues.chain.addresses import AddressBook, PoolEntry

FEE_UNITS = 1_000_000
NO_PRICE_LIMIT = 0

QUOTE_IN = function(
    "quoteExactInputSingle((address,address,uint256,uint24,uint160)) -> (uint256,uint160,uint32,uint256)"
)
QUOTE_OUT = function(
    "quoteExactOutputSingle((address,address,uint256,uint24,uint160)) -> (uint256,uint160,uint32,uint256)"
)
SWAP = function("exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160)) -> (uint256)")


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap through one pool: all of ``units_in`` for at least ``units_out_min``, not after ``deadline``.

    ``deadline`` is the block time in Unix seconds after which the router refuses.
    """

    token_in: str
    token_out: str
    fee: int
    units_in: int
    units_out_min: int
    deadline: int


def swap(book: AddressBook, wanted: Swap, owner: str) -> Call:
    """The swap, paid to ``owner``; needs an allowance of the token given for the router."""
    given, taken = book.token(wanted.token_in).address, book.token(wanted.token_out).address
    bounds = (wanted.deadline, wanted.units_in, wanted.units_out_min, NO_PRICE_LIMIT)
    return SWAP(book.dex.router, (given, taken, wanted.fee, owner, *bounds))


def quote_in(book: AddressBook, token_in: str, token_out: str, fee: int, units_in: int) -> Call:
    """What a pool pays for ``units_in``, its fee and the impact included."""
    sides = book.token(token_in).address, book.token(token_out).address
    return QUOTE_IN(book.dex.quoter, (*sides, units_in, fee, NO_PRICE_LIMIT))


def quote_out(book: AddressBook, token_in: str, token_out: str, fee: int, units_out: int) -> Call:
    """What a pool asks for ``units_out``, its fee and the impact included."""
    sides = book.token(token_in).address, book.token(token_out).address
    return QUOTE_OUT(book.dex.quoter, (*sides, units_out, fee, NO_PRICE_LIMIT))


def pools(book: AddressBook, token_in: str, token_out: str) -> tuple[PoolEntry, ...]:
    """The book's pools of these two tokens, cheapest first."""
    found = [pool for pool in book.dex.pools if pool.trades(token_in, token_out)]
    return tuple(sorted(found, key=lambda pool: pool.fee))
