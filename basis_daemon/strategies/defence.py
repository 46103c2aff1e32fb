"""Rules 2 and 3 of a basis book: the margin ladder, the drawdown stop, the repair of net delta.

They act on their own inputs alone: when the book is restricted (stale, in doubt, broken, killed) they may still do what
reduces risk, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from basis_daemon.domain.decision import ReasonCode, Rejected
from basis_daemon.domain.instrument import PositionKey, round_down
from basis_daemon.domain.margin import EMERGENCY, REDUCE, ZERO, short_distance, weight_drift
from basis_daemon.domain.margin_plan import Pool, Source, sources_of
from basis_daemon.domain.order import Side
from basis_daemon.strategies.ladder import Form, MarginSite, Repair, repair
from basis_daemon.strategies.orders import Leg, Move, Pair, SideBySide, Single, Step, cents_down, cents_up, legs_of
from basis_daemon.strategies.parameters import BP
from basis_daemon.strategies.rules import Act, Rule, Verdict, brief, drawdown_stop, in_flight, stale_gate
from basis_daemon.strategies.sizing import closing, internal, is_tradable, leave, proceeds_of, route
from basis_daemon.strategies.view import BookView, VenueView

VB = TypeVar("VB", bound=BookView)
REPAIR_URGENCY = 1
"""Of a repair after a forced reduction or under a guard that has tightened: such a guard lets defence through."""
REASONS: Mapping[int, ReasonCode] = {
    1: ReasonCode.LIQ_TOPUP,
    2: ReasonCode.LIQ_REDUCE,
    3: ReasonCode.LIQ_EMERGENCY,
}


# ------------------------------------------------------------------------------------------- nearest liquidation
def nearest_liquidation(view: BookView) -> Act | Rejected:
    """Rule 2: the worst site whose repair is not void; all sites at level 3 together, side by side in one plan."""
    looked: list[str] = []
    acts: dict[str, _Defence] = {}
    level = 0
    for venue in _by_severity(view):
        found = _defend(view, venue)
        if isinstance(found, str):
            looked.append(f"{venue.name}: {found}")
        elif not acts or found.level == EMERGENCY:
            acts[venue.name], level = found, level or found.level
        if acts and level < EMERGENCY:
            break
    if not acts:
        return Rejected(ReasonCode.LIQ_TOPUP, "; ".join(looked) or "no short is open")
    note = "; ".join(act.note for act in acts.values())
    released = view.released({name: act.lacking for name, act in acts.items() if act.lacking}, level)
    is_void = isinstance(released, str)
    note, released = (f"{note}; {released}", ()) if isinstance(released, str) else (note, released)
    steps = (*_side_by_side(acts.values()), *released)
    return Act(REASONS[level], note, steps, level, page=is_void or level == EMERGENCY)


def worse_first(view: BookView, at_exchange: Verdict, at_aave: Verdict, z_of_aave: Callable[[], Decimal]) -> Verdict:
    """Of two threats the worse level, then the fewer shocks, an exchange before Aave; the other is looked at next."""
    if not (isinstance(at_exchange, Act) and isinstance(at_aave, Act)):
        return at_aave if isinstance(at_aave, Act) else at_exchange
    z = min(venue.z for venue in view.venues if venue.z is not None)
    return at_exchange if (-at_exchange.urgency, z) <= (-at_aave.urgency, z_of_aave()) else at_aave


@dataclass(frozen=True, slots=True)
class _Defence:
    """The repair of one account; ``lacking`` USDT of it must be sold of a long leg elsewhere."""

    level: int
    note: str
    steps: tuple[Step, ...]
    lacking: Decimal


def _side_by_side(acts: Collection[_Defence]) -> tuple[Step, ...]:
    """The steps of one act as they are; of several: what buys back alone, then all pairs at once, then their money."""
    steps = tuple(step for act in acts for step in act.steps)
    pairs = tuple(step for step in steps if isinstance(step, Pair))
    if len(pairs) < 2:  # noqa: PLR2004  one pair has nobody beside it
        return steps
    alone = (step for step in steps if isinstance(step, Single))
    moves = (step for step in steps if isinstance(step, Move))
    return (*alone, SideBySide(pairs), *moves)


def _by_severity(view: BookView) -> list[VenueView]:
    ladder = view.frame.parameters.ladder
    shorts = [(venue.z, venue) for venue in view.venues if venue.short > 0 and venue.z is not None]
    return [venue for z, venue in sorted(shorts, key=lambda pair: (-ladder.level(pair[0]), pair[0]))]


def _defend(view: BookView, venue: VenueView) -> _Defence | str:
    """The repair of one account, or why there is none."""
    market, p = view.frame.market, view.frame.parameters
    site = margin_site(view, venue)
    found = repair(site, p.ladder, p.unhedged_max_s)
    if isinstance(found, str):
        return found
    if blind := market.stale(*venue.margin_inputs):
        return f"level {found.level}, but stale: {', '.join(blind)}"
    if view.frame.risk.in_doubt and found.level < REDUCE:
        return f"level {found.level} waits for orders in doubt"
    blind = () if found.form is Form.CASH else market.stale(*view.long_inputs(venue))
    if blind and p.ladder.level(site.z) < EMERGENCY:
        return f"level {found.level} waits for the long leg, stale: {', '.join(blind)}"
    steps, lacking = _repair_steps(view, venue, found, is_blind=bool(blind))
    if not steps:
        return f"level {found.level}: the {found.form} repair of {brief(found.amount)} USDT is void"
    note = (
        f"{venue.name}: m {brief(site.margin / site.notional)}, z {brief(site.z)}, level {found.level}: "
        f"{found.form} {brief(found.amount)} USDT towards m* {brief(site.m_star)}"
    )
    return _Defence(found.level, note, steps, lacking)


def margin_site(view: BookView, venue: VenueView) -> MarginSite:
    """One venue's short as the ladder sees it."""
    p = view.frame.parameters
    return MarginSite(
        notional=venue.notional,
        margin=venue.margin,
        mm=venue.state.maintenance_rate,
        m_star=venue.m_star,
        shock=p.shock,
        cost=venue.perp.taker_fee + p.slip_cex_bp * BP,
        sigma=venue.memory.sigma,
        long_value=venue.held * view.frame.price,
        cash=_cash_sources(view, venue),
        release_value=view.release_value(venue),
        release_eta_h=venue.venue.route_eta_h,
        proceeds_eta_s=venue.venue.internal_eta_s,
        level_in_flight=view.frame.risk.defence_in_flight.get(venue.venue.perp_account, 0),
    )


