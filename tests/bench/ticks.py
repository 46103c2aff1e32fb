"""A million quotes that both sides of a comparison play: a seeded walk of a spread of one cent, a millisecond apart."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

START = datetime(2026, 5, 9, 12, tzinfo=UTC)
STEP = timedelta(milliseconds=1)
STEP_NS = 1_000_000
SPREAD_CENTS = 1
_FIRST_CENTS, _ROOM_CENTS = 6_000_000, 200_000


@dataclass(frozen=True, slots=True)
class Quotes:
    """Best bids in cents of USDT per BTC, one a millisecond from START; the ask stands a cent above."""

    bids: Sequence[int]

    @classmethod
    def read(cls, file: Path) -> Self:
        """What was written."""
        cents = array("q")
        cents.frombytes(file.read_bytes())
        return cls(cents)

    def write(self, file: Path) -> None:
        """For another process; 64-bit integers, one after the other."""
        file.write_bytes(array("q", self.bids).tobytes())


def quotes(count: int, seed: int = 7) -> Quotes:
    """Equal seeds, equal quotes."""
    draw, cents, made = random.Random(seed), _FIRST_CENTS, array("q")  # noqa: S311 - a seed makes runs comparable
    for _ in range(count):
        step = draw.choice((-3, -2, -1, 0, 1, 2, 3))
        cents += step if abs(cents + step - _FIRST_CENTS) < _ROOM_CENTS else -step
        made.append(cents)
    return Quotes(made)
