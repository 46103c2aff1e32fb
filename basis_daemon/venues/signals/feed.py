"""A signal source as a feed: it is shown the market, and what it says goes to the strategy that listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.ports import FeedEvent
from basis_daemon.signals import PredictionSink, SignalSource

Show = Callable[[PositionKey, Callable[[MarketEvent], None]], None]
"""Have every accepted event of an instrument shown to somebody."""


class SignalFeed:
    """Honours ``Feed``; words go to ``hear`` and never through the sink of market events."""

    def __init__(self, source: SignalSource, show: Show, hear: PredictionSink) -> None:
        self.source = source
        self._show, self._hear = show, hear

    async def start(self) -> Mapping[PositionKey, Instrument]:
        """Check what speaks, and have the market shown to it. Raises ConfigError."""
        await self.source.start()
        self._show(self.source.instrument, self._see)
        return {}

    async def history(self) -> Sequence[MarketEvent]:
        """A word of the past is stale."""
        return ()

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        """Words that must be waited for; ends where there are none."""
        await self.source.run(self._hear)

    async def close(self) -> None:
        """Close the source."""
        await self.source.close()

    def _see(self, event: MarketEvent) -> None:
        for tick in self.source.see(event):
            self._hear(tick)
