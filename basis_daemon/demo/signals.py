"""Words for a demo: a model of no skill that speaks of every bar, by the same dice for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson

from basis_daemon.strategies.ml_parameters import DirectionalParameters

MOODS = ("long", "long", "short", "short", "neutral", "hold")
MOOD_BARS = (12, 72)
"""Bars for which a mood lasts, at least and at most."""
CONFIDENCE, SD = (0.60, 0.95), (0.0015, 0.0045)


def words(seed: int, parameters: DirectionalParameters, begin: datetime, end: datetime) -> str:
    """One JSON object a line for every bar of a market, ready for a file."""
    return "".join(orjson.dumps(row).decode() + "\n" for row in _rows(seed, parameters, begin, end))


def _rows(seed: int, parameters: DirectionalParameters, begin: datetime, end: datetime) -> Iterator[dict[str, object]]:
    dice = random.Random(f"signals {seed}")  # noqa: S311 - seeded, so that a demo repeats
    mood, left = "neutral", 0
    bar = datetime.fromtimestamp(begin.timestamp() // parameters.bar_s * parameters.bar_s, UTC)
    while bar < end:
        if not left:
            mood, left = dice.choice(MOODS), dice.randint(*MOOD_BARS)
        left -= 1
        yield {
            "symbol": parameters.symbol,
            "bar_time": bar.isoformat(),
            "signal": mood,
            "confidence": f"{dice.uniform(*CONFIDENCE):.4f}",
            "sd": f"{dice.uniform(*SD):.6f}",
            "model_version": parameters.models[0],
        }
        bar += timedelta(seconds=parameters.bar_s)
