"""`python -m tests.quality_gates`: judge the gates of a category, or say which features and faults are proved."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.features import StaleFeaturesError, load_fault_outcomes, load_feature_outcomes
from tests.quality_gates.fault_map import UnknownFaultError, faults_as_json, load_faults, print_faults
from tests.quality_gates.fault_page import PAGE, listed, page
from tests.quality_gates.feature_rows import Proof, UnknownFeatureError, load_rows, print_rows, rows_as_json
from tests.quality_gates.gate import Verdict, judge
from tests.quality_gates.register import GATES, missing_strategies

EXIT_FAILED, EXIT_NOT_JUDGED = 1, 2
WIDTH_IN_A_FILE = 180


class Chosen(StrEnum):
    """Categories as the command line takes them."""

    STRATEGY = "strategy"
    COMPONENTS = "components"
    INTEGRATION = "integration"
    ALL = "all"


def main(
    category: Annotated[Chosen, typer.Option(help="Which gates to judge.")] = Chosen.ALL,
    *,
    features: Annotated[bool, typer.Option("--features", help="Print which feature rows the tests proved.")] = False,
    faults: Annotated[
        bool, typer.Option("--faults", help="Print which tests prove the behaviour under each fault.")
    ] = False,
    faults_page: Annotated[bool, typer.Option("--faults-page", help="Write docs/faults.md from the marks.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Exit 0: everything judged holds. 1: a gate or a proved feature failed, or a fault has no passing test.

    2: the outcomes on file are not of now.
    """
    if faults_page:
        PAGE.write_text(page(listed()), encoding="utf-8")
        status = 0
    elif faults:
        status = _faults(as_json=as_json)
    else:
        status = _features(as_json=as_json) if features else _gates(category, as_json=as_json)
    raise typer.Exit(status)


def _gates(category: Chosen, *, as_json: bool) -> int:
    chosen = [gate for gate in GATES if category is Chosen.ALL or gate.category == category.value]
    verdicts = judge(chosen)
    missing = missing_strategies() if category in {Chosen.ALL, Chosen.STRATEGY} else []
    if as_json:
        print(json.dumps({"gates": [_plain(v) for v in verdicts], "missing_strategies": missing}, indent=1))
    else:
        _print(verdicts, missing)
    return 0 if all(verdict.is_passed for verdict in verdicts) else EXIT_FAILED


def _plain(verdict: Verdict) -> dict[str, object]:
    return {
        "id": verdict.gate_id,
        "category": verdict.category.value,
        "proves": verdict.proves,
        "passed": verdict.is_passed,
        "looked_at": verdict.looked_at,
        "faults": list(verdict.faults),
    }


def _print(verdicts: list[Verdict], missing: list[str]) -> None:
    console = _console()
    table = Table(title="quality gates", title_justify="left")
    for column in ("gate", "verdict", "proves", "looked at"):
        table.add_column(column, overflow="fold")
    for verdict in verdicts:
        word, style = ("passed", "green") if verdict.is_passed else ("FAILED", "bold red")
        table.add_row(verdict.gate_id, f"[{style}]{word}[/]", verdict.proves, verdict.looked_at)
    console.print(table)
    for verdict in verdicts:
        for fault in verdict.faults:
            console.print(f"{verdict.gate_id}: {fault}", style="red", markup=False, highlight=False, soft_wrap=True)
    if missing:
        console.print(f"missing strategies ({len(missing)}): {', '.join(missing)}")
    failed = sum(not verdict.is_passed for verdict in verdicts)
    console.print(f"{len(verdicts) - failed} gates passed, {failed} failed")


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE)


def _features(*, as_json: bool) -> int:
    try:
        rows = load_rows(load_feature_outcomes())
    except (StaleFeaturesError, UnknownFeatureError) as error:
        print(json.dumps({"error": str(error)}) if as_json else f"cannot say what is proved: {error}")
        return EXIT_NOT_JUDGED
    if as_json:
        print(json.dumps(rows_as_json(rows), indent=1, ensure_ascii=False))
    else:
        print_rows(_console(), rows)
    return EXIT_FAILED if any(row.proof is Proof.FAILED for row in rows) else 0


def _faults(*, as_json: bool) -> int:
    try:
        rows = load_faults(load_fault_outcomes())
    except (StaleFeaturesError, UnknownFaultError) as error:
        print(json.dumps({"error": str(error)}) if as_json else f"cannot say what is proved: {error}")
        return EXIT_NOT_JUDGED
    if as_json:
        print(json.dumps(faults_as_json(rows), indent=1, ensure_ascii=False))
    else:
        print_faults(_console(), rows)
    return 0 if all(row.is_proved for row in rows) else EXIT_FAILED


if __name__ == "__main__":
    typer.run(main)
