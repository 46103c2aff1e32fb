"""The ETH book alone, and both books side by side in one daemon: the demo's contract for each and for their sum."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.test_recorded import DATA, needs_data

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

Json = dict[str, Any]
SUMS = ("equity_start", "equity_end", "funding", "fees")
COUNTS = ("trades", "orders_sent")


def played(*words: str) -> Json:
    run = subprocess.run(
        [sys.executable, "-m", "basis_daemon", "demo", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert run.returncode == 0, run.stderr
    document: Json = json.loads(run.stdout)
    return document


def holds_the_contract(said: Json) -> None:
    """What must be true of every run, whoever traded in it."""
    assert (said["duplicate_orders"], said["in_doubt"], said["breaks"]) == (0, 0, 0)
    assert said["orders_sent"] == said["venue_orders"]
    assert said["positions"] == said["venue_positions"]
    assert Decimal(said["unexplained"]) == 0
    assert Decimal(said["max_abs_delta_frac"]) <= Decimal("0.03")
    change = Decimal(said["equity_end"]) - Decimal(said["equity_start"])
    assert sum(Decimal(amount) for amount in said["pnl"].values()) == change


@needs_data
@pytest.mark.soak
@pytest.mark.feature("S01", part="eth-recorded")
def test_the_eth_book_enters_the_recorded_boom_and_is_paid_its_funding() -> None:
    said = played("--strategy", "eth_basis", "--history", str(DATA), "--window", "2024-03_funding_boom", "--days", "2")
    holds_the_contract(said)
    assert said["decisions"]["ENTRY"] == 1
    assert Decimal(said["funding"]) > 0


@pytest.mark.feature("S01", part="eth")
@pytest.mark.feature("S10", part="demo")
def test_two_books_in_one_daemon_hold_the_contract_each_and_together(tmp_path: Path) -> None:
    report, run = tmp_path / "report.html", tmp_path / "run"
    words = ["--strategy", "btc_basis", "--strategy", "eth_basis", "--seed", "7", "--days", "1"]
    said = played(*words, "--report", str(report), "--keep", str(run))
    holds_the_contract(said)
    parts: dict[str, Json] = said["strategies"]
    assert list(parts) == ["btc_basis", "eth_basis"]
    for part in parts.values():
        assert part["trades"] > 0
        assert part["decisions"]["ENTRY"] == 1
        assert Decimal(part["unexplained"]) == 0
        change = Decimal(part["equity_end"]) - Decimal(part["equity_start"])
        assert sum(Decimal(amount) for amount in part["pnl"].values()) == change
    assert all(said[name] == sum(part[name] for part in parts.values()) for name in COUNTS)
    assert all(Decimal(said[name]) == sum(Decimal(part[name]) for part in parts.values()) for name in SUMS)
    assert {key: amount for part in parts.values() for key, amount in part["positions"].items()} == said["positions"]
    page = report.read_text(encoding="utf-8")
    assert all(f'id="timeline-{name}"' in page for name in parts)
    _asked(run / "book" / "journal.sqlite", parts)


def _asked(journal: Path, parts: dict[str, Json]) -> None:
    """The commands answer by strategy from the journal that was kept."""

    def ask(command: str) -> Json:
        words = [sys.executable, "-m", "basis_daemon", command, "--journal", str(journal), "--json"]
        found: Json = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=100).stdout)
        return found

    pnl, status, positions = ask("pnl"), ask("status"), ask("positions")
    assert {name: part["equity_end"] for name, part in pnl["strategies"].items()} == {
        name: part["equity_end"] for name, part in parts.items()
    }
    assert {row["name"]: Decimal(row["equity_usdt"]) for row in status["strategies"]} == {
        name: Decimal(part["equity_end"]) for name, part in parts.items()
    }
    assert {row["strategy"] for row in positions["positions"]} == set(parts)
