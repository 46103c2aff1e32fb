"""The books that are drilled, by name, and which seed plays which."""

from __future__ import annotations

from pathlib import Path

from basis_daemon.simulation.drill.tier import Tier

BOOKS = Path(__file__).parent / "books"
PROFILES = ("pair", "venues", "chain", "hedge")
"""In the order in which seeds take their turns."""
STACK_PROFILES = ("pair", "chain")
"""Of the whole stack: what it talks to, with a book of its own."""


def book_of(profile: str) -> Path:
    """Its configuration."""
    return BOOKS / f"{profile}.yaml"


def profiles_of(tier: Tier) -> tuple[str, ...]:
    """In the order in which seeds take their turns."""
    return STACK_PROFILES if tier is Tier.FULL_STACK else PROFILES


def profile_of(seed: int, tier: Tier = Tier.COMPONENT) -> str:
    """What a seed plays when nobody says."""
    names = profiles_of(tier)
    return names[seed % len(names)]
