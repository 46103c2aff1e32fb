"""Order books as ccxt keeps them, continued without it: the one frame that comes all the time takes the short road.

Ccxt subscribes, fetches the snapshot, buffers what comes meanwhile, and notices a gap. A frame that follows the book it
holds without a gap is merged here; ccxt would look at every other kind of frame first and convert level by level.
"""

from __future__ import annotations

from collections.abc import Sequence

from basis_daemon.venues.cex.frames import BookDelta, Foreign, Row

Pair = list[float]


def follows(book: Row | None, delta: BookDelta) -> bool:
    """True when ``delta`` is the very next change of ``book``, which has seen one frame already."""
    if book is None or book["nonce"] is None or book["timestamp"] is None:
        return False
    return bool(book["nonce"] == delta.follows <= delta.last)


def merge(book: Row, delta: BookDelta) -> None:
    """Make ``book`` the one after ``delta``. Raises ValueError or TypeError for bad levels, and nothing was changed."""
    bids, asks = _pairs(delta.bids), _pairs(delta.asks)
    for side, pairs in (("bids", bids), ("asks", asks)):
        store: Foreign = book[side].storeArray
        for pair in pairs:
            store(pair)
    book["nonce"], book["timestamp"], book["datetime"] = delta.last, delta.stamp_ms, None


def _pairs(levels: Sequence[Sequence[str]]) -> list[Pair]:
    return [[float(price), float(size)] for price, size in levels]
