"""An intake that remembers what it told, and a market that speaks of one contract."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarkTick
from basis_daemon.domain.prediction import Listening
from basis_daemon.venues.signals.intake import Hearing, Intake

BAR = timedelta(minutes=5)
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
CONTRACT = PositionKey("binanceusdm:perp:BTCUSDT")
VERSION = "softmax-1"


@dataclass
class Told:
    """Everything that an intake told and counted."""

    alarms: list[tuple[str, str]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, what: str, facts: Mapping[str, str]) -> None:
        self.alarms.append((what, facts.get("refused_for", "")))

    def count(self, strategy: str, what: str) -> None:
        assert strategy == "ml"
        self.counted.append(what)
        self._news.set()

    async def answered(self, times: int) -> None:
        """Until so many words were taken or refused."""
        while len(self.counted) < times:
            await self._news.wait()
            self._news.clear()

    def intake(self, ttl: timedelta = BAR) -> Intake:
        listening = Listening("BTCUSDT", frozenset({VERSION}), BAR)
        return Intake(Hearing("ml", CONTRACT, listening, ttl), self.tell, self.count)


def mark(at: datetime, price: str | float = "60000") -> MarkTick:
    amount = Decimal(str(price))
    return MarkTick(CONTRACT, at, 0, amount, amount, Decimal(0), at + timedelta(hours=8))


def word(bar: datetime = START, /, **changes: object) -> dict[str, object]:
    """What a model says of one bar; ``changes`` replace parts of it."""
    said: dict[str, object] = {"symbol": "BTCUSDT", "bar_time": bar.isoformat(), "signal": "long", "confidence": "0.8",
            "sd": "0.0045", "model_version": VERSION}  # fmt: skip
    return {**said, **changes}
