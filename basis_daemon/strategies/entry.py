"""Rule 6, growing: the entry gate of a venue, a new pair where none stands, idle cash into a pair that stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.domain.margin import ZERO, short_distance
from basis_daemon.domain.market import Level
from basis_daemon.strategies.orders import Step
from basis_daemon.strategies.parameters import BP
from basis_daemon.strategies.rules import Act, brief
from basis_daemon.strategies.sizing import funding_moves, opening, size_pair, usable_margin
from basis_daemon.strategies.view import BookView, VenueView

DEPTH_BAND = 20 * BP


def entry_fault(view: BookView, venue: VenueView) -> str | None:
    """The first comparison of the entry gate that fails at this venue; None when all hold."""
    p = venue.frame.parameters
    return venue.adding_forbidden() or view.carry_fault(venue) or _market_fault(venue, p.clip_usdt)


def _market_fault(venue: VenueView, clip_usdt: Decimal) -> str | None:
    p = venue.frame.parameters
    if venue.basis_bp < p.min_basis_bp:
        return f"{venue.name}: basis {brief(venue.basis_bp)} bp < {p.min_basis_bp}"
    z = short_distance(venue.m_star, venue.state.maintenance_rate) / p.shock
    if z < p.z_open:
        return f"{venue.name}: z {brief(z)} at m* < {p.z_open}"
    wanted = min(clip_usdt, venue.weight * (venue.frame.exposure.capital_usdt or ZERO))
    depth = min(resting(venue.spot_book.asks), resting(venue.perp_book.bids)) * venue.frame.price
    if depth < wanted:
        return f"{venue.name}: depth {brief(depth)} USDT within 20 bp < clip {brief(wanted)}"
    return None


def resting(levels: Iterable[Level]) -> Decimal:
    """Base quantity within 20 bp of the best price of one side."""
    rows = tuple(levels)
    best = rows[0][0]
    return sum((size for price, size in rows if abs(price / best - 1) <= DEPTH_BAND), ZERO)


# --------------------------------------------------------------------------------------------------- idle cash
def unassigned_cash(view: BookView) -> Decimal:
    """USDT outside margin, less the share of E that w' or an exit leaves in cash."""
    assigned = sum((venue.weight for venue in view.venues if venue.is_held), ZERO)
    return view.cash - (1 - assigned) * view.equity


@dataclass(slots=True)
class Purse:
    """What one decision may still spend: ``total`` USDT in all, of which ``wallet`` lies on the chain."""

    total: Decimal
    wallet: Decimal

    def take(self, venue: VenueView, wanted: Decimal) -> tuple[Decimal, Decimal]:
        """(budget, part that must come from the wallet) for a new pair here, within what lies here or can come."""
        here = venue.cash + usable_margin(venue)
        budget = min(wanted, self.total)
        lacking, incoming = budget - here, ZERO
        is_reachable = venue.venue.network is not None
        if is_reachable and min(lacking, self.wallet) >= venue.frame.parameters.min_chain_move_usdt:
            incoming = min(lacking, self.wallet)
        self.wallet -= incoming
        budget = min(budget, here + incoming - (venue.venue.withdrawal_fee_usdt if incoming else ZERO))
        self.total -= budget
        return budget, incoming


def grow(
    view: BookView,
    reason: ReasonCode,
    venues: list[VenueView],
    purse: Purse,
    wanted: Callable[[VenueView], Decimal],
) -> Act | Rejected:
    """New pairs at every venue whose gate holds: money first, then the legs of each venue as one group."""
    moves: list[Step] = []
    pairs: list[Step] = []
    notes: list[str] = []
    faults: list[str] = []
    for venue in venues:
        if fault := entry_fault(view, venue):
            faults.append(fault)
            continue
        budget, incoming = purse.take(venue, wanted(venue))
        size = size_pair(venue, budget)
        if size is None:
            faults.append(f"{venue.name}: {brief(budget)} USDT carry no pair of the minimum size")
            continue
        moves += funding_moves(venue, size, incoming)
        pairs.append(opening(venue, size))
        net = view.net_apr(venue)
        notes.append(f"{venue.name}: pair of {size.quantity} at net APR {brief(net) if net is not None else 'unknown'}")
    if not pairs:
        return Rejected(reason, "; ".join(faults))
    return Act(reason, "; ".join(notes), (*moves, *pairs))


def scale(view: BookView) -> Act | Rejected:
    """Idle cash beyond ``leg_drift`` of E goes into pairs that stand, at m*, where the entry gate holds."""
    limit = view.frame.parameters.leg_drift
    standing = [venue for venue in view.fresh if venue.is_held]
    if not standing:
        return Rejected(ReasonCode.SCALE, "no pair stands")
    idle = unassigned_cash(view)
    idle += sum((usable_margin(venue) for venue in standing), ZERO)
    if idle <= limit * view.equity:
        return Rejected(ReasonCode.SCALE, f"unassigned {brief(idle / view.equity)} <= leg_drift {limit} of E")
    purse = Purse(idle, view.wallet)
    return grow(view, ReasonCode.SCALE, standing, purse, lambda _: idle)


def enter(view: BookView) -> Act | Rejected:
    """A pair of w' E at every venue where none stands and the entry gate holds."""
    flat = [venue for venue in view.fresh if not venue.is_held]
    if not flat:
        return Rejected(ReasonCode.ENTRY, "a pair stands at every venue that can be seen")
    purse = Purse(max(view.cash, ZERO), view.wallet)
    return grow(view, ReasonCode.ENTRY, flat, purse, partial(_share, view.investable))


def _share(investable: Decimal, venue: VenueView) -> Decimal:
    return venue.weight * investable
