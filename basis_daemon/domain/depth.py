"""What a trade of a given size would pay, read off a book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from basis_daemon.domain.market import Level

ZERO, BP = Decimal(0), Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Impact:
    """``filled`` of what was wanted fits the book at ``average_price``; ``slippage_bp`` is against the best price."""

    filled: Decimal
    average_price: Decimal
    worst_price: Decimal
    slippage_bp: Decimal


def impact(levels: Sequence[Level], quantity: Decimal) -> Impact:
    """Walk one side of a book, best first, for ``quantity`` base units. Raises ValueError for an empty side."""
    if not levels or quantity <= 0:
        raise ValueError(f"{len(levels)} levels and quantity {quantity}, expected at least one and above zero")
    rest, cost, worst = quantity, ZERO, levels[0][0]
    for price, size in levels:
        if rest <= 0:
            break
        taken = min(rest, size)
        cost, rest, worst = cost + taken * price, rest - taken, price
    filled = quantity - rest
    average = cost / filled
    best = levels[0][0]
    return Impact(filled, average, worst, abs(average - best) / best * BP)
