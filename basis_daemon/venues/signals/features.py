"""What a model is shown, computed in one place for training and for trading. A change of a number is a new schema."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import pstdev

FEATURE_SCHEMA = "returns_v1"
CLOSES = 13
"""Closes of consecutive bars that one row of features needs, oldest first."""
FEATURES = ("return_1", "return_3", "return_12", "deviation_12")


def features(closes: Sequence[float]) -> tuple[float, ...]:
    """Log returns over 1, 3 and 12 bars, and the deviation of the last twelve. Raises ValueError for other closes."""
    if len(closes) != CLOSES or not all(close > 0 and math.isfinite(close) for close in closes):
        raise ValueError(f"{len(closes)} closes, expected {CLOSES} that are finite and above zero")
    last = closes[-1]
    returns = [math.log(after / before) for before, after in pairwise(closes)]
    return (*(math.log(last / closes[-1 - bars]) for bars in (1, 3, 12)), pstdev(returns))
