"""How much of its memory a process uses, by the kernel's own figures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from basis_daemon.telemetry.memory import MemoryWatch, cgroup_limit

PAGE = os.sysconf("SC_PAGE_SIZE")

pytestmark = pytest.mark.fault("F53")


def group(root: Path, at: str, limit: str) -> None:
    folder = root / at
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")


def test_the_tightest_limit_above_a_process_holds(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("12:cpu:/other\n0::/system.slice/basis-daemon.service\n")
    group(tmp_path / "fs", "system.slice", "300000000")
    group(tmp_path / "fs", "system.slice/basis-daemon.service", "max")
    assert cgroup_limit(own, tmp_path / "fs") == 300_000_000


def test_without_a_limit_there_is_more_than_any_machine_has(tmp_path: Path) -> None:
    assert cgroup_limit(tmp_path / "absent", tmp_path) == 1 << 62


def test_the_share_is_what_is_resident_over_the_limit(tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text("900 25 3 1 0 5 0\n")
    assert MemoryWatch(limit_bytes=100 * PAGE, statm=statm).share() == 0.25


@pytest.mark.parametrize("text", ["", "900", "900 many"])
def test_a_figure_that_cannot_be_read_ends_nothing(tmp_path: Path, text: str) -> None:
    statm = tmp_path / "statm"
    statm.write_text(text)
    assert MemoryWatch(limit_bytes=1, statm=statm).share() == 0


def test_this_very_process_uses_some_of_what_there_is() -> None:
    assert 0 < MemoryWatch().share() < 1
