"""The daemon killed at named points of an order's life comes back by itself: nothing lost, nothing sent twice."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.outcome import Outcome, RunFacts, judge
from basis_daemon.demo.processes import Child
from basis_daemon.engine.book_view import BookView
from basis_daemon.journal.reader import JournalReader
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError

WAIT_S = 90.0
POINTS = (
    "after_intent:1",
    "after_intent:2",
    "after_send:1",
    "after_send:2",
    "between_legs:1",
    "after_fill:2",
)
"""The first order is the margin transfer, then spot and perp take turns."""


class Drill:
    """A sandbox market held in hand, and daemons that come and go on one journal."""

    def __init__(self, directory: Path, sandbox: Child, exchange: LocalClient) -> None:
        self.directory, self.sandbox, self.exchange = directory, sandbox, exchange
        self.clock = SystemClock()
        self._lives = 0

    async def daemon(self, kill_at: str) -> Child:
        """Armed, with market time held."""
        self._lives += 1
        name = f"daemon{self._lives}"
        changes = {
            "data_dir": str(self.directory / "book"),
            "sandbox.ready_file": str(self.directory / "exchange" / "ready.json"),
            "sandbox.kill_at": kill_at,
        }
        (self.directory / f"{name}.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
        child = await Child.start(name, ("run", "--config", f"{name}.yaml", "--arm"), self.directory, self.clock)
        async with LocalClient.at_socket(self.directory / "book" / "control.sock") as operator:

            async def is_armed() -> bool:
                try:
                    return bool((await operator.get("/status"))["live"]["phase"] == "armed")
                except (NotListeningError, ControlRefusedError):
                    return False

            await child.until("armed", is_armed, WAIT_S)
        return child

    async def run_market_until(self, daemon: Child, day_share: float) -> None:
        await self.exchange.post("/clock", {"resume": True})

        async def is_there() -> bool:
            return bool((await self.exchange.get("/status"))["days_done"] >= day_share)

        await daemon.until("through the market", is_there, WAIT_S)
        await self.exchange.post("/clock", {"hold": True})

    def outcome(self, clock: dict[str, Any], books: dict[str, Any], exit_code: int) -> Outcome:
        with JournalReader.open(self.directory / "book" / "journal.sqlite") as journal:
            journal.verify()
            view = BookView().fold(journal.rows())
        accounts = {"spot": "binance", "usdm": "binanceusdm"}
        return judge(view, books, RunFacts("btc_basis", 7, history=False, window=None, clock=clock,
                                           daemon_exit_code=exit_code, accounts=accounts))  # fmt: skip


@pytest.mark.journey
@pytest.mark.timeout(300)
@pytest.mark.feature("H02", part="order")
@pytest.mark.feature("O03", part="journey")
@pytest.mark.feature("O04", part="journey")
@pytest.mark.feature("R01")
@pytest.mark.parametrize("point", POINTS)
async def test_a_daemon_killed_in_mid_entry_ends_reconciled_and_sends_nothing_twice(point: str, tmp_path: Path) -> None:
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--seed", "7", "--days", "1")
    sandbox = await Child.start("sandbox", arguments, tmp_path, SystemClock())
    try:
        ready = tmp_path / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, WAIT_S)
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            drill = Drill(tmp_path, sandbox, exchange)
            await exchange.post("/clock", {"hold": True})
            outcome = await killed_and_back(drill, point)
    finally:
        await sandbox.stop(WAIT_S)
    assert outcome.is_good, outcome.failed
    assert outcome.document["duplicate_orders"] == 0
    assert outcome.document["in_doubt"] == 0
    assert outcome.document["positions"] == outcome.document["venue_positions"]
    assert outcome.document["positions"]["binanceusdm:perp:BTCUSDT"] != "0"


async def killed_and_back(drill: Drill, point: str) -> Outcome:
    first = await drill.daemon(point)
    try:
        await drill.exchange.post("/clock", {"resume": True})
        assert await first.ended(WAIT_S) == -signal.SIGKILL
        await drill.exchange.post("/clock", {"hold": True})
    finally:
        await first.stop(WAIT_S)
    second = await drill.daemon("null")
    try:
        await drill.run_market_until(second, 0.3)
        clock = await drill.exchange.get("/status")
    finally:
        exit_code = await second.stop(WAIT_S)
    return drill.outcome(clock, await drill.exchange.get("/books"), exit_code)
