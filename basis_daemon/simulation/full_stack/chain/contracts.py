"""The contracts of the oracle's chain: known selectors alone are decoded, and what they say is encoded as they would.

No machine runs behind them. A selector, or an address, that nobody wrote down here is an error of the drill, and loud:
an answer made up for it would only tell what the daemon wants to hear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from basis_daemon.simulation.full_stack.chain import pool
from basis_daemon.simulation.full_stack.chain.places import (
    ATOKENS,
    DATA,
    DECIMALS,
    FACTORY,
    NOWHERE,
    ORACLE,
    POOL,
    PROVIDER,
    QUOTER,
    ROUTER,
    STRATEGY,
    SYMBOLS,
    TOKENS,
    VDEBTS,
)
from basis_daemon.simulation.full_stack.chain.state import KINK_BPS, SOUND, STEEP_BPS, State, ray_mul
from basis_daemon.venues.chain import aave, aave_reads, address_check, erc20
from basis_daemon.venues.chain.abi import MAX, SELECTOR_BYTES, Event, Function, Log, event, function
from basis_daemon.venues.chain.multicall import MULTICALL3

APPROVED = event("Approval(address indexed, address indexed, uint256)")
AGGREGATE = function("aggregate3((address,bool,bytes)[]) -> ((bool,bytes)[])")
FACTORY_OF = function("factory() -> (address)")
ETHER_OF = function("getEthBalance(address) -> (uint256)")
NOTHING_GAS = 21_000
GAS = {erc20.APPROVE.selector: 46_000, aave.SUPPLY.selector: 210_000, aave.WITHDRAW.selector: 235_000}


class RevertedError(Exception):
    """The contract refuses; ``data`` is what it says."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"execution reverted: 0x{data[:SELECTOR_BYTES].hex()}")
        self.data = data


class UnknownCallError(Exception):
    """Nobody has written this call down: a gap of the oracle, never an answer."""


@dataclass(slots=True)
class Frame:
    """One message: who asks whom, on which state, and what is logged."""

    state: State
    sender: str
    to: str
    logs: list[Log]

    def log(self, kind: Event, address: str, *values: object) -> None:
        """As the contract's compiler would encode it; ``values`` in the order of the signature."""
        told = [values[kind.order.index(place)] for place in range(len(values))]
        heads, rest = told[: len(kind.indexed)], told[len(kind.indexed) :]
        topics = (kind.topic, *(encode([name], [value]) for name, value in zip(kind.indexed, heads, strict=True)))
        self.logs.append(Log(address, topics, encode(kind.unindexed, rest)))


Handler = Callable[..., Sequence[object]]


def call(state: State, sender: str, to: str, data: bytes) -> tuple[bytes, list[Log]]:
    """What it returns and logs; ``state`` is changed. Raises RevertedError, UnknownCallError."""
    to = _checksummed(to)
    frame = Frame(state, sender, to, [])
    if not data:
        return b"", []
    known = _TABLE.get(to, {}).get(data[:SELECTOR_BYTES])
    if known is None:
        raise UnknownCallError(f"selector 0x{data[:SELECTOR_BYTES].hex()} of {to}")
    made, handler = known
    arguments = [_readable(value) for value in made.arguments(data)]
    try:
        answer = handler(frame, *arguments)
    except pool.RefusedError as refusal:
        raise RevertedError(refusal.data) from None
    return encode(made.outputs, answer), frame.logs


def gas_of(data: bytes) -> int:
    """Units, before what differs from one inclusion to the next."""
    return GAS.get(data[:SELECTOR_BYTES], NOTHING_GAS)


def _readable(value: Any) -> Any:  # noqa: ANN401 - whatever the signature has
    is_address = isinstance(value, str) and value.startswith("0x")
    return _checksummed(value) if is_address else value


_checksummed = cache(to_checksum_address)
"""Few are ever asked for, and all of them often."""


# ---------------------------------------------------------------------------------------------------------- multicall
def _aggregate(frame: Frame, calls: Sequence[tuple[str, bool, bytes]]) -> Sequence[object]:
    found = []
    for to, may_fail, data in calls:
        try:
            found.append((True, call(frame.state, frame.to, to, data)[0]))
        except RevertedError as refusal:
            if not may_fail:
                raise
            found.append((False, refusal.data))
    return (found,)


# ------------------------------------------------------------------------------------------------------------- tokens
def _approve(frame: Frame, spender: str, units: int) -> Sequence[object]:
    symbol, key = SYMBOLS[frame.to], (SYMBOLS[frame.to], frame.sender, spender)
    if symbol in erc20.ZERO_FIRST and units and frame.state.allowed.get(key, 0):
        raise pool.RefusedError(b"")
    frame.state.allowed[key] = units
    frame.log(APPROVED, frame.to, frame.sender, spender, units)
    return (True,)


def _token(symbol: str) -> dict[Function, Handler]:
    return {
        erc20.SYMBOL: lambda _: (symbol,),
        erc20.DECIMALS: lambda _: (DECIMALS[symbol],),
        erc20.BALANCE_OF: lambda f, who: (f.state.tokens[symbol].get(who, 0),),
        erc20.ALLOWANCE: lambda f, who, spender: (f.state.allowed.get((symbol, who, spender), 0),),
        erc20.APPROVE: _approve,
    }


