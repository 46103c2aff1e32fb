"""The calls that strategies ask for, each with what it changes: wallet, Aave, issuers, Uniswap.

Amounts are whole units. What is spent, supplied or withdrawn is rounded down to a base unit of its token, what must
come back is rounded up.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from basis_daemon.domain.instrument import Kind, PositionKey, round_down, round_up
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.strategies.onchain_orders import Operation

WALLET, AAVE, DEX = "wallet", "aave_v3", "uniswap_v3"
ETH = PositionKey.of(WALLET, Kind.TOKEN, "ETH")
WETH = PositionKey.of(WALLET, Kind.TOKEN, "WETH")
DEBT = PositionKey.of(AAVE, Kind.VDEBT, "WETH")
WETH_RESERVE = PositionKey.of(AAVE, Kind.ATOKEN, "WETH")
EETH = PositionKey.of(WALLET, Kind.TOKEN, "eETH")
SHARE_ROUNDING = Decimal("1e-9")
"""A token of shares brings up to a few base units less than was put in."""
MINT_SLIP = Decimal("1e-4")
"""A stake brings its rate, or it is not the issuer that answered."""
DEBT_MODE = "debt_mode"
_STEPS: Mapping[str, Decimal] = {"USDT": Decimal("1e-6")}
_WEI = Decimal("1e-18")


class Lst(StrEnum):
    """A liquid staking token and where it lives."""

    WEETH = "weETH"
    WSTETH = "wstETH"

    @property
    def issuer(self) -> str:
        """Venue that mints and takes back."""
        return "etherfi" if self is Lst.WEETH else "lido"

    @property
    def key(self) -> PositionKey:
        """In the wallet."""
        return PositionKey.of(WALLET, Kind.LST, self.value)

    @property
    def reserve(self) -> PositionKey:
        """As collateral."""
        return PositionKey.of(AAVE, Kind.ATOKEN, self.value)

    @property
    def any_claim(self) -> PositionKey:
        """Stands for a request that has no number yet."""
        return PositionKey.of(self.issuer, Kind.CLAIM, "*")


def floor(key: PositionKey, amount: Decimal) -> Decimal:
    """To a base unit of the token, down."""
    return round_down(amount, _STEPS.get(key.symbol, _WEI))


def ceiling(key: PositionKey, amount: Decimal) -> Decimal:
    """To a base unit of the token, up."""
    return round_up(amount, _STEPS.get(key.symbol, _WEI))


# ---------------------------------------------------------------------------------------------------------- wallet
def wrap(amount: Decimal) -> Operation:
    """ETH into WETH."""
    return Operation(O.WRAP, WALLET, WETH, amount, {ETH: -amount, WETH: amount}, token_in=ETH, token_out=WETH)


def unwrap(amount: Decimal) -> Operation:
    """WETH into ETH."""
    return Operation(O.UNWRAP, WALLET, WETH, amount, {WETH: -amount, ETH: amount}, token_in=WETH, token_out=ETH)


# ------------------------------------------------------------------------------------------------------------ Aave
def supply(reserve: PositionKey, token: PositionKey, amount: Decimal, expected: Decimal | None = None) -> Operation:
    """``token`` of the wallet into the reserve; ``expected`` where more may be there than is sure."""
    moved = expected or amount
    return Operation(O.SUPPLY, AAVE, reserve, amount, {token: -moved, reserve: moved}, token_in=token)


def withdraw(reserve: PositionKey, token: PositionKey, amount: Decimal, *, held: Decimal | None = None) -> Operation:
    """Out of the reserve into the wallet; with ``held``, what is there now, all of it (MAX)."""
    moved = amount if held is None else held
    asked: Decimal | Literal["MAX"] = amount if held is None else "MAX"
    return Operation(O.WITHDRAW, AAVE, reserve, asked, {reserve: -moved, token: moved}, token_out=token, reduces=True)


def borrow_in_debt_mode(amount: Decimal) -> Operation:
    """Closes a flash loan by owing it: no fee, and no WETH passes through the wallet."""
    return Operation(O.BORROW, AAVE, DEBT, amount, {DEBT: amount}, token_out=WETH, memo=DEBT_MODE)


def repay(
    amount: Decimal | Literal["MAX"], debt: Decimal, owed: PositionKey = DEBT, token: PositionKey = WETH
) -> Operation:
    """A debt, of WETH unless told otherwise; MAX takes what it is by then, ``debt`` as it was read."""
    moved = debt if amount == "MAX" else amount
    return Operation(O.REPAY, AAVE, owed, amount, {token: -moved, owed: -moved}, token_in=token, reduces=True)


def borrow(amount: Decimal, owed: PositionKey, token: PositionKey) -> Operation:
    """Into the wallet, against what is supplied."""
    return Operation(O.BORROW, AAVE, owed, amount, {owed: amount, token: amount}, token_out=token)


def flash_borrow(amount: Decimal, *, reduces: bool = False) -> Operation:
    """WETH for one transaction."""
    return Operation(O.FLASH_BORROW, AAVE, WETH, amount, {WETH: amount}, token_out=WETH, reduces=reduces)


def flash_repay(amount: Decimal) -> Operation:
    """Loan and fee."""
    return Operation(O.FLASH_REPAY, AAVE, WETH, amount, {WETH: -amount}, token_in=WETH, reduces=True)


def set_emode(lst: Lst, category: int) -> Operation:
    """The account's category; its number travels as text."""
    return Operation(O.SET_EMODE, AAVE, lst.reserve, Decimal(1), {}, memo=str(category))


