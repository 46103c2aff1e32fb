"""What a check-up knows of a venue so far: later lines use what earlier ones have asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from basis_daemon.domain.instrument import MarginTier, PositionKey
from basis_daemon.domain.market import BookTick, MarkTick
from basis_daemon.ports import Clock, TaskScope
from basis_daemon.venues.cex.desk import Desk
from basis_daemon.venues.cex.fills import Listing
from basis_daemon.venues.cex.frames import Row, WalletView
from basis_daemon.venues.cex.venue import CEXVenue


class Examined:
    """One venue under examination. ``scope`` is the parent of the streams that are listened to for a while."""

    def __init__(self, venue: CEXVenue, name: str, scope: TaskScope) -> None:
        self.venue, self.scope = venue, scope
        self.wallets: dict[str, WalletView] = {}
        self.tiers: Mapping[str, Sequence[MarginTier]] = {}
        self.listings: dict[str, Sequence[Listing]] = {}
        self.lacks_rights = False
        self.rights: Row | None = None
        self.books: dict[PositionKey, BookTick] = {}
        self.marks: dict[PositionKey, MarkTick] = {}
        self._name = name
        self._is_open = False

    def line(self, step: str) -> str:
        """The full name of a check."""
        return f"{self._name}.{step}"

    async def open(self) -> None:
        """Connect, once. Raises ConfigError, and OSError for a certificate authority that cannot be read."""
        if not self._is_open:
            await self.venue.open()
            self._is_open = True

    @property
    def desks(self) -> tuple[Desk, ...]:
        """Every wallet in use."""
        return tuple(self.venue.desks.values())

    @property
    def perp_desks(self) -> tuple[Desk, ...]:
        """The wallets that carry perps."""
        return tuple(desk for desk in self.desks if desk.quirks.has_perps)

    @property
    def is_read_only(self) -> bool:
        """True where nothing is asked in the name of an account."""
        return self.desks[0].options.is_read_only

    @property
    def clock(self) -> Clock:
        """Process time."""
        return self.desks[0].clock
