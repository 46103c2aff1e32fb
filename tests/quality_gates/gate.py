"""A gate is one claim, with the function that looks for places where it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """What a gate is about."""

    STRATEGY = "strategy"
    COMPONENTS = "components"
    INTEGRATION = "integration"


@dataclass(frozen=True, slots=True)
class Found:
    """What a gate looked at, so that a claim about nothing is seen as such, and where the claim does not hold."""

    looked_at: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """``proves`` is the claim in words; ``look`` takes no argument and may raise, which fails the gate."""

    gate_id: str
    category: Category
    proves: str
    look: Callable[[], Found]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one gate."""

    gate_id: str
    category: Category
    proves: str
    is_passed: bool
    looked_at: str
    faults: tuple[str, ...]


def judge(gates: Iterable[Gate]) -> list[Verdict]:
    """One verdict per gate, in order; a gate that breaks has failed and does not silence the others."""
    return [_verdict(gate) for gate in gates]


def _verdict(gate: Gate) -> Verdict:
    try:
        found = gate.look()
    except Exception as error:  # noqa: BLE001 - whatever breaks a gate is that gate's verdict
        found = Found("broke before it had looked", (f"{type(error).__name__}: {error}",))
    return Verdict(gate.gate_id, gate.category, gate.proves, not found.faults, found.looked_at, found.faults)
