"""Everything since an instant, in the windows and page sizes that a venue allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from basis_daemon.rare_paths import Rarely, RarePath, never

T = TypeVar("T")
LEAST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of one answer; ``newest`` is set when the answer was full and more may follow it."""

    rows: Sequence[T]
    newest: datetime | None


async def every_page(
    since: datetime,
    until: datetime,
    window: timedelta,
    fetch: Callable[[datetime, datetime], Awaitable[Page[T]]],
    rarely: Rarely = never,
) -> list[T]:
    """Rows of every window from ``since`` to ``until``; those on a boundary come twice."""
    found: list[T] = []
    start = since
    while True:
        end = start + window
        if rarely(RarePath.PAGE_ENDS_EARLY) and start + LEAST < until:
            end = min(end, start + (until - start) / 2)
        page = await fetch(start, end)
        found += page.rows
        if page.newest is not None and page.newest > start:
            start = page.newest  # its millisecond may hold more
        elif end > until:
            return found
        else:
            start = end
