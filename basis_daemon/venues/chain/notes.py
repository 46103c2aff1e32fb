"""What an operator may want to know from here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Note = Callable[[str, Mapping[str, object]], None]
"""Takes an event's name and its facts. Names ending in ``_alarm`` deserve a page."""


def ignore_note(event: str, facts: Mapping[str, object]) -> None:
    """A ``Note`` for callers without a log."""
