"""What the engine needs of a model: words that market events make due, and words that come by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.prediction import PredictionTick

PredictionSink = Callable[[PredictionTick], None]
"""Takes every accepted word, in order; never blocks."""


class SignalSource(Protocol):
    """One model's voice for one strategy. What it refuses, it counts and tells once; nothing doubtful comes through."""

    @property
    def strategy(self) -> str:
        """The instance that listens."""
        ...

    @property
    def instrument(self) -> PositionKey:
        """Whose market events it is shown; their stamps are its clock."""
        ...

    async def start(self) -> None:
        """Open and check what speaks. Raises ConfigError for an artefact that is not the one configured."""
        ...

    def see(self, event: MarketEvent) -> Sequence[PredictionTick]:
        """The words that this event makes due, oldest first; never blocks."""
        ...

    async def run(self, sink: PredictionSink) -> None:
        """Deliver words that must be waited for; returns at once where there are none."""
        ...

    async def close(self) -> None:
        """Leave nothing open."""
        ...

    def state(self) -> Mapping[str, object]:
        """For an operator: what speaks, and how many of its words were taken and refused."""
        ...
