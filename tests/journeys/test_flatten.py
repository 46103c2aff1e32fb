"""A book closed on an operator's word over two deaths of the daemon: a kill between two legs, a loop that stands."""

from __future__ import annotations

import signal
from decimal import Decimal
from typing import Any

import orjson
import pytest

from basis_daemon.cli.health import judge
from basis_daemon.demo.processes import Child
from basis_daemon.telemetry.watchdog import STALLED
from basis_daemon.web.client import LocalClient
from tests.journeys.test_faults import ALIVE, SHORT, drill
from tests.journeys.test_sigkill import WAIT_S, Drill
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]
__all__ = ["drill"]
CLIP_USDT = Decimal(25_000)
SLACK = Decimal("1.05")
"""Marks move between a clip's cut and its fill."""
REASON = "leaving the venue"


async def said(drill: Drill, path: str = "/status") -> dict[str, Any]:
    async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:
        return await operator.get(path)


async def cli(drill: Drill, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A command as an operator gives it: its exit code, and its JSON."""
    child = born("cli", (*arguments, "--config", "daemon1.yaml", "--json"), drill.directory)
    code = await child.ended(WAIT_S)
    return code, orjson.loads(child.tail().splitlines()[-1])


def worst_naked_usdt(book: dict[str, Any]) -> Decimal:
    """The furthest that the two legs ever stood apart at the venue, fill by fill, at the price of the fill."""
    sides = {row["orderId"]: row["side"] for market in ("spot", "usdm") for row in book["orders"][market]}
    fills = sorted((row for m in ("spot", "usdm") for row in book["fills"][m]), key=lambda row: int(row["id"]))
    net = worst = Decimal(0)
    for fill in fills:
        net += Decimal(fill["quantity"]) * (1 if sides[fill["orderId"]] == "BUY" else -1)
        worst = max(worst, abs(net) * Decimal(fill["price"]))
    return worst


async def rehearsed(drill: Drill, daemon: Child) -> tuple[int, dict[str, Any]]:
    """Its answer once every price that the cost of the plan asks for has come."""
    found: list[tuple[int, dict[str, Any]]] = []

    async def is_priced() -> bool:
        found.append(await cli(drill, "flatten", "--reason", REASON))
        return found[-1][1]["unwind"]["cost_usdt"] is not None

    await daemon.until("priced", is_priced, WAIT_S)
    return found[-1]


async def until_flat(drill: Drill, daemon: Child) -> None:
    async def is_flat() -> bool:
        found = (await said(drill, "/health"))["flatten"]
        return bool(found["is_on"] and not found["remains"])

    await daemon.until("flat", is_flat, WAIT_S)


@pytest.mark.feature("K09", part="process")
@pytest.mark.feature("V05", part="process")
@pytest.mark.feature("V06", part="process")
@pytest.mark.fault("F55")
async def test_a_book_is_flattened_over_a_kill_between_two_legs_and_a_loop_that_stands(drill: Drill) -> None:
    first = await drill.daemon(ALIVE)
    await drill.run_market_until(first, 0.2)
    live = await said(drill, "/health")
    vitals = live["vitals"]
    assert not judge(live).hindrances
    assert (vitals["task_failures"], vitals["loop_lag_s"] >= 0, vitals["queues"]["plans"]) == (0, True, 0)
    assert await first.stop(WAIT_S) == 0

    second = await drill.daemon("between_legs:3")
    code, plan = await rehearsed(drill, second)
    assert (code, plan["begun"], Decimal(plan["unwind"]["cost_usdt"]) > 0) == (1, False, True)
    legs = [(row["instrument"], row["side"]) for row in plan["strategies"][0]["orders"] if row["side"]]
    assert legs == [(SHORT, "BUY"), ("binance:spot:BTC", "SELL")]
    await drill.exchange.post("/clock", {"resume": True})
    code, begun = await cli(drill, "flatten", "--reason", REASON, "--yes")
    assert (code, begun["begun"], begun["durable"], begun["live"]["guard"]) == (0, True, True, "HALTED")
    assert await second.ended(WAIT_S) == -signal.SIGKILL

    third = await drill.start("in_reconcile:3:hang")
    assert await third.ended(WAIT_S) == STALLED
    stacks = (drill.directory / "book" / "stacks.txt").read_text()
    assert "in probe" in stacks
    assert "loop-watchdog" in stacks or "_watch" in stacks

    fourth = await drill.daemon(ALIVE)
    await until_flat(drill, fourth)
    health = judge(await said(drill, "/health"))
    assert (health.is_good, health.hindrances) == (True, ("guard HALTED",))
    leg_risk = (await said(drill))["leg_risk"]
    assert 0 < Decimal(leg_risk["worst_naked_usdt"]) <= CLIP_USDT * SLACK
    async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:
        await operator.post("/rearm", {"reason": "it is done"})
    await drill.exchange.post("/clock", {"hold": True})
    (book,) = (await drill.exchange.get("/books"))["accounts"].values()
    assert Decimal(book["positions"].get("BTCUSDT", "0")) == 0
    assert worst_naked_usdt(book) <= CLIP_USDT * SLACK
    clock = await drill.exchange.get("/status")
    outcome = drill.outcome(clock, await drill.exchange.get("/books"), await fourth.stop(WAIT_S))
    assert {check.name for check in outcome.failed} <= {"denied"}
    assert outcome.document["positions"].get(SHORT, "0") == "0"
