"""Bugs that are planted into a copy of the source: what the drill does not find, it does not check."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 3_600


@dataclass(frozen=True, slots=True)
class Bug:
    """One text of one file of the package, and what stands there instead."""

    name: str
    file: str
    sound: str
    broken: str


PLANTED = (
    Bug(
        "an intent is not durable when its order leaves", "engine/recorder.py",
        "        await self._journal.append_durable(rows)\n        for order in orders:",
        "        for row in rows:\n            self._journal.append(row)\n        for order in orders:",
    ),
    Bug(
        "an order without an answer is taken for one that never arrived", "engine/order_runner.py",
        "            self._settle(life, OrderState.UNKNOWN, str(error))\n            await self.resolve(life)\n"
        "        else:\n"
        "            self.probe(KillPoint.AFTER_SEND)\n            self._hear(life, trade)",
        "            self._settle(life, OrderState.NEVER_ACCEPTED, str(error))\n        else:\n"
        "            self.probe(KillPoint.AFTER_SEND)\n            self._hear(life, trade)",
    ),
    Bug(
        "an order that a venue does not show yet is buried", "engine/order_runner.py",
        "if evidence.finding is Finding.ABSENT:",
        "if evidence.finding is not Finding.FOUND:",
    ),
    Bug(
        "fills that no stream brought are not asked for", "engine/reconciler.py",
        "        self._handler.process_trades(await self._source.fetch_trades(since))\n",
        "        await self._source.fetch_trades(since)\n",
    ),
    Bug(
        "doubt of an earlier life is left alone", "supervisor.py",
        "            await self._runner.resolve(life)\n        for plan",
        "            self._recorder.move(life.order, type(life.state).CANCELLED)\n        for plan",
    ),
    Bug(
        "a halt pages and latches nothing", "engine/guard.py",
        "            self._move(GuardRow(state, why))",
        '            self._alarm("page", {"guard": state.value, "why": why})',
    ),
)  # fmt: skip


def planted(bug: Bug, directory: Path) -> Path:
    """A copy of the package with this bug in it. Raises ValueError where the source has moved on."""
    shutil.copytree(ROOT / "basis_daemon", directory / "basis_daemon", ignore=shutil.ignore_patterns("__pycache__"))
    file = directory / "basis_daemon" / bug.file
    text = file.read_text(encoding="utf-8")
    if text.count(bug.sound) != 1:
        raise ValueError(f"{bug.file}: found {text.count(bug.sound)} places for `{bug.name}`, expected one")
    file.write_text(text.replace(bug.sound, bug.broken), encoding="utf-8")
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
