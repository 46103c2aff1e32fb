"""The picture of one decision: per venue its legs, money, margin and memory. Rules read nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.decision import MarginState, capital_of
from basis_daemon.domain.errors import StaleDataError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.margin import ZERO, distance_of, maintenance_rate, target_ratio
from basis_daemon.domain.margin_plan import spare_margin
from basis_daemon.domain.market import BookTick, MarkTick
from basis_daemon.domain.order import Side
from basis_daemon.strategies.carry import (
    SETTLEMENTS_MIN,
    PairCosts,
    confirmations_needed,
    eight_hourly,
    entry_rate_min,
    exit_rate,
    holds,
    net_apr,
)
from basis_daemon.strategies.legs import DAY, HOUR
from basis_daemon.strategies.memory import BasisMemory, VenueMemory
from basis_daemon.strategies.orders import Step
from basis_daemon.strategies.parameters import BP, QUOTE, BasisParameters, BasisVenue
from basis_daemon.strategies.rules import Frame, brief, restriction_of

WALLET_CASH = PositionKey.of("wallet", Kind.TOKEN, QUOTE)
BookFrame = Frame[BasisParameters, BasisMemory]


@dataclass(frozen=True)
class VenueView:
    """One venue whose prices are all known. Quantities are base units, money USDT; ``short`` is positive."""

    frame: BookFrame
    venue: BasisVenue
    spot: Instrument
    perp: Instrument
    spot_book: BookTick
    perp_book: BookTick
    mark_tick: MarkTick
    state: MarginState
    memory: VenueMemory

    @property
    def name(self) -> str:
        """As configured."""
        return self.venue.name

    @property
    def short(self) -> Decimal:
        """Size of the short leg."""
        return -self.state.quantity

    @cached_property
    def held(self) -> Decimal:
        """Size of the long leg."""
        return self.frame.exposure.holdings.get(self.spot.key, ZERO)

    @cached_property
    def cash(self) -> Decimal:
        """USDT beside the margin; none on a unified account, where all of it is margin."""
        return ZERO if self.venue.is_unified else self.frame.exposure.holdings.get(self.venue.cash_key, ZERO)

    @property
    def margin(self) -> Decimal:
        """USDT in the margin account with unrealised P&L."""
        return self.state.margin

    @cached_property
    def notional(self) -> Decimal:
        """Of the short, at mark."""
        return self.state.notional

    @property
    def weight(self) -> Decimal:
        """Effective weight ``w'``."""
        return self.frame.memory.weights.get(self.venue.name, ZERO)

    @cached_property
    def is_held(self) -> bool:
        """True when a pair stands here: its short is worth an order."""
        return self.short * self.frame.price >= self.frame.parameters.min_order_usdt

    @property
    def is_exposed(self) -> bool:
        """True when either leg is worth an order."""
        return max(abs(self.short), self.held) * self.frame.price >= self.frame.parameters.min_order_usdt

    @cached_property
    def m_star(self) -> Decimal:
        """Target margin ratio in the tier of the target size."""
        p = self.frame.parameters
        target = max(self.notional, self.weight * (self.frame.exposure.capital_usdt or ZERO) / (1 + p.m_star))
        return target_ratio(p.m_star, p.shock, maintenance_rate(self.perp, target), p.z_open)

    @cached_property
    def m(self) -> Decimal | None:
        """Margin ratio; None without a position."""
        return self.margin / self.notional if self.notional else None

    @cached_property
    def z(self) -> Decimal | None:
        """Liquidation distance in shocks; None without a position."""
        return distance_of(self.state) / self.frame.parameters.shock if self.notional else None

    @property
    def free_margin(self) -> Decimal:
        """Coin that could leave the margin account while z stays at ``z_open``; all of it without a position."""
        p = self.frame.parameters
        return self.let_out(spare_margin(self.margin, self.notional, self.state.maintenance_rate, p.shock, p.z_open))

    def let_out(self, amount: Decimal) -> Decimal:
        """As much of it as the venue lets out of the margin account, where it says how much that is."""
        most = self.state.withdrawable
        return amount if most is None else min(amount, most)

    @property
    def basis_bp(self) -> Decimal:
        """Perp mark over spot."""
        return (self.state.mark / self.frame.price - 1) / BP

    @property
    def costs(self) -> PairCosts:
        """Fees as read from the venue, round-trip slippage as configured."""
        return PairCosts(self.spot.taker_fee, self.perp.taker_fee, self.frame.parameters.slip_rt_bp * BP)

    @property
    def confirmations(self) -> int:
        """Settlements in a row that a carry test needs here."""
        return confirmations_needed(self.frame.parameters.k_confirm, self.memory.interval_hours)

    @property
    def f_predicted(self) -> Decimal:
        """The venue's predicted rate per 8 hours."""
        hours = self.perp.funding_interval_h or self.memory.interval_hours
        return eight_hourly(self.mark_tick.funding_predicted, hours)

    @property
    def net_apr(self) -> Decimal | None:
        """Left side of the entry gate now, cost included; None before the first settlement."""
        f_hat, days = self.memory.f_hat, self.frame.parameters.hold_days_funding
        return None if f_hat is None else net_apr(f_hat, self.m_star, self.costs, days)

    @property
    def margin_inputs(self) -> tuple[str, ...]:
        """Names of what the ladder must know about this account."""
        return f"mark:{self.perp.key}", f"book:{self.perp.key}", f"account:{self.venue.perp_account}"

    @property
    def long_inputs(self) -> tuple[str, ...]:
        """Names of what a sale of the long leg must know."""
        return f"book:{self.spot.key}", f"account:{self.venue.spot_account}"

    @cached_property
    def stale(self) -> tuple[str, ...]:
        """Inputs of this venue past their limit, settled funding (interval + 1 h of market time) included."""
        names = self.frame.market.stale(*self.margin_inputs, *self.long_inputs)
        hours = max(self.memory.interval_hours, self.perp.funding_interval_h or 0)
        settled, limit = self.memory.settled_at, timedelta(hours=hours) + HOUR
        is_old = settled is None or self.frame.time - settled > limit
        return (*names, f"funding:{self.perp.key}") if is_old else names

    @cached_property
    def close_fault(self) -> str | None:
        """Why this pair cannot be closed now, both legs together; None when it can. Funding has no say in it."""
        if blind := self.frame.market.stale(*self.margin_inputs, *self.long_inputs):
            return f"{self.name} is stale: {', '.join(blind)}"
        if busy := sorted({self.spot.key, self.perp.key} & self.frame.risk.legs_with_open_orders):
            return f"orders are open on {', '.join(busy)}"
        shut = [leg.key for leg in (self.spot, self.perp) if leg.is_halted]
        return f"closed at their venue: {', '.join(shut)}" if shut else None

    def moved_perp(self, side: Side) -> bool:
        """True when a plan moved the perp in this direction within 24 hours."""
        return self.frame.memory.moved_within(self.perp.key, side, DAY, self.frame.time)

    def moved_spot(self, side: Side) -> bool:
        """True when a plan moved the long leg in this direction within 24 hours."""
        return self.frame.memory.moved_within(self.spot.key, side, DAY, self.frame.time)

    def adding_forbidden(self) -> str | None:
        """Why this venue takes no new pair now; None when it may."""
        if (frozen := self.frozen_until()) is not None:
            return f"{self.name} is frozen until {frozen.isoformat()}"
        if self.moved_perp(Side.BUY) or self.moved_spot(Side.SELL):
            return f"a leg at {self.name} was reduced within 24 h"
        return None

    @property
    def was_forced(self) -> bool:
        """True for a day after the venue reduced a position here by itself."""
        frozen = self.memory.frozen_until
        return frozen is not None and frozen > self.frame.time

    def frozen_until(self) -> datetime | None:
        """When a freeze (forced reduction, halt) ends; None when there is none now."""
        halts = [self.frame.risk.halted_until.get(a) for a in (self.venue.spot_account, self.venue.perp_account)]
        ends = [at for at in (self.memory.frozen_until, *halts) if at is not None and at > self.frame.time]
        return max(ends, default=None)


