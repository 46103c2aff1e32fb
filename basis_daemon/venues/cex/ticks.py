"""What books and marks must look like before anybody may trade on them; what does not is refused and counted here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain
from math import isfinite
from operator import itemgetter
from typing import overload

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, Level
from basis_daemon.venues.cex.frames import EPOCH, Row, exact

REFUSALS_MAX = 20
"""After so many in a row the book itself is suspect: it is asked for again, and its next state is believed."""

_PRICE_AND_SIZE = itemgetter(0, 1)


class Side(Sequence[Level]):
    """One side of a book as it was: the best level exact, those behind it once somebody looks at them.

    Equal to the tuple of its exact levels. Raises ValueError for a level without price or size, whichever it is.
    """

    __slots__ = ("_exact", "_written", "best")

    def __init__(self, levels: Sequence[Sequence[float]]) -> None:
        self._written = tuple(map(_PRICE_AND_SIZE, levels))
        numbers = [*map(float, chain.from_iterable(self._written))]
        if numbers and not (min(numbers) > 0 and isfinite(sum(numbers))):  # a sum hides neither NaN nor infinity
            raise ValueError(f"levels {self._written}, expected finite prices and sizes above zero")
        self.best: Level | None = None
        """None where the side is empty."""
        if self._written:
            price, size = self._written[0]
            self.best = exact(price), exact(size)
        self._exact: tuple[Level, ...] | None = None

    @property
    def levels(self) -> tuple[Level, ...]:
        """Every level, exact."""
        if self._exact is None:
            self._exact = tuple([(exact(price), exact(size)) for price, size in self._written])
        return self._exact

    @overload
    def __getitem__(self, index: int) -> Level: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Level, ...]: ...

    def __getitem__(self, index: int | slice) -> Level | tuple[Level, ...]:
        return self.best if index == 0 and self.best is not None else self.levels[index]

    def __len__(self) -> int:
        return len(self._written)

    def __iter__(self) -> Iterator[Level]:
        return iter(self.levels)

    def __eq__(self, other: object) -> bool:
        return self.levels == (other.levels if isinstance(other, Side) else other)

    def __hash__(self) -> int:
        return hash(self.levels)

    def __repr__(self) -> str:
        return repr(self.levels)


NOTHING = Side(())


class MarkGate:
    """One contract's mark on its way in: no leap away from the last one, never back in time."""

    def __init__(self, jump_max: float) -> None:
        self._jump_max = Decimal(str(jump_max))
        self._mark: Decimal | None = None
        self._time = EPOCH
        self.refusals = 0

    def admits(self, mark: Decimal, time: datetime) -> bool:
        """False for a mark refused: raise ``refusals`` and keep the last one. An old stamp is late, not wrong."""
        if time < self._time:
            return False
        if self._mark is not None and abs(mark / self._mark - 1) > self._jump_max:
            self.refusals += 1
            return False
        self._mark, self._time, self.refusals = mark, time, 0
        return True

    def forget(self) -> None:
        """Believe whatever comes next."""
        self._mark, self._time, self.refusals = None, EPOCH, 0


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
            bids, asks = Side(book["bids"][: self._levels]), Side(book["asks"][: self._levels])
        except (ValueError, TypeError):
            bids, asks = NOTHING, NOTHING
        tick = BookTick(self._instrument, time, received_ns, bids, asks)
        if not self._is_sound(tick, bids.best, asks.best):
            self.refusals += 1
            return None
        self._mid, self._time, self.refusals = tick.mid, time, 0
        return tick

    def _is_sound(self, tick: BookTick, bid: Level | None, ask: Level | None) -> bool:
        """False for a book that is empty, crossed or older than the last one, and for one that has leapt."""
        if bid is None or ask is None or bid[0] >= ask[0] or tick.venue_time < self._time:
            return False
        return self._mid is None or abs(tick.mid - self._mid) <= self._jump_max * self._mid

    def forget(self) -> None:
        """Believe whatever comes next."""
        self._mid, self._time, self.refusals = None, EPOCH, 0
