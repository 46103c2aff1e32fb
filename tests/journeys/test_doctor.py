"""The preflight as an operator meets it: `doctor` in a shell, and a daemon that refuses to arm with the same lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.web.client import LocalClient
from tests.journeys.test_faults import in_phase
from tests.journeys.test_sigkill import WAIT_S, Drill
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]


@pytest.fixture
async def drill(tmp_path: Path) -> AsyncIterator[Drill]:
    """A sandbox whose market is held, and the configuration of a daemon."""
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--seed", "7", "--days", "2")
    sandbox = born("sandbox", arguments, tmp_path)
    try:
        ready = tmp_path / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, WAIT_S)
        changes = {"data_dir": str(tmp_path / "book"), "sandbox.ready_file": str(ready)}
        (tmp_path / "daemon.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            await exchange.post("/clock", {"hold": True})
            yield Drill(tmp_path, sandbox, exchange)
    finally:
        await sandbox.stop(WAIT_S)


def command(drill: Drill, name: str, *words: str) -> Child:
    return born(name, (*words, "--config", "daemon.yaml"), drill.directory)


@pytest.mark.feature("U02")
async def test_doctor_is_green_and_leaves_with_ok_on_the_file_that_is_shipped(drill: Drill) -> None:
    doctor = command(drill, "doctor", "doctor", "--json")
    assert await doctor.ended(WAIT_S) == 0, doctor.tail()
    told = orjson.loads(doctor.log.read_bytes())
    assert told["ok"]
    assert {check["light"] for check in told["checks"]} == {"green"}
    assert not (drill.directory / "book").exists()
    account = (await drill.exchange.get("/books"))["accounts"]["sandbox-key"]
    assert account["orders"] == {"spot": [], "usdm": [], "coinm": []}


@pytest.mark.feature("U02")
@pytest.mark.feature("G05")
async def test_a_daemon_does_not_arm_with_a_key_that_can_withdraw_and_says_the_line_of_doctor(drill: Drill) -> None:
    await drill.exchange.post("/conditions", {"rights": {"enableWithdrawals": True}})
    doctor = command(drill, "doctor", "doctor", "--json")
    assert await doctor.ended(WAIT_S) == 1
    told = orjson.loads(doctor.log.read_bytes())
    (line,) = [check for check in told["checks"] if check["light"] == "red"]
    assert line["check"] == "binance.rights"

    armed = command(drill, "armed", "run", "--arm", "--json")
    assert await armed.ended(WAIT_S) == 1
    error = orjson.loads(armed.log.read_text(encoding="utf-8").splitlines()[-1])["error"]
    assert error["kind"] == "PreflightFailedError"
    assert f"binance.rights: found {line['found']}; expected {line['expected']}; {line['remedy']}" in error["message"]
    assert not (drill.directory / "book").exists()


@pytest.mark.feature("U02")
async def test_a_daemon_that_only_watches_is_warned_and_starts(drill: Drill) -> None:
    await drill.exchange.post("/conditions", {"hedge_mode": True})
    daemon = command(drill, "watching", "run")
    await in_phase(drill, daemon, "disarmed")
    assert await daemon.stop(WAIT_S) == 0
    logged = [orjson.loads(row) for row in daemon.log.read_text(encoding="utf-8").splitlines() if row.startswith("{")]
    (warned,) = [row for row in logged if row.get("light") == "red"]
    assert (warned["event"], warned["found"]) == ("binance.position_mode", "hedged positions in binanceusdm")

    doctor = command(drill, "doctor", "doctor")
    assert await doctor.ended(WAIT_S) == 0, doctor.tail()  # the start has set what it found
