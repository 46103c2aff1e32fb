"""What a model is shown, computed in one place for training and for trading. A change of a number is a new schema."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import pstdev

FEATURE_SCHEMA = "returns_v1"
CLOSES = 13
"""Closes of consecutive bars that one row of features needs, oldest first."""
DRIFT_ROWS = 288
"""A day of five-minute bars."""
FEATURES = ("return_1", "return_3", "return_12", "deviation_12")


def features(closes: Sequence[float]) -> tuple[float, ...]:
    """Log returns over 1, 3 and 12 bars, and the deviation of the last twelve. Raises ValueError for other closes."""
    if len(closes) != CLOSES or not all(close > 0 and math.isfinite(close) for close in closes):
        raise ValueError(f"{len(closes)} closes, expected {CLOSES} that are finite and above zero")
    last = closes[-1]
    returns = [math.log(after / before) for before, after in pairwise(closes)]
    return (*(math.log(last / closes[-1 - bars]) for bars in (1, 3, 12)), pstdev(returns))


@dataclass
class Drift:
    """How far what a model is shown has moved from what it was trained on, in deviations of the training rows."""

    means: Sequence[float]
    deviations: Sequence[float]
    rows: int = 0
    _moved: list[float] = field(default_factory=lambda: [0.0] * len(FEATURES))

    def see(self, row: Sequence[float]) -> None:
        """Take one row into the mean of the last ``DRIFT_ROWS`` or so."""
        self.rows += 1
        weight = 1 / min(self.rows, DRIFT_ROWS)
        for place, value in enumerate(row):
            moved = (value - self.means[place]) / self.deviations[place]
            self._moved[place] += weight * (moved - self._moved[place])

    @property
    def worst(self) -> float:
        """Of the feature that has moved furthest; 0 before the first row."""
        return max(map(abs, self._moved))
