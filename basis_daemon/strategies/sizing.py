"""How much of a pair a sum of USDT carries, and how its money must lie before the first leg.

Rule of the free rest: the spot account keeps what the whole buy costs at the slippage bound with its fee, the margin
account gets m* of the notional plus what the sale of the perp may lose to fee and slippage. So the buy never exceeds
the spot balance, and the margin ratio is at least m* however badly both legs fill inside their bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from basis_daemon.domain.instrument import Instrument, PositionKey, round_down, round_up
from basis_daemon.domain.order import Side
from basis_daemon.strategies.orders import CENT, Leg, Move, Pair, Single, Step, cents_down, cents_up
from basis_daemon.strategies.parameters import BP, BasisVenue
from basis_daemon.strategies.view import WALLET_CASH, VenueView


@dataclass(frozen=True, slots=True)
class PairSize:
    """``quantity`` of the short, ``gross`` spot to order for it, and the USDT each account must hold beforehand."""

    quantity: Decimal
    gross: Decimal
    spot_cash: Decimal
    margin: Decimal

    @property
    def money(self) -> Decimal:
        """Both together."""
        return self.spot_cash + self.margin


def size_pair(view: VenueView, budget: Decimal) -> PairSize | None:
    """The largest pair, in steps of the perp, that ``budget`` USDT carries; None when it is below the minima."""
    per_unit = price_of(view, Decimal(1) / (1 - view.spot.taker_fee)) + margin_of(view, Decimal(1))
    quantity = round_down(max(budget - 2 * CENT, Decimal(0)) / per_unit, view.perp.quantity_step)
    while quantity > 0:
        gross = round_up(quantity / (1 - view.spot.taker_fee), view.spot.quantity_step)
        size = PairSize(quantity, gross, cents_up(price_of(view, gross)), cents_up(margin_of(view, quantity)))
        if size.money <= budget:
            return size if is_tradable(view, quantity, view.spot, view.perp) else None
        quantity -= view.perp.quantity_step
    return None


def price_of(view: VenueView, gross: Decimal) -> Decimal:
    """USDT that a spot buy may cost at the slippage bound, its fee in either coin."""
    slip = view.frame.parameters.slip_cex_bp * BP
    return gross * view.spot_book.mid * (1 + slip) * (1 + view.spot.taker_fee)


def margin_of(view: VenueView, quantity: Decimal) -> Decimal:
    """USDT that keeps the margin ratio at m* after the worst fill of a perp sale inside its bound."""
    slip = view.frame.parameters.slip_cex_bp * BP
    loss = max(view.state.mark - view.perp_book.mid * (1 - slip), Decimal(0)) + view.perp_book.mid * view.perp.taker_fee
    return quantity * (view.m_star * view.state.mark + loss)


def proceeds_of(view: VenueView, quantity: Decimal, slippage_bp: Decimal) -> Decimal:
    """USDT that a sale of the long leg brings at least, inside its bound."""
    return quantity * view.spot_book.mid * (1 - slippage_bp * BP) * (1 - view.spot.taker_fee)


def is_tradable(view: VenueView, quantity: Decimal, *instruments: Instrument) -> bool:
    """True when the venue takes an order of this size on each instrument, also at its limit, and it is worth one."""
    p, notional = view.frame.parameters, quantity * view.frame.price
    at_limit = notional * (1 - p.slip_cex_bp * BP)
    return notional >= p.min_order_usdt and all(
        at_limit >= one.notional_min and quantity >= one.quantity_min for one in instruments
    )


def opening(view: VenueView, size: PairSize) -> Pair:
    """Buy spot, sell the perp for what the buy really brought."""
    return Pair(
        Leg(view.spot.key, Side.BUY, size.gross),
        Leg(view.perp.key, Side.SELL, size.quantity),
        view.frame.parameters.slip_cex_bp,
    )


def closing(view: VenueView, quantity: Decimal, slippage_bp: Decimal) -> tuple[Pair | None, Decimal, Decimal]:
    """Buy back up to ``quantity`` of the short, sell as much of the long: (pair, bought, sold).

    A buy-back is rounded up to the step and capped by the short, a sale rounded down and capped by what is held. The
    perp leads: for a moment the book is long, never short of margin. None when either leg would be empty. Of a short
    that is no multiple of its step, as one is whose exchange has made the step coarser, less than a step stays.
    """
    whole = round_down(view.short, view.perp.quantity_step)
    bought = min(round_up(quantity, view.perp.quantity_step), whole)
    is_whole = bought == whole
    sold = round_down(min(view.held if is_whole else bought, view.held), view.spot.quantity_step)
    if bought <= 0 or sold <= 0:
        return None, bought, sold
    pair = Pair(
        Leg(view.perp.key, Side.BUY, bought, reduce_only=True), Leg(view.spot.key, Side.SELL, sold), slippage_bp
    )
    return pair, bought, sold


def usable_margin(view: VenueView) -> Decimal:
    """Money in the margin account that a new pair may count as its own.

    All of it beyond m* where no pair stands or the last entry is unfinished; a standing pair's margin is its own.
    """
    surplus = max(view.margin - view.m_star * view.notional, Decimal(0))
    return surplus if not view.is_held or view.frame.memory.is_unfinished else Decimal(0)


def funding_moves(view: VenueView, size: PairSize, incoming: Decimal) -> tuple[Step, ...]:
    """Moves that bring the money of a new pair to its accounts; ``incoming`` comes from the wallet first."""
    steps: list[Step] = []
    cash = view.cash + incoming
    if incoming > 0 and view.venue.network is not None:
        steps.append(Move(WALLET_CASH, view.venue.cash_key, cents_down(incoming), view.venue.network))
    free = usable_margin(view)
    if free < size.margin:
        steps += internal(view.venue.cash_key, view.venue.margin_key, cents_up(size.margin - free))
    elif cash < size.spot_cash:
        lacking = cents_up(size.spot_cash - cash)
        steps += internal(view.venue.margin_key, view.venue.cash_key, min(lacking, cents_down(view.free_margin)))
    return tuple(steps)


def leave(view: VenueView) -> list[Step]:
    """Everything out of the pair, then the margin home to the spot account; what remains is less than a step.

    The pair is what both legs hold; what one of them holds beyond the other goes by itself. A long leg that its venue
    would not take an order for makes no pair: the short goes alone, and the rest is less than an order.
    """
    slip = view.frame.parameters.slip_cex_bp
    steps: list[Step] = []
    beyond = round_down(max(view.short - view.held, Decimal(0)), view.perp.quantity_step)
    beyond = beyond if is_tradable(view, beyond, view.perp) else Decimal(0)
    pair, bought, sold = closing(view, max(view.short - beyond, Decimal(0)), slip)
    pair = pair if is_tradable(view, sold, view.spot) else None
    alone = beyond if pair is not None else round_down(abs(view.short), view.perp.quantity_step)
    if alone:
        side = Side.BUY if view.short > 0 else Side.SELL
        steps.append(Single(Leg(view.perp.key, side, alone, reduce_only=True), slip))
    rest = round_down(view.held - (min(sold, bought) if pair is not None else Decimal(0)), view.spot.quantity_step)
    is_rest_sold = is_tradable(view, rest, view.spot)
    if pair is not None:
        follow = replace(pair.follow, quantity=min(sold, round_down(bought, view.spot.quantity_step)))
        steps.insert(0, replace(pair, follow=follow) if is_rest_sold else pair)
    if is_rest_sold:
        steps.append(Single(Leg(view.spot.key, Side.SELL, rest), slip))
    costs = view.notional * (slip * BP + view.perp.taker_fee)
    home = cents_down(view.margin - costs)
    if steps:
        steps += internal(view.venue.margin_key, view.venue.cash_key, home)
    return steps


def internal(source: PositionKey, target: PositionKey, amount: Decimal) -> list[Step]:
    """A move between two accounts of an exchange; nothing when they are one or nothing is to move."""
    return [Move(source, target, amount)] if source != target and amount > 0 else []


def route(source: PositionKey, origin: BasisVenue | None, to: BasisVenue, amount: Decimal) -> list[Step]:
    """Moves that bring ``amount`` from a spot or margin account, or the wallet, to the margin account of ``to``.

    Between exchanges, and from the wallet, it travels over the network of ``to``, whose fee is sent on top.
    """
    steps: list[Step] = []
    if source not in (to.cash_key, to.margin_key):
        if to.network is None:
            return []
        gross = amount + to.withdrawal_fee_usdt
        if origin is not None:
            steps += internal(source, origin.cash_key, gross)
            source = origin.cash_key
        steps.append(Move(source, to.cash_key, gross, to.network))
    return steps + internal(to.cash_key, to.margin_key, amount)
