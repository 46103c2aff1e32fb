"""The way out of a staked hedge, a clip at a time: long leg and short shrink together, margin comes home with them.

The perp leads: for a moment the book is long, never short of margin. What goes to the issuer's queue keeps its hedge
until it is ETH again.
"""

from __future__ import annotations

from decimal import Decimal

from basis_daemon.domain.instrument import round_up
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.order import OrderOperation, Side
from basis_daemon.strategies.defence import over_weight_first
from basis_daemon.strategies.hedge_view import HedgeView
from basis_daemon.strategies.levered_view import LeverView
from basis_daemon.strategies.orders import Leg, Single, Step, cents_down
from basis_daemon.strategies.rebalance import margin_freed
from basis_daemon.strategies.rules import brief
from basis_daemon.strategies.sizing import closing, internal, is_tradable, leave
from basis_daemon.strategies.sleeve import freed_weth, refuelled, sold_for_usdt
from basis_daemon.strategies.view import VenueView


def unwound(view: HedgeView, eth: Decimal, urgency: Decimal) -> tuple[Step, ...] | str:
    """Up to a clip of ``eth`` sold and bought back; none when nothing is left, or why nothing can be sold now."""
    for venue in view.leaving:
        if is_tradable(venue, min(venue.held, eth), venue.spot):
            return _at_venue(venue, min(venue.held, eth))
    if fault := view.sleeve.gas_fault(is_defence=bool(urgency)):
        return fault
    limit = view.sleeve.slip(urgency)
    clip = min(eth, view.p.clip_usdt / view.frame.price, _within_reach(view))
    if _is_worth(view, min(view.sleeve.loose_eth, eth)):
        return _sold(view, min(clip, view.sleeve.loose_eth), limit)
    if not _is_worth(view, min(view.sleeve.placed, eth)):
        return _rest(view, eth)
    if isinstance(view.sleeve, LeverView) and view.sleeve.supplied:
        return _sold(view, clip, limit)
    steps = view.sleeve.out(eth / view.sleeve.rate, urgency)
    is_sale = any(step.operation is OrderOperation.SWAP for step in steps)
    return _sold(view, clip, limit) if is_sale else steps


def _is_worth(view: HedgeView, eth: Decimal) -> bool:
    return eth * view.frame.price >= view.p.min_order_usdt


def _at_venue(venue: VenueView, quantity: Decimal) -> tuple[Step, ...]:
    """ETH that was never staked."""
    pair, bought, sold = closing(venue, quantity, venue.frame.parameters.slip_cex_bp)
    if pair is None:
        return (Single(Leg(venue.spot.key, Side.SELL, sold), venue.frame.parameters.slip_cex_bp),) if sold else ()
    return (pair, *_margin_home(venue, bought))


def _sold(view: HedgeView, eth: Decimal, limit: Decimal) -> tuple[Step, ...] | str:
    """A clip of the sleeve into USDT against as much of the short."""
    found = freed_weth(view.sleeve, eth, limit)
    if isinstance(found, str):
        return found
    freed = refuelled(view.sleeve, found)
    if not freed.amount or (freed is not found and not _is_worth(view, freed.amount)):
        return freed.steps
    swapped, _ = sold_for_usdt(freed.amount, view.frame.price, limit)
    return (*_bought_back(view, max(freed.amount - _naked(view), ZERO)), *freed.steps, swapped)


def _naked(view: HedgeView) -> Decimal:
    """ETH of a clip that was bought back and whose sale did not come about: it is sold before more is bought back."""
    equity = view.frame.exposure.capital_usdt
    is_naked = equity is not None and view.net_delta * view.frame.price > view.p.delta_soft * equity
    return view.net_delta if is_naked else ZERO


def _within_reach(view: HedgeView) -> Decimal:
    """ETH whose shorts can be bought back now, with what stands naked; all of it while every venue can be reached."""
    if len(view.leaving) == len(view.venues) or not view.frame.risk.flatten:
        return view.long
    return sum((venue.short for venue in view.leaving), ZERO) + _naked(view)


def _bought_back(view: HedgeView, eth: Decimal) -> tuple[Step, ...]:
    """From the most over-weight short on, with the margin that each no longer needs."""
    steps: list[Step] = []
    for venue in over_weight_first(view):
        if view.frame.risk.flatten and venue.close_fault is not None:
            continue
        bought = min(round_up(eth, venue.perp.quantity_step), venue.short)
        if bought >= venue.perp.quantity_min:
            slip = venue.frame.parameters.slip_cex_bp
            steps += [Single(Leg(venue.perp.key, Side.BUY, bought, reduce_only=True), slip)]
            steps += _margin_home(venue, bought)
            eth -= bought
        if eth < venue.perp.quantity_step:
            break
    return tuple(steps)


def _margin_home(venue: VenueView, bought: Decimal) -> list[Step]:
    amount = cents_down(margin_freed(venue, bought / venue.short))
    return internal(venue.venue.margin_key, venue.venue.cash_key, amount)


def _rest(view: HedgeView, eth: Decimal) -> tuple[Step, ...] | str:
    """Less than an order is left to sell: on a whole way out shorts go once nothing stands behind them any more."""
    standing = view.long - view.p.reserve_eth
    if _is_worth(view, standing):
        return f"nothing can be sold yet: {brief(view.sleeve.claimed)} ETH are claims; the hedge stays"
    return tuple(step for venue in view.leaving for step in leave(venue)) if eth >= view.long else ()
