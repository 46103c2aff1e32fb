"""Margin arithmetic of perps, a linear short above all: ratios, distances, repairs (strategies.md 2.2a, 4, 5.6).

``m`` is margin over notional, ``mm`` the maintenance rate of the current tier, ``r`` and ``u`` fractional price moves,
``z`` a liquidation distance in shocks of its driver. Money is in quote units, everything else a plain fraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from basis_daemon.domain.decision import LiquidationSite, MarginState
from basis_daemon.domain.directional import inverse_fall
from basis_daemon.domain.instrument import Instrument

ZERO, ONE = Decimal(0), Decimal(1)
FAR = Decimal(10)
TOP_UP, REDUCE, EMERGENCY = 1, 2, 3
"""Levels of every ladder; 0 asks for nothing."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Levels in shocks, strictly falling from ``z_open``; ``z_restore`` is where a buy-back without transfer ends."""

    z_open: Decimal = Decimal("1.5")
    z_restore: Decimal = Decimal("1.1")
    z_topup: Decimal = ONE
    z_reduce: Decimal = Decimal("0.5")
    z_emergency: Decimal = Decimal("0.25")

    def level(self, z: Decimal) -> int:
        """0 ok, 1 top-up, 2 reduce, 3 emergency. A boundary belongs to the milder level."""
        return (z < self.z_topup) + (z < self.z_reduce) + (z < self.z_emergency)


class VenueFamily(StrEnum):
    """Whose margin figure is being read."""

    BINANCE = "binance"
    BYBIT = "bybit"
    OKX = "okx"


# ------------------------------------------------------------------------------------------- ratios and distances
def margin_ratio(margin: Decimal, notional: Decimal) -> Decimal:
    """``m``; the notional is above zero."""
    return margin / notional


def required_ratio(z: Decimal, shock: Decimal, mm: Decimal) -> Decimal:
    """The ``m`` at which a short stands ``z`` shocks from liquidation: (1 + z shock)(1 + mm) - 1."""
    return (ONE + z * shock) * (ONE + mm) - ONE


def target_ratio(m_star: Decimal, shock: Decimal, mm: Decimal, z_open: Decimal) -> Decimal:
    """``m*``: the configured target, raised to what ``z_open`` needs in this tier."""
    return max(m_star, required_ratio(z_open, shock, mm))


def ratio_after_move(m: Decimal, r: Decimal) -> Decimal:
    """``m'`` of a short left alone while its price moves by ``r``."""
    return (m - r) / (ONE + r)


def rise_to_ratio(m: Decimal, to: Decimal) -> Decimal:
    """Price rise that brings a short from ``m`` down to ``to``."""
    return (m - to) / (ONE + to)


def short_distance(m: Decimal, mm: Decimal) -> Decimal:
    """Fractional rise that liquidates a short; negative once it is past liquidation."""
    return (ONE + m) / (ONE + mm) - ONE


def long_distance(m: Decimal, mm: Decimal) -> Decimal:
    """Fractional fall that liquidates a linear long."""
    return ONE - (ONE - m) / (ONE - mm)


def distance_of(state: MarginState) -> Decimal:
    """Adverse fractional move of the mark that liquidates the account; the position is not zero.

    Ten times the price where no move can: an inverse short is covered by the coin that it is margined in.
    """
    if state.contract_value is not None:
        return inverse_distance(
            state.margin, state.notional * (1 if state.quantity > 0 else -1), state.maintenance_rate
        )
    m = margin_ratio(state.margin, state.notional)
    return short_distance(m, state.maintenance_rate) if state.quantity < 0 else long_distance(m, state.maintenance_rate)


def inverse_distance(margin: Decimal, coins: Decimal, mm: Decimal) -> Decimal:
    """The same of an inverse position that stands for so many signed coins; zero or less once it is liquidated."""
    if margin <= 0:
        return ZERO
    move = inverse_fall(coins / margin, mm)
    return FAR if move is None else min(FAR, -move if coins > 0 else move)


def maintenance_rate(instrument: Instrument, notional: Decimal) -> Decimal:
    """Rate of the tier that holds ``notional``; of the last tier above its cap. Raises ValueError without tiers."""
    if not instrument.tiers:
        msg = f"{instrument.key}: no margin tiers were read, expected at least one"
        raise ValueError(msg)
    last = instrument.tiers[-1]
    return last.maintenance_rate if notional > last.notional_cap else instrument.tier(notional).maintenance_rate


def maintenance_of(instrument: Instrument, notional: Decimal) -> Decimal:
    """Maintenance requirement in quote units, the tier's deduction applied. Raises ValueError without tiers."""
    rate = maintenance_rate(instrument, notional)
    deduction = next(t.maintenance_deduction for t in instrument.tiers if t.maintenance_rate == rate)
    return notional * rate - deduction


