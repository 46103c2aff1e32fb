"""One line of a preflight: what was looked at, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Light(StrEnum):
    """GREEN may trade, YELLOW may trade and somebody should look, RED must not be armed."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Check:
    """``name`` is stable, as in `binance.rights`. Whatever is not green says what was expected and the remedy."""

    name: str
    light: Light
    found: str
    expected: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        if self.light is Light.GREEN:
            return f"{self.name}: {self.found}"
        return f"{self.name}: found {self.found}; expected {self.expected}; {self.remedy}"


def green(name: str, found: str) -> Check:
    """Nothing to do."""
    return Check(name, Light.GREEN, found)


def yellow(name: str, found: str, expected: str, remedy: str) -> Check:
    """Worth a look; trading may begin."""
    return Check(name, Light.YELLOW, found, expected, remedy)


def red(name: str, found: str, expected: str, remedy: str) -> Check:
    """Trading must not begin."""
    return Check(name, Light.RED, found, expected, remedy)
