"""First in, first out: what was bought first is sold first. Long and short lots alike, exact in every digit.

A lot is a quantity with its cost in one measure: quote coin for a perp, the share class's own coin for everything else.
Cost and proceeds hold the fees that were paid in that measure. Where nobody can say what was paid, cost is None, and so
is the gain: unknown is not zero.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.ledger import COST_GRAIN

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Event:
    """What opened or closed a lot: the ledger's event, when, and why."""

    event_id: str
    time: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Lot:
    """What is still held of one acquisition: negative ``quantity`` is sold short. ``cost`` is positive where paid."""

    item: str
    measure: str
    opened: Event
    quantity: Decimal
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Closed:
    """A lot, or part of one, and what it was closed for: ``gain`` is ``proceeds`` less cost."""

    lot: Lot
    closed: Event
    proceeds: Decimal | None

    @property
    def gain(self) -> Decimal | None:
        """None where cost or proceeds are not known."""
        if self.proceeds is None or self.lot.cost is None:
            return None
        return self.proceeds - self.lot.cost


class Queue:
    """The lots of one item, oldest first. ``closed`` is what left it, in the order in which it left."""

    def __init__(self, item: str, measure: str) -> None:
        self._item = item
        self._measure = measure
        self.lots: deque[Lot] = deque()
        self.closed: list[Closed] = []

    def move(self, quantity: Decimal, paid: Decimal | None, event: Event) -> None:
        """Add a signed quantity for which ``paid`` was given, negative when it was received; None when unknown."""
        while quantity and self.lots and self.lots[0].quantity * quantity < 0:
            part = min(abs(quantity), abs(self.lots[0].quantity)).copy_sign(quantity)
            share = _share(paid, part, quantity)
            self.closed.append(Closed(self._take(-part), event, -share if share is not None else None))
            quantity -= part
            paid = paid - share if paid is not None and share is not None else None
        if quantity:
            self.lots.append(Lot(self._item, self._measure, event, quantity, paid))

    def leave(self, quantity: Decimal, event: Event) -> Decimal | None:
        """Take a positive quantity out at its cost: no gain. Returns that cost; None where any of it is unknown."""
        cost: Decimal | None = ZERO
        while quantity and self.lots and self.lots[0].quantity > 0:
            part = self._take(min(quantity, self.lots[0].quantity))
            self.closed.append(Closed(part, event, part.cost))
            cost = cost + part.cost if cost is not None and part.cost is not None else None
            quantity -= part.quantity
        if quantity:
            self.lots.append(Lot(self._item, self._measure, event, -quantity, None))
            return None
        return cost

    def _take(self, quantity: Decimal) -> Lot:
        """This signed quantity of the oldest lot, which keeps the rest."""
        lot = self.lots.popleft()
        cost = _share(lot.cost, quantity, lot.quantity)
        if quantity != lot.quantity:
            left = lot.cost - cost if lot.cost is not None and cost is not None else None
            self.lots.appendleft(replace(lot, quantity=lot.quantity - quantity, cost=left))
        return replace(lot, quantity=quantity, cost=cost)


def _share(amount: Decimal | None, part: Decimal, whole: Decimal) -> Decimal | None:
    """The part's share of an amount, cut to a grain so that what is left is exact; all of it for all."""
    if amount is None or part == whole:
        return amount
    return (amount * part / whole).quantize(COST_GRAIN)
