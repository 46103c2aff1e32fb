"""Rule 6, rotation: a whole pair (spot, short and margin) moves to where funding pays its way within 30 days."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.strategies.carry import SETTLEMENTS_MIN, rotation_cost, rotation_gain
from basis_daemon.strategies.legs import DAY
from basis_daemon.strategies.orders import INTERNAL, Move, Step, cents_down, cents_up
from basis_daemon.strategies.parameters import BP
from basis_daemon.strategies.rebalance import margin_freed, released
from basis_daemon.strategies.rules import Act, brief
from basis_daemon.strategies.sizing import closing, internal, opening, size_pair
from basis_daemon.strategies.view import BookView, VenueView

REST = 7 * DAY


def rotate(view: BookView) -> Act | Rejected:
    """The first pair of venues whose gain beats the cost for k_confirm, up to the cap of the better one."""
    entered = view.frame.memory.entered_at
    if len(view.fresh) < 2:  # noqa: PLR2004  a rotation is between two venues
        return Rejected(ReasonCode.ROTATE, "one venue: nowhere to rotate to")
    if entered is not None and view.frame.time - entered < REST:
        return Rejected(ReasonCode.ROTATE, "entered or rotated within 7 d")
    looked = []
    for source in (venue for venue in view.fresh if venue.is_held):
        for to in (venue for venue in view.fresh if venue is not source):
            found = _rotate(view, source, to)
            if isinstance(found, Act):
                return found
            looked.append(found)
    return Rejected(ReasonCode.ROTATE, "; ".join(looked) or "no pair stands")


def _rotate(view: BookView, source: VenueView, to: VenueView) -> Act | str:
    name = f"{source.name} to {to.name}"
    share = min(source.weight, view.frame.parameters.venue_cap - to.weight)
    if share <= 0:
        return f"{name}: at its cap {view.frame.parameters.venue_cap}"
    rho = share / source.weight
    cost = _cost(source, to, rho)
    if fault := _fault(source, to, cost):
        return f"{name}: {fault}"
    steps = _steps(source, to, rho)
    if not steps:
        return f"{name}: nothing of tradable size"
    weights = {**view.frame.memory.weights, source.name: source.weight - share, to.name: to.weight + share}
    return Act(ReasonCode.ROTATE, f"{name}: {brief(share)} of E, cost {brief(cost)}", tuple(steps), weights=weights)


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


def _cost(source: VenueView, to: VenueView, rho: Decimal) -> Decimal:
    """Fraction of the notional moved: one side of each fill is at either venue."""
    spot_fee = (source.spot.taker_fee + to.spot.taker_fee) / 2
    perp_fee = (source.perp.taker_fee + to.perp.taker_fee) / 2
    slip = source.frame.parameters.slip_cex_bp * BP
    return rotation_cost(spot_fee, perp_fee, slip, to.venue.withdrawal_fee_usdt / (rho * source.notional))


def _steps(source: VenueView, to: VenueView, rho: Decimal) -> list[Step]:
    """Leave here, send the money, enter there; each waits for what came before."""
    network = to.venue.network or INTERNAL
    slip = source.frame.parameters.slip_cex_bp
    pair, _, sold = closing(source, rho * source.short, slip)
    if pair is None or sold <= 0:
        return []
    money = cents_down(released(source, rho))
    margin = cents_down(margin_freed(source, rho))
    size = size_pair(to, money - to.venue.withdrawal_fee_usdt)
    if size is None:
        return []
    return [
        pair,
        *internal(source.venue.margin_key, source.venue.cash_key, margin),
        Move(source.venue.cash_key, to.venue.cash_key, money, network),
        *internal(to.venue.cash_key, to.venue.margin_key, cents_up(size.margin)),
        opening(to, size),
    ]