def set_collateral(lst: Lst) -> Operation:
    """What is supplied counts."""
    return Operation(O.SET_COLLATERAL, AAVE, lst.reserve, Decimal(1), {}, token_in=lst.key)


# ------------------------------------------------------------------------------------------------- issuers and DEX
def minted(lst: Lst, amount: Decimal, rate: Decimal) -> Operation:
    """ETH into the wrapped token in one call: at Lido, or at any issuer inside an atomic group."""
    expected = floor(lst.key, amount / rate)
    deltas = {ETH: -amount, lst.key: expected}
    least = floor(lst.key, expected * (1 - MINT_SLIP))
    return Operation(O.STAKE, lst.issuer, lst.key, amount, deltas, token_in=ETH, token_out=lst.key, min_out=least)


def staked(lst: Lst, amount: Decimal, rate: Decimal) -> tuple[Operation, ...]:
    """ETH into the wrapped token by single calls: ether.fi gives eETH, which is wrapped after."""
    if lst is not Lst.WEETH:
        return (minted(lst, amount, rate),)
    least = amount - SHARE_ROUNDING
    deltas = {ETH: -amount, EETH: least}
    bare = Operation(O.STAKE, lst.issuer, EETH, amount, deltas, token_in=ETH, token_out=EETH, min_out=least)
    return bare, wrapped(lst, least, rate)


def wrapped(lst: Lst, amount: Decimal, rate: Decimal) -> Operation:
    """EETH into weETH."""
    deltas = {EETH: -amount, lst.key: floor(lst.key, amount / rate)}
    return Operation(O.WRAP, WALLET, lst.key, amount, deltas, token_in=EETH, token_out=lst.key)


def handed_back(lst: Lst, quantity: Decimal, rate: Decimal, loose: Decimal = Decimal(0)) -> tuple[Operation, ...]:
    """The request, whose ETH comes by a claim. Ether.fi takes eETH: weETH is unwrapped first, ``loose`` eETH added."""
    if lst is not Lst.WEETH:
        return (requested(lst.key, lst.any_claim, quantity, floor(ETH, quantity * rate)),) if quantity > 0 else ()
    bare = max(floor(EETH, quantity * rate - SHARE_ROUNDING), Decimal(0))
    deltas = {lst.key: -quantity, EETH: bare}
    steps = []
    if bare > 0:
        steps.append(
            Operation(O.UNWRAP, WALLET, lst.key, quantity, deltas, token_in=lst.key, token_out=EETH, reduces=True)
        )
    if bare + loose > SHARE_ROUNDING:
        steps.append(requested(EETH, lst.any_claim, bare + loose, bare + loose))
    return tuple(steps)


def requested(token: PositionKey, claim: PositionKey, quantity: Decimal, owed: Decimal) -> Operation:
    """A token back to its issuer; what is owed is fixed when it is asked for."""
    return Operation(
        O.UNSTAKE, claim.venue, token, quantity, {token: -quantity, claim: owed}, token_in=token, reduces=True
    )


def claim(key: PositionKey, held: Decimal, paid: Decimal, token: PositionKey) -> Operation:
    """What is owed for one request: ``held`` as it was asked for, ``paid`` as it was finalised."""
    is_restaked = key.venue == "eigenlayer"
    operation = O.COMPLETE_WITHDRAWAL if is_restaked else O.CLAIM
    return Operation(operation, key.venue, key, paid, {key: -held, token: paid}, token_out=token, reduces=True)


def swap(
    token_in: PositionKey, token_out: PositionKey, quantity: Decimal, min_out: Decimal, *, reduces: bool = True
) -> Operation:
    """At the DEX; what comes back at least is what is counted on."""
    deltas = {token_in: -quantity, token_out: min_out}
    return Operation(
        O.SWAP, DEX, token_in, quantity, deltas,
        token_in=token_in, token_out=token_out, min_out=min_out, reduces=reduces,
    )  # fmt: skip
