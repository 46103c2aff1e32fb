"""Rows of recorded history, each with its place: every fault names file, line, column, value and remedy."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from basis_daemon.domain.errors import ConfigError


class HistoryError(ConfigError):
    """A file of recorded history cannot be used; the message names file, line, column, value and remedy."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line with its place."""

    file: Path
    line: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]

    def has(self, column: str) -> bool:
        """True where the row says something there."""
        return bool(self.values.get(column))

    def fault(self, column: str, expected: str, remedy: str) -> HistoryError:
        """What is wrong with one value, for the caller to raise."""
        found = self.values.get(column)
        return HistoryError(
            f"{self.file}, line {self.line}, column {column}: found {found!r}; expected {expected}; {remedy}"
        )

    def day(self, column: str) -> datetime:
        """Midnight of a date."""
        try:
            return datetime.fromisoformat(self[column]).replace(tzinfo=UTC)
        except ValueError:
            raise self.fault(column, "a date such as 2024-03-01", "write it like that") from None

    def stamp(self) -> datetime:
        """The row's instant."""
        try:
            at = datetime.fromisoformat(self["timestamp"])
        except ValueError:
            raise self.fault("timestamp", "an instant such as 2024-03-01T00:00:00Z", "write it like that") from None
        if at.utcoffset() != timedelta(0):
            raise self.fault("timestamp", "UTC, with a Z behind it", "convert the stamps")
        return at

    def number(self, column: str) -> Decimal:
        """Any finite number."""
        try:
            value = Decimal(self[column])
        except InvalidOperation:
            raise self.fault(column, "a plain decimal number with a point", "correct the number") from None
        if not value.is_finite():
            raise self.fault(column, "a finite number", "leave the row away: a hole is held through, never filled")
        return value

    def price(self, column: str) -> Decimal:
        """A number above zero."""
        value = self.number(column)
        if value <= 0:
            raise self.fault(column, "a price above zero", "leave the row away: a hole is held through, never filled")
        return value


def rows_of(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Every line below the header, which has these columns at least. Raises HistoryError."""
    try:
        handle = file.open(newline="", encoding="utf-8")
    except OSError as error:
        remedy = "a window is a directory that holds candles_1h.csv and funding.csv"
        raise HistoryError(f"{file}: {error.strerror}; {remedy}") from error
    with handle:
        reader = csv.reader(handle)
        header = next(reader, [])
        absent = [column for column in columns if column not in header]
        if absent:
            expected = f"the columns {', '.join(columns)}"
            raise HistoryError(f"{file}, line 1: found no column {', '.join(absent)}; expected {expected}; add it")
        for values in reader:
            if len(values) != len(header):
                raise HistoryError(
                    f"{file}, line {reader.line_num}: found {len(values)} values; expected {len(header)}, one for each "
                    "column; complete the line"
                )
            yield Row(file, reader.line_num, dict(zip(header, values, strict=True)))