def normalised_usage(family: VenueFamily, figure: Decimal) -> Decimal:
    """Maintenance over equity, liquidation at 1, from the venue's own figure: OKX states the inverse."""
    return ONE / figure if family is VenueFamily.OKX else figure


# ---------------------------------------------------------------------------------------------------------- sites
def liquidation_sites(
    margins: Iterable[MarginState], shocks: Mapping[str, Decimal], ladder: Ladder
) -> tuple[LiquidationSite, ...]:
    """Every account with a position, most severe level first, then nearest in shocks.

    ``shocks`` holds the adverse move per underlying; an underlying without one raises KeyError at once, because a site
    that cannot be ranked must not look safe.
    """
    found = []
    for state in margins:
        if state.quantity != 0:
            distance = distance_of(state)
            z = distance / shocks[state.underlying]
            found.append(LiquidationSite(state.account, f"{state.underlying}/USDT", distance, z, ladder.level(z)))
    return nearest_first(found)


def nearest_first(sites: Iterable[LiquidationSite]) -> tuple[LiquidationSite, ...]:
    """Level descending, then z ascending; where both are equal the order given stays (CEX before Aave)."""
    return tuple(sorted(sites, key=lambda site: (-site.level, site.z)))


# -------------------------------------------------------------------------------------------------------- repairs
def clamped(amount: Decimal, notional: Decimal) -> Decimal:
    """Within 0 and the notional."""
    return min(max(amount, ZERO), notional)


def top_up(m_star: Decimal, notional: Decimal, margin: Decimal) -> Decimal:
    """``X0``: money from outside the pair that restores ``m*`` with the short untouched."""
    return clamped(m_star * notional - margin, notional)


def top_up_from_long(m_star: Decimal, notional: Decimal, margin: Decimal) -> Decimal:
    """``X``: sold from the long leg into margin while the short is cut by the same value."""
    return clamped((m_star * notional - margin) / (ONE + m_star), notional)


def excess(m_star: Decimal, notional: Decimal, margin: Decimal) -> Decimal:
    """``X`` that leaves the margin while short and long grow by the same value; zero when there is none."""
    return max((margin - m_star * notional) / (ONE + m_star), ZERO)


def buy_back(m_restore: Decimal, notional: Decimal, margin: Decimal, cost: Decimal) -> Decimal:
    """``Y``: short bought back at a ``cost`` fraction, no transfer, until the margin ratio is ``m_restore``."""
    return clamped((m_restore * notional - margin) / (m_restore - cost), notional)


def hours_to_consume(distance: Decimal, hourly_sigma: Decimal | None) -> Decimal | None:
    """``t_d``: hours until three sigma use up the distance; None while sigma is zero or unknown."""
    if not hourly_sigma:
        return None
    return (distance / (3 * hourly_sigma)) ** 2 if distance > 0 else ZERO


def acted_level(level: int, *, is_restorable: bool) -> int:
    """One level worse when no source in time can restore ``m*``; level 0 asks for nothing."""
    return level if level == 0 or is_restorable else min(level + 1, EMERGENCY)


# --------------------------------------------------------------------------------------------------------- averages
@lru_cache(maxsize=256)
def ewma_weight(hours: Decimal, halflife_hours: Decimal) -> Decimal:
    """Weight of a new observation that spans ``hours``: 1 - .5^(h/halflife)."""
    return ONE - (Decimal("0.5").ln() * hours / halflife_hours).exp()


def ewma(average: Decimal | None, value: Decimal, weight: Decimal) -> Decimal:
    """The average after ``value``; the first value seeds it."""
    return value if average is None else average + weight * (value - average)


# ------------------------------------------------------------------------------------------------- target of a pair
@dataclass(frozen=True, slots=True)
class PairTarget:
    """What a venue should hold: notional and margin in quote units, quantity of both legs in base units."""

    notional: Decimal
    quantity: Decimal
    margin: Decimal


def pair_target(equity: Decimal, weight: Decimal, m_star: Decimal, price: Decimal) -> PairTarget:
    """Pair and margin that together take ``weight`` of the equity, before costs and steps."""
    notional = weight * equity / (ONE + m_star)
    return PairTarget(notional, notional / price, m_star * notional)


def capped_weights(configured: Mapping[str, Decimal], venue_cap: Decimal) -> dict[str, Decimal]:
    """``w'`` at start: share of the enabled weights, each cut at the cap and not scaled up again."""
    total = sum(configured.values(), ZERO)
    return {venue: min(weight / total, venue_cap) for venue, weight in configured.items()}


def weight_drift(shorts: Sequence[Decimal], weights: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Base units by which each short (positive) exceeds its share of the whole; they sum to zero."""
    total, whole = sum(weights, ZERO), sum(shorts, ZERO)
    return tuple(short - weight * whole / total for short, weight in zip(shorts, weights, strict=True))
