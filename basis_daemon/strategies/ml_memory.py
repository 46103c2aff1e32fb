"""What a directional book remembers: the side that the model's words have come to, and since which bar.

A word is accepted or as if absent; the side follows from the words alone. What ends a position otherwise (a bracket, a
guard, time, a venue) ends the side too, until a later bar is spoken of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.bracket import BracketFired
from basis_daemon.domain.decision import PlanEnded, ReasonCode
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.prediction import Listening, Prediction, PredictionTick, Signal
from basis_daemon.domain.trade import Trade
from basis_daemon.strategies.legs import DAY

SILENT_BARS = 3
"""So many bars without a word end a position; a bar is spoken of until the next one has closed."""


@dataclass(frozen=True, slots=True)
class Word:
    """The last accepted prediction: its bar, what was said, and by which version of the model."""

    bar: datetime
    confidence: Decimal
    sd: Decimal
    model: str = ""


@dataclass(frozen=True, slots=True)
class DirectionalMemory:
    """``side`` is +1, -1 or 0 since the bar ``taken_at``, renewed at ``renewed_at``; ``sd`` is that of its bracket.

    ``aimed`` are the targets of that side, frozen when first decided; ``executed`` those that a finished plan reached.
    """

    side: int = 0
    sd: Decimal = ZERO
    taken_at: datetime | None = None
    renewed_at: datetime | None = None
    last: Word | None = None
    refused: str = ""
    aimed: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    executed: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    frozen_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taste:
    """What folding needs beside the event: whose word counts, and what it must be worth; spans in bars."""

    listening: Listening
    enter: Decimal
    hold: Decimal
    hold_bars_max: int
    flip_bars_min: int
    instruments: frozenset[PositionKey]


def expiry(memory: DirectionalMemory, taste: Taste) -> datetime | None:
    """Market time at which the side ends by itself: its hold is over, or too many bars have passed in silence."""
    if not memory.side or memory.renewed_at is None or memory.last is None:
        return None
    bar = taste.listening.bar
    return min(memory.renewed_at + (1 + taste.hold_bars_max) * bar, memory.last.bar + (2 + SILENT_BARS) * bar)


def fold(memory: DirectionalMemory, event: object, taste: Taste) -> DirectionalMemory:
    """Memory after an event; the same object when the event teaches nothing."""
    if isinstance(event, PredictionTick):
        return _after_word(memory, event, taste)
    if isinstance(event, BracketFired):
        return _flat(memory) if event.instrument in taste.instruments else memory
    if isinstance(event, Trade):
        is_own = event.instrument in taste.instruments and event.is_fill
        is_forced = is_own and (event.is_forced or not event.order_id)
        return replace(_flat(memory), frozen_until=event.venue_time + DAY) if is_forced else memory
    return _after_plan(memory, event) if isinstance(event, PlanEnded) else memory


def _after_word(memory: DirectionalMemory, tick: PredictionTick, taste: Taste) -> DirectionalMemory:
    why = taste.listening.refusal(tick, None if memory.last is None else memory.last.bar)
    if why is not None:
        return replace(memory, refused=why)
    ends, said = expiry(memory, taste), tick.prediction
    known = memory if ends is None or tick.venue_time < ends else _flat(memory)
    heard = replace(known, last=_word(said), refused="")
    return _turned(heard, said, taste)


def _word(said: Prediction) -> Word:
    return Word(said.bar_time, said.confidence, said.sd, said.model_version)


def _turned(memory: DirectionalMemory, said: Prediction, taste: Taste) -> DirectionalMemory:
    """The side after an accepted word."""
    sign, is_sure = said.signal.sign, said.confidence >= taste.enter
    if said.signal is Signal.HOLD:
        return memory
    if not sign:
        return _flat(memory)
    if sign == memory.side:
        return _renewed(memory, said, taste)
    if not is_sure:
        return memory
    return _flat(memory) if _is_young(memory, said.bar_time, taste) else _taken(memory, said)


def _renewed(memory: DirectionalMemory, said: Prediction, taste: Taste) -> DirectionalMemory:
    """Conviction renews the hold, less of it keeps the side, too little ends it."""
    if said.confidence < taste.hold:
        return _flat(memory)
    return replace(memory, renewed_at=said.bar_time) if said.confidence >= taste.enter else memory


def _is_young(memory: DirectionalMemory, bar: datetime, taste: Taste) -> bool:
    span: timedelta = taste.flip_bars_min * taste.listening.bar
    return memory.taken_at is not None and bar - memory.taken_at < span


def _taken(memory: DirectionalMemory, said: Prediction) -> DirectionalMemory:
    bar = said.bar_time
    return replace(memory, side=said.signal.sign, sd=said.sd, taken_at=bar, renewed_at=bar, aimed={})


def _flat(memory: DirectionalMemory) -> DirectionalMemory:
    return replace(memory, side=0, taken_at=None, renewed_at=None, aimed={}) if memory.side else memory


def _after_plan(memory: DirectionalMemory, event: PlanEnded) -> DirectionalMemory:
    """A target stays as it was first aimed at; whatever left a position ends the side."""
    wanted = {target.key: target.wanted for target in event.targets if target.key.kind is Kind.PERP}
    if not wanted:
        return memory
    is_left = not any(wanted.values())
    known = _flat(memory) if is_left else memory
    executed = {**known.executed, **wanted} if event.state is PlanState.DONE else known.executed
    aimed = {**known.aimed, **wanted} if event.reason is ReasonCode.SIGNAL and not is_left else known.aimed
    return replace(known, executed=executed, aimed=aimed)
