"""Lending at Aave in numbers: indices, rates, health, what a lender holds, and what a book on the chain is worth.

Rates are fractions per year of 365 days, amounts whole units of the asset, ``U`` utilisation. A balance is
``scaled * index`` and grows by itself: it is already in units of the asset and is never multiplied by the index again.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.chain import SECONDS_PER_YEAR, ReserveTick
from basis_daemon.domain.decision import LiquidationSite
from basis_daemon.domain.instrument import Kind, PositionKey

ZERO, ONE = Decimal(0), Decimal(1)
DAYS_PER_YEAR = Decimal(365)


# --------------------------------------------------------------------------------------------------------- indices
def linear_index(index: Decimal, rate: Decimal, seconds: Decimal) -> Decimal:
    """The liquidity index after ``seconds`` at a supply rate: simple interest between two updates."""
    return index * (ONE + rate * seconds / SECONDS_PER_YEAR)


def compounded_index(index: Decimal, rate: Decimal, seconds: Decimal) -> Decimal:
    """The variable borrow index after ``seconds`` at a borrow rate, by the protocol's own three terms."""
    x = rate * seconds / SECONDS_PER_YEAR
    return index * (ONE + x + x * x / 2 + x * x * x / 6)


def scaled_of(amount: Decimal, index: Decimal) -> Decimal:
    """What the protocol stores for an amount that is supplied or borrowed at this index."""
    return amount / index


def balance_of(scaled: Decimal, index: Decimal) -> Decimal:
    """Units of the asset that a stored amount is worth at this index."""
    return scaled * index


# ----------------------------------------------------------------------------------------------------------- rates
@dataclass(frozen=True, slots=True)
class Rates:
    """A reserve's utilisation and the two rates that follow from it."""

    utilisation: Decimal
    borrow: Decimal
    supply: Decimal


def utilisation_of(debt: Decimal, idle: Decimal) -> Decimal:
    """``debt / (idle + debt)``; 0 for a reserve that nobody uses."""
    whole = idle + debt
    return debt / whole if whole else ZERO


def supply_rate(borrow_rate: Decimal, utilisation: Decimal, reserve_factor: Decimal) -> Decimal:
    """What lenders get of what borrowers pay."""
    return borrow_rate * utilisation * (ONE - reserve_factor)


def rates_after(reserve: ReserveTick, *, deposit: Decimal = ZERO, borrow: Decimal = ZERO) -> Rates:
    """Rates once ``deposit`` more is supplied and ``borrow`` more is owed, by the reserve's own curve."""
    u = utilisation_of(reserve.debt + borrow, reserve.idle + deposit - borrow)
    rate = reserve.curve.borrow_rate(u)
    return Rates(u, rate, supply_rate(rate, u, reserve.reserve_factor))


# ---------------------------------------------------------------------------------------------------------- lender
def lend_target(equity: Decimal, buffer: Decimal) -> Decimal:
    """Units to be supplied; the rest stays in the wallet."""
    return (ONE - buffer) * equity


def interest(amount: Decimal, rate: Decimal, days: Decimal) -> Decimal:
    """What ``amount`` earns (or costs) in so many days at a constant rate."""
    return amount * rate * days / DAYS_PER_YEAR


# ---------------------------------------------------------------------------------------------------------- health
@dataclass(frozen=True, slots=True)
class HealthLadder:
    """Health factors, strictly falling: below ``warn`` nothing is added, below the others debt is repaid."""

    warn: Decimal = Decimal("1.09")
    reduce: Decimal = Decimal("1.07")
    emergency: Decimal = Decimal("1.04")

    def level(self, health: Decimal | None) -> int:
        """0 ok (also without debt), 1 warn, 2 reduce, 3 emergency. A boundary belongs to the milder level."""
        if health is None:
            return 0
        return (health < self.warn) + (health < self.reduce) + (health < self.emergency)


def health_of(collateral: Decimal, debt: Decimal, threshold: Decimal) -> Decimal | None:
    """``C LT / D``, liquidatable below 1; None without debt."""
    return collateral * threshold / debt if debt else None


def ltv_at(health: Decimal, threshold: Decimal) -> Decimal:
    """``lambda`` of a single pair whose health factor is ``health``."""
    return threshold / health


def fall_to_liquidation(health: Decimal) -> Decimal:
    """Fractional fall of the collateral against the debt that brings the health factor to 1."""
    return ONE - ONE / health


def days_to_health(health: Decimal, to: Decimal, spread: Decimal) -> Decimal:
    """Days until interest alone, ``spread`` = b - y > 0 a year, brings the health factor down to ``to``."""
    return (health / to).ln() / spread * DAYS_PER_YEAR


def lending_site(account: str, driver: str, health: Decimal, shock: Decimal, ladder: HealthLadder) -> LiquidationSite:
    """An account with debt among the sites that can be liquidated, its level by health factor."""
    distance = fall_to_liquidation(health)
    return LiquidationSite(account, driver, distance, distance / shock, ladder.level(health))


# ---------------------------------------------------------------------------------------------------------- equity
@dataclass(frozen=True, slots=True)
class OnchainEquity:
    """Worth of a book in its numeraire; None while something held has no value, which ``unknown`` then names."""

    value: Decimal | None
    unknown: tuple[str, ...] = ()


def onchain_equity(
    holdings: Mapping[PositionKey, Decimal], values: Mapping[str, Decimal], uncounted: Container[str] = frozenset()
) -> OnchainEquity:
    """Equity of everything that is held: assets less debt, claims and what travels at their full amount.

    ``values`` holds the numeraire per unit of each symbol (ETH class: ETH, WETH, stETH, eETH 1, an LST its issuer's
    rate, never its market price). A claim counts 1 a unit: its amount is fixed, in the numeraire, when it is asked for.
    Symbols ``uncounted`` (the gas reserve of a USDT book, reward tokens until they are sold) count nothing. Anything
    else without a value makes the equity unknown; it is never taken for zero.
    """
    worth, unknown = ZERO, set[str]()
    for key, amount in holdings.items():
        if not amount or (key.symbol in uncounted and key.kind in _LOOSE):
            continue
        value = ONE if key.kind is Kind.CLAIM else values.get(key.symbol)
        if value is None or key.kind is Kind.PERP:
            unknown.add(f"value:{key}")
        else:
            worth += -amount * value if key.kind is Kind.VDEBT else amount * value
    return OnchainEquity(None if unknown else worth, tuple(sorted(unknown)))


_LOOSE = frozenset({Kind.TOKEN, Kind.TRANSIT})
