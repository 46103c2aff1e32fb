"""What a book must look like before anybody may trade on it; whatever does not is refused and counted here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, Level
from basis_daemon.venues.cex.frames import EPOCH, Row, exact

REFUSALS_MAX = 20
"""After so many in a row the book itself is suspect: it is asked for again, and its next state is believed."""


class TickGate:
    """One instrument's book on its way in: finite, positive, uncrossed, no leap, never back in time."""

    def __init__(self, instrument: PositionKey, levels: int, jump_max: float) -> None:
        self._instrument, self._levels = instrument, levels
        self._jump_max = Decimal(str(jump_max))
        self._mid: Decimal | None = None
        self._time = EPOCH
        self.refusals = 0

    def admit(self, book: Row, time: datetime, received_ns: int) -> BookTick | None:
        """The tick, or None for a book refused: raise ``refusals`` and keep the last mid."""
        try:
            bids, asks = self._side(book["bids"]), self._side(book["asks"])
        except ValueError:
            bids, asks = (), ()
        if not bids or not asks or bids[0][0] >= asks[0][0] or time < self._time:
            self.refusals += 1
            return None
        mid = (bids[0][0] + asks[0][0]) / 2
        if self._mid is not None and abs(mid / self._mid - 1) > self._jump_max:
            self.refusals += 1
            return None
        self._mid, self._time, self.refusals = mid, time, 0
        return BookTick(self._instrument, time, received_ns, bids, asks)

    def forget(self) -> None:
        """Believe whatever comes next."""
        self._mid, self._time, self.refusals = None, EPOCH, 0

    def _side(self, levels: Sequence[Sequence[float]]) -> tuple[Level, ...]:
        side = tuple((exact(level[0]), exact(level[1])) for level in levels[: self._levels])
        if any(price <= 0 or size <= 0 for price, size in side):
            raise ValueError("a level without price or size")
        return side
