"""Which windows a directory holds, and when each begins and ends: its own dates, or those of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from basis_daemon.research.windows import CANDLES
from basis_daemon.simulation.history import FILES, History
from basis_daemon.simulation.rows import HistoryError
from basis_daemon.simulation.run import Span

INDEX = "windows.json"
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """One directory with candles; ``dates`` are its own, None where no index tells them."""

    name: str
    directory: Path
    dates: Span | None


def windows_of(directory: Path) -> list[Window]:
    """The window that ``directory`` is, or all of those inside it by name. Raises HistoryError when there is none."""
    if _holds_bars(directory):
        known = _index(directory.parent / INDEX)
        name = directory.resolve().name
        return [Window(name, directory, known.get(name))]
    if not directory.is_dir():
        beside = sorted(file.parent.name for file in directory.parent.glob(f"*/{CANDLES}"))
        near = f"one of {', '.join(beside)}" if beside else "a window, or a folder of windows"
        raise HistoryError(f"--history {directory}: found no such directory; expected {near}; correct the path")
    known = _index(directory / INDEX)
    found = sorted(each for each in directory.iterdir() if _holds_bars(each))
    if not found:
        remedy = f"a window is a directory that holds {CANDLES} and funding.csv"
        near = ", ".join(sorted(known)) or "nothing that is a window"
        raise HistoryError(f"--history {directory}: found no {CANDLES} in it, nor one level below ({near}); {remedy}")
    return [Window(each.name, each, known.get(each.name)) for each in found]


def _holds_bars(directory: Path) -> bool:
    return any((directory / name).is_file() for name in FILES.values())


Stamps = tuple[datetime, datetime]


def span_of(
    window: Window, history: History, start: datetime | None, end: datetime | None, chain: Stamps | None = None
) -> Span:
    """The instants to play: as told, else the window's own, else all that there is. Raises HistoryError for none.

    ``chain`` are the first and last rows of a chain, for books without a bar.
    """
    stamps = history.stamps or chain
    own = window.dates or (Span(stamps[0], stamps[1] + history.step) if stamps is not None else None)
    if own is None:
        raise HistoryError(
            f"{window.directory / CANDLES}: found no bar of any series that the strategy needs; expected rows whose "
            f"venue is a name under `venues` of the configuration; or a {INDEX} beside it that dates {window.name}"
        )
    span = Span(start or own.start, end or own.end)
    if span.start >= span.end:
        raise HistoryError(
            f"--from {span.start.isoformat()} --to {span.end.isoformat()}: found a start that is not before the end; "
            f"expected an earlier --from or a later --to; window {window.name} runs {_words(own)}"
        )
    if stamps is not None and (span.end <= stamps[0] or span.start > stamps[1]):
        there = f"{stamps[0].isoformat()} to {(stamps[1] + history.step).isoformat()}"
        raise HistoryError(
            f"--from {span.start.isoformat()} --to {span.end.isoformat()}: found no bar there; "
            f"{window.directory / CANDLES} holds {there}; choose instants within"
        )
    return span


def read_instant(option: str, text: str, *, is_end: bool = False) -> datetime:
    """A date or an instant as an aware one; a date as an end means its last hour too. Raises HistoryError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        expected = "a date such as 2024-03-01, or an instant such as 2024-03-01T12:00:00Z"
        raise HistoryError(f"{option}: found {text!r}; expected {expected}; write it like that") from None
    is_date = len(text) == len("2024-03-01")
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found + DAY if is_end and is_date else found


def _index(file: Path) -> dict[str, Span]:
    """Dates by window; empty without an index."""
    if not file.is_file():
        return {}
    try:
        entries: Sequence[dict[str, str]] = orjson.loads(file.read_bytes())["windows"]
        return {entry["id"]: _dates(entry) for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        expected = '{"windows": [{"id": "NAME", "start": "2024-03-01", "end": "2024-03-31"}]}'
        raise HistoryError(f"{file}: found {type(error).__name__} {error}; expected {expected}; correct it") from error


def _dates(entry: dict[str, str]) -> Span:
    first, last = (datetime.fromisoformat(entry[name]).replace(tzinfo=UTC) for name in ("start", "end"))
    return Span(first, last + DAY)


def _words(span: Span) -> str:
    return f"{span.start.isoformat()} to {span.end.isoformat()}"
