"""The guard as it lives in a process: it tightens by itself, and no restart loosens what only an operator may."""

from __future__ import annotations

import signal

import pytest

from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from tests.journeys.test_faults import SHORT, assert_confirmed, drill, send
from tests.journeys.test_sigkill import WAIT_S, Drill
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]
__all__ = ["drill"]

IMPATIENT = {"freshness.account_s": "5", "reconcile.interval_s": "2", "guard.silent_max_s": "10"}
"""So that a venue's silence is noticed within a test's patience."""


async def impatient(drill: Drill, name: str) -> Child:
    """An armed daemon on the drill's book; market time stands."""
    changes = {
        "data_dir": str(drill.directory / "book"),
        "sandbox.ready_file": str(drill.directory / "exchange" / "ready.json"),
        **IMPATIENT,
    }
    (drill.directory / f"{name}.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
    child = born(name, ("run", "--config", f"{name}.yaml", "--arm"), drill.directory)
    await until_status(drill, child, "armed", lambda said: said["live"]["phase"] == "armed")
    return child


async def until_status(drill: Drill, daemon: Child, what: str, is_so: object) -> None:
    async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:

        async def is_there() -> bool:
            try:
                return bool(is_so(await operator.get("/status")))  # type: ignore[operator]  # a question by call
            except (NotListeningError, ControlRefusedError):
                return False

        await daemon.until(what, is_there, WAIT_S)


async def guard_of(drill: Drill) -> str:
    async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:
        return str((await operator.get("/status"))["guard"]["state"])


@pytest.mark.feature("K06", part="process")
@pytest.mark.feature("K12", part="process")
async def test_a_venue_that_falls_silent_leaves_the_book_reducing_over_restarts_until_an_operator_rearms(
    drill: Drill,
) -> None:
    first = await impatient(drill, "first")
    await drill.run_market_until(first, 0.2)  # a pair stands whole: what a silence in mid-clip leaves is another story
    send(drill.sandbox, signal.SIGSTOP)
    await until_status(drill, first, "reducing", lambda said: said["guard"]["state"] == "REDUCING")
    send(first, signal.SIGKILL)
    await first.ended(WAIT_S)
    send(drill.sandbox, signal.SIGCONT)
    second = await impatient(drill, "second")
    assert await guard_of(drill) == "REDUCING"
    assert await second.stop(WAIT_S) == 0
    third = await impatient(drill, "third")
    try:
        async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:
            await operator.post("/rearm", {"reason": "the venue is back"})
        await until_status(drill, third, "active again", lambda said: said["guard"]["state"] == "ACTIVE")
        await drill.run_market_until(third, 0.5)
        clock = await drill.exchange.get("/status")
    finally:
        code = await third.stop(WAIT_S)
    outcome = drill.outcome(clock, await drill.exchange.get("/books"), code)
    assert_confirmed(outcome)
    assert outcome.document["positions"][SHORT] != "0"
