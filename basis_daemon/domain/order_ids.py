"""Ids of orders: deterministic, and readable at a venue without any journal."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

ID_MARK = "ba515d"
"""Six digits that every id of ours bears, at whatever venue: what a person or another program sends bears others."""
_OURS = re.compile(f"[0-9a-f]{{14}}{ID_MARK}([0-9a-f]{{6}})([0-9a-f]{{6}})")

EPOCH_MAX = 0xFFFFFF


@dataclass(frozen=True, slots=True)
class OrderOrigin:
    """Who made an order id: six digits for the journal behind it, and that journal's epoch when it was made."""

    journal: str
    epoch: int


def order_id(journal: str, epoch: int, strategy: str, decision: int, leg: int, clip: int, attempt: int) -> str:
    """32 lower-case hex, equal for equal parts, accepted as client id by every venue we trade.

    Fourteen digits of a hash of all parts, ``ID_MARK``, six digits for the journal's name and six of its epoch: whose
    order it is can be read at the venue without any journal. Raises ValueError for an epoch that has no six digits.
    """
    if not 0 <= epoch <= EPOCH_MAX:
        msg = f"epoch {epoch}, expected 0 to {EPOCH_MAX}: move the journal away and let the book be adopted anew"
        raise ValueError(msg)
    parts = "|".join((journal, str(epoch), strategy, str(decision), str(leg), str(clip), str(attempt)))
    return f"{hashlib.sha256(parts.encode()).hexdigest()[:14]}{ID_MARK}{journal_digits(journal)}{epoch:06x}"


@lru_cache(maxsize=16)
def journal_digits(journal: str) -> str:
    """The six digits that stand for a journal's name in its order ids."""
    return hashlib.sha256(journal.encode()).hexdigest()[:6]


def origin_of(client_id: str) -> OrderOrigin | None:
    """Who made this id; None for one that no daemon of this kind has made."""
    found = _OURS.fullmatch(client_id)
    return None if found is None else OrderOrigin(found[1], int(found[2], 16))
