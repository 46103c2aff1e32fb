"""What a seed does to the network: how slow it is, and how often connections are refused, cut, or fall silent."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from enum import StrEnum


class Trouble(StrEnum):
    """Everything that a network does to those who use it."""

    REFUSED = "refused"
    RESET = "reset"
    BLACKHOLE = "blackhole"
    SLOW = "slow"


RATES: dict[Trouble, tuple[float, float]] = {
    Trouble.REFUSED: (0.0, 0.1),
    Trouble.RESET: (0.0, 0.01),
    Trouble.BLACKHOLE: (0.0, 0.002),
    Trouble.SLOW: (0.0, 0.03),
}
"""Least and most that a seed may draw: per connection, and per write on one."""

NEVER_SHARE = 0.3
WAY_S, SLOW_S = (0.0005, 0.02), (0.1, 3.0)


class Weather:
    """The dice of the network of one seed; ``without`` are troubles that are left out."""

    def __init__(self, seed: int, without: Collection[Trouble] = ()) -> None:
        self._dice = random.Random(f"network {seed}")
        self.rates = {trouble: self._rate(trouble) for trouble in Trouble}
        self.rates |= dict.fromkeys(without, 0.0)
        self.is_on = False
        self.struck: Counter[Trouble] = Counter()

    def _rate(self, trouble: Trouble) -> float:
        is_left_out, (low, high) = self._dice.random() < NEVER_SHARE, RATES[trouble]
        share = self._dice.random()
        return 0.0 if is_left_out else low + (high - low) * share

    def strikes(self, trouble: Trouble) -> bool:
        """True when it happens now; thrown whether or not troubles are on, so that runs stay alike."""
        is_hit = self._dice.random() < self.rates[trouble] and self.is_on
        self.struck[trouble] += is_hit
        return is_hit

    def way_s(self) -> float:
        """How long the next bytes take from one end to the other."""
        way_s = self._dice.uniform(*WAY_S)
        return way_s + self._dice.uniform(*SLOW_S) if self.strikes(Trouble.SLOW) else way_s
