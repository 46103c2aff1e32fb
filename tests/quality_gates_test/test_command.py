"""The command as `make gates` and people run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.features import ROOT
from tests.quality_gates.feature_rows import Proof, UnknownFeatureError, load_rows
from tests.quality_gates.register import GATES, missing_strategies
from tests.quality_gates.strategy import NINE

pytestmark = pytest.mark.slow


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.quality_gates", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_gate_has_its_own_id() -> None:
    assert len({gate.gate_id for gate in GATES}) == len(GATES)


@pytest.mark.parametrize("category", ["strategy", "components", "integration"])
def test_a_category_is_judged_alone_and_holds(category: str) -> None:
    answer = run("--category", category, "--json")
    report = json.loads(answer.stdout)
    assert {gate["category"] for gate in report["gates"]} == {category}
    assert [gate["faults"] for gate in report["gates"] if not gate["passed"]] == []
    assert answer.returncode == 0


def test_missing_strategies_are_named_and_no_failure() -> None:
    answer = run("--category", "strategy")
    assert answer.returncode == 0
    assert set(missing_strategies()) < set(NINE)
    for name in missing_strategies():
        assert name in answer.stdout


def test_an_unknown_category_is_refused() -> None:
    assert run("--category", "everything").returncode == 2


# ------------------------------------------------------------------------------------------------------ features
def test_the_feature_table_has_every_row_once_with_its_priority() -> None:
    rows = load_rows({})
    assert len(rows) == 148
    assert {row.priority for row in rows} == {"M", "S", "C"}
    assert all(row.title and row.proof is Proof.UNPROVEN for row in rows)


@pytest.mark.parametrize(
    ("parts", "proof"),
    [
        ({}, Proof.UNPROVEN),
        ({"": "passed"}, Proof.PASSED),
        ({"cex": "passed", "chain": "passed"}, Proof.PASSED),
        ({"cex": "passed", "chain": "failed"}, Proof.FAILED),
        ({"cex": "passed", "chain": "skipped"}, Proof.PARTIAL),
        ({"cex": "skipped"}, Proof.SKIPPED),
    ],
)
def test_a_row_is_as_proved_as_its_parts(parts: dict[str, str], proof: Proof) -> None:
    assert next(row for row in load_rows({"R04": parts}) if row.feature_id == "R04").proof is proof


def test_a_mark_for_a_row_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownFeatureError, match="Z99"):
        load_rows({"Z99": {"": "passed"}})


def test_a_row_that_stands_twice_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "features.yaml"
    table.write_text("- {id: S01, priority: M, title: a}\n- {id: S01, priority: M, title: b}\n", encoding="utf-8")
    with pytest.raises(UnknownFeatureError, match="S01"):
        load_rows({}, table)
