"""Aave V3: calls of its pool, and what its tokens say has moved. Pure; amounts are base units of the asset.

Mint and Burn tell the change of ``balanceOf`` since the account's last event, the interest of that time included
(``balanceIncrease``): what an operation moved is the change without it, at most two units off what it asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.venues.chain.abi import Call, Log, event, function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.erc20 import received
from basis_daemon.venues.chain.tokens import atoken, vdebt

VARIABLE_RATE = 2
NO_REFERRAL = 0

SUPPLY = function("supply(address,uint256,address,uint16)")
WITHDRAW = function("withdraw(address,uint256,address) -> (uint256)")
BORROW = function("borrow(address,uint256,uint256,uint16,address)")
REPAY = function("repay(address,uint256,uint256,address) -> (uint256)")
SET_EMODE = function("setUserEMode(uint8)")
SET_COLLATERAL = function("setUserUseReserveAsCollateral(address,bool)")

MINTED = event("Mint(address indexed, address indexed, uint256, uint256, uint256)")
BURNT = event("Burn(address indexed, address indexed, uint256, uint256, uint256)")
TRANSFERRED = event("BalanceTransfer(address indexed, address indexed, uint256, uint256)")
SUPPLIED = event("Supply(address indexed, address, address indexed, uint256, uint16 indexed)")
WITHDRAWN = event("Withdraw(address indexed, address indexed, address indexed, uint256)")
BORROWED = event("Borrow(address indexed, address, address indexed, uint256, uint8, uint256, uint16 indexed)")
REPAID = event("Repay(address indexed, address indexed, address indexed, uint256, bool)")

RAY = 10**27


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction did to one Aave balance, base units, signed as the balance moves.

    ``asked`` is what the pool was asked for, ``moved`` what the balance did for it; the difference is the pool's
    rounding. ``interest`` is what had accrued since the account's last event there.
    """

    key: PositionKey
    asked: int
    moved: int
    interest: int

    @property
    def rounding(self) -> int:
        """What the balance moved beyond what was asked; at most two units either way per operation."""
        return self.moved - self.asked


def supply(book: AddressBook, symbol: str, units: int, owner: str) -> Call:
    """Lend; needs an allowance of the token for the pool."""
    return SUPPLY(book.aave.pool, book.token(symbol).address, units, owner, NO_REFERRAL)


def withdraw(book: AddressBook, symbol: str, units: int, owner: str) -> Call:
    """Take back; ``abi.MAX`` takes everything."""
    return WITHDRAW(book.aave.pool, book.token(symbol).address, units, owner)


def borrow(book: AddressBook, symbol: str, units: int, owner: str) -> Call:
    """Borrow at the variable rate."""
    return BORROW(book.aave.pool, book.token(symbol).address, units, VARIABLE_RATE, NO_REFERRAL, owner)


def repay(book: AddressBook, symbol: str, units: int, owner: str) -> Call:
    """Pay back; ``abi.MAX`` pays all. Needs an allowance of the token for the pool."""
    return REPAY(book.aave.pool, book.token(symbol).address, units, VARIABLE_RATE, owner)


def set_emode(book: AddressBook, category: int) -> Call:
    """Enter an e-mode; 0 leaves it."""
    return SET_EMODE(book.aave.pool, category)


def set_collateral(book: AddressBook, symbol: str, *, is_collateral: bool) -> Call:
    """Let a supplied asset stand for debt, or not."""
    return SET_COLLATERAL(book.aave.pool, book.token(symbol).address, is_collateral)


def changes(logs: Sequence[Log], book: AddressBook, owner: str) -> Iterator[Change]:
    """What a transaction did to each Aave balance of an account, in the order of the book."""
    for symbol, reserve in book.aave.reserves.items():
        asset = book.token(symbol).address
        handed = _handed_over(logs, reserve.atoken, owner)
        for key, token, asked in (
            (atoken(symbol), reserve.atoken, _asked_of_supply(logs, book.aave.pool, asset, owner) + handed),
            (vdebt(symbol), reserve.vdebt, _asked_of_debt(logs, book.aave.pool, asset, owner)),
        ):
            moved, interest, seen = _moved(logs, token, owner)
            if seen or asked:
                yield Change(key, asked, moved, interest)


def _moved(logs: Sequence[Log], token: str, owner: str) -> tuple[int, int, bool]:
    """(principal, interest, whether anything happened) of one aToken or debt token."""
    principal = interest = 0
    seen = False
    for kind, sign in ((MINTED, 1), (BURNT, -1)):
        for first, second, value, increase, _ in kind.all_of(logs, token):
            holder = second if kind is MINTED else first
            if holder.lower() == owner.lower():
                principal += sign * value - increase
                interest += increase
                seen = True
    for sender, recipient, scaled, index in TRANSFERRED.all_of(logs, token):
        into = (recipient.lower() == owner.lower()) - (sender.lower() == owner.lower())
        principal += into * scaled * index // RAY
        seen = seen or bool(into)
    return principal, interest, seen


def _handed_over(logs: Sequence[Log], token: str, owner: str) -> int:
    """ATokens that came from another account less what went to one; those made or burnt have no other side."""
    between = [log for log in logs if all(any(topic) for topic in log.topics)]
    return received(between, token, owner)


def _asked_of_supply(logs: Sequence[Log], pool: str, asset: str, owner: str) -> int:
    """What was supplied for an account less what it withdrew, as the pool was asked."""
    whose = (asset.lower(), owner.lower())
    into = _total(v for a, _, holder, v, _ in SUPPLIED.all_of(logs, pool) if (a.lower(), holder.lower()) == whose)
    return into - _total(v for a, holder, _, v in WITHDRAWN.all_of(logs, pool) if (a.lower(), holder.lower()) == whose)


def _asked_of_debt(logs: Sequence[Log], pool: str, asset: str, owner: str) -> int:
    """What was borrowed on an account less what was repaid for it, as the pool was asked."""
    whose = (asset.lower(), owner.lower())
    drawn = _total(row[3] for row in BORROWED.all_of(logs, pool) if (row[0].lower(), row[2].lower()) == whose)
    return drawn - _total(v for a, holder, _, v, _ in REPAID.all_of(logs, pool) if (a.lower(), holder.lower()) == whose)


def _total(amounts: Iterable[int]) -> int:
    return sum(amounts)