@dataclass(frozen=True)
class BookView:
    """All venues that can be seen whole, and the names of the inputs that cannot (``missing``)."""

    frame: BookFrame
    venues: tuple[VenueView, ...]
    missing: tuple[str, ...]

    @cached_property
    def fresh(self) -> tuple[VenueView, ...]:
        """Venues on which rules 4 to 6 may work."""
        return tuple(venue for venue in self.venues if not venue.stale)

    @cached_property
    def leaving(self) -> tuple[VenueView, ...]:
        """Venues whose pairs may be left now: the fresh ones; of a book that is flattened all that can be closed."""
        closable = tuple(venue for venue in self.venues if venue.close_fault is None)
        return closable if self.frame.risk.flatten else self.fresh

    @property
    def stuck(self) -> str:
        """What of a book that is flattened cannot be closed now; empty for nothing."""
        held = [venue.close_fault for venue in self.venues if venue.close_fault and venue.is_exposed]
        unseen = [f"never seen: {name}" for name in self.missing]
        return "; ".join(held + unseen) if self.frame.risk.flatten else ""

    @property
    def equity(self) -> Decimal:
        """E, up to the budget; raises StaleDataError while it is unknown, which the stale gate keeps from happening."""
        return capital_of(self._whole, self.frame.exposure.budget_usdt)

    @property
    def investable(self) -> Decimal:
        """E that stays once a pending withdrawal is paid, the reserve above the budget first; raises as ``equity``."""
        left = self._whole - self.frame.risk.withdrawal_pending_usdt
        return capital_of(left, self.frame.exposure.budget_usdt)

    @property
    def _whole(self) -> Decimal:
        equity = self.frame.exposure.equity_usdt
        if equity is None:
            msg = f"equity is unknown: {', '.join(self.frame.exposure.unknown)}"
            raise StaleDataError(msg)
        return equity

    # ------------------------------------------------------- what a book with a long leg elsewhere sees otherwise
    @property
    def net_delta(self) -> Decimal:
        """Base units that the whole book is long (+) or short (-) of its asset."""
        return self.frame.exposure.net_delta.get(self.frame.parameters.asset, ZERO)

    @cached_property
    def delta_inputs(self) -> tuple[str, ...]:
        """Names of what must be fresh for net delta to be trusted."""
        return tuple(name for venue in self.venues for name in (*venue.margin_inputs, *venue.long_inputs))

    def long_inputs(self, venue: VenueView) -> tuple[str, ...]:
        """Names of what a sale of the long leg that stands behind this venue's short must know."""
        return venue.long_inputs

    def net_apr(self, venue: VenueView) -> Decimal | None:
        """Left side of the entry gate now, cost included; None while an input of it is unknown."""
        return venue.net_apr

    @property
    def entry_apr(self) -> Decimal:
        """What a new pair must earn a year on equity, cost included."""
        return self.frame.parameters.entry_net_apr

    def entry_rate(self, venue: VenueView) -> Decimal | None:
        """Least funding per 8 hours for a new pair; None while that cannot be told."""
        days = self.frame.parameters.hold_days_funding
        return entry_rate_min(self.entry_apr, venue.m_star, venue.costs, days)

    def exit_rate(self, venue: VenueView) -> Decimal | None:
        """Funding per 8 hours below which a pair leaves; None while that cannot be told."""
        return exit_rate(self.frame.parameters.exit_net_apr, venue.m_star)

    def levelled(self, venue: VenueView) -> tuple[Decimal, ...]:
        """Smoothed rates per 8 hours after the latest settlements, each as it compared with what it had to pay then."""
        return venue.memory.averages

    def carry_fault(self, venue: VenueView) -> str | None:
        """The first comparison of the carry that forbids a new pair here; None when all hold."""
        p, memory = venue.frame.parameters, venue.memory
        f_hat, least = memory.f_hat, self.entry_rate(venue)
        if f_hat is None or least is None or memory.settlements < SETTLEMENTS_MIN:
            told = "" if least is not None else ", and what a pair must earn is unknown"
            return f"{venue.name}: {memory.settlements} settlements known, {SETTLEMENTS_MIN} needed{told}"
        if f_hat <= 0 or f_hat < least:
            return f"{venue.name}: f_hat {brief(f_hat)} < {brief(least)} per 8 h, net APR below {self.entry_apr}"
        if not holds(self.levelled(venue), venue.confirmations, at_least=least):
            return f"{venue.name}: f_hat {brief(f_hat)} passes, but not at {venue.confirmations} settlements in a row"
        if p.uses_prediction and venue.f_predicted < least:
            return f"{venue.name}: predicted {brief(venue.f_predicted)} < {brief(least)} per 8 h"
        return None

    def stands_here(self, venue: VenueView, quantity: Decimal) -> bool:
        """True when so much of the short is repaired by the long leg at this venue."""
        del venue, quantity
        return True

    def release_value(self, venue: VenueView) -> Decimal:
        """USDT that a sale of a long leg elsewhere could bring as margin to this venue."""
        del venue
        return ZERO

    def released(self, needs: Mapping[str, Decimal], level: int) -> tuple[Step, ...] | str:
        """Steps that sell a long leg elsewhere for so many USDT by venue and bring them there as margin."""
        del needs, level
        return ()

    def sold_elsewhere(self, quantity: Decimal) -> tuple[Step, ...] | str:
        """Steps that sell so much of a long leg elsewhere, base units; or why there is none to sell."""
        del quantity
        return "no leg may be sold now; the excess is carried"

    def bought_elsewhere(self, quantity: Decimal) -> tuple[Step, ...] | str:
        """Steps that bring so much of a long leg elsewhere, base units; or why there are none."""
        del quantity
        return "no short may be bought back now"

    @property
    def drawable(self) -> Decimal:
        """USDT that the chain wallet could send as margin."""
        return self.wallet

    @cached_property
    def wallet(self) -> Decimal:
        """USDT on the chain wallet."""
        return self.frame.exposure.holdings.get(WALLET_CASH, ZERO)

    @cached_property
    def cash(self) -> Decimal:
        """USDT outside margin: wallet, spot accounts, transit, and the margin accounts of venues without a position.

        Not counted: what a pending withdrawal is owed, and the reserve above the budget that is left after it.
        """
        transit = sum(
            (q for key, q in self.frame.exposure.holdings.items() if key.kind is Kind.TRANSIT and key.symbol == QUOTE),
            ZERO,
        )
        own = sum((venue.cash + (ZERO if venue.is_held else venue.margin) for venue in self.venues), ZERO)
        owed = self.frame.risk.withdrawal_pending_usdt
        left = (self.frame.exposure.equity_usdt or ZERO) - owed
        reserve = left - capital_of(left, self.frame.exposure.budget_usdt)
        return self.wallet + transit + own - owed - reserve

    @cached_property
    def restriction(self) -> str | None:
        """Why only risk-reducing defence may act; None when everything may (rule 0)."""
        exposure, venues = self.frame.exposure, self.venues
        is_unknown = exposure.equity_usdt is None or not venues
        is_stale = bool(venues) and not self.fresh
        unknown = ", ".join(self.missing) or "equity" if is_unknown else ""
        stale = ", ".join(n for v in venues for n in v.stale) if is_stale else ""
        return restriction_of(self.frame.risk, unknown, stale, exposure.equity_usdt or None)


