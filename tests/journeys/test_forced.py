"""The venue takes the short away while the daemon lives: by deleveraging, and by liquidation in a leap of the price."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from basis_daemon.demo.processes import Child
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.judgement import Outcome
from basis_daemon.journal.reader import JournalReader
from basis_daemon.web.client import LocalClient
from tests.journeys.test_sigkill import WAIT_S, Drill
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240), pytest.mark.feature("C11")]

SHORT, COIN = "binanceusdm:perp:BTCUSDT", "binance:spot:BTC"
START = datetime(2026, 3, 1, tzinfo=UTC)
CALM, LEAP = 60_000, 87_600
"""A pair entered at m* .40 and 60,000 is liquidated at some 83,000: nobody can top up what leaps over that."""
UNHEDGED_MAX_S = Decimal(20)


@asynccontextmanager
async def market(directory: Path, *arguments: str) -> AsyncIterator[Drill]:
    """A sandbox whose market is held."""
    sandbox = born("sandbox", ("sandbox", "exchange", "--directory", "exchange", *arguments), directory)
    try:
        ready = directory / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, WAIT_S)
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            await exchange.post("/clock", {"hold": True})
            yield Drill(directory, sandbox, exchange)
    finally:
        await sandbox.stop(WAIT_S)


async def venue_book(drill: Drill) -> dict[str, dict[str, str]]:
    (book,) = (await drill.exchange.get("/books"))["accounts"].values()
    found: dict[str, dict[str, str]] = book
    return found


async def ended(drill: Drill, daemon: Child, day_share: float) -> Outcome:
    """Through the market, a drain, and the judgement."""
    try:
        await drill.run_market_until(daemon, day_share)
        clock = await drill.exchange.get("/status")
    finally:
        exit_code = await daemon.stop(WAIT_S)
    return drill.outcome(clock, await drill.exchange.get("/books"), exit_code)


def repairs(drill: Drill) -> dict[str, Decimal]:
    """Process seconds between each forced reduction and its repair, by what it was."""
    with JournalReader.open(drill.directory / "book" / "journal.sqlite") as journal:
        groups = [seen.row for seen in BookView().fold(journal.rows()).history.groups]
    return {group.how: group.naked_s_max for group in groups if group.how.endswith("repaired")}


async def test_a_deleveraged_short_is_answered_with_coin_within_the_leg_budget(tmp_path: Path) -> None:
    async with market(tmp_path, "--seed", "7", "--days", "2") as drill:
        daemon = await drill.daemon("null")
        await drill.run_market_until(daemon, 0.3)
        before = Decimal((await venue_book(drill))["positions"]["BTCUSDT"])
        assert before < Decimal("-0.5")
        event = {"kind": "adl", "market": "usdm", "symbol": "BTCUSDT", "quantity": "0.400"}
        assert (await drill.exchange.post("/market", event))["client_id"] == "adl_autoclose"
        outcome = await ended(drill, daemon, 0.6)
    said = outcome.document
    assert outcome.is_good, outcome.failed
    assert said["forced_reductions"] == 1
    assert Decimal(said["positions"][SHORT]) == before + Decimal("0.4")  # not entered again
    assert abs(Decimal(said["positions"][COIN]) + before + Decimal("0.4")) < Decimal("0.02")
    ((how, seconds),) = repairs(drill).items()
    assert how == "adl repaired"
    assert seconds <= UNHEDGED_MAX_S
    assert said["breaks_opened"] == 0


def leaping_history(directory: Path) -> None:
    """Calm days with rich funding, then one candle that opens 46 % higher."""
    hours = [START - timedelta(days=10) + timedelta(hours=n) for n in range(13 * 24)]
    rows = ["timestamp,venue,market,symbol,open,high,low,close"]
    for at in hours:
        level = LEAP if at >= START + timedelta(days=1) else CALM
        stamp = at.isoformat().replace("+00:00", "Z")
        for venue, kind in (("bybit", "spot"), ("binance", "perp")):
            rows.append(f"{stamp},{venue},{kind},BTCUSDT,{level},{level + 20},{level - 20},{level + 5}")
    (directory / "all").mkdir(parents=True)
    (directory / "all" / "candles_1h.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    paid = [f"{at.isoformat().replace('+00:00', 'Z')},binance,BTCUSDT,0.0006,8" for at in hours if at.hour % 8 == 0]
    header = "timestamp,venue,symbol,funding_rate,interval_hours"
    (directory / "all" / "funding.csv").write_text("\n".join([header, *paid, ""]), encoding="utf-8")
    dates = {"id": "all", "start": f"{START:%Y-%m-%d}", "end": f"{START + timedelta(days=1):%Y-%m-%d}"}
    (directory / "windows.json").write_bytes(orjson.dumps({"windows": [dates]}))


async def test_a_liquidated_short_leaves_no_naked_coin_behind(tmp_path: Path) -> None:
    leaping_history(tmp_path / "data")
    async with market(tmp_path, "--data", str(tmp_path / "data"), "--window", "all") as drill:
        daemon = await drill.daemon("null")
        await drill.run_market_until(daemon, 0.9)
        assert Decimal((await venue_book(drill))["positions"]["BTCUSDT"]) < Decimal("-0.5")
        outcome = await ended(drill, daemon, 1.3)
    said = outcome.document
    failed = {check.name for check in outcome.failed}
    assert failed - {"delta"} == {"liquidations"}  # whether a look at delta fell between the two is chance
    assert said["forced_reductions"] == 1
    assert SHORT not in said["positions"]
    ((how, seconds),) = repairs(drill).items()
    assert how == "liquidation repaired"
    assert seconds <= UNHEDGED_MAX_S
    held = Decimal(said["positions"].get(COIN, "0")) * LEAP / Decimal(said["equity_end"])
    assert held <= Decimal("0.01")
    assert (said["unexplained"], said["breaks"], said["breaks_opened"]) == ("0", 0, 0)
