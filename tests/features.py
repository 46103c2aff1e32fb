"""Writes which rows of the feature table and which faults the tests proved, and reads it back only while it is true.

    @pytest.mark.feature("R04", part="cex")
    @pytest.mark.fault("F01", "accept_then_drop")

marks a test as proof of row R04, or of one part of it where a row needs several; and of the behaviour that is required
under fault F01 and under the scripted fault `accept_then_drop`. At the end of a run the outcomes go
to `.features.json` with the commit and a digest of the sources they were taken on. The digest decides: a commit id
alone would let an edit that is not committed yet pass for tested. Runs over the same sources add up (a later outcome
of a test replaces the earlier one), so `pytest tests/domain` followed by `pytest tests/journeys` is as good as one run;
other sources start afresh. Markdown does not count as a source.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
OUTCOMES_FILE = ROOT / ".features.json"
WHOLE = ""
"""The part under which a mark without a part is kept."""

_PROPERTY, _FAULT = "feature", "fault"
_PHASES: tuple[str, ...] = ("setup", "call", "teardown")
_WORST_FIRST = ("failed", "skipped", "passed")
_FEATURE_ID = re.compile(r"[A-Z]{1,3}\d{1,3}")
_PART = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FAULT_NAME = re.compile(r"F\d{2}|[a-z0-9][a-z0-9_]*")

_EXAMPLE = "feature('R04') or feature('R04', part='cex')"


class StaleFeaturesError(Exception):
    """The outcomes are absent or were taken on other sources; run the tests again."""


def load_feature_outcomes(path: Path = OUTCOMES_FILE) -> dict[str, dict[str, str]]:
    """Outcome by feature id and part: `{"R04": {"cex": "passed"}}`; the part of a mark without one is `WHOLE`.

    A part is as good as its worst test: one failure makes it failed, one skip (or expected failure) makes it skipped.
    Raises StaleFeaturesError when the file is absent, unreadable or of other sources than those on disk now.
    """
    outcomes: dict[str, dict[str, str]] = {}
    for test in _tests(path).values():
        for feature_id, part in test["features"]:
            parts = outcomes.setdefault(feature_id, {})
            parts[part] = _worse(parts.get(part, "passed"), test["outcome"])
    return outcomes


def load_fault_outcomes(path: Path = OUTCOMES_FILE) -> dict[str, dict[str, str]]:
    """Outcome by fault and test: `{"F01": {"tests/venues/test_x.py::test_y": "passed"}}`. Raises as the features do."""
    outcomes: dict[str, dict[str, str]] = {}
    for nodeid, test in _tests(path).items():
        for fault in test["faults"]:
            outcomes.setdefault(fault, {})[nodeid] = test["outcome"]
    return outcomes


def _tests(path: Path) -> dict[str, dict[str, Any]]:
    """Marks and outcome of every marked test, as long as they are of the sources on disk."""
    if not path.exists():
        message = f"{path.name} is absent: no test run has written it yet; run `make test`"
        raise StaleFeaturesError(message)
    stored = _read(path)
    if stored is None:
        message = f"{path.name} is not a file of feature outcomes; delete it and run `make test`"
        raise StaleFeaturesError(message)
    now = sources_digest()
    if stored["sources"] != now:
        found = f"commit {stored['commit']}, sources {stored['sources'][:12]}"
        message = f"{path.name} is stale: it is of {found}; now {commit_id()}, sources {now[:12]}; run `make test`"
        raise StaleFeaturesError(message)
    tests: dict[str, dict[str, Any]] = stored["tests"]
    return tests


def commit_id() -> str:
    """Id of the commit that is checked out, or `none` before the first one."""
    run = subprocess.run(
        ["git", "rev-parse", "--verify", "-q", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or "none"


def sources_digest() -> str:
    """SHA-256 over names and contents of every file that git tracks or would track, Markdown aside."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    digest = hashlib.sha256()
    for name in sorted(set(listed.split("\0"))):
        file = ROOT / name
        if name and not name.endswith(".md") and file.is_file():
            digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


class FeatureOutcomes:
    """Collects the outcomes of one session; lives in the process that started it, never in an xdist worker."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sources = sources_digest()  # of the start: what is edited while tests run was not tested
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the worst of set-up, call and tear-down. A worker's reports arrive here too, marks included."""
        features = [value for name, value in report.user_properties if name == _PROPERTY]
        faults = [value for name, value in report.user_properties if name == _FAULT]
        crashed = report.failed and report.when not in _PHASES  # xdist's word for a worker that died; it has no marks
        if not features and not faults and not crashed:
            return
        test = self._tests.setdefault(report.nodeid, {"features": [], "faults": [], "outcome": "passed"})
        test["features"], test["faults"] = features or test["features"], faults or test["faults"]
        test["outcome"] = _worse(test["outcome"], report.outcome)

    def pytest_sessionfinish(self) -> None:
        """Adds this session's outcomes to those of earlier sessions over the same sources."""
        if not self._tests:
            return
        with FileLock(f"{self._path}.lock"):
            stored = _read(self._path)
            tests = stored["tests"] if stored and stored["sources"] == self._sources else {}
            for nodeid, test in self._tests.items():
                known = tests.get(nodeid, {"features": [], "faults": []})
                tests[nodeid] = {
                    **test, **{marks: test[marks] or known[marks] for marks in ("features", "faults")},
                }  # fmt: skip
            written = {"commit": commit_id(), "sources": self._sources, "tests": dict(sorted(tests.items()))}
            scratch = self._path.with_name(f"{self._path.name}.new")
            scratch.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
            scratch.replace(self._path)


def pytest_configure(config: pytest.Config) -> None:
    """Starts collecting, in the controlling process only."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(FeatureOutcomes(OUTCOMES_FILE), "feature-outcomes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hangs the marks on the items as user properties, the one thing an xdist worker sends along with a report."""
    for item in items:
        for mark in item.iter_markers("feature"):
            item.user_properties.append((_PROPERTY, _feature(item, mark)))
        for mark in item.iter_markers("fault"):
            item.user_properties += [(_FAULT, fault) for fault in _faults(item, mark)]


def _feature(item: pytest.Item, mark: pytest.Mark) -> tuple[str, str]:
    part = mark.kwargs.get("part")
    well_formed = (
        len(mark.args) == 1
        and set(mark.kwargs) <= {"part"}
        and isinstance(mark.args[0], str)
        and _FEATURE_ID.fullmatch(mark.args[0]) is not None
        and (part is None or (isinstance(part, str) and _PART.fullmatch(part) is not None))
    )
    if not well_formed:
        message = f"{item.nodeid}: found feature{mark.args}{mark.kwargs}, expected {_EXAMPLE}"
        raise pytest.UsageError(message)
    return mark.args[0], part or WHOLE


def _faults(item: pytest.Item, mark: pytest.Mark) -> tuple[str, ...]:
    well_formed = mark.args and not mark.kwargs
    if not well_formed or not all(isinstance(name, str) and _FAULT_NAME.fullmatch(name) for name in mark.args):
        message = f"{item.nodeid}: found fault{mark.args}{mark.kwargs}, expected fault('F01', 'accept_then_drop')"
        raise pytest.UsageError(message)
    return mark.args


def _worse(one: str, other: str) -> str:
    return min(one, other, key=_WORST_FIRST.index)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return stored if isinstance(stored, dict) and {"commit", "sources", "tests"} <= stored.keys() else None
