"""Recorded hours through sandbox, ccxt and daemon: the book enters where the gate opens, else it says why not."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.timeout(420)]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ABSENT = f"no recorded history at ../shared/data ({'found' if DATA.is_dir() else 'absent'})"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=ABSENT)


def played(window: str, days: int) -> dict[str, Any]:
    words = ["demo", "--strategy", "btc_basis", "--history", str(DATA), "--window", window, "--days", str(days)]
    run = subprocess.run(
        [sys.executable, "-m", "basis_daemon", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


@needs_data
def test_in_the_funding_boom_the_book_enters_at_once_and_earns_its_funding() -> None:
    said = played("2024-03_funding_boom", 1)
    assert said["decisions"]["ENTRY"] == 1
    assert Decimal(said["funding"]) > 0
    assert said["positions"] == said["venue_positions"]
    assert Decimal(said["positions"]["binanceusdm:perp:BTCUSDT"]) < 0
    assert (said["breaks_opened"], said["in_doubt"], said["duplicate_orders"]) == (0, 0, 0)


@needs_data
@pytest.mark.soak
@pytest.mark.feature("S03", part="recorded")
def test_in_the_squeeze_the_gate_never_opens_and_the_run_says_why() -> None:
    said = played("2025-05_eth_squeeze", 3)
    assert (said["trades"], said["orders_sent"], said["venue_orders"]) == (0, 0, 0)
    assert said["decisions"]["STALE"] >= 1000  # the recorded hole of the perp on the first day is never filled
    assert said["decisions"]["HOLD"] >= 1000  # and does not outlive itself
    assert "f_hat" in said["why"]
