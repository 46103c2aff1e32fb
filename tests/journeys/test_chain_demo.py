"""Books on the sandbox chain live through their stories, and the chain confirms every transaction and balance."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from basis_daemon.demo.chain_story import LENDING
from tests.journeys.test_eth_demo import played

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900), pytest.mark.usefixtures("chain_world")]

Json = dict[str, Any]
ROUNDED_MAX = Decimal("0.000004")
"""Two units of USDT for each of two operations."""


def holds_the_contract(said: Json) -> None:
    """What must be true of every run on the chain, whoever lived there."""
    assert said["ok"], said["checks"]
    assert (said["duplicate_orders"], said["in_doubt"], said["breaks"], said["foreign_orders"]) == (0, 0, 0, 0)
    assert said["orders_sent"] == said["venue_orders"] == said["trades"]
    assert said["positions"] == said["venue_positions"]
    assert said["unexplained"] == "0"
    change = Decimal(said["equity_end"]) - Decimal(said["equity_start"])
    assert sum(Decimal(amount) for amount in said["pnl"].values()) == change


@pytest.mark.feature("S08")
@pytest.mark.feature("R05", part="chain")
@pytest.mark.feature("R07", part="chain")
@pytest.mark.feature("Y04", part="chain")
def test_pure_lending_earns_through_a_rush_and_leaves_when_usdt_falls_below_its_floor(tmp_path: Path) -> None:
    report, run = tmp_path / "report.html", tmp_path / "run"
    said = played("--strategy", "pure_lending", "--days", "1", "--report", str(report), "--keep", str(run))
    holds_the_contract(said)
    assert (said["decisions"]["ENTRY"], said["decisions"]["CARRY_EXIT"]) == (1, 1)
    assert (said["transactions"], said["group_transactions"], said["min_health_factor"]) == (3, 0, None)
    assert Decimal(said["pnl"]["lending"]) > 0
    assert abs(Decimal(said["pnl"]["rounding"])) <= ROUNDED_MAX
    assert Decimal(said["gas_eth"]) > 0
    assert set(said["positions"]) == {"wallet:token:ETH", "wallet:token:USDT"}, "all of it is back in the wallet"
    assert [scene["says"] for scene in said["story"]] == [scene.says for scene in LENDING.scenes]
    page = report.read_text(encoding="utf-8")
    assert all(words in page for words in ('id="timeline-pure_lending"', LENDING.scenes[0].says, "allowance"))
    _is_explained(run / "book" / "journal.sqlite")


def _is_explained(journal: Path) -> None:
    """The commands answer from the journal that was kept."""
    words = [sys.executable, "-m", "basis_daemon", "orders", "--journal", str(journal), "--json"]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=100).stdout)
    assert [(row["operation"], row["amount"], row["state"]) for row in found["orders"]] == [
        ("supply", "980000", "FILLED"),
        ("withdraw", "MAX", "FILLED"),
    ]
    assert all(row["reason"] for row in found["orders"])
    words = [sys.executable, "-m", "basis_daemon", "journal", "replay", str(journal), "--json"]
    again = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=200).stdout)
    assert (again["result"], again["without_sight"]) == ("identical", 0)
    assert again["decisions"] > 0


@pytest.mark.feature("R07", part="chain")
def test_staking_is_unmoved_by_prices_and_leaves_when_its_issuer_loses_too_much() -> None:
    said = played("--strategy", "eth_staking_only", "--days", "2")
    holds_the_contract(said)
    assert said["numeraire"] == "ETH"
    reasons = said["decisions"]
    assert (reasons["ENTRY"], reasons["CARRY_EXIT"], reasons["WITHDRAWAL"]) == (1, 1, 1)
    assert (said["group_transactions"], said["min_health_factor"]) == (0, None)
    assert not [key for key in said["positions"] if ":claim:" in key or ":lst:" in key], "paid out, once"
    assert Decimal(said["pnl"]["staking"]) < 0, "slashed"
    dust = Decimal("1e-15")  # what conversions of shares leave when they round to whole wei
    assert Decimal(said["pnl"]["price"]) > -dust, "an oracle that marks the token down is no loss of it"


@pytest.mark.feature("S07")
@pytest.mark.feature("R05", part="chain")
@pytest.mark.feature("R07", part="chain")
def test_leveraged_staking_lives_through_a_rush_a_mark_down_and_a_slashing_and_is_out_of_debt_at_the_end() -> None:
    said = played("--strategy", "eth_leveraged")
    holds_the_contract(said)
    reasons = said["decisions"]
    levered = {"ENTRY": 3, "SPIKE_EXIT": 1, "LTV_BAND": 1, "SCALE": 1}
    assert {reason: reasons[reason] for reason in levered} == levered, "staked, levered, left, levered, reduced, raised"
    assert reasons["DRAWDOWN"] >= 1
    assert said["group_transactions"] == 6, "each of them one transaction: two entries, two exits, down and up"
    assert said["pnl"]["flash_fee"] == "0", "the cheapest lender takes none"
    assert Decimal(said["min_health_factor"]) > Decimal("1.04")
    assert said["checks"]["target_ltv"]
    assert not [key for key in said["positions"] if key.startswith("aave_v3") or ":lst:" in key], "all of it is ETH"
