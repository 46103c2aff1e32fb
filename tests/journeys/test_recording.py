"""A day that a daemon recorded while it traded, played again by the sandbox: the same marks, the same funding."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.sandbox.exchange.instruments import Key
from basis_daemon.sandbox.exchange.ticks import TickPath

pytestmark = [pytest.mark.journey, pytest.mark.timeout(420), pytest.mark.feature("D05")]
PERP: Key = ("usdm", "BTCUSDT")
SPOT: Key = ("spot", "BTCUSDT")


def played(directory: Path, name: str, *words: str) -> tuple[dict[str, Any], TickPath]:
    """A demo that records: its document, and what it recorded."""
    config = directory / f"{name}.yaml"
    config.write_text(written_over(SANDBOX_CONFIG, {"recording.enabled": "true"}), encoding="utf-8")
    command = [sys.executable, "-m", "basis_daemon", "demo", "--config", str(config), "--keep", name, *words, "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, cwd=directory)
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document, TickPath(directory / name / "book" / "recorded")


def test_a_recorded_day_plays_to_the_same_marks_and_rates(tmp_path: Path) -> None:
    live, kept = played(tmp_path, "live", "--days", "1")
    again, replayed = played(tmp_path, "again", "--history", str(tmp_path / "live" / "book" / "recorded"))
    stamps = [at for at in replayed._series[PERP][0] if kept.price_e8(PERP, at) is not None]
    assert len(stamps) > 1000
    assert all(kept.price_e8(PERP, at) == replayed.price_e8(PERP, at) for at in stamps)
    pairs = [(kept.price_e8(SPOT, at), replayed.price_e8(SPOT, at)) for at in replayed._series[SPOT][0]]
    off = [abs(a / b - 1) for a, b in pairs if a is not None and b is not None]
    assert len(off) > 1000
    assert sorted(off)[len(off) * 99 // 100] <= 1e-5  # on the ticks of its book, but where our own orders ate of it
    settled = {rate.at_ms: rate.rate for rate in kept.rates("BTCUSDT")}
    told = {rate.at_ms: rate.rate for rate in replayed.rates("BTCUSDT")}
    assert told.items() <= settled.items()
    assert len(told) >= len(settled) - 1  # of the oldest only the stamp is used: it dates the next
    assert again["decisions"].get("ENTRY") == live["decisions"].get("ENTRY") == 1
    assert Decimal(again["funding"]) != 0
