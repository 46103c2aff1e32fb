"""Rules 4 to 6 that change a standing pair: withdrawal, carry exit, weight drift, margin excess, rotation."""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.domain.instrument import round_down, round_up
from basis_daemon.domain.margin import ZERO, excess, short_distance, weight_drift
from basis_daemon.domain.order import Side
from basis_daemon.strategies.carry import holds
from basis_daemon.strategies.orders import CENT, Leg, Pair, Step, cents_down, cents_up
from basis_daemon.strategies.parameters import BP
from basis_daemon.strategies.rules import Act, brief
from basis_daemon.strategies.sizing import (
    PairSize,
    closing,
    internal,
    is_tradable,
    leave,
    margin_of,
    opening,
    price_of,
    proceeds_of,
    route,
)
from basis_daemon.strategies.view import BookView, VenueView

EXCESS_OVER_TARGET = Decimal("1.5")
CALM_RANGE_MAX = Decimal("0.08")


# ----------------------------------------------------------------------------------------------------- withdrawal
def withdrawal(view: BookView) -> Act | Rejected:
    """Rule 4: free cash pays at once; what it lacks is unwound from every leg and its margin by one share rho."""
    wanted, lacking = view.frame.risk.withdrawal_pending_usdt, -view.cash
    if wanted <= 0:
        return Rejected(ReasonCode.WITHDRAWAL, "none is pending")
    if lacking <= 0:
        return gathered(view, wanted)
    held = [venue for venue in view.fresh if venue.is_held]
    rho = unwind_share(lacking, sum((released(venue, Decimal(1)) for venue in held), ZERO))
    steps = tuple(step for venue in held for step in shrunk(venue, rho))
    if not steps:
        return Rejected(ReasonCode.WITHDRAWAL, f"{brief(lacking)} USDT are lacking, but no leg is left to unwind")
    return Act(ReasonCode.WITHDRAWAL, f"unwind {brief(rho)} of every pair to free {brief(lacking)} USDT", steps)


def gathered(view: BookView, wanted: Decimal) -> Act | Rejected:
    """What is free pays, once it lies in a spot wallet: from there an operator takes it."""
    lacking = cents_up(max(wanted - sum((venue.cash for venue in view.venues), view.wallet), ZERO))
    steps: list[Step] = []
    for venue in view.fresh:
        here = ZERO if venue.is_held else min(lacking, cents_down(venue.margin))
        moves = internal(venue.venue.margin_key, venue.venue.cash_key, here)
        lacking -= here if moves else ZERO
        steps += moves
    if steps:
        return Act(ReasonCode.WITHDRAWAL, f"bring what covers the pending {brief(wanted)} USDT home", tuple(steps))
    return Rejected(ReasonCode.WITHDRAWAL, f"free cash covers the pending {brief(wanted)} USDT")


def unwind_share(wanted: Decimal, released_by_all: Decimal) -> Decimal:
    """rho: the share of every leg and its margin that frees ``wanted``; at most the whole."""
    return min(wanted / released_by_all, Decimal(1)) if released_by_all > 0 else ZERO


def released(venue: VenueView, rho: Decimal) -> Decimal:
    """USDT that a share of the pair and its margin brings at least, after costs."""
    slip = venue.frame.parameters.slip_cex_bp
    return proceeds_of(venue, rho * venue.held, slip) + margin_freed(venue, rho)


def margin_freed(venue: VenueView, rho: Decimal) -> Decimal:
    """USDT that may leave the margin account with a share of the short, the costs of its buy-back set aside."""
    costs = venue.notional * (venue.frame.parameters.slip_cex_bp * BP + venue.perp.taker_fee)
    return rho * (venue.margin - costs)


def shrunk(venue: VenueView, rho: Decimal) -> list[Step]:
    """A share of the pair and of its margin, which goes to the spot account."""
    pair, _, _ = closing(venue, rho * venue.short, venue.frame.parameters.slip_cex_bp)
    if pair is None:
        return []
    return [pair, *internal(venue.venue.margin_key, venue.venue.cash_key, cents_down(margin_freed(venue, rho)))]


