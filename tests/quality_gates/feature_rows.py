"""The feature table against what the tests proved: which rows hold, in which parts, and which nobody has shown yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from tests.features import WHOLE

TABLE_FILE = Path(__file__).resolve().parent / "features.yaml"


class Proof(StrEnum):
    """How a row stands; `partial` has passing parts and skipped ones."""

    PASSED = "passed"
    FAILED = "failed"
    PARTIAL = "partial"
    SKIPPED = "skipped"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One row of the table; ``parts`` are the outcomes of its marks, ``""`` for a mark without a part."""

    feature_id: str
    priority: str
    title: str
    parts: Mapping[str, str]

    @property
    def proof(self) -> Proof:
        """One failure fails the row; a row is passed when every part that has a test passed."""
        outcomes = set(self.parts.values())
        if not outcomes:
            return Proof.UNPROVEN
        if "failed" in outcomes:
            return Proof.FAILED
        if outcomes == {"passed"}:
            return Proof.PASSED
        return Proof.PARTIAL if "passed" in outcomes else Proof.SKIPPED

    @property
    def parts_text(self) -> str:
        """Parts with their outcomes; nothing for a row that is proved as a whole."""
        named = {part: outcome for part, outcome in sorted(self.parts.items()) if part != WHOLE}
        whole = [f"whole {self.parts[WHOLE]}"] if WHOLE in self.parts and named else []
        return ", ".join(whole + [f"{part} {outcome}" for part, outcome in named.items()])


class UnknownFeatureError(Exception):
    """A test claims to prove a row that the table does not have, or the table has a row twice."""


def load_rows(outcomes: Mapping[str, Mapping[str, str]], path: Path = TABLE_FILE) -> list[FeatureRow]:
    """Every row of the table with its outcomes. Raises UnknownFeatureError naming ids that do not belong."""
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    ids = Counter(item["id"] for item in listed)
    twice = [feature_id for feature_id, count in ids.items() if count > 1]
    strangers = sorted(set(outcomes) - set(ids))
    if twice or strangers:
        raise UnknownFeatureError(
            f"{path.name}: rows {twice or 'none'} stand twice, tests mark {strangers or 'nothing'} that it does not"
            " have; expected every id once and every mark in the table"
        )
    return [
        FeatureRow(item["id"], item["priority"], item["title"], dict(outcomes.get(item["id"], {}))) for item in listed
    ]


def print_rows(console: Console, rows: list[FeatureRow]) -> None:
    """Proved rows by part, then failed and unproven ones, then the sum."""
    table = Table(title="feature table", title_justify="left")
    for column in ("id", "pri", "proof", "feature", "parts"):
        table.add_column(column, overflow="fold")
    style = {Proof.PASSED: "green", Proof.FAILED: "bold red", Proof.UNPROVEN: "dim"}
    for row in rows:
        table.add_row(
            row.feature_id, row.priority, row.proof, row.title, row.parts_text, style=style.get(row.proof, "yellow")
        )
    console.print(table)
    for proof in (Proof.FAILED, Proof.PARTIAL, Proof.SKIPPED, Proof.UNPROVEN):
        if names := [row.feature_id for row in rows if row.proof is proof]:
            console.print(f"{proof} ({len(names)}): {' '.join(names)}")
    for priority, word in (("M", "must"), ("S", "should"), ("C", "could")):
        of_it = [row for row in rows if row.priority == priority]
        console.print(f"{word}: {sum(row.proof is Proof.PASSED for row in of_it)} of {len(of_it)} rows proved")


def rows_as_json(rows: list[FeatureRow]) -> list[dict[str, object]]:
    """Plain values."""
    return [
        {"id": r.feature_id, "priority": r.priority, "title": r.title, "proof": r.proof.value, "parts": dict(r.parts)}
        for r in rows
    ]
