"""What one owner has on the chain, in base units as the contracts keep it: shares, scaled balances, requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.simulation.chain.reserve import RAY
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS, amount_of, atoken, held_at, vdebt

WAD = 10**18
BARE = {"weETH": "eETH", "wstETH": "stETH"}
"""What a wrapped staking token is made of: as many shares of it."""
WRAPPED = {bare: wrapped for wrapped, bare in BARE.items()}
SHARE = PositionKey.of("eigenlayer", Kind.SHARE, "stETH")


def decimals_of(symbol: str) -> int:
    """Of its contract."""
    return 6 if symbol == "USDT" else ETHER_DECIMALS


@dataclass(frozen=True, slots=True)
class Request:
    """What an issuer owes, in base units of what it pays, and from when on."""

    units: int
    payable_at: datetime


@dataclass(frozen=True, slots=True)
class Worth:
    """What makes balances of shares: indices in rays by reserve, ETH per wrapped token in wads."""

    income: Mapping[str, int]
    debt: Mapping[str, int]
    rates: Mapping[str, int]


@dataclass(slots=True)
class Books:
    """``tokens`` of the wallet, those that rebase in shares; ``supplied`` and ``owed`` scaled, by symbol.

    ``staked`` are shares of stETH that are restaked, ``rewards`` what can be collected.
    """

    tokens: dict[str, int] = field(default_factory=dict)
    supplied: dict[str, int] = field(default_factory=dict)
    owed: dict[str, int] = field(default_factory=dict)
    collateral: set[str] = field(default_factory=set)
    emode: int = 0
    requests: dict[PositionKey, Request] = field(default_factory=dict)
    rewards: dict[str, int] = field(default_factory=dict)
    staked: int = 0
    is_delegated: bool = False

    def copy(self) -> Books:
        """For a transaction that may come to nothing."""
        return replace(
            self,
            tokens=dict(self.tokens),
            supplied=dict(self.supplied),
            owed=dict(self.owed),
            collateral=set(self.collateral),
            requests=dict(self.requests),
            rewards=dict(self.rewards),
        )

    def units(self, symbol: str, worth: Worth) -> int:
        """Base units of a token in the wallet."""
        held = self.tokens.get(symbol, 0)
        return held * worth.rates[WRAPPED[symbol]] // WAD if symbol in WRAPPED else held

    def lent(self, symbol: str, worth: Worth) -> int:
        """Base units that Aave owes us, rounded down."""
        return self.supplied.get(symbol, 0) * worth.income[symbol] // RAY if symbol in self.supplied else 0

    def debt(self, symbol: str, worth: Worth) -> int:
        """Base units that we owe, rounded up."""
        return -(-self.owed.get(symbol, 0) * worth.debt[symbol] // RAY) if symbol in self.owed else 0

    def held(self, worth: Worth) -> dict[PositionKey, Decimal]:
        """Whole units under every key that was ever touched."""
        return dict(self._rows(worth))

    def _rows(self, worth: Worth) -> Iterator[tuple[PositionKey, Decimal]]:
        for symbol in self.tokens:
            yield held_at(symbol), amount_of(self.units(symbol, worth), decimals_of(symbol))
        for symbol in self.supplied:
            yield atoken(symbol), amount_of(self.lent(symbol, worth), decimals_of(symbol))
        for symbol in self.owed:
            yield vdebt(symbol), amount_of(self.debt(symbol, worth), decimals_of(symbol))
        for key, request in self.requests.items():
            yield key, amount_of(request.units, ETHER_DECIMALS)
        if self.staked or self.is_delegated:
            yield SHARE, amount_of(self.staked * worth.rates["wstETH"] // WAD, ETHER_DECIMALS)
