"""The market of a drill: a price of every coin out of the seed, whose hours pass in seconds, and funding that turns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, Level, MarketEvent, MarkTick
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.market import BookShape

START = datetime(2026, 1, 5, 0, 10, tzinfo=UTC)
TICK_S = 2.0
STEP = timedelta(hours=1)
"""Of market time with every tick: a settlement comes every sixteen seconds."""
BLOCK, LEAP_ONE_IN, LEAP_H = timedelta(seconds=12), 8, 7
"""Beside a chain a tick is a block; where nothing is on its way, one in some is hours later than the one before."""
INTERVAL_H = 8
PAST = 60
RICH, POOR = Decimal("0.0008"), Decimal("-0.0016")
SIGMA, LEAP, BASIS_BP = 0.004, 0.10, Decimal(6)
STALL_S = (3.0, 25.0)
PRICES = {"BTC": 60_000.0, "ETH": 2_500.0}
CENT = Decimal("0.01")
THIN_USDT, GRAIN = Decimal(300), Decimal("0.001")


@dataclass(slots=True)
class DrillMarket:
    """Spot and perps of some coins. ``following`` gives the next tick; ``stall_s`` how long none comes."""

    instruments: Mapping[PositionKey, Instrument]
    shape: BookShape
    chance: Chance
    step: timedelta = STEP
    at: datetime = START
    _told_until: datetime = START
    _levels: dict[str, float] = field(default_factory=dict)
    _rates: dict[PositionKey, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, instrument in self.instruments.items():
            self._levels.setdefault(instrument.base, math.log(PRICES[instrument.base]))
            if key.kind is Kind.PERP:
                self._rates[key] = RICH

    def past(self) -> list[MarketEvent]:
        """Settlements before the first tick, all of them rich: the book enters."""
        first = START.replace(minute=0)
        stamps = [first - timedelta(hours=INTERVAL_H * back) for back in reversed(range(PAST))]
        return [FundingSettled(key, at, RICH, INTERVAL_H) for at in stamps for key in self._rates]

    def price(self, base: str) -> Decimal:
        """Spot, to the cent."""
        return Decimal(math.exp(self._levels[base])).quantize(CENT)

    @property
    def ether(self) -> Decimal | None:
        """USDT per ETH; None where nobody trades it."""
        return self.price("ETH") if "ETH" in self._levels else None

    def stall_s(self) -> float:
        """Seconds without any tick; zero almost always."""
        return self.chance.between(*STALL_S) if self.chance.strikes(Fault.MARKET_STALLS) else 0.0

    def following(self) -> list[MarketEvent]:
        """The next tick: what was settled by then, marks and books."""
        self.at += self.step
        common = self.chance.gauss(SIGMA)
        if self.chance.strikes(Fault.MARKET_LEAPS):
            common += self.chance.between(-LEAP, LEAP)
        for base in self._levels:
            self._levels[base] += common + self.chance.gauss(SIGMA / 4)
        before, self._told_until = self._told_until, self.at
        return [*self._settled(before), *self.now()]

    def leaps(self, one_in: int = LEAP_ONE_IN) -> bool:
        """Now and then nothing happens for hours; beside a chain alone, whose blocks are near to each other."""
        if self.step != BLOCK or self.chance.below(one_in):
            return False
        self.at += timedelta(hours=1 + self.chance.below(LEAP_H))
        return True

    def now(self) -> list[MarketEvent]:
        """Marks and books as they stand."""
        found: list[MarketEvent] = []
        prices = {base: self.price(base) for base in self._levels}
        for key, instrument in self.instruments.items():
            spot = price = prices[instrument.base]
            if key.kind is Kind.PERP:
                price = spot * (1 + BASIS_BP / 10_000)
                rate = self._rates[key]
                found.append(MarkTick(key, self.at, 0, price, spot, rate, _settlement_after(self.at)))
            found.append(BookTick(key, self.at, 0, self._side(price, -1), self._side(price, 1)))
        return found

    def _side(self, price: Decimal, sign: int) -> tuple[Level, ...]:
        """One side of a book; almost nothing at its best price has every order filled in pieces."""
        levels = self.shape.side(price, sign)
        is_thin = self.chance.strikes(Fault.THIN_TOP)
        return ((levels[0][0], (THIN_USDT / price).quantize(GRAIN)), *levels[1:]) if is_thin else levels

    def _settled(self, before: datetime) -> Iterator[MarketEvent]:
        stamp = _settlement_after(before)
        if stamp > self.at:
            return
        for key, rate in self._rates.items():
            if not self.chance.below(3):
                self._rates[key] = POOR if rate is RICH else RICH
            yield FundingSettled(key, stamp, self._rates[key], INTERVAL_H)


def _settlement_after(at: datetime) -> datetime:
    """The first settlement behind this instant."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    interval = timedelta(hours=INTERVAL_H)
    return midnight + ((at - midnight) // interval + 1) * interval
