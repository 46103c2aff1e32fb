"""The fault drill: quiet where nothing is wrong, the same in every run, and loud where a bug is planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from basis_daemon.cli import app
from basis_daemon.cli.answers import ExitCode
from basis_daemon.engine import codec
from basis_daemon.simulation.drill.campaign import Plan, command_of, play
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.profiles import PROFILES, book_of
from tests.mutation.catalogue import PLANTED
from tests.mutation.planted import drilled, planted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*words: str) -> dict[str, object]:
    found = CliRunner().invoke(app, ("simulate", "--jobs", "1", "--json", *words))
    document: dict[str, object] = json.loads(found.stdout)
    return document | {"exit_code": found.exit_code}


def test_without_faults_a_book_enters_and_nothing_is_in_doubt() -> None:
    verdict = play(Plan(1, "pair", without=tuple(Fault), chaos_s=40))
    assert verdict.violations == ()
    assert verdict.ends == {"drained": 1}
    assert verdict.orders >= verdict.fills > 20
    assert (verdict.unknown, verdict.late, dict(verdict.struck)) == (0, 0, {})


@pytest.mark.feature("B03", part="drill")
def test_under_faults_no_invariant_breaks_and_every_kind_of_trouble_was_there() -> None:
    found = run("--seeds", "12")
    assert (found["exit_code"], found["violations"], found["failures"]) == (ExitCode.OK, 0, [])
    for what in ("orders", "fills", "crashes", "unknown_outcomes", "late_requests"):
        assert int(str(found[what])) > 0, what
    assert len(found["faults"]) >= 15  # type: ignore[arg-type]  # an object of counts
    assert len(found["rare_paths"]) >= 8  # type: ignore[arg-type]  # the same


def test_every_profile_takes_its_turn_and_is_counted_by_itself() -> None:
    found = run("--seeds", str(len(PROFILES)), "--chaos-s", "10")
    counted: dict[str, dict[str, int]] = found["profiles"]  # type: ignore[assignment]  # an object of objects
    assert {name: one["seeds"] for name, one in counted.items()} == dict.fromkeys(PROFILES, 1)
    assert sum(one["orders"] for one in counted.values()) == found["orders"]


def test_a_book_of_ones_own_is_drilled_and_no_other_name_is_one(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(book_of("pair").read_text(encoding="utf-8"), encoding="utf-8")
    found = run("--seeds", "1", "--chaos-s", "10", "--profile", str(own))
    assert (found["violations"], list(found["profiles"])) == (0, ["mine"])  # type: ignore[call-overload]  # as above
    assert CliRunner().invoke(app, ("simulate", "--profile", "boredom")).exit_code == ExitCode.USAGE
    stack = ("simulate", "--tier", "full-stack", "--profile", "venues")
    assert CliRunner().invoke(app, stack).exit_code == ExitCode.USAGE


@pytest.mark.feature("B04", part="seed")
def test_a_seed_leaves_the_same_trace_under_every_hash_seed() -> None:
    traces = set()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            (sys.executable, "-m", "basis_daemon", "simulate", "--seed", "3", "--seeds", str(len(PROFILES)),
             "--chaos-s", "15", "--jobs", "1", "--json"),
            env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True, timeout=240,
        )  # fmt: skip
        traces.add(json.loads(done.stdout)["trace"])
    assert len(traces) == 1


def test_nothing_that_is_written_down_holds_a_set() -> None:
    codec._ADAPTERS.clear()  # another test of this process may have read what only replays read, and nobody writes
    for name in PROFILES:
        play(Plan(5025, name, chaos_s=10))
    assert len(codec._ADAPTERS) > 8
    assert [kind for kind, made in codec._ADAPTERS.items() if any(_sets(made.core_schema, set()))] == []


def _sets(schema: object, seen: set[int]) -> Iterator[object]:
    """Every set in a schema: its text has another order in every process."""
    if id(schema) in seen:
        return
    seen.add(id(schema))
    if isinstance(schema, dict) and schema.get("type") in {"set", "frozenset"}:
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ():
        yield from _sets(part, seen)


def test_slices_resumed_are_one_run(tmp_path: Path) -> None:
    whole = run("--seeds", "4", "--chaos-s", "20")
    file = str(tmp_path / "drill.json")
    for _ in range(2):
        sliced = run("--seeds", "2", "--chaos-s", "20", "--resume", file)
    for key in ("seeds", "next_seed", "orders", "fills", "faults", "rare_paths", "ends", "trace", "violations"):
        assert sliced[key] == whole[key], key


def test_what_is_no_tally_and_no_fault_is_told(tmp_path: Path) -> None:
    (tmp_path / "drill.json").write_text("{}", encoding="utf-8")
    found = CliRunner().invoke(app, ("simulate", "--resume", str(tmp_path / "drill.json"), "--json"))
    assert "found no tally in it" in json.loads(found.stdout)["error"]["message"]
    assert CliRunner().invoke(app, ("simulate", "--without", "boredom")).exit_code == ExitCode.USAGE


def test_a_planted_bug_is_found_and_made_small(tmp_path: Path) -> None:
    found = drilled(planted(PLANTED[0], tmp_path), "--seeds", "1", "--chaos-s", "5", "--jobs", "1")
    assert found["violations"]
    command = found["smallest"]["command"]
    assert command.startswith("basis-daemon simulate --seed ")
    assert found["smallest"]["violations"]


@pytest.mark.parametrize("name", ["the other side of an entry is left out", "a fee is booked as a cost of the trade"])
def test_a_bug_that_is_planted_in_the_books_is_found_with_the_first_seeds(name: str, tmp_path: Path) -> None:
    (bug,) = [bug for bug in PLANTED if bug.name == name]
    found = drilled(planted(bug, tmp_path), "--seeds", "2", "--chaos-s", "10", "--jobs", "1", "--as-is")
    assert found["failures"][0]["violations"][0]["invariant"] == bug.against


def test_the_dice_are_thrown_whether_or_not_faults_are_on() -> None:
    on, off = Chance(7), Chance(7)
    on.is_on = True
    for fault in list(Fault) * 20:
        on.strikes(fault)
        off.strikes(fault)
    assert on.between(0, 1) == off.between(0, 1)
    assert sum(on.struck.values()) > sum(off.struck.values()) == 0


def test_a_failure_names_the_command_that_repeats_it() -> None:
    plan = Plan(7, "pair", without=(Fault.KILLED,), chaos_s=22.5)
    assert command_of(plan) == "basis-daemon simulate --seed 7 --seeds 1 --profile pair --without killed --chaos-s 22.5"
