"""What a basis book remembers: a frozen value folded from events. What teaches nothing returns the same object.

Funding averages take settled rates once each; hourly bars of the mark give sigma and the day's range; trades that
the venue forced, and those without any id, freeze it; plans that ended leave the direction in which they moved a leg.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.decision import PlanEnded, ReasonCode, Target
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import ewma, ewma_weight
from basis_daemon.domain.market import FundingSettled, MarkTick
from basis_daemon.domain.order import Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import Trade
from basis_daemon.strategies.carry import confirmations_needed, eight_hourly
from basis_daemon.strategies.legs import DAY, HOUR, Legs, after_plan

BARS_A_DAY = 24
SAME_SETTLEMENT = timedelta(minutes=30)
"""Two stamps of one settlement may differ by milliseconds; two settlements are at least an hour apart."""
SIGMA_HALFLIFE_H = Decimal(24)


@dataclass(frozen=True, slots=True)
class HourBar:
    """Marks of one hour; ``opened`` is its first instant, ``open`` the first mark seen in it."""

    opened: datetime
    open: Decimal
    high: Decimal
    low: Decimal


@dataclass(frozen=True, slots=True)
class VenueMemory:
    """``averages`` are the smoothed 8-hour rates after the latest settlements, newest last; ``variance`` is hourly."""

    averages: tuple[Decimal, ...] = ()
    settlements: int = 0
    settled_at: datetime | None = None
    interval_hours: int = 8
    bars: tuple[HourBar, ...] = ()
    variance: Decimal | None = None
    frozen_until: datetime | None = None

    @property
    def f_hat(self) -> Decimal | None:
        """Smoothed settled rate per 8 hours; None before the first settlement."""
        return self.averages[-1] if self.averages else None

    @property
    def sigma(self) -> Decimal | None:
        """Standard deviation of hourly log returns of the mark; None while unknown."""
        return None if self.variance is None else self.variance.sqrt()

    def day_range(self, now: datetime) -> Decimal | None:
        """High over low - 1 of the last 24 hours; None unless every hour of them was seen."""
        day = [bar for bar in self.bars if now - bar.opened <= DAY]
        if len(day) < BARS_A_DAY:
            return None
        return max(bar.high for bar in day) / min(bar.low for bar in day) - 1


@dataclass(frozen=True, slots=True)
class BasisMemory:
    """Per venue and for the book.

    ``legs`` says when a plan last moved ``"KEY SIDE"``, ``executed`` what the last finished plans aimed at;
    ``is_unfinished`` means that the last entry or scale-up ended before its end, so that idle margin is part of it.
    """

    venues: Mapping[str, VenueMemory]
    weights: Mapping[str, Decimal]
    legs: Legs = field(default_factory=dict)
    executed: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    entered_at: datetime | None = None
    is_unfinished: bool = False

    def moved_within(self, key: PositionKey, side: Side, span: timedelta, now: datetime) -> bool:
        """True when a plan moved this leg in this direction less than ``span`` ago."""
        moved = self.legs.get(f"{key} {side}")
        return moved is not None and now - moved < span


@dataclass(frozen=True, slots=True)
class Teaching:
    """What folding needs beside the event: the venue of every perp key, and how funding is smoothed and confirmed."""

    venue_of: Mapping[PositionKey, str]
    halflife_h: Decimal
    k_confirm: int


def fold(memory: BasisMemory, event: object, teaching: Teaching) -> BasisMemory:
    """Memory after an event."""
    if isinstance(event, PlanEnded):
        return _after_plan(memory, event)
    if not isinstance(event, MarkTick | FundingSettled | Trade):
        return memory
    name = teaching.venue_of.get(event.instrument)
    if name is None:
        return memory
    known = memory.venues.get(name, VenueMemory())
    learnt = _learn(known, event, teaching)
    return memory if learnt is known else replace(memory, venues={**memory.venues, name: learnt})


def _learn(known: VenueMemory, event: MarkTick | FundingSettled | Trade, teaching: Teaching) -> VenueMemory:
    if isinstance(event, MarkTick):
        return _after_mark(known, event.venue_time, event.mark)
    if isinstance(event, FundingSettled):
        return _after_settlement(known, event, teaching)
    if not event.is_fill or (event.order_id and not event.is_forced):
        return known
    return replace(known, frozen_until=event.venue_time + DAY)


def _after_settlement(known: VenueMemory, event: FundingSettled, teaching: Teaching) -> VenueMemory:
    if known.settled_at is not None and event.venue_time - known.settled_at < SAME_SETTLEMENT:
        return known
    weight = ewma_weight(Decimal(event.interval_hours), teaching.halflife_h)
    kept = confirmations_needed(teaching.k_confirm, event.interval_hours)
    average = ewma(known.f_hat, eight_hourly(event.rate, event.interval_hours), weight)
    return replace(
        known,
        averages=(*known.averages, average)[-kept:],
        settlements=known.settlements + 1,
        settled_at=event.venue_time,
        interval_hours=event.interval_hours,
    )


def _after_mark(known: VenueMemory, at: datetime, mark: Decimal) -> VenueMemory:
    if not known.bars:
        return replace(known, bars=(_opening(at, mark),))
    bar = known.bars[-1]
    age = at - bar.opened
    if age < HOUR:
        if bar.low <= mark <= bar.high or at < bar.opened:
            return known
        wider = HourBar(bar.opened, bar.open, max(bar.high, mark), min(bar.low, mark))
        return replace(known, bars=(*known.bars[:-1], wider))
    opened = _opening(at, mark)
    variance = known.variance
    if opened.opened - bar.opened == HOUR:  # a hole in the marks is never bridged by one large return
        squared = (mark / bar.open).ln() ** 2
        variance = ewma(variance, squared, ewma_weight(Decimal(1), SIGMA_HALFLIFE_H))
    return replace(known, bars=(*known.bars[-BARS_A_DAY:], opened), variance=variance)


def _opening(at: datetime, mark: Decimal) -> HourBar:
    return HourBar(at.replace(minute=0, second=0, microsecond=0), mark, mark, mark)


def _after_plan(memory: BasisMemory, event: PlanEnded) -> BasisMemory:
    legs = after_plan(memory.legs, event, _is_leg)
    is_adding = event.reason in {ReasonCode.ENTRY, ReasonCode.SCALE}
    if event.state is not PlanState.DONE:
        return replace(memory, legs=legs, is_unfinished=is_adding or memory.is_unfinished)
    executed = dict(memory.executed) | {target.key: target.wanted for target in event.targets}
    is_entry = event.reason in {ReasonCode.ENTRY, ReasonCode.ROTATE}
    return replace(
        memory,
        legs=legs,
        executed=executed,
        weights=event.weights or memory.weights,
        entered_at=event.time if is_entry else memory.entered_at,
        is_unfinished=memory.is_unfinished and not is_adding,
    )


def _is_leg(target: Target) -> bool:
    return target.key.kind is Kind.PERP or (target.key.kind is Kind.SPOT and not target.key.symbol.startswith("USD"))
