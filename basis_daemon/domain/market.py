"""Market events as they arrive, and the picture a decision is taken on. Prices are quote per base, instants UTC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from basis_daemon.domain.chain import EModeTick, GasTick, LstTick, ReserveTick, RewardTick
from basis_daemon.domain.instrument import Instrument, PositionKey

Level = tuple[Decimal, Decimal]
"""(price, base quantity) of one side of a book, best first."""


@dataclass(frozen=True, slots=True)
class BookTick:
    """Top of book and the depth behind it, at the venue's stamp. ``received_ns`` is the monotonic arrival.

    Both sides are immutable; how deep levels become exact numbers, at once or when asked for, is the feed's affair.
    """

    instrument: PositionKey
    venue_time: datetime
    received_ns: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    _mid: Decimal | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def bid(self) -> Decimal:
        """Best bid."""
        return self.bids[0][0]

    @property
    def ask(self) -> Decimal:
        """Best ask."""
        return self.asks[0][0]

    @property
    def mid(self) -> Decimal:
        """Exact mean of best bid and best ask; worked out once, because everybody asks for it."""
        mid = self._mid
        if mid is None:
            mid = (self.bids[0][0] + self.asks[0][0]) / 2
            object.__setattr__(self, "_mid", mid)
        return mid


@dataclass(frozen=True, slots=True)
class MarkTick:
    """Mark and index of a perp, and the rate predicted for its next settlement (positive: longs pay)."""

    instrument: PositionKey
    venue_time: datetime
    received_ns: int
    mark: Decimal
    index: Decimal
    funding_predicted: Decimal
    next_funding_time: datetime


@dataclass(frozen=True, slots=True)
class FundingSettled:
    """One settled rate per interval, as the venue published it. Positive: longs pay shorts."""

    instrument: PositionKey
    venue_time: datetime
    rate: Decimal
    interval_hours: int


@dataclass(frozen=True, slots=True)
class StreamChanged:
    """A connection went up or down; after every up the account is reconciled over REST."""

    account: str
    stream: str
    is_up: bool
    received_ns: int
    why: str = ""


ExchangeEvent = BookTick | MarkTick | FundingSettled
MarketEvent = ExchangeEvent | ReserveTick | EModeTick | LstTick | GasTick | RewardTick


class Age(Struct, frozen=True):
    """How old an input is on both clocks, and whether either is past its limit."""

    venue_lag_s: Decimal
    arrival_age_s: Decimal
    is_stale: bool


class DecisionIds(Struct, frozen=True):
    """What makes the order ids of one decision unique: whose book, which journal generation, which decision."""

    book: str
    epoch: int
    decision: int


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """Immutable picture handed to a strategy; ``memory`` is what its own fold remembers.

    ``books``, ``marks`` and the readings of a chain hold the last value even when stale; ``ages`` says which ones are.
    An instrument without an entry was never seen: that is unknown, not zero.
    """

    time: datetime
    ids: DecisionIds
    instruments: Mapping[PositionKey, Instrument]
    books: Mapping[PositionKey, BookTick]
    marks: Mapping[PositionKey, MarkTick]
    ages: Mapping[str, Age]
    memory: object
    reserves: Mapping[PositionKey, ReserveTick] = field(default_factory=dict)
    emodes: Mapping[PositionKey, EModeTick] = field(default_factory=dict)
    lsts: Mapping[PositionKey, LstTick] = field(default_factory=dict)
    rewards: Mapping[PositionKey, RewardTick] = field(default_factory=dict)
    gas: GasTick | None = None

    def stale(self, *names: str) -> tuple[str, ...]:
        """Those of ``names`` that are stale or were never seen.

        Names are ``book:KEY``, ``mark:KEY``, ``account:NAME``, and of a chain ``reserve:KEY``, ``emode:KEY``,
        ``lst:KEY``, ``reward:KEY``, ``gas:KEY``.
        """
        return tuple(name for name in names if name not in self.ages or self.ages[name].is_stale)
