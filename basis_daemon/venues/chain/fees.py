"""What a transaction offers for its inclusion, in wei per unit of gas. Pure: base fee and tips in, fees out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 9, 8
"""x1.125, the smallest step that every client takes: geth asks for 10 % more on both fields, others for 12.5 %."""


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fields in wei per unit of gas; the tip is never above the whole."""

    max_fee_wei: int
    tip_wei: int

    def __post_init__(self) -> None:
        if not 0 <= self.tip_wei <= self.max_fee_wei:
            raise ValueError(f"tip {self.tip_wei} wei, max fee {self.max_fee_wei} wei, expected 0 <= tip <= max fee")


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """``tip_min_wei`` to ``tip_max_wei`` bound what the fee history says; ``base_fee_factor`` is the room for a rise.

    ``tip_percentile`` of the tips paid in each of the last ``history_blocks`` blocks is asked for.
    ``cancel_fee_max_wei`` bounds what freeing a nonce may cost per unit of gas, whatever the order's own cap.
    """

    tip_min_wei: int = 10_000_000
    tip_max_wei: int = 5_000_000_000
    tip_percentile: int = 50
    history_blocks: int = 10
    base_fee_factor: int = 2
    cancel_fee_max_wei: int = 1_000_000_000_000


def fresh_fees(base_fee_wei: int, tips_wei: Sequence[int], policy: FeePolicy) -> Fees:
    """``factor * base + tip`` with the median of ``tips_wei`` (one per block, empty blocks give 0), clamped."""
    middle = sorted(tips_wei)[len(tips_wei) // 2] if tips_wei else 0
    tip_wei = max(policy.tip_min_wei, min(middle, policy.tip_max_wei))
    return Fees(policy.base_fee_factor * base_fee_wei + tip_wei, tip_wei)


def capped(fees: Fees, cap_wei: int) -> Fees:
    """The same offer with neither field above ``cap_wei``."""
    return Fees(min(fees.max_fee_wei, cap_wei), min(fees.tip_wei, cap_wei))


def bumped(fees: Fees) -> Fees:
    """The least that replaces a pending transaction of these fees: both fields x1.125, rounded up, never equal."""
    return Fees(_bump(fees.max_fee_wei), _bump(fees.tip_wei))


def unlike(fees: Fees, taken: Collection[Fees]) -> Fees:
    """The same offer with a tip that differs by a few wei from those of ``taken``.

    The same call on the same nonce at the same fees would be the same transaction, under two orders.
    """
    candidates = chain(range(fees.tip_wei, fees.max_fee_wei + 1), range(fees.tip_wei - 1, -1, -1))
    return next(found for tip in candidates if (found := Fees(fees.max_fee_wei, tip)) not in taken)


def replacement(pending: Fees, fresh: Fees, cap_wei: int) -> Fees | None:
    """What replaces ``pending`` now: no less than the bump, no less than ``fresh`` where the cap leaves room for it.

    None when even the bump is above ``cap_wei``: then the nonce is freed instead.
    """
    least = bumped(pending)
    if least.max_fee_wei > cap_wei:
        return None
    max_fee_wei = max(least.max_fee_wei, min(fresh.max_fee_wei, cap_wei))
    return Fees(max_fee_wei, max(least.tip_wei, min(fresh.tip_wei, max_fee_wei)))


def _bump(wei: int) -> int:
    return max(-(-wei * _BUMP_NUMERATOR // _BUMP_DENOMINATOR), wei + 1)