def look(frame: BookFrame) -> BookView:
    """The picture: venues with instrument, books, mark and margin state known, and names of what was never seen."""
    if frame.price <= 0:
        return BookView(frame, (), (*frame.exposure.unknown, f"price:{frame.parameters.asset}"))
    states = {state.instrument: state for state in frame.exposure.margins}
    venues, missing = [], list(frame.exposure.unknown)
    for venue in frame.parameters.venues:
        view = _venue_view(frame, venue, states)
        if isinstance(view, VenueView):
            venues.append(view)
        else:
            missing.append(view)
    return BookView(frame, tuple(venues), tuple(missing))


def _venue_view(frame: BookFrame, venue: BasisVenue, states: Mapping[PositionKey, MarginState]) -> VenueView | str:
    market, asset = frame.market, frame.parameters.asset
    spot_key, perp_key = venue.spot_key(asset), venue.perp_key(asset)
    spot, perp = market.instruments.get(spot_key), market.instruments.get(perp_key)
    if spot is None or perp is None:
        return f"instrument:{spot_key if spot is None else perp_key}"
    spot_book, perp_book = market.books.get(spot_key), market.books.get(perp_key)
    mark, state = market.marks.get(perp_key), states.get(perp_key)
    if spot_book is None or not (spot_book.bids and spot_book.asks):
        return f"book:{spot_key}"
    if perp_book is None or not (perp_book.bids and perp_book.asks):
        return f"book:{perp_key}"
    if mark is None or state is None:
        return f"mark:{perp_key}"
    memory = frame.memory.venues.get(venue.name, VenueMemory())
    return VenueView(frame, venue, spot, perp, spot_book, perp_book, mark, state, memory)
