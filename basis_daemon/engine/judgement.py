"""A run judged: its figures as one JSON object, and what must hold of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, as found and as expected."""

    name: str
    found: str
    expected: str
    means: str

    @property
    def is_good(self) -> bool:
        """True when found is as expected."""
        return self.found == self.expected


@dataclass(frozen=True, slots=True)
class Outcome:
    """``document`` is the JSON object of the contract; ``directory`` is set when the run was kept."""

    document: Json
    checks: tuple[Check, ...]
    directory: str | None = None

    @property
    def is_good(self) -> bool:
        """True when every check holds."""
        return all(check.is_good for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """Checks that do not hold."""
        return tuple(check for check in self.checks if not check.is_good)


def judged(document: Json, found: Iterable[Check]) -> Outcome:
    """The outcome of these checks."""
    checks = tuple(found)
    document["ok"] = all(check.is_good for check in checks)
    document["checks"] = {check.name: check.is_good for check in checks}
    return Outcome(document, checks)