def _cash_sources(view: BookView, venue: VenueView) -> tuple[Source, ...]:
    """What of the sources was heard of; accounts that were not count as empty."""
    stale = view.frame.market.stale
    own = ZERO if stale(f"account:{venue.venue.spot_account}") else venue.cash
    wallet = ZERO if stale("account:wallet") else view.drawable
    others = (Pool(other.venue.way, other.cash, other.free_margin) for other in view.fresh if other is not venue)
    return sources_of(venue.venue.way, own, wallet, others)


def _repair_steps(
    view: BookView, venue: VenueView, found: Repair, *, is_blind: bool
) -> tuple[tuple[Step, ...], Decimal]:
    """Steps at this venue, and the USDT of a long leg elsewhere that must be sold beside them."""
    p = view.frame.parameters
    drawn = tuple(step for source in found.cash for step in _draw(view, venue, source))
    if found.form is Form.CASH:
        return drawn, ZERO
    slip = p.slip_cex_bp if found.level <= REDUCE else p.slip_emergency_bp
    pair, bought, sold = closing(venue, found.amount / view.frame.price, slip)
    if pair is None or is_blind or not view.stands_here(venue, bought):
        alone = (Single(Leg(venue.perp.key, Side.BUY, bought, reduce_only=True), slip),) if bought > 0 else ()
        lacking = ZERO if is_blind else bought * view.frame.price
        return ((*alone, *drawn), lacking) if view.release_value(venue) else (alone, lacking)
    if found.form is Form.BUY_BACK:
        return (pair,), ZERO
    money = sum((source.amount for source in found.cash), ZERO)
    proceeds = cents_down(venue.cash + proceeds_of(venue, sold, slip))
    amount = min(cents_down(found.amount + money), proceeds)
    return (pair, *internal(venue.venue.cash_key, venue.venue.margin_key, amount)), ZERO


def _draw(view: BookView, venue: VenueView, source: Source) -> list[Step]:
    """Moves from a source of cash to the margin account of ``venue``."""
    amount = cents_up(source.amount)
    origin = next((other.venue for other in view.venues if other.venue.margin_key == source.name), None)
    return route(PositionKey(source.name), origin, venue.venue, amount)


# ------------------------------------------------------------------------------------------------------- drawdown
def drawdown(view: BookView) -> Act | Rejected:
    """The stop by unit value: every pair is left."""
    limit = view.frame.parameters.max_drawdown
    return drawdown_stop(view, limit, lambda: left_at_venues(view))


