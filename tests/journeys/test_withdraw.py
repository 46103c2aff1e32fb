"""Investor capital through a whole life: freed by command, taken out at the exchange, booked as what it is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from basis_daemon.demo.processes import Child
from basis_daemon.web.client import LocalClient
from tests.journeys.test_faults import ALIVE, SHORT, assert_confirmed, drill, orders_at_venue
from tests.journeys.test_sigkill import WAIT_S, Drill

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]
__all__ = ["drill"]

D = Decimal
CASH, COIN = "binance:spot:USDT", "binance:spot:BTC"
AMOUNT = D(10_000)


async def command(drill: Drill, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of one command line against the drill's daemon."""
    socket = drill.directory / "book" / "control.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "basis_daemon", *words, "--socket", str(socket), "--json",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(WAIT_S):
        said, _ = await process.communicate()
    return process.returncode or 0, orjson.loads(said)


async def until_status(
    drill: Drill, daemon: Child, what: str, is_so: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with LocalClient.at_socket(Path(drill.directory / "book" / "control.sock")) as operator:

        async def is_there() -> bool:
            found.clear()
            found.update(await operator.get("/status"))
            return bool(is_so(found))

        await daemon.until(what, is_there, WAIT_S)
    return found


async def balance(drill: Drill, asset: str = "USDT") -> Decimal:
    (book,) = (await drill.exchange.get("/books"))["accounts"].values()
    return D(book["balances"]["spot"].get(asset, "0"))


def pending(status: dict[str, Any]) -> Decimal:
    return sum((D(row["pending_usdt"]) for row in status["withdrawals"]), D(0))


@pytest.mark.feature("P04", part="process")
async def test_capital_is_freed_by_command_taken_out_by_hand_and_booked_without_touching_the_share_price(
    drill: Drill,
) -> None:
    daemon = await drill.daemon(ALIVE)
    try:
        await orders_at_venue(drill, 3, daemon)
        await drill.run_market_until(daemon, 0.3)
        wish = ("withdraw", str(AMOUNT), "--id", "july-fees", "--reason", "fees of July")
        code, said = await command(drill, *wish)
        assert (code, D(said["pending_usdt"]), said["strategy"]) == (0, AMOUNT, "btc_basis")
        assert await command(drill, *wish) == (code, said), "asked again under the same key, it is the same wish"
        assert (await command(drill, "withdraw", "9", "--id", "july-fees", "--reason", "slip"))[0] == 1
        await drill.run_market_until(daemon, 0.5)
        status = await until_status(drill, daemon, "valued", lambda said: said["equity_usdt"] is not None)
        freed = await balance(drill)
        assert AMOUNT <= freed < AMOUNT + 5_000, orjson.dumps(status["strategies"]).decode()
        assert pending(status) == AMOUNT
        await drill.exchange.post(
            "/capital", {"kind": "withdrawal", "asset": "USDT", "amount": str(AMOUNT), "fee": "1"}
        )
        status = await until_status(drill, daemon, "gone", lambda said: pending(said) == 0)
        assert status["breaks"] == []
        await drill.exchange.post("/capital", {"kind": "deposit", "asset": "USDT", "amount": "25000"})
        await drill.run_market_until(daemon, 0.8)
        clock = await drill.exchange.get("/status")
    finally:
        exit_code = await daemon.stop(WAIT_S)
    outcome = drill.outcome(clock, await drill.exchange.get("/books"), exit_code)
    assert_confirmed(outcome)
    assert outcome.document["positions"][SHORT] != "0"
    async with asyncio.timeout(WAIT_S):
        journal = str(drill.directory / "book" / "journal.sqlite")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "basis_daemon", "pnl", "--journal", journal, "--json", stdout=asyncio.subprocess.PIPE
        )
        pnl = orjson.loads((await process.communicate())[0])
    assert D(pnl["by_cause"]["flows"]) == 25_000 - AMOUNT
    assert D(pnl["by_cause"]["unexplained"]) == D(pnl["residual"]) == 0
