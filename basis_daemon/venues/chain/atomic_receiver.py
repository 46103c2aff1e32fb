"""The receiver contract in the daemon's words: what it is told, what it answers when it refuses, what it must be.

Amounts are wei, health factor and LTV 1e18 = 1; ``contracts/GroupReceiver.sol`` says what each field does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from eth_abi.abi import encode

from basis_daemon.venues.chain.abi import MAX, Call, function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.contracts.artifact import Artifact, Deployment, deployment, load

NOWHERE = "0x0000000000000000000000000000000000000000"
"""Stands for a contract that a network does not have."""

WETH = "WETH"
DEBT_MODE = 2
"""Aave's code for a flash loan that stays as variable debt."""

_BOUNDS = "(uint256,uint256,uint256,uint256)"
_PERMIT = "(uint256,uint256,uint8,bytes32,bytes32)"
ENTRY_TYPE = f"(address,uint8,uint24,uint256,uint256,{_BOUNDS})"
EXIT_TYPE = f"(address,uint24,uint256,uint256,uint256,uint256,{_PERMIT},{_BOUNDS})"

FLASH_LOAN = function("flashLoan(address,address[],uint256[],uint256[],address,bytes,uint16)")
FLASH_LOAN_SIMPLE = function("flashLoanSimple(address,address,uint256,bytes,uint16)")
UNWIND_THROUGH_MORPHO = function(f"unwindThroughMorpho(uint256,{EXIT_TYPE})")


class Route(IntEnum):
    """How WETH becomes the liquid staking token; the contract's enumeration."""

    LIDO = 0
    ETHERFI = 1
    SWAP = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """What must hold after the transaction; ``deadline`` unix seconds, ``debt_max`` wei of WETH debt."""

    deadline: int
    health_factor_min: int
    ltv_max: int = MAX
    debt_max: int = MAX

    def values(self) -> tuple[object, ...]:
        return self.deadline, self.health_factor_min, self.ltv_max, self.debt_max


@dataclass(frozen=True, slots=True)
class Entry:
    """Loan and ``own`` WETH become ``lst`` and collateral; the loan stays as debt."""

    lst: str
    route: Route
    pool_fee: int
    own: int
    lst_min: int
    bounds: Bounds

    def values(self) -> tuple[object, ...]:
        return self.lst, int(self.route), self.pool_fee, self.own, self.lst_min, self.bounds.values()


@dataclass(frozen=True, slots=True)
class Permit:
    """A signed EIP-2612 permit of the aToken for the receiver; ``v`` 0 where an allowance stands already."""

    value: int = 0
    deadline: int = 0
    v: int = 0
    r: bytes = bytes(32)
    s: bytes = bytes(32)

    def values(self) -> tuple[object, ...]:
        return self.value, self.deadline, self.v, self.r, self.s


@dataclass(frozen=True, slots=True)
class Exit:
    """The loan repays debt, collateral comes back, part of it is sold for the loan; ``MAX`` is all of it."""

    lst: str
    pool_fee: int
    repay: int
    withdraw: int
    sell: int
    weth_min: int
    bounds: Bounds
    permit: Permit = Permit()

    def values(self) -> tuple[object, ...]:
        amounts = (self.repay, self.withdraw, self.sell, self.weth_min)
        return self.lst, self.pool_fee, *amounts, self.permit.values(), self.bounds.values()


def enter_call(book: AddressBook, receiver: str, owner: str, loan: int, plan: Entry) -> Call:
    """The levered entry: a flash loan in debt mode for whoever sends it, who must be ``owner``."""
    params = encode([ENTRY_TYPE], [plan.values()])
    weth = book.token(WETH).address
    return FLASH_LOAN(book.aave.pool, receiver, [weth], [loan], [DEBT_MODE], owner, params, 0)


def exit_call(book: AddressBook, receiver: str, loan: int, plan: Exit) -> Call:
    """De-lever or exit with a loan of Aave, which costs its premium."""
    params = encode([EXIT_TYPE], [plan.values()])
    return FLASH_LOAN_SIMPLE(book.aave.pool, receiver, book.token(WETH).address, loan, params, 0)


def exit_call_morpho(receiver: str, loan: int, plan: Exit) -> Call:
    """De-lever or exit with a loan of Morpho, which is free."""
    return UNWIND_THROUGH_MORPHO(receiver, loan, plan.values())


def receiver_artifact() -> Artifact:
    """What is shipped."""
    return load("GroupReceiver")


def receiver_deployment(book: AddressBook, morpho: str | None) -> Deployment:
    """Where the receiver of this book is or will be, and the transaction that creates it."""
    return deployment(receiver_artifact(), _arguments(book, morpho))


def receiver_immutables(book: AddressBook, morpho: str | None) -> dict[str, str]:
    """Every address that the receiver must have been given, by the contract's own names."""
    given = _arguments(book, morpho)
    named = {"WSTETH": "wsteth", "LIQUIDITY_POOL": "liquidityPool", "EETH": "eeth", "WEETH": "weeth"}
    named |= {"POOL": "pool", "WETH": "weth", "ROUTER": "router", "MORPHO": "morpho"}
    read = {"PROVIDER": book.aave.addresses_provider, "DEBT": book.reserve(WETH).vdebt}
    return {name: given[argument] for name, argument in named.items()} | read


def _arguments(book: AddressBook, morpho: str | None) -> dict[str, str]:
    return {
        "pool": book.aave.pool,
        "weth": book.token(WETH).address,
        "router": book.dex.router,
        "morpho": morpho or NOWHERE,
        "wsteth": book.lido.wsteth if book.lido else NOWHERE,
        "liquidityPool": book.etherfi.liquidity_pool if book.etherfi else NOWHERE,
        "eeth": book.etherfi.eeth if book.etherfi else NOWHERE,
        "weeth": book.etherfi.weeth if book.etherfi else NOWHERE,
    }
