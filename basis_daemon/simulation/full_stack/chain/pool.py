"""Supply and withdrawal as Aave's pool does them: what it refuses, what it moves, and the events in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from eth_abi.abi import encode

from basis_daemon.simulation.full_stack.chain.places import ATOKENS, DECIMALS, NOWHERE, SYMBOLS
from basis_daemon.simulation.full_stack.chain.state import FACTOR_BPS, Reserve, State, ray_div, ray_mul
from basis_daemon.venues.chain import aave, erc20
from basis_daemon.venues.chain.abi import MAX, Event, error_selector

LTV_BPS, THRESHOLD_BPS, BONUS_BPS = 7_500, 7_800, 10_450
_ACTIVE, _FROZEN, _BORROWABLE, _PAUSED, _FLASHABLE = (1 << bit for bit in (56, 57, 58, 60, 63))


class RefusedError(Exception):
    """A contract of the market refuses; ``data`` is what it says."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data.hex())
        self.data = data


class Message(Protocol):
    """What is asked of the pool, and where it logs."""

    state: State
    sender: str
    to: str

    def log(self, kind: Event, address: str, *values: object) -> None: ...


def configuration(reserve: Reserve) -> int:
    """The reserve's bit field."""
    bits = LTV_BPS | THRESHOLD_BPS << 16 | BONUS_BPS << 32 | DECIMALS[reserve.symbol] << 48 | FACTOR_BPS << 64
    return bits | _ACTIVE | _BORROWABLE | _FLASHABLE | _FROZEN * reserve.is_frozen | _PAUSED * reserve.is_paused


def supply(message: Message, asset: str, units: int, holder: str, _referral: int) -> Sequence[object]:
    """Needs the allowance, and uses it up."""
    symbol, state, own = SYMBOLS[asset], message.state, ATOKENS[SYMBOLS[asset]]
    reserve = state.reserves[symbol]
    _check(reserve.is_paused, "ReservePaused()")
    _check(reserve.is_frozen, "ReserveFrozen()")
    _check(not units, "InvalidAmount()")
    spending = (symbol, message.sender, message.to)
    held, allowed = state.tokens[symbol].get(message.sender, 0), state.allowed.get(spending, 0)
    _check(held < units or allowed < units, "Error(string)", encode(["string"], ["GPv2: failed transferFrom"]))
    index, before = state.accrue(symbol).index, reserve.seen.get(holder, 0)
    grown = _grown(reserve, holder, index, before)
    state.allowed[spending] = allowed - units
    state.pay(symbol, message.sender, own, units)
    reserve.scaled[holder] = reserve.scaled.get(holder, 0) + ray_div(units, index)
    reserve.seen[holder] = index
    message.log(erc20.TRANSFERRED, asset, message.sender, own, units)
    message.log(erc20.TRANSFERRED, own, NOWHERE, holder, units + grown)
    message.log(aave.MINTED, own, message.sender, holder, units + grown, grown, index)
    message.log(aave.SUPPLIED, message.to, asset, message.sender, holder, units, 0)
    return ()


def withdraw(message: Message, asset: str, units: int, taker: str) -> Sequence[object]:
    """The whole claim where ``units`` is the largest number there is."""
    symbol, state, own, holder = SYMBOLS[asset], message.state, ATOKENS[SYMBOLS[asset]], message.sender
    reserve = state.reserves[symbol]
    _check(reserve.is_paused, "ReservePaused()")
    index = state.accrue(symbol).index
    claim = ray_mul(reserve.scaled.get(holder, 0), index)
    units = claim if units == MAX else units
    _check(not units, "InvalidAmount()")
    _check(units > claim, "NotEnoughAvailableUserBalance()")
    _check(units > state.idle(symbol), "Panic(uint256)", encode(["uint256"], [0x11]))
    grown = _grown(reserve, holder, index, reserve.seen.get(holder, 0))
    reserve.scaled[holder] -= min(ray_div(units, index), reserve.scaled[holder])
    reserve.seen[holder] = index
    state.pay(symbol, own, taker, units)
    if grown > units:
        message.log(erc20.TRANSFERRED, own, NOWHERE, holder, grown - units)
        message.log(aave.MINTED, own, holder, holder, grown - units, grown, index)
    else:
        message.log(erc20.TRANSFERRED, own, holder, NOWHERE, units - grown)
        message.log(aave.BURNT, own, holder, taker, units - grown, grown, index)
    message.log(erc20.TRANSFERRED, asset, own, taker, units)
    message.log(aave.WITHDRAWN, message.to, asset, holder, taker, units)
    return (units,)


def _grown(reserve: Reserve, holder: str, index: int, before: int) -> int:
    """What his claim has earned since his last event."""
    scaled = reserve.scaled.get(holder, 0)
    return ray_mul(scaled, index) - ray_mul(scaled, before)


def _check(is_refused: bool, error: str, told: bytes = b"") -> None:  # noqa: FBT001 - reads as the contract's require
    if is_refused:
        raise RefusedError(error_selector(error) + told)
