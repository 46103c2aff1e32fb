"""Processes of their own, broken while they enter: whatever was lost, killed or halted, book and venue agree after."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random

import orjson
import pytest

from basis_daemon.demo.processes import Child
from basis_daemon.engine.judgement import Outcome
from basis_daemon.journal.reader import JournalReader
from basis_daemon.journal.watermark import load_watermark
from basis_daemon.ports import RecordKind, StoredRecord
from basis_daemon.web.client import LocalClient, NotListeningError
from tests.journeys.test_sigkill import WAIT_S, Drill
from tests.process.nursery import born

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]

ALIVE = "null"
SPOT, PERP, TRANSFER = "/api/v3/order", "/fapi/v1/order", "/sapi/v1/asset/transfer"
SHORT = "binanceusdm:perp:BTCUSDT"
BOUNDS = {"freshness__account_s": "8", "reconcile__interval_s": "4"}
HALTED_S = 14
"""Beyond every bound of `freshness` in the configuration, with these."""


@pytest.fixture
async def drill(tmp_path: Path) -> AsyncIterator[Drill]:
    """A sandbox whose market is held, and room for daemons."""
    async with market(tmp_path) as found:
        yield found


@asynccontextmanager
async def market(tmp_path: Path, *more: str) -> AsyncIterator[Drill]:
    """The same, with ``more`` said to the sandbox."""
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--seed", "7", "--days", "2", *more)
    sandbox = born("sandbox", arguments, tmp_path)
    try:
        ready = tmp_path / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, WAIT_S)
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            await exchange.post("/clock", {"hold": True})
            yield Drill(tmp_path, sandbox, exchange)
    finally:
        send(sandbox, signal.SIGCONT)
        await sandbox.stop(WAIT_S)


def send(child: Child, number: signal.Signals) -> None:
    """A signal to a process that may have ended."""
    if child.exit_code is None:
        child._process.send_signal(number)


async def break_wire(drill: Drill, kind: str, **fields: object) -> None:
    await drill.exchange.post("/faults", {"kind": kind, **fields})


async def orders_at_venue(drill: Drill, count: int, daemon: Child) -> None:
    """Let the market run until so many orders have arrived."""
    await drill.exchange.post("/clock", {"resume": True})

    async def is_so() -> bool:
        books = (await drill.exchange.get("/books"))["accounts"].values()
        return sum(len(book["orders"][wallet]) for book in books for wallet in ("spot", "usdm")) >= count

    await daemon.until(f"sending {count} orders", is_so, WAIT_S)


async def in_phase(drill: Drill, daemon: Child, phase: str) -> None:
    async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:

        async def is_so() -> bool:
            try:
                return bool((await operator.get("/status"))["live"]["phase"] == phase)
            except NotListeningError:
                return False

        await daemon.until(phase, is_so, WAIT_S)


async def looked_at(drill: Drill, daemon: Child, times: int) -> None:
    """Return after so many looks at the market, each some 50 ms after the one before."""
    looks = iter(range(times))

    async def is_so() -> bool:
        await drill.exchange.get("/status")
        return next(looks, None) is None

    await daemon.until("looked at", is_so, WAIT_S)


async def judged(drill: Drill, daemon: Child, day_share: float) -> Outcome:
    """Through the market to ``day_share``, a drain, and the judgement."""
    try:
        await drill.run_market_until(daemon, day_share)
        clock = await drill.exchange.get("/status")
    finally:
        exit_code = await daemon.stop(WAIT_S)
    return drill.outcome(clock, await drill.exchange.get("/books"), exit_code)


def assert_confirmed(outcome: Outcome) -> None:
    assert outcome.is_good, outcome.failed
    document = outcome.document
    assert (document["duplicate_orders"], document["in_doubt"], document["breaks"]) == (0, 0, 0)
    assert document["breaks_opened"] == 0
    assert document["orders_sent"] == document["venue_orders"]
    assert document["positions"] == document["venue_positions"]


def assert_sealed(drill: Drill) -> None:
    """The last word of an orderly end is the whole state, and the watermark is on it."""
    path = drill.directory / "book" / "journal.sqlite"
    with JournalReader.open(path) as journal:
        head, newest = journal.verify(), journal.newest()
    assert newest is not None
    assert newest.record.kind is RecordKind.SNAPSHOT
    assert load_watermark(path) == head


@pytest.mark.feature("O04", part="process")
@pytest.mark.feature("C03", part="process")
@pytest.mark.fault("F01", "F02", "F14", "accept_then_drop", "garbage", "503")
async def test_answers_lost_on_the_transfer_and_on_both_legs_cost_nothing_but_time(drill: Drill) -> None:
    """F01, F02, F14: the money had moved, one leg had filled, the other was cut off in its answer and then refused."""
    daemon = await drill.daemon(ALIVE)
    await break_wire(drill, "accept_then_drop", method="POST", path=TRANSFER)
    await break_wire(drill, "accept_then_drop", method="POST", path=SPOT)
    await break_wire(drill, "garbage", method="POST", path=PERP)
    await break_wire(drill, "unavailable", method="POST", path=PERP)
    outcome = await judged(drill, daemon, 0.3)
    assert_confirmed(outcome)
    assert outcome.document["positions"][SHORT] != "0"


@pytest.mark.feature("O10", part="process")
@pytest.mark.feature("R02", part="process")
@pytest.mark.fault("F07", "F23", "F24", "F27", "duplicate_frames", "close_ws", "poison_ws")
async def test_fills_told_twice_or_not_at_all_over_streams_that_die_are_each_booked_once(drill: Drill) -> None:
    """F07, F23, F24, F27: every kind of stream trouble during the entry."""
    daemon = await drill.daemon(ALIVE)
    await break_wire(drill, "duplicate_fill", path="user", count=3)
    await break_wire(drill, "gap_ws", path="usdm", count=3)
    await orders_at_venue(drill, 1, daemon)
    await break_wire(drill, "drop_fill", path="user", count=2)
    await break_wire(drill, "close_ws", path="user-spot")
    await break_wire(drill, "expire_listen_key")
    await break_wire(drill, "poison_ws", path="user-usdm")
    outcome = await judged(drill, daemon, 1.0)
    assert_confirmed(outcome)
    assert outcome.document["positions"][SHORT] != "0"


@pytest.mark.fault("F21", "venue_rejects")
async def test_a_venue_that_refuses_every_short_is_not_paid_for_each_attempt(drill: Drill) -> None:
    """F21: each attempt buys, is refused, and sells again; the pauses between attempts double from 2 seconds on."""
    daemon = await drill.daemon(ALIVE)
    await break_wire(
        drill, "reject", method="POST", path=PERP, code=-2019, message="Margin is insufficient.", count=999
    )
    outcome = await judged(drill, daemon, 0.5)
    assert_confirmed(outcome)
    assert outcome.document["decisions"]["ENTRY"] > 50
    assert outcome.document["orders_sent"] <= 20


@pytest.mark.feature("E05", part="process")
@pytest.mark.fault("F52", "F54")
async def test_told_to_leave_in_mid_entry_it_leaves_hedged_and_a_second_one_waits_its_turn(drill: Drill) -> None:
    """F52, F54: one daemon per journal; the entry is cut between clips and completed by the next life.

    What became of the first short nobody tells it until it has heard that it is to leave: no later clip goes before.
    """
    first = await drill.daemon(ALIVE)
    second = born("second", ("run", "--config", "daemon1.yaml", "--arm"), drill.directory)
    assert await second.ended(WAIT_S) == 1
    assert "written by another process" in second.tail()
    await break_wire(drill, "accept_then_drop", method="POST", path=PERP)
    await break_wire(drill, "unavailable", method="GET", path=PERP, count=9999)
    await orders_at_venue(drill, 2, first)
    send(first, signal.SIGTERM)
    await in_phase(drill, first, "draining")
    await drill.exchange.delete("/faults")
    assert await first.ended(WAIT_S) == 0
    assert_sealed(drill)
    await drill.exchange.post("/clock", {"hold": True})
    cut = drill.outcome(await drill.exchange.get("/status"), await drill.exchange.get("/books"), 0)
    assert_confirmed(cut)
    assert cut.document["venue_orders"] == 2
    outcome = await judged(drill, await drill.daemon(ALIVE), 0.5)
    assert_confirmed(outcome)
    assert outcome.document["orders_sent"] > cut.document["orders_sent"]


@pytest.mark.feature("E05", part="process")
@pytest.mark.fault("F03", "F54")
async def test_a_venue_that_hangs_cannot_keep_it_and_the_order_on_the_wire_is_found_by_the_next_life(
    drill: Drill,
) -> None:
    """F03, F54: halted in the middle of an order, told to leave twice, and started again when the venue wakes."""
    daemon = await drill.daemon(ALIVE)
    await break_wire(drill, "delay_response_s", path=PERP, count=9999)
    await orders_at_venue(drill, 2, daemon)
    send(drill.sandbox, signal.SIGSTOP)
    send(daemon, signal.SIGTERM)
    await in_phase(drill, daemon, "draining")
    send(daemon, signal.SIGTERM)
    assert await daemon.ended(WAIT_S) == 0
    assert_sealed(drill)
    send(drill.sandbox, signal.SIGCONT)
    await drill.exchange.delete("/faults")
    await drill.exchange.post("/clock", {"hold": True})
    assert_confirmed(await judged(drill, await drill.daemon(ALIVE), 0.5))


@pytest.mark.fault("F18", "manual_trade")
async def test_a_trade_by_hand_of_which_no_stream_tells_is_found_by_the_next_reconciliation(drill: Drill) -> None:
    """F18: the account's stream lives and says nothing, and market time is held: only the rhythm is left."""
    daemon = await drill.daemon(ALIVE)
    try:
        await break_wire(drill, "stall_ws", path="user-spot")
        by_hand = {"market": "spot", "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01", "client_id": "web_1"}
        await drill.exchange.post("/market", {"kind": "trade", **by_hand})
        async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:

            async def is_booked() -> bool:
                held = (await operator.get("/positions"))["positions"]
                return any(row["key"] == "binance:spot:BTC" for row in held)

            await daemon.until("holding what another hand bought", is_booked, WAIT_S)
        assert "fill of an order that is not ours" in daemon.log.read_text(encoding="utf-8")
    finally:
        assert await daemon.stop(WAIT_S) == 0


