"""Take-profit and stop-loss of a directional position: where they stand, and what keeps them true to it.

A bracket is two reduce-only orders of the position's whole size, anchored on the price it was really filled at. The
stop matters more: it is placed first and never taken away before its successor stands. When one fires the other goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.instrument import PositionKey, round_down, round_up

ZERO, ONE, BP = Decimal(0), Decimal(1), Decimal("1e-4")
NAKED_MAX = timedelta(seconds=10)
"""A position without a live stop for longer is closed."""


class Guarding(StrEnum):
    """Which half of a bracket; the stop goes first."""

    STOP = "stop"
    TAKE_PROFIT = "take_profit"


@dataclass(frozen=True, slots=True)
class Width:
    """How far the halves stand from the entry: multiples of sd, which is kept within a floor and a cap (bp)."""

    stop_sd: Decimal
    take_sd: Decimal
    floor_bp: Decimal
    cap_bp: Decimal

    def sd(self, told: Decimal) -> Decimal:
        """``sd_eff``."""
        return min(max(told, self.floor_bp * BP), self.cap_bp * BP)

    @property
    def even_rate(self) -> Decimal:
        """Share of wins at which a bracket earns nothing, before fees."""
        return self.stop_sd / (self.stop_sd + self.take_sd)


@dataclass(frozen=True, slots=True)
class Bracket:
    """Prices of the two halves; mark triggers them."""

    stop: Decimal
    take: Decimal

    def on_ticks(self, tick: Decimal, side: int) -> Bracket:
        """Both rounded towards the entry: neither loses more nor waits for more than was planned."""
        if side > 0:
            return Bracket(round_up(self.stop, tick), round_down(self.take, tick))
        return Bracket(round_down(self.stop, tick), round_up(self.take, tick))

    def fired(self, mark: Decimal, side: int) -> Guarding | None:
        """What a mark sets off; where it could be both, the stop."""
        if (mark - self.stop) * side <= 0:
            return Guarding.STOP
        return Guarding.TAKE_PROFIT if (mark - self.take) * side >= 0 else None


def bracket_at(entry: Decimal, side: int, sd: Decimal, width: Width) -> Bracket:
    """Around an entry price, for a long (+1) or a short (-1)."""
    move = width.sd(sd)
    return Bracket(entry * (ONE - side * width.stop_sd * move), entry * (ONE + side * width.take_sd * move))


def anchored(planned: Bracket, ref_price: Decimal, entry: Decimal) -> Bracket:
    """The same distances from where the fills really were: an order carries them from its reference price."""
    return Bracket(planned.stop * entry / ref_price, planned.take * entry / ref_price)


def entry_price(fills: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """``O/Q`` of (signed quantity, price); the quantities do not sum to zero."""
    rows = tuple(fills)
    return sum((quantity * price for quantity, price in rows), ZERO) / sum((quantity for quantity, _ in rows), ZERO)


# ---------------------------------------------------------------------------------------------------------- keeping
@dataclass(frozen=True, slots=True)
class Live:
    """A protective order that stands at the venue, reduce-only."""

    order_id: str
    half: Guarding
    quantity: Decimal
    trigger: Decimal


@dataclass(frozen=True, slots=True)
class Place:
    """A protective order to send: ``quantity`` above zero, on the side that reduces."""

    half: Guarding
    quantity: Decimal
    trigger: Decimal


@dataclass(frozen=True, slots=True)
class Cancel:
    """One to take away."""

    order_id: str


def kept(position: Decimal, wanted: Bracket, live: Sequence[Live]) -> tuple[Place | Cancel, ...]:
    """What makes the live orders the bracket of a signed position: stop first, new before old, nothing when it is so.

    A flat position has none: the survivor of a bracket that fired is cancelled.
    """
    if not position:
        return tuple(Cancel(order.order_id) for order in live)
    places: list[Place | Cancel] = []
    cancels: list[Place | Cancel] = []
    for half, trigger in ((Guarding.STOP, wanted.stop), (Guarding.TAKE_PROFIT, wanted.take)):
        own = [order for order in live if order.half is half]
        right = next((o for o in own if (o.quantity, o.trigger) == (abs(position), trigger)), None)
        places += [] if right else [Place(half, abs(position), trigger)]
        cancels += [Cancel(order.order_id) for order in own if order is not right]
    return (*places, *cancels)


def is_naked(position: Decimal, live: Sequence[Live], unguarded_since: datetime | None, now: datetime) -> bool:
    """True when a position has stood without a live stop for longer than it may."""
    has_stop = any(order.half is Guarding.STOP for order in live)
    is_open = bool(position) and not has_stop
    return is_open and unguarded_since is not None and now - unguarded_since > NAKED_MAX


@dataclass(frozen=True, slots=True)
class BracketFired:
    """A half of a bracket was filled at its venue: the position is left, whatever the model says of this bar."""

    instrument: PositionKey
    half: Guarding
    venue_time: datetime
