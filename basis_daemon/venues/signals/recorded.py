"""Recorded predictions, one JSON object a line: each is said with the first market event after its bar has closed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.prediction import PredictionTick
from basis_daemon.signals import PredictionSink
from basis_daemon.venues.signals.intake import Intake, exact_json, fault_of

SIZE_MAX = 64 * 1024 * 1024
"""Bytes: three years of five-minute bars."""


class RecordedSignals:
    """A file of words, in the order of their bars."""

    def __init__(self, file: Path, intake: Intake) -> None:
        self._file, self._intake = file, intake
        self._waiting: deque[tuple[datetime, object]] = deque()

    @property
    def strategy(self) -> str:
        """The instance that listens."""
        return self._intake.hearing.strategy

    @property
    def instrument(self) -> PositionKey:
        """Whose market events it is shown."""
        return self._intake.hearing.instrument

    async def start(self) -> None:
        """Read the whole file. Raises ConfigError naming the line that is no JSON object with a bar."""
        try:
            size = self._file.stat().st_size
            if size > SIZE_MAX:
                raise fault_of(f"signals {self._file}", f"{size} bytes", f"at most {SIZE_MAX}")
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise fault_of(f"signals {self._file}", str(error), "a readable file of JSON lines") from error
        rows = [self._row(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        self._waiting = deque(sorted(rows, key=lambda row: row[0]))

    def _row(self, number: int, line: str) -> tuple[datetime, object]:
        where = f"signals {self._file}:{number}"
        try:
            said = exact_json(line)
        except ValueError as error:
            raise fault_of(where, str(error), "a JSON object") from error
        if not isinstance(said, dict) or not isinstance(said.get("bar_time"), str):
            raise fault_of(where, "no object with a bar_time", "one, as ISO 8601 with its zone")
        try:
            bar = datetime.fromisoformat(said["bar_time"])
        except ValueError as error:
            raise fault_of(where, f"bar_time {said['bar_time']!r}", "ISO 8601 with its zone") from error
        if bar.tzinfo is None:
            raise fault_of(where, f"bar_time {said['bar_time']!r}", "a time zone")
        return bar, said

    def see(self, event: MarketEvent) -> Sequence[PredictionTick]:
        """Every word whose bar has closed by now."""
        found, bar = [], self._intake.hearing.listening.bar
        while self._waiting and self._waiting[0][0] + bar <= event.venue_time:
            tick = self._intake.take(self._waiting.popleft()[1], event.venue_time)
            found += [] if tick is None else [tick]
        return found

    async def run(self, sink: PredictionSink) -> None:
        """Nothing comes by itself."""

    async def close(self) -> None:
        """Nothing is open."""

    def state(self) -> Mapping[str, object]:
        """What was taken and refused."""
        return {"source": "file", "waiting": len(self._waiting), "words": dict(self._intake.counts)}
