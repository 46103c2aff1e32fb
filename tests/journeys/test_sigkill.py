"""The daemon killed at named points of an order's life comes back by itself: nothing lost, nothing sent twice."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import orjson
import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.outcome import RunFacts, judge
from basis_daemon.demo.processes import Child, DemoFailedError
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.judgement import Outcome
from basis_daemon.journal.reader import JournalReader
from basis_daemon.ports import KillPoint
from basis_daemon.simulation.incident import IDENTICAL, by_terms, replay_incident
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from tests.process.nursery import born

WAIT_S = 90.0
ALIVE = "null"

CHAINS = {
    "transfer": ("before_intent:1", "after_intent:1", "after_ack:1", "after_send:1"),
    "legs": ("between_clips:1", "between_legs:1", "after_ack:1", "after_send:1", "after_fill:2"),
    "start": ("after_send:2", "in_start_up:1", "in_start_up:2", "in_start_up:3"),
    "upkeep": ("in_reconcile:1", "during_snapshot:1", "during_pruning:1", "during_pruning:3"),
    "drain": ("in_drain:1", "in_drain:2", "in_drain:3"),
}
"""Each life of a chain is killed at its point, and the next one goes on from there, at the same market.

The first order of an entry is the margin transfer, then spot and perp take turns.
"""

UPKEEP = {
    "journal__snapshot_rows": "100",
    "journal__keep_days": "0",
    "journal__keep_decisions_days": "0",
    "journal__keep_snapshots": "1",
}
"""Snapshots often, and nothing kept behind the last one: the pruning of months within a minute."""


class Drill:
    """A sandbox market held in hand, and daemons that come and go on one journal."""

    def __init__(self, directory: Path, sandbox: Child, exchange: LocalClient) -> None:
        self.directory, self.sandbox, self.exchange = directory, sandbox, exchange
        self.clock = SystemClock()
        self._lives = 0

    async def daemon(self, kill_at: str) -> Child:
        """Armed, with market time held."""
        child = await self.start(kill_at)
        await self.armed(child)
        return child

    async def start(self, kill_at: str, **more: str) -> Child:
        """On its way; ``more`` are keys of the configuration with two underscores for the dot."""
        self._lives += 1
        name = f"daemon{self._lives}"
        changes = {
            "data_dir": str(self.directory / "book"),
            "sandbox.ready_file": str(self.directory / "exchange" / "ready.json"),
            "sandbox.kill_at": kill_at,
        } | {key.replace("__", "."): value for key, value in more.items()}
        (self.directory / f"{name}.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
        return born(name, ("run", "--config", f"{name}.yaml", "--arm"), self.directory)

    async def armed(self, child: Child) -> None:
        """Until it is, or until it has died before anybody could see it."""
        async with LocalClient.at_socket(self.directory / "book" / "control.sock") as operator:

            async def is_armed() -> bool:
                try:
                    return bool((await operator.get("/status"))["live"]["phase"] == "armed")
                except (NotListeningError, ControlRefusedError):
                    return False

            try:
                await child.until("armed", is_armed, WAIT_S)
            except DemoFailedError:
                if child.exit_code != -signal.SIGKILL:
                    raise

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
        accounts = {"sandbox-key": {"spot": "binance", "usdm": "binanceusdm"}}
        return judge(view, books, RunFacts("btc_basis", 7, history=False, window=None, clock=clock,
                                           daemon_exit_code=exit_code, accounts=accounts))  # fmt: skip


@pytest.mark.journey
@pytest.mark.timeout(300)
@pytest.mark.feature("H02", part="order")
@pytest.mark.feature("O03", part="journey")
@pytest.mark.feature("O04", part="journey")
@pytest.mark.feature("R01")
@pytest.mark.feature("B05", part="killed")
@pytest.mark.fault("F45", "F46", "F47")
@pytest.mark.parametrize(
    "chain", [pytest.param(name, marks=pytest.mark.fault("F48") if name == "upkeep" else ()) for name in CHAINS]
)
async def test_a_daemon_killed_again_and_again_ends_reconciled_and_sends_nothing_twice(
    chain: str, tmp_path: Path
) -> None:
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--seed", "7", "--days", "2")
    sandbox = born("sandbox", arguments, tmp_path)
    try:
        ready = tmp_path / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, WAIT_S)
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            drill = Drill(tmp_path, sandbox, exchange)
            for point in CHAINS[chain]:
                await exchange.post("/clock", {"hold": True})
                await killed(drill, point)
            outcome = await finished(drill)
    finally:
        await sandbox.stop(WAIT_S)
    assert outcome.is_good, outcome.failed
    assert outcome.document["duplicate_orders"] == 0
    assert outcome.document["in_doubt"] == 0
    assert outcome.document["positions"] == outcome.document["venue_positions"]
    assert outcome.document["positions"]["binanceusdm:perp:BTCUSDT"] != "0"
    decides_the_same_again(tmp_path / "book" / "journal.sqlite")


def decides_the_same_again(file: Path) -> None:
    """From wherever the lives before have left the journal: cut, restarted, pruned, emptied."""
    with JournalReader.open(file) as journal:
        rows = journal.rows(max(journal.seal.through, journal.seal.decisions_through))
        said = replay_incident(rows, by_terms(None, str(file))).document()
    assert (said["result"], said["without_sight"], said["differing"]) == (IDENTICAL, 0, 0), said["first_difference"]
    assert said["decisions"] > 0


def test_every_point_has_its_death() -> None:
    here = {point for point in KillPoint if not point.startswith(("tx_", "transfer_"))}  # those need a chain
    assert {point.partition(":")[0] for chain in CHAINS.values() for point in chain} == here


async def killed(drill: Drill, point: str) -> None:
    """One life: started, let loose on the market, told to leave where that is its drill, dead at its point."""
    daemon = await drill.start(point, **(UPKEEP if point.startswith("during_") else {}))
    try:
        if not point.startswith(KillPoint.IN_START_UP):
            await drill.armed(daemon)
            await drill.exchange.post("/clock", {"resume": True})
        if point.startswith(KillPoint.IN_DRAIN):
            await daemon.stop(WAIT_S)
        assert await daemon.ended(WAIT_S) == -signal.SIGKILL, daemon.tail()
    finally:
        await daemon.stop(WAIT_S)


async def finished(drill: Drill) -> Outcome:
    """The last life: some hours of market, and a way out in order."""
    await drill.exchange.post("/clock", {"hold": True})
    daemon = await drill.daemon(ALIVE)
    try:
        await drill.run_market_until(daemon, (await drill.exchange.get("/status"))["days_done"] + 0.3)
        clock = await drill.exchange.get("/status")
    finally:
        exit_code = await daemon.stop(WAIT_S)
    return drill.outcome(clock, await drill.exchange.get("/books"), exit_code)
