"""``--from`` and ``--to`` of commands that look at a part of a book's life."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

StartOption = Annotated[str | None, typer.Option("--from", help="First day or instant, UTC; else the beginning.")]
EndOption = Annotated[str | None, typer.Option("--to", help="Last day, or the last instant, UTC; else the end.")]


def span(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """Dates and instants as aware ones. Raises a BasisError naming the option."""
    if start is None and end is None:
        return None, None
    from basis_daemon.simulation.windows import read_instant  # noqa: PLC0415 - a replay's machinery, for who names dates

    return (
        None if start is None else read_instant("--from", start),
        None if end is None else read_instant("--to", end, is_end=True),
    )
