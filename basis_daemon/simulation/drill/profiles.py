"""The books that are drilled, by name, and which seed plays which."""

from __future__ import annotations

from pathlib import Path

BOOKS = Path(__file__).parent / "books"
PROFILES = ("pair", "venues", "chain", "hedge")
"""In the order in which seeds take their turns."""


def book_of(profile: str) -> Path:
    """Its configuration."""
    return BOOKS / f"{profile}.yaml"


def profile_of(seed: int) -> str:
    """What a seed plays when nobody says."""
    return PROFILES[seed % len(PROFILES)]
