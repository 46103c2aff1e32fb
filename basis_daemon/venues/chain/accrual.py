"""What balances did by themselves between two blocks: interest, rebases, and the protocol's rounding of our operations.

A balance that grows without a transaction of ours is not watched growing: it is read at two blocks, and whatever our
own operations in between do not explain has accrued. So the postings make up the whole difference, to the last unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause
from basis_daemon.venues.chain.deltas import Moved
from basis_daemon.venues.chain.tokens import REBASING

_LENDING = frozenset({Kind.ATOKEN, Kind.VDEBT})
_ISSUED = frozenset({Kind.CLAIM, Kind.SHARE})


@dataclass(frozen=True, slots=True)
class Balances:
    """Whole units by key in the state after one block; a key that is missing was not read."""

    block: BlockRef
    held: Mapping[PositionKey, Decimal]


def cause_of_growth(key: PositionKey) -> Cause | None:
    """Why a balance moves without a transaction; None for one that does not."""
    if key.kind in _LENDING:
        return Cause.INTEREST
    if key.kind in _ISSUED or (key.kind is Kind.TOKEN and key.symbol in REBASING):
        return Cause.REBASE
    return None


def accruals(since: Balances, until: Balances, own: Moved) -> Iterator[CashFlow]:
    """The flows that lead from one reading to the next, beside ``own``: what our transactions in between moved.

    Rounding is told apart from interest. Keys that cannot grow yield nothing: a difference there is for the
    reconciliation. A key that one of the readings lacks is unknown and not zero, and yields nothing either; but claims
    are listed, so one that is missing before our transaction made it, or after it was settled, is none.
    """
    claims = {key for key in own.deltas if key.kind is Kind.CLAIM}
    for key in sorted((since.held.keys() & until.held.keys()) | claims):
        if (cause := cause_of_growth(key)) is None:
            continue
        before, after = since.held.get(key, Decimal(0)), until.held.get(key, Decimal(0))
        change = after - before - own.deltas.get(key, Decimal(0))
        rounding = own.rounding.get(key, Decimal(0))
        for amount, why in ((change - rounding, cause), (rounding, Cause.ROUNDING)):
            if amount:
                yield CashFlow(
                    flow_id=f"{why}:{key}:{since.block.number}:{until.block.hash}",
                    key=key,
                    amount=amount,
                    cause=why,
                    venue_time=until.block.time,
                )
