"""Market days in which everything goes wrong that one exchange and other hands can do: the contract still holds."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

HEAVY = frozenset(
    {
        "accept_then_drop", "bad_gateway", "cancel", "close_ws", "delay_response_s", "delist", "drop_fill",
        "duplicate_fill", "duplicate_ws", "executed_unknown", "expire_listen_key", "filters", "funding_interval",
        "gap_ws", "garbage", "halt", "late_request", "lie_account", "order", "overfill", "poison_ws", "price_ws",
        "reject", "reorder_ws", "resume", "skew", "stale_account", "stall_ws", "tiers", "trade", "unavailable",
    }
)  # fmt: skip


def played(folder: Path, *strategies: str) -> dict[str, Any]:
    words = ["demo", "--seed", "7", "--days", "1", "--faults", "heavy", "--json"]
    words += [word for name in strategies for word in ("--strategy", name)]
    run = subprocess.run(
        [sys.executable, "-m", "basis_daemon", *words, "--keep", str(folder / "run")],
        capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def assert_contract(said: dict[str, Any], *shorts: str) -> None:
    assert (said["duplicate_orders"], said["in_doubt"], said["breaks"]) == (0, 0, 0)
    assert said["orders_sent"] == said["venue_orders"]
    assert said["positions"] == said["venue_positions"]
    assert Decimal(said["unexplained"]) == 0
    assert Decimal(said["max_abs_delta_frac"]) <= Decimal("0.03")
    assert said["trades"] > 0
    assert all(said["positions"][short].startswith("-") for short in shorts)


BTC, ETH = "binanceusdm:perp:BTCUSDT", "binanceusdm_eth:perp:ETHUSDT"


@pytest.mark.feature("Q03", part="cex")
@pytest.mark.feature("S10", part="demo")
@pytest.mark.fault("manual_trade", "overfill", "foreign_order", "filter_change", "tier_change", "delisting")
@pytest.mark.fault("funding_interval_change", "venue_lags", "venue_lies", "reordered_frames", "late_request")
def test_with_every_fault_against_both_books_of_one_daemon_neither_loses_a_digit(tmp_path: Path) -> None:
    said = played(tmp_path, "btc_basis", "eth_basis")
    assert_contract(said, BTC, ETH)
    assert not HEAVY - set(said["faults_injected"])
    assert [Decimal(part["unexplained"]) for part in said["strategies"].values()] == [0, 0]
    assert said["faults_injected"]["overfill"] == 2
    assert said["foreign_orders"] >= 2
