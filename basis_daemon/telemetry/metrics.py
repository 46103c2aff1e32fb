"""Counters and gauges of this process. Writing one is a dictionary update; exporters read `samples`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

Number = int | float | Decimal
SERIES_MAX = 2000
"""A label that holds an id would grow without end; past this many series new ones are counted instead of kept."""
DROPPED = "metrics_series_dropped_total"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_Series = tuple[str, tuple[tuple[str, str], ...]]


class Kind(StrEnum):
    """A counter only grows; a gauge is the last word."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series as it stands now. Names follow Prometheus: base unit last, counters end in ``_total``."""

    name: str
    labels: Mapping[str, str]
    kind: Kind
    value: Number

    @property
    def series(self) -> str:
        """The Prometheus notation, labels in alphabetical order."""
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}}" if labels else self.name


class Metrics:
    """The registry. One per process, made by the wiring and handed down; a series begins with its first write."""

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        self._series_max = series_max
        self._values: dict[_Series, Number] = {}
        self._kinds: dict[str, Kind] = {}

    def count(self, name: str, amount: int | Decimal = 1, /, **labels: str) -> None:
        """Add ``amount`` (0 or more) to a counter."""
        if amount < 0:
            message = f"counter {name}: amount {amount}, expected 0 or more; a value that falls is a gauge"
            raise ValueError(message)
        series = self._series(name, Kind.COUNTER, labels)
        if self._has_room_for(series):
            self._values[series] = self._values.get(series, 0) + amount  # type: ignore[operator]  # a counter holds no float

    def gauge(self, name: str, value: Number, /, **labels: str) -> None:
        """Set a gauge."""
        series = self._series(name, Kind.GAUGE, labels)
        if self._has_room_for(series):
            self._values[series] = value

    def value(self, name: str, /, **labels: str) -> Number:
        """The series now; 0 before its first write."""
        return self._values.get((name, tuple(sorted(labels.items()))), 0)

    def samples(self) -> tuple[Sample, ...]:
        """Every series in alphabetical order."""
        return tuple(
            Sample(name, dict(labels), self._kinds[name], value)
            for (name, labels), value in sorted(self._values.items(), key=lambda item: item[0])
        )

    def snapshot(self) -> dict[str, Number]:
        """Every series in Prometheus notation with its value."""
        return {sample.series: sample.value for sample in self.samples()}

    def _series(self, name: str, kind: Kind, labels: Mapping[str, str]) -> _Series:
        known = self._kinds.get(name)
        if known is None:
            well_named = _NAME.fullmatch(name) is not None and name.endswith("_total") == (kind is Kind.COUNTER)
            if not well_named:
                message = f"{kind} {name!r}: expected lower_case; counters, and only they, end in _total"
                raise ValueError(message)
            self._kinds[name] = kind
        elif known is not kind:
            message = f"{name}: written as {kind}, expected {known} as before"
            raise ValueError(message)
        return name, tuple(sorted(labels.items()))

    def _has_room_for(self, series: _Series) -> bool:
        if series in self._values or len(self._values) < self._series_max:
            return True
        self._kinds[DROPPED] = Kind.COUNTER
        dropped = (DROPPED, ())
        self._values[dropped] = self._values.get(dropped, 0) + 1
        return False
