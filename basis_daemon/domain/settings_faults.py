"""What is wrong with a configuration: every fault at once, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from basis_daemon.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to repair. ``found`` never holds a secret; ``where`` is a file with its line, or a variable."""

    key: str
    found: str
    expected: str
    remedy: str
    where: str = ""

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"{self.key or 'the file'}{place}: found {self.found}; expected {self.expected}; {self.remedy}"


class SettingsError(ConfigError):
    """The configuration cannot be used; ``faults`` lists everything that is wrong with it, in order of the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class LiveTradingRefusedError(ConfigError):
    """Policy, not a mistake in the file: real money needs every switch; nothing was started."""
