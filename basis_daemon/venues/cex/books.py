"""Order books as ccxt keeps them, continued without it: the one frame that comes all the time takes the short road.

Ccxt subscribes, fetches the snapshot, buffers what comes meanwhile, and notices a gap. A frame that follows the book it
holds without a gap is merged here; ccxt would look at every other kind of frame first and convert level by level.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from basis_daemon.venues.cex.frames import BookDelta, Foreign, Row

Pair = list[float]

_KEYS_OF = attrgetter("_index")
"""Prices of a side as ccxt orders them, bids below zero; beside its levels and as many."""


def follows(book: Row | None, delta: BookDelta) -> bool:
    """True when ``delta`` is the very next change of ``book``, which has seen one frame already."""
    if book is None or book["nonce"] is None or book["timestamp"] is None:
        return False
    return bool(book["nonce"] == delta.follows <= delta.last)


def merge(book: Row, delta: BookDelta) -> None:
    """Make ``book`` the one after ``delta``. Raises ValueError or TypeError for bad levels, and nothing was changed."""
    bids, asks = _pairs(delta.bids), _pairs(delta.asks)
    _store(book["bids"], bids, -1)
    _store(book["asks"], asks, 1)
    book["nonce"], book["timestamp"], book["datetime"] = delta.last, delta.stamp_ms, None


def _store(side: Foreign, pairs: Sequence[Pair], sign: int) -> None:
    """Most changes are new sizes of levels that the side has: those are set here, without a call for each."""
    keys = _KEYS_OF(side)
    for pair in pairs:
        price, size = pair
        key = sign * price
        at = bisect_left(keys, key)
        if size and at < len(keys) and keys[at] == key:
            side[at][1] = size
        else:
            side.storeArray(pair)


def _pairs(levels: Sequence[Sequence[str]]) -> list[Pair]:
    return [[float(price), float(size)] for price, size in levels]
