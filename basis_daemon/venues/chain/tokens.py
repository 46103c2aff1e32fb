"""Tokens by their symbols: where one is held, and whole units against wei, exact whatever the decimal context."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from basis_daemon.domain.instrument import Kind, PositionKey

ETHER_DECIMALS = 18
WALLET, AAVE = "wallet", "aave_v3"
ETH = PositionKey.of(WALLET, Kind.TOKEN, "ETH")
"""The chain's own coin: what gas is paid in, and never a contract."""

WRAPPED_STAKE = frozenset({"wstETH", "weETH"})
"""Liquid staking tokens whose balance stands still while their rate grows; held under kind ``lst``."""

REBASING = frozenset({"stETH", "eETH"})
"""Liquid staking tokens whose balance grows while their rate is one."""

_EXACT = Context(prec=110)
"""Room for any uint256 and any number of decimals: what is converted here is never rounded by a context."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token contract; the chain's own coin has none and is never one."""

    symbol: str
    address: str
    decimals: int

    @property
    def key(self) -> PositionKey:
        """Where the wallet holds it."""
        return held_at(self.symbol)

    def amount(self, units: int) -> Decimal:
        """Whole tokens of base units."""
        return amount_of(units, self.decimals)


def held_at(symbol: str) -> PositionKey:
    """The wallet's key of a token or of ether."""
    return PositionKey.of(WALLET, Kind.LST if symbol in WRAPPED_STAKE else Kind.TOKEN, symbol)


def atoken(symbol: str) -> PositionKey:
    """What Aave owes us of it."""
    return PositionKey.of(AAVE, Kind.ATOKEN, symbol)


def vdebt(symbol: str) -> PositionKey:
    """What we owe Aave of it, a positive quantity."""
    return PositionKey.of(AAVE, Kind.VDEBT, symbol)


def amount_of(units: int, decimals: int) -> Decimal:
    """Whole units of base units, exact."""
    return Decimal(units).scaleb(-decimals, _EXACT)


def units_of(amount: Decimal, decimals: int) -> int:
    """Base units of what is spent: what is finer than one unit is left behind."""
    return int(amount.scaleb(decimals, _EXACT).to_integral_value(ROUND_FLOOR))


def units_owed(amount: Decimal, decimals: int) -> int:
    """Base units of what is owed or asked for at least: rounded up."""
    return int(amount.scaleb(decimals, _EXACT).to_integral_value(ROUND_CEILING))


def ether(wei: int) -> Decimal:
    """ETH of wei, exact."""
    return amount_of(wei, ETHER_DECIMALS)