def left_at_venues(view: BookView) -> tuple[Step, ...] | str:
    """Everything out of every pair: what is naked, then pairs over two venues, all others side by side, their money.

    One after another while nobody has said flatten. A string says what of it cannot be left now.
    """
    steps = tuple(_no_shorter(view, step) for venue in view.leaving for step in leave(venue))
    if not view.frame.risk.flatten:
        return steps
    pairs = tuple(step for step in steps if isinstance(step, Pair))
    across, alone = _paired_across(view, [step for step in steps if isinstance(step, Single)])
    moves = tuple(step for step in steps if isinstance(step, Move))
    together = (SideBySide(pairs),) if len(pairs) > 1 else pairs
    # what is no more than naked goes first; a sale that hedges something, behind what it hedges
    alone = [one for one in alone if one.leg.reduce_only or one.leg.quantity <= view.net_delta]
    return (*alone, *across, *together, *moves) or view.stuck


def _no_shorter(view: BookView, step: Step) -> Step:
    """A pair with all of its long leg; where the book is short already it sells no more than it buys back."""
    if not isinstance(step, Pair) or step.follow.quantity - step.lead.quantity <= max(view.net_delta, ZERO):
        return step
    hedged = round_down(step.lead.quantity, _venue_of(view, step.follow).spot.quantity_step)
    return replace(step, follow=replace(step.follow, quantity=min(step.follow.quantity, hedged)))


def _paired_across(view: BookView, singles: Sequence[Single]) -> tuple[list[Pair], list[Single]]:
    """What one venue holds beyond its short hedges what another is short of: a pair too, and only the rest is alone."""
    pairs: list[Pair] = []
    rest = list(singles)
    for at in range(len(rest)):
        for other in range(len(rest)):
            if (pair := _across(view, rest[at], rest[other])) is not None:
                pairs.append(pair)
                rest[at] = _less(rest[at], pair.lead)
                rest[other] = _less(rest[other], pair.follow)
    cut = [now for now, before in zip(rest, singles, strict=True) if now is before or _is_worth_it(view, now.leg)]
    return pairs, cut


def _across(view: BookView, buy: Single, sale: Single) -> Pair | None:
    """A short bought back at one venue, and as much sold of what another holds; None where that is no pair."""
    is_pair = buy.leg.reduce_only and buy.leg.side is Side.BUY
    if not is_pair or sale.leg.reduce_only or sale.leg.side is not Side.SELL:
        return None
    short, long = _venue_of(view, buy.leg), _venue_of(view, sale.leg)
    quantity = min(buy.leg.quantity, round_down(sale.leg.quantity, short.perp.quantity_step))
    sold = round_down(quantity, long.spot.quantity_step)
    lead, follow = replace(buy.leg, quantity=quantity), replace(sale.leg, quantity=sold)
    is_worth_it = _is_worth_it(view, lead) and _is_worth_it(view, follow)
    return Pair(lead, follow, buy.slippage_bp) if is_worth_it else None


def _less(single: Single, done: Leg) -> Single:
    return replace(single, leg=replace(single.leg, quantity=single.leg.quantity - done.quantity))


def _venue_of(view: BookView, leg: Leg) -> VenueView:
    return next(venue for venue in view.leaving if leg.key in {venue.perp.key, venue.spot.key})


def _is_worth_it(view: BookView, leg: Leg) -> bool:
    venue = _venue_of(view, leg)
    return is_tradable(venue, leg.quantity, venue.perp if leg.key == venue.perp.key else venue.spot)


# ---------------------------------------------------------------------------------------------------------- delta
def delta(view: BookView) -> Act | Rejected:
    """Rule 3: bring net delta back to ``delta_rest`` of equity; by the perp where that may be, else by the long leg."""
    p, equity = view.frame.parameters, view.frame.exposure.capital_usdt
    if equity is None or equity <= 0 or not view.venues:
        return Rejected(ReasonCode.DELTA, f"equity is {equity}, expected above 0 and every venue known")
    share = view.net_delta * view.frame.price / equity
    if abs(share) <= p.delta_soft:
        return Rejected(ReasonCode.DELTA, f"|delta| {brief(abs(share))} <= {p.delta_soft} of E")
    if waits := _delta_waits(view):
        return Rejected(ReasonCode.DELTA, f"delta {brief(share)} of E, but {waits}")
    quantity = repair_quantity(share, p.delta_rest, equity, view.frame.price)
    if quantity * view.frame.price < p.min_order_usdt:
        return Rejected(ReasonCode.DELTA, f"delta {brief(share)} of E is below min_order_usdt {p.min_order_usdt}")
    is_forced = any(venue.was_forced for venue in view.venues)
    is_urgent = is_forced or view.frame.risk.is_killed
    steps = _sell_delta(view, quantity, is_urgent=is_urgent) if share > 0 else _buy_delta(view, quantity)
    if isinstance(steps, str):
        return Rejected(ReasonCode.DELTA, f"delta {brief(share)} of E: {steps}")
    how = ", ".join(f"{leg.side} {leg.quantity} {leg.key}" for leg in legs_of(steps)) or "the long leg elsewhere moves"
    note = f"delta {brief(share)} of E beyond {p.delta_soft}: {how}"
    return Act(ReasonCode.DELTA, note, steps, REPAIR_URGENCY if is_urgent else 0, page=is_urgent)