def _claims(symbol: str) -> dict[Function, Handler]:
    def total(frame: Frame) -> Sequence[object]:
        return (ray_mul(sum(frame.state.reserves[symbol].scaled.values()), frame.state.index(symbol)),)

    return {erc20.BALANCE_OF: lambda f, who: (f.state.claim(symbol, who),), aave_reads.TOTAL_SUPPLY: total}


def _debts(symbol: str) -> dict[Function, Handler]:
    return {
        erc20.BALANCE_OF: lambda *_: (0,),
        aave_reads.TOTAL_SUPPLY: lambda f: (ray_mul(f.state.reserves[symbol].debt, _owing(f, symbol)),),
    }


# ------------------------------------------------------------------------------------------------------------- market
def _owing(frame: Frame, symbol: str) -> int:
    return frame.state.reserves[symbol].owing(frame.state.time, frame.state.idle(symbol))


def _reserve_data(frame: Frame, asset: str) -> Sequence[object]:
    symbol, state = SYMBOLS[asset], frame.state
    reserve = state.reserves[symbol]
    borrow, supply = reserve.rates(state.idle(symbol))
    config = pool.configuration(reserve)
    tokens = (ATOKENS[symbol], NOWHERE, VDEBTS[symbol], STRATEGY)
    place = list(TOKENS).index(symbol)
    return (
        ((config,), reserve.index, supply, reserve.debt_index, borrow, 0, reserve.at, place, *tokens, 0, 0, 0),
    )  # fmt: skip


def _account(frame: Frame, who: str) -> Sequence[object]:
    """(collateral, debt, may borrow, threshold, loan-to-value, health)."""
    state = frame.state
    worth = {
        name: state.claim(name, who) * reserve.price // 10 ** DECIMALS[name] for name, reserve in state.reserves.items()
    }
    collateral = sum(worth.values())
    ltv, threshold = (pool.LTV_BPS, pool.THRESHOLD_BPS) if collateral else (0, 0)
    return collateral, 0, collateral * ltv // 10_000, threshold, ltv, MAX


def _user_config(frame: Frame, who: str) -> Sequence[object]:
    held = [frame.state.reserves[name].scaled.get(who, 0) for name in TOKENS]
    return ((sum(1 << (2 * place + 1) for place, units in enumerate(held) if units),),)


_POOL: dict[Function, Handler] = {
    address_check.PROVIDER: lambda _: (PROVIDER,),
    aave_reads.RESERVE_DATA: _reserve_data,
    aave_reads.NORMALIZED_INCOME: lambda f, asset: (f.state.index(SYMBOLS[asset]),),
    aave_reads.NORMALIZED_DEBT: lambda f, asset: (_owing(f, SYMBOLS[asset]),),
    aave_reads.VIRTUAL_BALANCE: lambda f, asset: (f.state.idle(SYMBOLS[asset]),),
    aave_reads.FLASH_PREMIUM: lambda _: (5,),
    aave_reads.USER_ACCOUNT: _account,
    aave_reads.USER_EMODE: lambda *_: (0,),
    aave_reads.USER_CONFIG: _user_config,
    aave.SUPPLY: pool.supply,
    aave.WITHDRAW: pool.withdraw,
}
_DATA: dict[Function, Handler] = {
    address_check.PROVIDER: lambda _: (PROVIDER,),
    address_check.RESERVE_TOKENS: lambda _, asset: (ATOKENS[SYMBOLS[asset]], NOWHERE, VDEBTS[SYMBOLS[asset]]),
    aave_reads.RATE_STRATEGY: lambda *_: (STRATEGY,),
}
_CONTRACTS: dict[str, dict[Function, Handler]] = {
    MULTICALL3: {AGGREGATE: _aggregate, ETHER_OF: lambda f, who: (f.state.ether.get(who, 0),)},
    POOL: _POOL,
    PROVIDER: {address_check.PROVIDED_POOL: lambda _: (POOL,), address_check.PROVIDED_ORACLE: lambda _: (ORACLE,)},
    DATA: _DATA,
    ORACLE: {
        address_check.BASE_UNIT: lambda _: (SOUND,),
        aave_reads.ASSET_PRICE: lambda f, asset: (f.state.reserves[SYMBOLS[asset]].price,),
    },
    STRATEGY: {
        aave_reads.RATE_DATA: lambda f, asset: ((KINK_BPS, 0, f.state.reserves[SYMBOLS[asset]].slope_bps, STEEP_BPS),)
    },
    ROUTER: {FACTORY_OF: lambda _: (FACTORY,)},
    QUOTER: {FACTORY_OF: lambda _: (FACTORY,)},
    **{TOKENS[symbol]: _token(symbol) for symbol in TOKENS},
    **{ATOKENS[symbol]: _claims(symbol) for symbol in TOKENS},
    **{VDEBTS[symbol]: _debts(symbol) for symbol in TOKENS},
}
_TABLE: dict[str, dict[bytes, tuple[Function, Handler]]] = {
    address: {made.selector: (made, handler) for made, handler in own.items()} for address, own in _CONTRACTS.items()
}
