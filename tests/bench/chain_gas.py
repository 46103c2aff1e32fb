"""Gas of entering and leaving with every check inside, as committed, beside what a receiver without checks used.

The figures are those that tests/contracts/test_gas.py holds every run of the real contracts against, to two per cent.
"""

from __future__ import annotations

from tests.bench.measure import Row
from tests.contracts.test_gas import BASELINE

NAME = "chain"


def measure() -> list[Row]:
    """Rows for the report: gas, and for how many hundredths the checks answer where the unchecked figure is known."""
    return [_row(name, **group) for name, group in BASELINE["groups"].items()]


def _row(name: str, gas: int, what: str, unchecked: int | None = None) -> Row:
    beside = "" if unchecked is None else f"; unchecked {unchecked:,}: {gas / unchecked - 1:+.1%}"
    return Row(NAME, f"gas, {name}", gas, "gas", note=f"{what}{beside}")
