"""The door for a model's words: read exactly, checked against schema, clock and what was said before, and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from pydantic import ValidationError

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.prediction import Listening, Prediction, PredictionTick, Refusal

TEXT_MAX = 65_536
"""Characters of one word at most; the longest that the schema allows has a few hundred."""
ACCEPTED = "accepted"

Tell = Callable[[str, Mapping[str, str]], None]
Count = Callable[[str, str], None]
"""(strategy, ``accepted`` or what it was refused for)."""
_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who listens to what: the strategy, its contract, whose word counts, and how long after its bar has closed."""

    strategy: str
    instrument: PositionKey
    listening: Listening
    ttl: timedelta


def exact_json(text: str | bytes) -> object:
    """JSON with exact numbers, also those that no number is. Raises ValueError for what is not JSON, or beyond reading.

    Beyond reading is a text too long, nested too deep, or with a number of an exponent that nothing holds.
    """
    if len(text) > TEXT_MAX:
        raise ValueError(f"{len(text)} characters, expected at most {TEXT_MAX}")
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=Decimal)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except InvalidOperation:
        raise ValueError("a number that nothing holds") from None


class Intake:
    """Takes or refuses. Each kind of refusal is told once, and again after a word was accepted in between."""

    def __init__(self, hearing: Hearing, tell: Tell, count: Count) -> None:
        self.hearing = hearing
        self._tell, self._count = tell, count
        self._last: datetime | None = None
        self._told: set[str] = set()
        self.counts: Counter[str] = Counter()

    def take(self, said: object, now: datetime) -> PredictionTick | None:
        """The word as of market time ``now``, or None when it is as if absent."""
        try:
            tick = PredictionTick(Prediction.model_validate(said), now)
        except ValidationError as error:
            self.refuse(*_reading_fault(error))
            return None
        found = self.hearing.listening.fault(tick, self._last) or self._expiry(tick)
        if found is not None:
            self.refuse(*found)
            return None
        self._last = tick.prediction.bar_time
        self._told.clear()
        self._add(ACCEPTED)
        return tick

    def refuse(self, kind: str, why: str) -> None:
        """Count a word that is as if absent."""
        self._add(kind)
        if kind not in self._told:
            self._told.add(kind)
            facts = {"strategy": self.hearing.strategy, "refused_for": str(kind), "why": why}
            self._tell("prediction refused", facts)

    def warn(self, what: str, why: str) -> None:
        """Tell of the voice itself."""
        self._tell(what, {"strategy": self.hearing.strategy, "why": why})

    def _expiry(self, tick: PredictionTick) -> tuple[Refusal, str] | None:
        """A word may live shorter than the bar that it is good for."""
        age = tick.venue_time - tick.prediction.bar_time - self.hearing.listening.bar
        if age <= self.hearing.ttl:
            return None
        return Refusal.STALE, f"bar {tick.prediction.bar_time.isoformat()} closed {age} ago, limit {self.hearing.ttl}"

    def _add(self, kind: str) -> None:
        self.counts[str(kind)] += 1
        self._count(self.hearing.strategy, str(kind))


class Bars:
    """Bars of market time: which one has just closed."""

    def __init__(self, bar: timedelta) -> None:
        self._bar_s = int(bar.total_seconds())
        self._bar = bar
        self._open: datetime | None = None

    def closed(self, now: datetime) -> datetime | None:
        """Opening instant of the last closed bar, once, with the first event after its close. Time never goes back."""
        begins = datetime.fromtimestamp(int(now.timestamp()) // self._bar_s * self._bar_s, now.tzinfo)
        before, self._open = self._open, begins if self._open is None else max(self._open, begins)
        return begins - self._bar if before is not None and begins > before else None


def _reading_fault(error: ValidationError) -> tuple[Refusal, str]:
    """What the first fault of a reading is counted under; the value itself is left out, it may be anything."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    kind = first["type"]
    place = ".".join(map(str, first["loc"])) or "prediction"
    sort = (
        Refusal.NOT_FINITE if kind == "finite_number" else Refusal.OUT_OF_RANGE if kind in _BOUNDS else Refusal.SCHEMA
    )
    return sort, f"{place}: {first['msg']}"


def fault_of(what: str, found: str, expected: str) -> ConfigError:
    """A source that is not the one configured."""
    return ConfigError(f"{what}: found {found}, expected {expected}")
