"""Every fault against the tests that prove what is required under it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

FAULTS_FILE = Path(__file__).resolve().parent / "faults.yaml"


class UnknownFaultError(Exception):
    """A test claims to prove a fault that the map does not have, or the map has a fault twice."""


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One fault; ``tests`` are outcomes by test, ``thrown`` its names in the simulation."""

    fault_id: str
    title: str
    tests: Mapping[str, str]
    thrown: tuple[str, ...] = ()

    @property
    def is_proved(self) -> bool:
        """At least one test, and none that failed; a skipped test proves nothing."""
        outcomes = set(self.tests.values())
        return "passed" in outcomes and "failed" not in outcomes

    @property
    def verdict(self) -> str:
        """One word for the table."""
        if "failed" in self.tests.values():
            return "failed"
        return "proved" if self.is_proved else "unproved"


def load_faults(outcomes: Mapping[str, Mapping[str, str]], path: Path = FAULTS_FILE) -> list[FaultRow]:
    """Every fault with its tests. Raises UnknownFaultError naming what does not belong."""
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    ids = Counter(str(item["id"]) for item in listed)
    twice = [name for name, count in ids.items() if count > 1]
    strangers = sorted(set(outcomes) - set(ids))
    if twice or strangers:
        raise UnknownFaultError(
            f"{path.name}: faults {twice or 'none'} stand twice, tests mark {strangers or 'nothing'} that it does not"
            " have; expected every fault once and every mark in the map"
        )
    return [
        FaultRow(str(item["id"]), item["title"], dict(outcomes.get(str(item["id"]), {})), tuple(item.get("thrown", ())))
        for item in listed
    ]


def print_faults(console: Console, rows: list[FaultRow]) -> None:
    """Fault, verdict, and the tests behind it with their outcomes where they did not pass."""
    table = Table(title="fault map", title_justify="left")
    for column in ("fault", "verdict", "required", "proved by"):
        table.add_column(column, overflow="fold")
    styles = {"proved": "green", "failed": "bold red", "unproved": "yellow"}
    for row in rows:
        tests = "\n".join(_test_line(nodeid, outcome) for nodeid, outcome in sorted(row.tests.items()))
        table.add_row(row.fault_id, row.verdict, row.title, Text(tests), style=styles[row.verdict])
    console.print(table)
    if missing := [row.fault_id for row in rows if not row.is_proved]:
        console.print(f"without a passing test ({len(missing)}): {' '.join(missing)}")
    console.print(f"{sum(row.is_proved for row in rows)} of {len(rows)} faults proved")


def _test_line(nodeid: str, outcome: str) -> str:
    name = nodeid.removeprefix("tests/")
    return name if outcome == "passed" else f"{name} ({outcome})"


def faults_as_json(rows: list[FaultRow]) -> list[dict[str, object]]:
    """Plain values."""
    return [
        {"id": row.fault_id, "title": row.title, "verdict": row.verdict, "tests": dict(sorted(row.tests.items()))}
        for row in rows
    ]
