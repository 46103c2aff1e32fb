"""Bugs that are planted into a copy of the source: what the drill does not find, it does not check."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 6 * 3_600


@dataclass(frozen=True, slots=True)
class Bug:
    """One text of one file of the package, and what stands there instead.

    ``against`` is the invariant that it breaks (reliability: I1 to I19), whichever of them is the first to tell of it.
    """

    name: str
    against: str
    file: str
    sound: str
    broken: str
    words: tuple[str, ...] = ()


def places(bug: Bug, root: Path = ROOT) -> int:
    """How often its sound text stands in its file; anything but once is a source that has moved on."""
    return (root / "basis_daemon" / bug.file).read_text(encoding="utf-8").count(bug.sound)


def planted(bug: Bug, directory: Path) -> Path:
    """A copy of the package with this bug in it. Raises ValueError where the source has moved on."""
    shutil.copytree(ROOT / "basis_daemon", directory / "basis_daemon", ignore=shutil.ignore_patterns("__pycache__"))
    if (found := places(bug, directory)) != 1:
        raise ValueError(f"{bug.file}: found {found} places for `{bug.name}`, expected one")
    file = directory / "basis_daemon" / bug.file
    file.write_text(file.read_text(encoding="utf-8").replace(bug.sound, bug.broken), encoding="utf-8")
    return directory


def drilled(directory: Path, *words: str) -> Mapping[str, Any]:
    """What ``simulate`` says of the package in this directory."""
    done = subprocess.run(
        (sys.executable, "-m", "basis_daemon", "simulate", *words, "--json"),
        cwd=directory, capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if not done.stdout:
        raise ValueError(done.stderr.decode()[-2000:])
    found: Mapping[str, Any] = orjson.loads(done.stdout)
    return found


def chosen(bugs: Sequence[Bug], words: Sequence[str]) -> list[Bug]:
    """Those whose name or file holds one of the words; all of them without any."""
    return [bug for bug in bugs if not words or any(word in f"{bug.name} {bug.file}" for word in words)]
