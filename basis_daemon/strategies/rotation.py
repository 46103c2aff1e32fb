"""Rule 6, rotation: a whole pair (spot, short and margin) moves to where funding pays its way within 30 days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.domain.instrument import round_down
from basis_daemon.domain.margin import ZERO
from basis_daemon.strategies.carry import SETTLEMENTS_MIN, rotation_cost, rotation_gain, short_rotation_cost
from basis_daemon.strategies.legs import DAY
from basis_daemon.strategies.orders import CENT, INTERNAL, Move, Step, cents_down, cents_up
from basis_daemon.strategies.parameters import BP
from basis_daemon.strategies.rebalance import margin_freed, moved_short, released
from basis_daemon.strategies.rules import Act, brief
from basis_daemon.strategies.sizing import closing, internal, margin_of, opening, size_pair
from basis_daemon.strategies.view import BookView, VenueView

REST = 7 * DAY


Cost = Callable[[VenueView, VenueView, Decimal], Decimal]
Take = Callable[[VenueView, VenueView, Decimal], "Moved"]


@dataclass(frozen=True, slots=True)
class Moved:
    """Steps, and the share of the source's pair that they take."""

    steps: tuple[Step, ...]
    rho: Decimal


def rotate(view: BookView) -> Act | Rejected:
    """A whole pair, up to the cap of the better venue."""
    return _rotation(view, _cost, _steps)


def rotate_shorts(view: BookView) -> Act | Rejected:
    """Short and margin alone, where the long leg stands elsewhere: as much as free margin can go ahead of."""
    return _rotation(view, _short_cost, _short_steps)


def _rotation(view: BookView, cost_of: Cost, take: Take) -> Act | Rejected:
    """The first two venues whose gain beats the cost for k_confirm."""
    entered = view.frame.memory.entered_at
    if len(view.fresh) < 2:  # noqa: PLR2004  a rotation is between two venues
        return Rejected(ReasonCode.ROTATE, "one venue: nowhere to rotate to")
    if entered is not None and view.frame.time - entered < REST:
        return Rejected(ReasonCode.ROTATE, "entered or rotated within 7 d")
    looked = []
    for source in (venue for venue in view.fresh if venue.is_held):
        for to in (venue for venue in view.fresh if venue is not source):
            found = _rotate(view, source, to, cost_of, take)
            if isinstance(found, Act):
                return found
            looked.append(found)
    return Rejected(ReasonCode.ROTATE, "; ".join(looked) or "no pair stands")


def _rotate(view: BookView, source: VenueView, to: VenueView, cost_of: Cost, take: Take) -> Act | str:
    name = f"{source.name} to {to.name}"
    share = min(source.weight, view.frame.parameters.venue_cap - to.weight)
    if share <= 0:
        return f"{name}: at its cap {view.frame.parameters.venue_cap}"
    cost = cost_of(source, to, share / source.weight)
    if fault := _fault(source, to, cost):
        return f"{name}: {fault}"
    moved = take(source, to, share / source.weight)
    if not moved.steps:
        return f"{name}: nothing of tradable size"
    share = moved.rho * source.weight
    weights = {**view.frame.memory.weights, source.name: source.weight - share, to.name: to.weight + share}
    return Act(ReasonCode.ROTATE, f"{name}: {brief(share)} of E, cost {brief(cost)}", moved.steps, weights=weights)


def _fault(source: VenueView, to: VenueView, cost: Decimal) -> str | None:
    needed = max(source.confirmations, to.confirmations)
    if to.venue.network is None or source.venue.network is None:
        return "no route"
    if not pays(to.memory.averages, source.memory.averages, cost, needed):
        return f"30 d of funding do not pay {brief(cost)} of the notional at {needed} settlements in a row"
    if min(to.memory.settlements, source.memory.settlements) < SETTLEMENTS_MIN:
        return f"fewer than {SETTLEMENTS_MIN} settlements known"
    return to.adding_forbidden()


def pays(better: Sequence[Decimal], worse: Sequence[Decimal], cost: Decimal, needed: int) -> bool:
    """True when the gain beat the cost at each of the last ``needed`` settlements of both venues."""
    recent = list(zip(better[-needed:], worse[-needed:], strict=False))
    return len(recent) == needed and all(rotation_gain(high, low) > cost for high, low in recent)


def _fees(source: VenueView, to: VenueView, rho: Decimal) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Spot fee, perp fee, slippage, transfer as fractions of what moves: one side of each fill is at either venue."""
    spot_fee = (source.spot.taker_fee + to.spot.taker_fee) / 2
    perp_fee = (source.perp.taker_fee + to.perp.taker_fee) / 2
    transfer = to.venue.withdrawal_fee_usdt / (rho * source.notional)
    return spot_fee, perp_fee, source.frame.parameters.slip_cex_bp * BP, transfer


def _cost(source: VenueView, to: VenueView, rho: Decimal) -> Decimal:
    return rotation_cost(*_fees(source, to, rho))


def _short_cost(source: VenueView, to: VenueView, rho: Decimal) -> Decimal:
    _, *rest = _fees(source, to, rho)
    return short_rotation_cost(*rest)


def _steps(source: VenueView, to: VenueView, rho: Decimal) -> Moved:
    """Leave here, send the money, enter there; each waits for what came before."""
    network = to.venue.network or INTERNAL
    slip = source.frame.parameters.slip_cex_bp
    pair, _, sold = closing(source, rho * source.short, slip)
    money = cents_down(released(source, rho))
    size = size_pair(to, money - to.venue.withdrawal_fee_usdt)
    if pair is None or sold <= 0 or size is None:
        return Moved((), rho)
    steps = (
        pair,
        *internal(source.venue.margin_key, source.venue.cash_key, cents_down(margin_freed(source, rho))),
        Move(source.venue.cash_key, to.venue.cash_key, money, network),
        *internal(to.venue.cash_key, to.venue.margin_key, cents_up(size.margin)),
        opening(to, size),
    )
    return Moved(steps, rho)


def _short_steps(source: VenueView, to: VenueView, rho: Decimal) -> Moved:
    """Margin goes first, so that neither account falls under ``z_open``: it bounds what can follow at once."""
    ahead = (source.free_margin - to.venue.withdrawal_fee_usdt - CENT) / margin_of(to, Decimal(1))
    step = max(to.perp.quantity_step, source.perp.quantity_step)
    quantity = round_down(max(min(rho * source.short, ahead), ZERO), step)
    return Moved(moved_short(source, to, quantity), quantity / source.short)