def dust(view: BookView) -> Act | Rejected:
    """Rule 5: only listed reward tokens are dust, and a basis book has none: a leg asset is never touched."""
    del view
    return Rejected(ReasonCode.DUST, "a basis book has no reward tokens")


# ------------------------------------------------------------------------------------------------------ carry exit
def carry_exit(view: BookView) -> Act | Rejected:
    """Leave every venue whose settled carry lies below the exit hurdle for k_confirm; the prediction has no say."""
    looked: list[str] = []
    steps: list[Step] = []
    for venue in view.fresh:
        hurdle, f_hat = view.exit_rate(venue), venue.memory.f_hat
        if not venue.is_exposed or hurdle is None:
            continue
        found = f"{venue.name}: f_hat {'unknown' if f_hat is None else brief(f_hat)}, hurdle {brief(hurdle)} per 8 h"
        looked.append(found)
        if holds(view.levelled(venue), venue.confirmations, below=hurdle):
            steps += leave(venue)
    note = "; ".join(looked) or "no pair stands"
    return Act(ReasonCode.CARRY_EXIT, note, tuple(steps)) if steps else Rejected(ReasonCode.CARRY_EXIT, note)


# ---------------------------------------------------------------------------------------------------- weight drift
def leg_drift(view: BookView) -> Act | Rejected:
    """Perp, and margin with it, from the most over-weight short to the most under-weight; a price move is no drift."""
    held = [venue for venue in view.fresh if venue.is_held]
    drift = weight_drift([venue.short for venue in held], [venue.weight for venue in held]) if len(held) > 1 else ()
    limit = view.frame.parameters.leg_drift
    worst = max((abs(d) for d in drift), default=ZERO) * view.frame.price / view.equity
    if worst <= limit:
        return Rejected(ReasonCode.LEG_DRIFT, f"weight drift {brief(worst)} <= leg_drift {limit} of E")
    ranked = sorted(zip(drift, held, strict=True), key=lambda item: item[0])
    (under, to), (over, source) = ranked[0], ranked[-1]
    if to.venue.network is None or source.venue.network is None:
        return Rejected(ReasonCode.LEG_DRIFT, f"drift {brief(worst)}, but no route {source.name} to {to.name}")
    fault = to.adding_forbidden()
    if fault is not None or source.moved_perp(Side.SELL):
        why = fault or f"the short at {source.name} was raised within 24 h"
        return Rejected(ReasonCode.LEG_DRIFT, f"drift {brief(worst)}, but {why}")
    quantity = round_down(min(over, -under), max(to.perp.quantity_step, source.perp.quantity_step))
    steps = moved_short(source, to, quantity)
    if not steps:
        return Rejected(ReasonCode.LEG_DRIFT, f"drift {brief(worst)}, but {to.name} would not keep z_open")
    note = f"weight drift {brief(worst)} > {limit}: {quantity} from {source.name} to {to.name}"
    return Act(ReasonCode.LEG_DRIFT, note, steps)


def moved_short(source: VenueView, to: VenueView, quantity: Decimal) -> tuple[Step, ...]:
    """Margin first, then short against short; nothing where either account would not keep ``z_open``."""
    margin = min(cents_up(margin_of(to, quantity)), cents_down(source.free_margin - to.venue.withdrawal_fee_usdt))
    if not is_tradable(to, quantity, to.perp) or margin <= 0 or not _stays_open(to, quantity, margin):
        return ()
    pair = Pair(
        Leg(source.perp.key, Side.BUY, quantity, reduce_only=True),
        Leg(to.perp.key, Side.SELL, quantity),
        source.frame.parameters.slip_cex_bp,
    )
    return (*route(source.venue.margin_key, source.venue, to.venue, margin), pair)


