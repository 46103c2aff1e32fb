"""The risk view of a living daemon on paper, asked by the command, and of its journal once the daemon is gone."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.test_paper import PERP, paper_on_a_sandbox_market

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
        kept = await asked(tmp_path, "--journal", str(tmp_path / "book" / "journal.sqlite"))
    for found in (live, kept):
        first = found["binding"]
        assert (first["position"], first["constraint"], first["direction"]) == (PERP, "maintenance margin", "rise")
        assert found["state"] == "ACTIVE"
        assert Decimal(found["z"]) > 1
        assert 0 < Decimal(found["hours_drift"]) <= Decimal(found["z"]) * 24 + 1
    assert grid["mildest_with_casualty"]["first_casualty"]["site"] == live["binding"]["site"]
    assert {cell["outage"] for cell in grid["cells"]} == {None, "binance"}
    unmoved = next(cell for cell in grid["cells"] if not any(float(cell[name]) for name in SHOCKS))
    assert abs(Decimal(unmoved["equity_usdt"]) - Decimal(grid["equity_usdt"])) < 1
