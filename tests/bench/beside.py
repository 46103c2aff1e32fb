"""P1 and P3: the production replay path beside nautilus_trader: one run, the same quotes, equal fills and position.

The peer lives in an environment of its own, made on demand from its hashed lock (`tests/bench/peer`), outside the
project's. Both sides are fresh processes that take turns and count their own processor time, from the first quote to
the last: what else the machine does hits both alike.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from basis_daemon.simulation.replay import Asked, Told, replay
from basis_daemon.strategies import STRATEGIES
from tests.bench.measure import Bound, Row, Target
from tests.bench.ticks import quotes

NAME = "beside"
PEER = "nautilus_trader 1.221.0"
QUOTES = 1_000_000
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOCK, THEIRS = HERE / "peer" / "requirements.lock", HERE / "peer" / "run.py"
HISTORY = ROOT.parent / "shared" / "data" / "2024-03_funding_boom"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "basis_daemon"
RUN_S = 3_600.0
MONTHS = ("usdt_market_neutral", "eth_basis")
"""Whose month is reported: the first one that is registered and finds all that it needs in it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """An order at every ``every``-th quote (0: none), how often both sides play it, and the ratio they are held to."""

    every: int
    rounds: int
    ratio_min: float | None

    @property
    def words(self) -> str:
        return "no orders" if not self.every else f"an order at every {self.every}th quote"


RATES = (Rate(0, 5, 8.0), Rate(1_000, 1, None), Rate(100, 3, 12.0), Rate(10, 1, 50.0))
LATE_MAX = 1.1


class UnequalError(RuntimeError):
    """The two sides did not do the same; the message holds both."""


def measure(count: int = QUOTES) -> list[Row]:
    """Rows for the report. Raises UnequalError, and CalledProcessError when a side or the set-up fails."""
    python = peer_python()
    with tempfile.TemporaryDirectory(prefix="bench-beside-") as place:
        file = Path(place) / "quotes"
        quotes(count).write(file)
        played = {rate: _rounds(rate, file, python) for rate in RATES}
    rows = [row for rate, pairs in played.items() for row in _rows(rate, pairs, count)]
    return [*rows, *_late(played, count), _month()]


def peer_python() -> Path:
    """The interpreter of the peer's environment, made when it is not there yet; another lock makes another one."""
    home = CACHE / f"bench-peer-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    python, ready = home / "bin" / "python", home / ".ready"
    if not ready.is_file():
        print(f"making {home} for {PEER}", file=sys.stderr)
        venv.create(home, clear=True, with_pip=True)
        words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*words, "-r", str(LOCK)], check=True, timeout=RUN_S)
        ready.touch()
    return python


def _rounds(rate: Rate, file: Path, python: Path) -> Sequence[tuple[Mapping[str, int], Mapping[str, int]]]:
    """(ours, theirs) in turn."""
    found = []
    for _ in range(rate.rounds):
        ours = _said([sys.executable, "-m", "tests.bench.replayed", str(file), str(rate.every)])
        theirs = _said([str(python), str(THEIRS), str(file), str(rate.every)])
        for name in ("fills", "fills_sha256", "position"):
            if ours[name] != theirs[name]:
                raise UnequalError(f"{rate.words}: {name} {ours[name]} of ours, {theirs[name]} of {PEER}")
        found.append((ours, theirs))
    return found


def _said(words: Sequence[str]) -> Mapping[str, int]:
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    run = subprocess.run(words, check=True, capture_output=True, text=True, timeout=RUN_S, cwd=ROOT, env=environ)
    found: Mapping[str, int] = json.loads(run.stdout.splitlines()[-1])
    return found


def _rows(rate: Rate, pairs: Sequence[tuple[Mapping[str, int], Mapping[str, int]]], count: int) -> list[Row]:
    ours, theirs = (median(pair[side]["cpu_ns"] for pair in pairs) / count for side in (0, 1))
    ratio = median(pair[1]["cpu_ns"] / pair[0]["cpu_ns"] for pair in pairs)
    target = Target(Bound.AT_LEAST, rate.ratio_min) if rate.ratio_min is not None else None
    note = f"{pairs[0][0]['fills']:,} fills and the position equal, {len(pairs)} rounds"
    return [
        Row(NAME, f"replay, {rate.words}", ours, "ns"),
        Row(NAME, f"{PEER}, {rate.words}", theirs, "ns"),
        Row(NAME, f"P1 {PEER} / replay, {rate.words}", ratio, target=target, note=note),
    ]


def _late(played: Mapping[Rate, Sequence[tuple[Mapping[str, int], Mapping[str, int]]]], count: int) -> list[Row]:
    """P3: what an order costs when a hundred times as many were there, without what the quotes cost."""
    by_every = {rate.every: pairs for rate, pairs in played.items()}

    def cost(side: int, every: int) -> float:
        idle, busy = (median(pair[side]["cpu_ns"] for pair in by_every[e]) for e in (0, every))
        return (busy - idle) / (count // every)

    few, many = 1_000, 10
    return [
        Row(NAME, f"replay, one of {count // many:,} orders", cost(0, many) / 1_000, "us"),
        Row(NAME, f"P3 an order of {count // many:,} / of {count // few:,}", cost(0, many) / cost(0, few),
            target=Target(Bound.AT_MOST, LATE_MAX)),
        Row(NAME, f"the same, {PEER}", cost(1, many) / cost(1, few)),
    ]  # fmt: skip


def _month() -> Row:
    """What a month of recorded hours takes, as the command plays it."""
    names = [name for name in MONTHS if name in STRATEGIES]
    if not HISTORY.is_dir():
        note = f"not measured: no {HISTORY.name} at {HISTORY.parent}"
        return Row(NAME, f"a month of hours, {names[0]}", 0.0, "s", note=note)
    rows = [_month_of(name) for name in names]
    return next((row for row in rows if row is not None), Row(NAME, "a month of hours", 0.0, "s", note="nobody plays"))


def _month_of(name: str) -> Row | None:
    """None for a strategy that holds, because the month lacks a series that it needs."""
    told: list[Told] = []
    began_ns = time.process_time_ns()
    outcome = replay(Asked(name, HISTORY), {}, _Unseen(), told.append)
    took_s = (time.process_time_ns() - began_ns) / 1e9
    if told[0].book is None:
        return None
    said = outcome.document
    hours, decisions = float(said["days"]) * 24, sum(said["decisions"].values())
    note = f"{hours:,.0f} hours, {decisions:,} decisions, {hours / took_s:,.0f} hours a second, ok {said['ok']}"
    return Row(NAME, f"a month of hours, {name}", took_s, "s", note=note)


class _Unseen:
    """A spectator that looks away."""

    def begin(self, window: str, span: object) -> None: ...

    def see(self, point: object, daemon: object) -> None: ...
