"""What the wallet's own transactions did lately, for whoever explains how its balances came about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.venues.chain.bookings import Bookings
from basis_daemon.venues.chain.deltas import Amounts, Receipt, summed
from basis_daemon.venues.chain.names import reversal_id

ROUNDING_MAX = Decimal("0.00001")
"""Ten units of the coarsest token, for one key in one transaction: pools round by one or two per operation."""

A_WHILE = timedelta(days=1)
"""Longer than any chain takes to come back to what it took back."""


@dataclass(frozen=True, slots=True)
class OwnMoves:
    """``is_busy`` while a transaction may be in a block and not yet in the ledger; ``has_booked`` asks the ledger."""

    bookings: Bookings
    is_busy: Callable[[], bool]
    has_booked: Callable[[str], bool]

    def turnover(self, since: datetime) -> Amounts:
        """What went in and out under each key since then, directions added.

        What a reorganisation took back, too, for a day: it had grown by then, and that has to go as well.
        """
        moved = [self.bookings.moved(receipt).deltas for receipt in self.bookings.since(since)]
        moved += [undoing.deltas for undoing in self.bookings.taken_back if undoing.venue_time >= since - A_WHILE]
        return summed((key, abs(amount)) for deltas in moved for key, amount in deltas.items())

    def roundings(self, since: datetime) -> Sequence[CashFlow]:
        """What protocols rounded since then and the ledger has not; what a reorganisation took back is returned.

        An amount that is no rounding is left out: it is for the reconciliation to find.
        """
        made = [flow for receipt in self.bookings.since(since) for flow in self._rounded(receipt)]
        lost = [flow for receipt in self.bookings.undone for flow in self._rounded(receipt)]
        due = [flow for flow in made if not self.has_booked(flow.flow_id)]
        back = [_taken_back(flow) for flow in lost if self.has_booked(flow.flow_id)]
        return [*due, *(flow for flow in back if not self.has_booked(flow.flow_id))]

    def _rounded(self, receipt: Receipt) -> Iterable[CashFlow]:
        for key, amount in self.bookings.moved(receipt).rounding.items():
            if abs(amount) <= ROUNDING_MAX:
                name = f"{Cause.ROUNDING}:{key}:{receipt.tx_hash}:{receipt.block.hash[2:10]}"
                yield CashFlow(name, key, amount, Cause.ROUNDING, receipt.block.time)


def _taken_back(flow: CashFlow) -> CashFlow:
    return CashFlow(reversal_id(flow.flow_id), flow.key, -flow.amount, flow.cause, flow.venue_time)
