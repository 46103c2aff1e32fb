"""The plugin in a repository of its own, run as pytest runs: what is proved, what adds up, and what has gone stale."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.features import ROOT

pytestmark = pytest.mark.slow

SETTINGS = (
    '[tool.pytest.ini_options]\nmarkers = ["feature(id, part=None): proof of a row"]\naddopts = "-p no:randomly"\n'
)
IGNORED = ".features.json*\n__pycache__\n.pytest_cache\n.hypothesis\n"

PROOFS = """
import pytest

@pytest.mark.feature("R04", part="cex")
def test_held_at_an_exchange(): pass

@pytest.mark.feature("R04", part="chain")
def test_held_on_chain(): pass

@pytest.mark.feature("O05")
def test_states(): pass
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The plugin and three proofs, in a repository without a commit."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    shutil.copy(ROOT / "tests" / "features.py", tmp_path / "tests" / "features.py")
    (tmp_path / "tests" / "conftest.py").write_text('pytest_plugins = ("tests.features",)\n', encoding="utf-8")
    (tmp_path / "tests" / "test_proofs.py").write_text(PROOFS, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / ".gitignore").write_text(IGNORED, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def run_tests(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the others only cost start-up time here
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def plugin_of(repository: Path) -> ModuleType:
    """The copy of the plugin, which takes the folder it lies in for its repository."""
    spec = importlib.util.spec_from_file_location("features_copy", repository / "tests" / "features.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded(repository: Path) -> dict[str, dict[str, str]]:
    """Outcomes by row and part, as a later process reads them."""
    outcomes: dict[str, dict[str, str]] = plugin_of(repository).load_feature_outcomes()
    return outcomes


def refusal(repository: Path) -> str:
    """Why they are not read."""
    plugin = plugin_of(repository)
    with pytest.raises(plugin.StaleFeaturesError) as refused:
        plugin.load_feature_outcomes()
    return str(refused.value)


def add(repository: Path, text: str, name: str = "tests/test_more.py") -> None:
    (repository / name).write_text("import pytest\n" + text, encoding="utf-8")


def test_outcomes_are_kept_by_row_and_part(repository: Path) -> None:
    assert run_tests(repository).returncode == 0
    assert loaded(repository) == {"R04": {"cex": "passed", "chain": "passed"}, "O05": {"": "passed"}}


def test_a_part_is_as_good_as_its_worst_test(repository: Path) -> None:
    add(repository, '@pytest.mark.feature("O05")\ndef test_a(): assert False\n')
    add(repository, '@pytest.mark.feature("R04", part="cex")\ndef test_a(): pytest.skip("no net")\n', "tests/test_b.py")
    assert run_tests(repository).returncode == 1
    assert loaded(repository) == {"R04": {"cex": "skipped", "chain": "passed"}, "O05": {"": "failed"}}


def test_a_failing_fixture_is_a_failed_proof(repository: Path) -> None:
    broken = "@pytest.fixture\ndef venue():\n    yield\n    raise OSError\n"
    add(repository, broken + '@pytest.mark.feature("C01")\ndef test_a(venue): pass\n')
    run_tests(repository)
    assert loaded(repository)["C01"] == {"": "failed"}


def test_an_expected_failure_proves_nothing(repository: Path) -> None:
    add(repository, '@pytest.mark.xfail\n@pytest.mark.feature("C01")\ndef test_a(): assert False\n')
    run_tests(repository)
    assert loaded(repository)["C01"] == {"": "skipped"}


def test_runs_over_the_same_sources_add_up(repository: Path) -> None:
    run_tests(repository, "tests/test_proofs.py::test_states")
    assert loaded(repository) == {"O05": {"": "passed"}}
    run_tests(repository, "tests/test_proofs.py::test_held_on_chain")
    assert loaded(repository) == {"O05": {"": "passed"}, "R04": {"chain": "passed"}}


def test_workers_report_to_the_process_that_started_them(repository: Path) -> None:
    assert run_tests(repository, "-p", "xdist", "-n", "2").returncode == 0
    assert loaded(repository).keys() == {"R04", "O05"}


def test_an_edit_makes_the_outcomes_stale_and_says_what_to_run(repository: Path) -> None:
    run_tests(repository)
    add(repository, "VALUE = 1\n", "tests/helper.py")
    assert refusal(repository).startswith(".features.json is stale")
    assert refusal(repository).endswith("run `make test`")


def test_the_first_run_after_an_edit_starts_afresh(repository: Path) -> None:
    run_tests(repository)
    add(repository, "VALUE = 1\n", "tests/helper.py")
    run_tests(repository, "tests/test_proofs.py::test_states")
    assert loaded(repository) == {"O05": {"": "passed"}}


def test_prose_does_not_make_outcomes_stale(repository: Path) -> None:
    run_tests(repository)
    (repository / "README.md").write_text("more words\n", encoding="utf-8")
    assert loaded(repository).keys() == {"R04", "O05"}


def test_outcomes_that_were_never_written_are_asked_for(repository: Path) -> None:
    assert refusal(repository) == ".features.json is absent: no test run has written it yet; run `make test`"


def test_collecting_alone_writes_nothing(repository: Path) -> None:
    run_tests(repository, "--collect-only")
    assert not (repository / ".features.json").exists()


@pytest.mark.parametrize(
    "mark",
    ["feature", "feature()", "feature('r4')", "feature('R04', 'cex')", "feature('R04', part='')", "feature(part='x')"],
)
def test_a_mark_that_names_no_row_stops_the_run(repository: Path, mark: str) -> None:
    add(repository, f"@pytest.mark.{mark}\ndef test_a(): pass\n")
    run = run_tests(repository)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "expected feature('R04') or feature('R04', part='cex')" in run.stdout + run.stderr
