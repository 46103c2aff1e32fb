"""The oracle's own ledger behind one block: whole base units, and Aave's arithmetic in rays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from basis_daemon.simulation.full_stack.chain.places import ATOKENS, CROWD, TOKENS

RAY, BPS, YEAR_S = 10**27, 10_000, 31_536_000
KINK_BPS, STEEP_BPS, FACTOR_BPS = 9_200, 4_000, 1_000
RICH_BPS, POOR_BPS = 600, 40
"""What borrowers pay at the kink, a year."""
SOUND = 10**8
"""A dollar, as the price oracle counts."""


def ray_mul(a: int, b: int) -> int:
    """Half up, as the pool rounds."""
    return (a * b + RAY // 2) // RAY


def ray_div(a: int, b: int) -> int:
    """Half up."""
    return (a * RAY + b // 2) // b


@dataclass(slots=True)
class Reserve:
    """One asset of the market; ``scaled`` are claims by holder, ``seen`` the index of each at his last event."""

    symbol: str
    price: int
    debt: int
    at: int
    slope_bps: int = RICH_BPS
    index: int = RAY
    debt_index: int = RAY
    is_frozen: bool = False
    is_paused: bool = False
    scaled: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def copied(self) -> Self:
        """Another one that may be changed."""
        return replace(self, scaled=dict(self.scaled), seen=dict(self.seen))

    def rates(self, idle: int) -> tuple[int, int]:
        """(of borrowers, of lenders), rays a year."""
        used = self.debt * RAY // max(self.debt + idle, 1)
        kink, slope = KINK_BPS * RAY // BPS, self.slope_bps * RAY // BPS
        borrow = slope * used // kink
        if used > kink:
            borrow = slope + (STEEP_BPS * RAY // BPS) * (used - kink) // (RAY - kink)
        return borrow, ray_mul(ray_mul(borrow, used), (BPS - FACTOR_BPS) * RAY // BPS)

    def income(self, now: int, idle: int) -> int:
        """What a claim of one ray is worth."""
        return ray_mul(self.index, RAY + self.rates(idle)[1] * (now - self.at) // YEAR_S)

    def owing(self, now: int, idle: int) -> int:
        """What a debt of one ray has become."""
        return ray_mul(self.debt_index, RAY + self.rates(idle)[0] * (now - self.at) // YEAR_S)

    def accrue(self, now: int, idle: int) -> None:
        """Both indices up to now: whatever changes a rate does this first."""
        self.index, self.debt_index, self.at = self.income(now, idle), self.owing(now, idle), now


@dataclass(slots=True)
class State:
    """Who has what after one block; ``time`` in unix seconds."""

    time: int
    ether: dict[str, int]
    tokens: dict[str, dict[str, int]]
    reserves: dict[str, Reserve]
    allowed: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def copied(self) -> Self:
        """Another one that may be changed."""
        return replace(
            self,
            ether=dict(self.ether),
            tokens={symbol: dict(held) for symbol, held in self.tokens.items()},
            reserves={symbol: reserve.copied() for symbol, reserve in self.reserves.items()},
            allowed=dict(self.allowed),
        )

    def idle(self, symbol: str) -> int:
        """What the reserve could pay out now."""
        return self.tokens[symbol].get(ATOKENS[symbol], 0)

    def index(self, symbol: str) -> int:
        """As ``Reserve.income`` at this instant."""
        return self.reserves[symbol].income(self.time, self.idle(symbol))

    def claim(self, symbol: str, holder: str) -> int:
        """What the reserve owes somebody."""
        return ray_mul(self.reserves[symbol].scaled.get(holder, 0), self.index(symbol))

    def accrue(self, symbol: str) -> Reserve:
        """The reserve, brought to this instant."""
        reserve = self.reserves[symbol]
        reserve.accrue(self.time, self.idle(symbol))
        return reserve

    def pay(self, symbol: str, giver: str, taker: str, units: int) -> None:
        """Raises ValueError for what is not there: the oracle itself would be wrong."""
        held = self.tokens[symbol]
        if held.get(giver, 0) < units:
            raise ValueError(f"{giver} has {held.get(giver, 0)} {symbol}, expected {units}")
        held[giver] = held.get(giver, 0) - units
        held[taker] = held.get(taker, 0) + units


def opening(time: int, owner: str) -> State:
    """A million of the owner's beside a market of forty."""
    millions = {"USDT": 10**12, "WETH": 10**21}
    prices = {"USDT": SOUND, "WETH": 2_500 * SOUND}
    reserves, tokens = {}, {}
    for symbol in TOKENS:
        unit = millions[symbol]
        reserve = Reserve(symbol, prices[symbol], debt=34 * unit, at=time)
        reserve.scaled[CROWD], reserve.seen[CROWD] = 40 * unit, RAY
        reserves[symbol] = reserve
        tokens[symbol] = {ATOKENS[symbol]: 6 * unit, CROWD: 100 * unit}
    tokens["USDT"][owner] = millions["USDT"]
    return State(time, {owner: 20 * 10**18}, tokens, reserves)