def _stays_open(venue: VenueView, quantity: Decimal, money: Decimal) -> bool:
    """True when z >= z_open after selling ``quantity`` more with ``money`` more (or, negative, less) margin."""
    p = venue.frame.parameters
    notional = (venue.short + quantity) * venue.state.mark
    loss = quantity * venue.state.mark * (p.slip_cex_bp * BP + venue.perp.taker_fee)
    m = (venue.margin + money - loss) / notional
    return short_distance(m, venue.state.maintenance_rate) / p.shock >= p.z_open


# --------------------------------------------------------------------------------------------------- margin excess
def margin_excess(view: BookView) -> Act | Rejected:
    """Margin beyond 1.5 m* goes back into the pair when the day was calm and the carry pays now; else it stays."""
    looked: list[str] = []
    for venue in view.fresh:
        if venue.is_held and venue.m is not None:
            act = _excess(view, venue, venue.m)
            if isinstance(act, Act):
                return act
            looked.append(f"{venue.name}: {act}")
    return Rejected(ReasonCode.MARGIN_EXCESS, "; ".join(looked) or "no pair stands")


def _excess(view: BookView, venue: VenueView, m: Decimal) -> Act | str:
    limit = EXCESS_OVER_TARGET * venue.m_star
    if m <= limit:
        return f"m {brief(m)} <= {brief(limit)}"
    money = venue.let_out(min(excess(venue.m_star, venue.notional, venue.margin), _room(venue)))
    if fault := _excess_fault(view, venue, money):
        return fault
    size = _pair_of_spot_money(venue, money)
    if not is_tradable(venue, size.quantity, venue.spot, venue.perp):
        return f"excess {brief(money)} carries no pair of the minimum size"
    if not _stays_open(venue, size.quantity, -size.spot_cash):
        return f"z would fall under {venue.frame.parameters.z_open}"
    steps = (*internal(venue.venue.margin_key, venue.venue.cash_key, size.spot_cash), opening(venue, size))
    note = f"{venue.name}: m {brief(m)} > {brief(limit)}: {brief(money)} into the pair"
    return Act(ReasonCode.MARGIN_EXCESS, note, steps)


def _room(venue: VenueView) -> Decimal:
    """Notional by which the pair may grow before it is its share of the budget; without one margin alone bounds it."""
    exposure = venue.frame.exposure
    if exposure.budget_usdt is None:
        return venue.margin
    return max(venue.weight * (exposure.capital_usdt or ZERO) / (1 + venue.m_star) - venue.notional, ZERO)


def _excess_fault(view: BookView, venue: VenueView, money: Decimal) -> str | None:
    """What keeps the excess as margin: too little, no calm day, no carry now, or a leg reduced of late."""
    p = venue.frame.parameters
    day, net = venue.memory.day_range(venue.frame.time), view.net_apr(venue)
    if money < p.min_chain_move_usdt:
        return f"excess {brief(money)} < min_chain_move_usdt {p.min_chain_move_usdt}"
    if day is None or day > CALM_RANGE_MAX:
        return f"range of 24 h {'unknown' if day is None else brief(day)}, calm up to {CALM_RANGE_MAX}"
    if net is None or net < p.entry_net_apr:
        return f"net APR {'unknown' if net is None else brief(net)} < {p.entry_net_apr}"
    return venue.adding_forbidden()


def _pair_of_spot_money(venue: VenueView, money: Decimal) -> PairSize:
    """The pair whose long leg costs at most ``money``; its margin is there already."""
    unit = price_of(venue, 1 / (1 - venue.spot.taker_fee))
    quantity = round_down(max(money - CENT, ZERO) / unit, venue.perp.quantity_step)
    gross = round_up(quantity / (1 - venue.spot.taker_fee), venue.spot.quantity_step)
    return PairSize(quantity, gross, cents_up(price_of(venue, gross)), ZERO)