@pytest.mark.fault("F33")
async def test_a_daemon_halted_for_longer_than_anything_may_be_old_asks_its_accounts_before_it_trades(
    drill: Drill,
) -> None:
    """F33: by its own clock nothing happened; by every other one what it knows is of the past."""
    daemon = await drill.start(ALIVE, **BOUNDS)
    await drill.armed(daemon)
    send(daemon, signal.SIGSTOP)
    over_ns = drill.clock.monotonic_ns() + HALTED_S * 1_000_000_000

    async def is_over() -> bool:
        await drill.exchange.get("/status")
        return drill.clock.monotonic_ns() > over_ns

    await daemon.until("halted for long", is_over, WAIT_S)
    send(daemon, signal.SIGCONT)
    assert_confirmed(await judged(drill, daemon, 0.5))
    with JournalReader.open(drill.directory / "book" / "journal.sqlite") as journal:
        rows = journal.read()
    (woke,) = [place for place, (row, after) in enumerate(pairwise(rows), 1) if is_long(row, after)]
    kinds = [row.record.kind for row in rows[woke:]]
    stale = [row for row in rows[woke:] if row.record.kind is RecordKind.DECISION and "STALE" in row.record.payload]
    assert stale
    assert stale[0].sequence < rows[woke + kinds.index(RecordKind.INTENT)].sequence


def is_long(row: StoredRecord, after: StoredRecord) -> bool:
    """True when between these rows of one journal lies the time that the process was halted."""
    return (after.wall_time - row.wall_time).total_seconds() >= HALTED_S - 2


@pytest.mark.feature("R01")
@pytest.mark.feature("O03", part="journey")
@pytest.mark.fault("F45", "F46", "F47")
async def test_killed_at_any_instant_of_entry_and_top_up_it_comes_back_to_the_same_book(drill: Drill) -> None:
    """F45 to F47: four lives of at most some half a second of market, each ended by SIGKILL wherever it is."""
    instants = Random(20)  # noqa: S311 - seeded, so that a failure comes again
    for life in range(4):
        daemon = await drill.daemon(ALIVE)
        if life == 0:
            await orders_at_venue(drill, 1, daemon)
        await drill.exchange.post("/clock", {"resume": True})
        await looked_at(drill, daemon, times=instants.randrange(12))
        send(daemon, signal.SIGKILL)
        await daemon.ended(WAIT_S)
        await drill.exchange.post("/clock", {"hold": True})
    outcome = await judged(drill, await drill.daemon(ALIVE), 1.9)
    assert_confirmed(outcome)
    assert outcome.document["positions"][SHORT] != "0"
