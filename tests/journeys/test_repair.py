"""A stopped book, a hand at its account meanwhile, and `basis-daemon repair`: shown, booked, and started reconciled."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.test_forced import COIN, ended, market
from tests.journeys.test_sigkill import WAIT_S, Drill

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240), pytest.mark.feature("R08")]


async def repair(drill: Drill, *words: str) -> tuple[int | None, dict[str, Any]]:
    """Exit code and answer of the command."""
    command = (sys.executable, "-m", "basis_daemon", "repair", "--config", "daemon1.yaml", "--json", *words)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, cwd=drill.directory)
    said, _ = await process.communicate()
    document: dict[str, Any] = json.loads(said)
    return process.returncode, document


async def test_what_a_hand_did_while_the_daemon_was_stopped_is_shown_booked_and_reconciled(tmp_path: Path) -> None:
    async with market(tmp_path, "--seed", "7", "--days", "2") as drill:
        daemon = await drill.daemon("null")
        await drill.run_market_until(daemon, 0.3)
        refused, why = await repair(drill)
        assert refused == 1
        assert "written by another process" in json.dumps(why)
        assert await daemon.stop(WAIT_S) == 0
        event = {"kind": "trade", "market": "spot", "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.05"}
        await drill.exchange.post("/market", event)

        code, shown = await repair(drill)
        assert (code, shown["is_reconciled"], shown["is_booked"], shown["breaks"]) == (1, False, False, [])
        moved = sum((Decimal(trade["deltas"][COIN]) for trade in shown["trades"]), Decimal(0))
        assert moved == Decimal("-0.05")
        assert {trade["order_id"][:4] for trade in shown["trades"]} == {"web_"}

        code, booked = await repair(drill, "--apply")
        assert (code, booked["is_booked"], booked["trades"]) == (0, True, shown["trades"])
        code, after = await repair(drill)
        assert (code, after["is_reconciled"]) == (0, True)

        outcome = await ended(drill, await drill.daemon("null"), 0.5)
    said = outcome.document
    assert (said["breaks"], said["breaks_opened"], said["in_doubt"]) == (0, 0, 0)
    assert said["positions"] == said["venue_positions"]
