"""What a model says about one closed bar, and when its word counts. Anything doubtful is as if it had not been said.

``bar_time`` is the opening instant of the bar, market time: it is known once the bar has closed, and lives for one bar
after that. Numbers are exact: a model's float is read once, through its text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Signal(StrEnum):
    """The side that a model wants, flat, or no change."""

    LONG = "long"
    SHORT = "short"
    NEUTRAL = "neutral"
    HOLD = "hold"

    @property
    def sign(self) -> int:
        """+1 long, -1 short, 0 for what names no side."""
        return {Signal.LONG: 1, Signal.SHORT: -1}.get(self, 0)


class Prediction(BaseModel):
    """One word of a model, as its source delivers it; raises ValidationError for what no schema allows.

    ``sd`` is the standard deviation of the return over a bar (fraction), ``confidence`` a probability. Prices that a
    model tells for a bracket of its own are read and not used: the bracket follows ``sd``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    symbol: str = Field(pattern=r"^[A-Z0-9]{3,20}$")
    bar_time: AwareDatetime
    signal: Signal
    confidence: Decimal = Field(ge=0, le=1, allow_inf_nan=False)
    sd: Decimal = Field(gt=0, lt=1, allow_inf_nan=False)
    model_version: str = Field(min_length=1, max_length=80)
    stop_loss: Decimal | None = Field(default=None, gt=0, allow_inf_nan=False)
    take_profit: Decimal | None = Field(default=None, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class PredictionTick:
    """A prediction and the market time at which it was heard."""

    prediction: Prediction
    venue_time: datetime


class Refusal(StrEnum):
    """Why a prediction is as if it had not been said; what it is counted under."""

    SCHEMA = "schema"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    SYMBOL = "symbol"
    MODEL = "model"
    MISALIGNED = "misaligned"
    EARLY = "early"
    STALE = "stale"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Listening:
    """Whose word counts: the symbol, the length of its bars, the models that may speak."""

    symbol: str
    models: frozenset[str]
    bar: timedelta = field(default_factory=lambda: timedelta(minutes=5))

    def refusal(self, tick: PredictionTick, last: datetime | None) -> str | None:
        """Why a prediction is as if absent; None when it is accepted. ``last`` is the bar accepted before."""
        found = self.fault(tick, last)
        return None if found is None else found[1]

    def fault(self, tick: PredictionTick, last: datetime | None) -> tuple[Refusal, str] | None:
        """The same, with what it is counted under."""
        said, now = tick.prediction, tick.venue_time
        closed = said.bar_time + self.bar
        bar, model = f"bar {said.bar_time.isoformat()}", said.model_version
        is_off = said.bar_time.timestamp() % self.bar.total_seconds() != 0
        faults = (
            (said.symbol != self.symbol, Refusal.SYMBOL, f"symbol {said.symbol}, expected {self.symbol}"),
            (model not in self.models, Refusal.MODEL, f"model {model}, expected one of {self._known}"),
            (is_off, Refusal.MISALIGNED, f"{bar} does not begin on a multiple of a bar"),
            (now < closed, Refusal.EARLY, f"{bar} is not closed at {now.isoformat()}"),
            (now >= closed + self.bar, Refusal.STALE, f"{bar} is not the last one closed at {now.isoformat()}"),
            (last is not None and said.bar_time <= last, Refusal.DUPLICATE, f"{bar} is not newer than {last}"),
        )
        return next(((kind, why) for is_fault, kind, why in faults if is_fault), None)

    @property
    def _known(self) -> str:
        return ", ".join(sorted(self.models))
