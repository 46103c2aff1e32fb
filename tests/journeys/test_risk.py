"""The risk view of a living daemon on paper, asked by the command, and of its journal once the daemon is gone."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from basis_daemon.demo.configuration import SANDBOX_CHAIN_CONFIG
from tests.journeys.test_paper import PERP, SPOT, paper_on_a_sandbox_market

COMMAND_S = 60.0
SHOCKS = ("price", "basis", "peg", "borrow", "funding")


async def asked(directory: Path, *words: str) -> dict[str, Any]:
    """What the command says, in a process of its own."""
    command = (sys.executable, "-m", "basis_daemon", "risk", *words, "--json")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=directory, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(COMMAND_S):
        said, complained = await process.communicate()
    assert process.returncode == 0, complained.decode() + said.decode()
    document = json.loads(said)
    assert isinstance(document, dict)
    return document


@pytest.mark.journey
@pytest.mark.timeout(300)
@pytest.mark.feature("K04", part="process")
@pytest.mark.feature("K11", part="process")
async def test_a_daemon_and_its_journal_name_the_short_that_binds(tmp_path: Path) -> None:
    async with paper_on_a_sandbox_market(tmp_path) as paper:
        async with paper.life() as daemon:
            await paper.entered(daemon)
            await paper.run_market_until(daemon, 0.3)
            live = await asked(tmp_path, "--socket", str(tmp_path / "book" / "control.sock"))
            grid = await asked(tmp_path, "--stress", "--socket", str(tmp_path / "book" / "control.sock"))
            plan = await asked(tmp_path, "--plan", "--socket", str(tmp_path / "book" / "control.sock"))
        kept = await asked(tmp_path, "--journal", str(tmp_path / "book" / "journal.sqlite"))
    for found in (live, kept):
        first = found["binding"]
        assert (first["position"], first["constraint"], first["direction"]) == (PERP, "maintenance margin", "rise")
        assert found["state"] == "ACTIVE"
        assert Decimal(found["z"]) > 1
        assert 0 < Decimal(found["hours_drift"]) <= Decimal(found["z"]) * 24 + 1
        assert Decimal(found["unwind"]["cost_usdt"]) > 0
        assert {leg["what"] for leg in found["unwind"]["legs"]} == {SPOT, PERP}
        assert {row["name"] for row in found["caps"] if row["dimension"] == "counterparty"} == {"binance", "tether"}
    assert (plan["needs"], [each["name"] for each in plan["strategies"]]) == (0, [live["binding"]["strategy"]])
    assert grid["mildest_with_casualty"]["first_casualty"]["site"] == live["binding"]["site"]
    assert {cell["outage"] for cell in grid["cells"]} == {None, "binance"}
    unmoved = next(cell for cell in grid["cells"] if not any(float(cell[name]) for name in SHOCKS))
    assert abs(Decimal(unmoved["equity_usdt"]) - Decimal(grid["equity_usdt"])) < 1


@pytest.mark.journey
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("chain_world")
@pytest.mark.feature("K10", part="process")
def test_a_lender_on_the_chain_lends_nothing_past_the_cap_of_its_protocol(tmp_path: Path) -> None:
    """It would lend 98 %; with half as its cap every entry is denied by the cap's own reason, and nothing leaves."""
    config = tmp_path / "capped.yaml"
    text, count = re.subn(
        r"\n  caps: {}.*", "\n  caps: {protocol: {aave_v3: 0.5}}", SANDBOX_CHAIN_CONFIG.read_text("utf-8")
    )
    assert count == 1
    config.write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "basis_daemon", "demo", "--strategy", "pure_lending", "--days", "1", "--config",
             str(config), "--keep", str(tmp_path / "run"), "--json"]  # fmt: skip
    said = json.loads(subprocess.run(words, capture_output=True, text=True, check=False, timeout=550).stdout)
    assert said["decisions"]["ENTRY"] > 0
    assert (said["trades"], said["transactions"]) == (0, 0)
    assert "cap_protocol" in said["why"]
    assert "with aave_v3" in said["why"]