def delta_hard(view: BookView) -> Act | Rejected:
    """Beyond ``delta_hard`` only repair is allowed, also while no repair is possible."""
    p = view.frame.parameters
    share = abs(view.net_delta) * view.frame.price / view.equity
    if share <= p.delta_hard:
        return Rejected(ReasonCode.DELTA, f"|delta| {brief(share)} <= delta_hard {p.delta_hard}")
    return Act(ReasonCode.DELTA, f"|delta| {brief(share)} of E > delta_hard {p.delta_hard}: only repair", page=True)


def _delta_waits(view: BookView) -> str | None:
    """Why net delta is not to be trusted now: an input of any leg is old, or orders are at work on a leg."""
    if blind := view.frame.market.stale(*view.delta_inputs):
        return f"stale: {', '.join(blind)}"
    legs = {key for venue in view.venues for key in (venue.spot.key, venue.perp.key)}
    risk = view.frame.risk
    if risk.plan_in_flight or risk.defence_in_flight:
        return "a plan is in flight, whose legs may be between two orders"
    busy = sorted(legs & risk.legs_with_open_orders)
    return f"orders are open on {', '.join(busy)}" if busy else None


def repair_quantity(share: Decimal, rest: Decimal, equity: Decimal, price: Decimal) -> Decimal:
    """Base units that bring delta (a share of equity, either sign) back to ``rest``."""
    return (abs(share) - rest) * equity / price


def _sell_delta(view: BookView, quantity: Decimal, *, is_urgent: bool) -> tuple[Step, ...] | str:
    """Too long: more short where it is most under-weight and stays at ``z_open``; else sell the long leg.

    On a restricted book only the second, and only where a venue took the short away or a guard that has tightened cut a
    group in two: nothing is in dispute then, and the excess would stand naked until somebody looks.
    """
    risk = view.frame.risk
    if view.restriction is not None and (not is_urgent or risk.in_doubt or risk.breaks):
        return f"only reducing orders are allowed: {view.restriction}"
    shorts = reversed(over_weight_first(view)) if view.restriction is None else ()
    for venue in shorts:
        amount = round_down(quantity, venue.perp.quantity_step)
        if _may_short(venue, amount):
            return (Single(Leg(venue.perp.key, Side.SELL, amount), view.frame.parameters.slip_cex_bp),)
    for venue in sorted(view.venues, key=lambda v: -v.held):
        amount = round_down(min(quantity, venue.held), venue.spot.quantity_step)
        if is_tradable(venue, amount, venue.spot):
            return (Single(Leg(venue.spot.key, Side.SELL, amount), view.frame.parameters.slip_cex_bp),)
    return view.sold_elsewhere(quantity)


def _buy_delta(view: BookView, quantity: Decimal) -> tuple[Step, ...] | str:
    """Too short: buy back where the short is most over-weight, never more than stands there."""
    if view.frame.risk.in_doubt:
        return "waits for orders in doubt"
    for venue in over_weight_first(view):
        amount = min(round_down(quantity, venue.perp.quantity_step), venue.short)
        if amount >= venue.perp.quantity_min:
            return (Single(Leg(venue.perp.key, Side.BUY, amount, reduce_only=True), view.frame.parameters.slip_cex_bp),)
    return view.bought_elsewhere(quantity)


def over_weight_first(view: BookView) -> list[VenueView]:
    """Venues by how far their short exceeds its share of the whole, most first."""
    drift = weight_drift([venue.short for venue in view.venues], [venue.weight for venue in view.venues])
    ranked = sorted(zip(drift, view.venues, strict=True), key=lambda pair: -pair[0])
    return [venue for _, venue in ranked]


def _may_short(venue: VenueView, amount: Decimal) -> bool:
    """True when a larger short stays at ``z_open``, is worth an order and undoes nothing of the last 24 hours."""
    if not is_tradable(venue, amount, venue.perp) or venue.frozen_until() or venue.moved_perp(Side.BUY):
        return False
    p = venue.frame.parameters
    after = (venue.short + amount) * venue.state.mark
    return short_distance(venue.margin / after, venue.state.maintenance_rate) / p.shock >= p.z_open


# ---------------------------------------------------------------------------------------------------------- order
def defended(nearest: Rule[VB], stop: Rule[VB]) -> tuple[Rule[VB], ...]:
    """Defence first, on its own inputs; the stale gate and what is in flight stop everything that follows."""
    return (nearest, stop, delta, stale_gate, in_flight, delta_hard)
