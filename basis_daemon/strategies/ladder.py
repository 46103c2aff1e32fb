"""The margin ladder of strategies.md 2.2a, shared by every book with perps: what to do about one account, and how much.

Level 1 waits for money in time, level 2 waits for none, level 3 is marketable. What no source in time can restore is
acted on one level worse, unless a release is under way or sigma, and with it the time that is left, is unknown. Money
that is margin within the leg budget counts as there: it is drawn at every level before a leg is sold. Nothing here
knows orders: the answer is an amount and a form, and each strategy turns it into its own legs.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.margin import (
    EMERGENCY,
    TOP_UP,
    ZERO,
    Ladder,
    acted_level,
    buy_back,
    hours_to_consume,
    required_ratio,
    short_distance,
    top_up,
    top_up_from_long,
)
from basis_daemon.domain.margin_plan import Source, drawn
from basis_daemon.strategies.parameters import HOUR_S


class Form(StrEnum):
    """Where the repair comes from."""

    CASH = "cash"
    LONG_LEG = "long_leg"
    BUY_BACK = "buy_back"


@dataclass(frozen=True, slots=True)
class MarginSite:
    """One short and what could help it; money in quote units.

    ``long_value`` is the long leg on the same venue (zero when it cannot be sold now), ``release_value`` what a sleeve
    elsewhere could release within ``release_eta_h``; ``cash`` is cheapest first. ``cost`` is the fraction that a
    buy-back costs. ``proceeds_eta_s`` is how long proceeds of the same venue take to become margin.
    """

    notional: Decimal
    margin: Decimal
    mm: Decimal
    m_star: Decimal
    shock: Decimal
    cost: Decimal
    sigma: Decimal | None
    long_value: Decimal
    cash: tuple[Source, ...] = ()
    release_value: Decimal = ZERO
    release_eta_h: Decimal = ZERO
    proceeds_eta_s: Decimal = ZERO
    level_in_flight: int = 0

    @property
    def distance(self) -> Decimal:
        """Rise that liquidates."""
        return short_distance(self.margin / self.notional, self.mm)

    @property
    def z(self) -> Decimal:
        """In shocks."""
        return self.distance / self.shock


@dataclass(frozen=True, slots=True)
class Repair:
    """``amount`` is X0 (cash), X (long leg) or Y (buy-back); ``cash`` is what to draw, besides or alone."""

    level: int
    form: Form
    amount: Decimal
    cash: tuple[Source, ...] = ()


def repair(site: MarginSite, ladder: Ladder, unhedged_max_s: Decimal) -> Repair | str:
    """What to do about the site now, or the comparison that asks for nothing."""
    measured = ladder.level(site.z)
    if measured == 0:
        return f"z {site.z:.4f} >= {ladder.z_topup}"
    hours = hours_to_consume(site.distance, site.sigma)
    horizon = None if hours is None else hours / 4
    instant = _drawn(site, unhedged_max_s / HOUR_S)
    x = top_up_from_long(site.m_star, site.notional, site.margin + _sum(instant))
    in_time = _drawn(site, horizon)
    has_source = _restores(site, in_time) or _can_release(site, horizon, x)
    is_under_way = site.level_in_flight >= measured
    level = acted_level(measured, is_restorable=has_source or is_under_way or hours is None)
    if site.level_in_flight >= level:
        return f"level {level} at z {site.z:.4f}: level {site.level_in_flight} is under way"
    if level == TOP_UP and not has_source:
        return f"level {level} at z {site.z:.4f}: no source restores m*, and without sigma no time to act sooner"
    cash = in_time if level == TOP_UP else instant
    if _restores(site, cash):
        return Repair(level, Form.CASH, _sum(cash), cash)
    is_fast = level < EMERGENCY or site.proceeds_eta_s <= unhedged_max_s
    if level == TOP_UP or (site.long_value >= x and is_fast):
        return Repair(level, Form.LONG_LEG, x, instant)
    m_restore = required_ratio(ladder.z_restore, site.shock, site.mm)
    return Repair(level, Form.BUY_BACK, buy_back(m_restore, site.notional, site.margin, site.cost))


def _drawn(site: MarginSite, horizon_h: Decimal | None) -> tuple[Source, ...]:
    """Cash that arrives in time, as far as it restores m*."""
    return drawn(site.cash, top_up(site.m_star, site.notional, site.margin), horizon_h)


def _sum(cash: tuple[Source, ...]) -> Decimal:
    return sum((source.amount for source in cash), ZERO)


def _restores(site: MarginSite, cash: tuple[Source, ...]) -> bool:
    return _sum(cash) >= top_up(site.m_star, site.notional, site.margin)


def _can_release(site: MarginSite, horizon_h: Decimal | None, x: Decimal) -> bool:
    """True when the long leg here, or the sleeve in time, covers X against a smaller short."""
    is_in_time = horizon_h is None or site.release_eta_h <= horizon_h
    return max(site.long_value, site.release_value if is_in_time else ZERO) >= x
