"""Where the daemon may at any time do something legal that hardly ever happens; a drill makes it happen often."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class RarePath(StrEnum):
    """Every such place. Taking it may cost time, a fee or a row; never money, an order or the truth of the book."""

    SNAPSHOT_FALLS_DUE = "snapshot_falls_due"
    """A snapshot is taken now, however few rows stand behind the last one."""
    MEMORY_IS_FULL = "memory_is_full"
    """So many orders have ended that all but the newest few leave memory, and are read out of the journal if asked."""
    ANSWERS_NOTED = "answers_noted"
    """How far a venue has told everything is written down before its hour, and old ids are forgotten with it."""
    DOUBT_LASTS = "doubt_lasts"
    """A venue that was asked about an order gives no evidence yet."""
    SEEN_MOVING = "seen_moving"
    """Something moves while an account is compared: the report proves nothing, and is asked for again."""
    CLIP_IS_LEAST = "clip_is_least"
    """Next to nothing rests near the mid: the clip is as small as its venue takes."""
    LEG_TIME_SPENT = "leg_time_spent"
    """The second leg was filled short, and the first one has stood alone for as long as it may."""
    PLAN_ENDS_EARLY = "plan_ends_early"
    """An ordinary plan is stopped before its next order, as by a guard that tightens; the next decision repairs."""
    VALUATION_OVERTAKEN = "valuation_overtaken"
    """Something moved while accounts were valued: the valuation comes to nothing and is tried again."""
    GUARD_LOOKS_LATER = "guard_looks_later"
    """The loop was busy: the guard's look comes with the next second."""
    RECEIPT_SOUGHT_AGAIN = "receipt_sought_again"
    """Heads were missed: where transactions stand is asked anew."""
    FEE_RAISED_EARLY = "fee_raised_early"
    """A transaction counts as stuck with the first block that leaves it out."""
    SECOND_NODE_FIRST = "second_node_first"
    """The endpoints are asked in the other order, as when the first one rests."""
    PAGE_ENDS_EARLY = "page_ends_early"
    """A page of fills or flows ends in the midst of its window, and the next one begins there."""


Rarely = Callable[[RarePath], bool]
"""Asked at each passing of a place: true to go the rare way. Places stand where a call costs nothing that counts."""


def never(_point: RarePath) -> bool:
    """The ``Rarely`` of a daemon that is not drilled."""
    return False
