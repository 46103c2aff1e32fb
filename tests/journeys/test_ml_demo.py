"""The book that listens to a model, over the wire: words, entries, brackets at the exchange, and a death in between."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.demo.stage import book_of
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import OrderOperation
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from tests.journeys.test_eth_demo import holds_the_contract, played
from tests.process.nursery import born
from tests.signals.training import VERSION, model_bytes

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]

NAME, PERP = "ml_usdt_directional", "binanceusdm_ml:perp:BTCUSDT"
START = datetime(2026, 1, 5, tzinfo=UTC)
BAR = timedelta(minutes=5)
WAIT_S = 90.0


def words(file: Path, *said: tuple[int, str, object], symbol: str = "BTCUSDT") -> Path:
    """A file of words: (bar since the start, signal, confidence)."""
    rows = [
        {"symbol": symbol, "bar_time": (START + bar * BAR).isoformat(), "signal": side, "confidence": confidence,
         "sd": 0.02, "model_version": "demo-1"}
        for bar, side, confidence in said
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.feature("S09")
@pytest.mark.feature("O08", part="demo")
@pytest.mark.feature("M03", part="demo")
def test_a_recorded_file_speaks_and_what_is_wrong_in_it_moves_nothing(tmp_path: Path) -> None:
    good = [(bar, "long", 0.9) for bar in range(12, 84)]  # long enough to come back to after an entry that missed
    bad: list[tuple[int, str, object]] = [(90, "short", float("nan")), (91, "short", 7), (92, "buy", 0.9)]
    file, run = words(tmp_path / "words.jsonl", *good, *bad), tmp_path / "run"
    said = played("--strategy", NAME, "--days", "1", "--signals", str(file), "--keep", str(run))
    holds_the_contract(said)
    lives = book_of(run / "book" / "journal.sqlite").history.lives.values()
    entries = [life.order for life in lives if life.order.stop_loss is not None and life.cum_filled]
    assert {str(order.side) for order in entries} == {"BUY"}
    stops = {life.order.parent_id for life in lives if life.order.operation is OrderOperation.STOP}
    assert {order.order_id for order in entries} == stops, "every entry is guarded at the venue"
    assert said["positions"].get(PERP, "0") == "0"
    log = (run / "daemon.log").read_text(encoding="utf-8")
    for kind in ("not_finite", "out_of_range", "schema"):
        assert f'"refused_for": "{kind}"' in log


@pytest.mark.feature("M02", part="demo")
def test_a_trained_artefact_speaks_inside_the_daemon(tmp_path: Path) -> None:
    content, file, run = model_bytes(), tmp_path / "model.onnx", tmp_path / "run"
    file.write_bytes(content)
    voice, params = f"signals.{NAME}", f"strategies.{NAME}.params"
    changes = {
        f"{voice}.source": "onnx",
        f"{voice}.file": str(file),
        f"{voice}.sha256": hashlib.sha256(content).hexdigest(),
        f"{voice}.model_version": VERSION,
        f"{params}.models": f"[{VERSION}]",
        f"{params}.ml_conf_enter": "0.55",
        f"{params}.ml_conf_hold": "0.50",
    }
    config = tmp_path / "onnx.yaml"
    config.write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
    said = played("--strategy", NAME, "--seed", "7", "--days", "1", "--config", str(config), "--keep", str(run))
    holds_the_contract(said)
    memory = json.loads(book_of(run / "book" / "journal.sqlite").state.memories[NAME])
    assert memory["last"]["model"] == VERSION


@pytest.mark.feature("H02", part="bracket")
@pytest.mark.feature("O08", part="sigkill")
async def test_a_death_between_entry_and_bracket_or_before_a_stop_fires_leaves_nothing_unguarded(
    tmp_path: Path,
) -> None:
    file = words(tmp_path / "words.jsonl", *[(bar, "long", 0.9) for bar in range(6, 280)])
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--days", "1", "--step", "10")
    sandbox = born("sandbox", (*arguments, "--margined", "binance_ml"), tmp_path)
    ready = tmp_path / "exchange" / "ready.json"

    async def is_ready() -> bool:
        return ready.is_file()

    async def life(number: int, kill_at: str) -> Child:
        changes = {
            "data_dir": str(tmp_path / "book"),
            "sandbox.ready_file": str(ready),
            "sandbox.kill_at": kill_at,
            "strategies.btc_basis.enabled": "false",
            f"strategies.{NAME}.enabled": "true",
            "venues.binance.enabled": "false",
            "venues.binance_ml.enabled": "true",
            f"signals.{NAME}.file": str(file),
        }
        (tmp_path / f"life{number}.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
        return born(f"life{number}", ("run", "--config", f"life{number}.yaml", "--arm"), tmp_path)

    try:
        await sandbox.until("listening", is_ready, WAIT_S)
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            first = await life(1, "between_legs:1")
            assert await first.ended(WAIT_S) == -signal.SIGKILL, first.tail()
            await exchange.post("/clock", {"hold": True})
            naked = await account(exchange)
            assert Decimal(naked["positions"]["BTCUSDT"]) > 0
            assert naked["conditional"] == []
            await lived(await life(2, "null"), tmp_path, lambda: is_safe(exchange))
            for number in (3, 4):  # the position may be left by the one that looks at it first: then another is entered
                await lived(await life(number, "null"), tmp_path, lambda: is_guarded_once_it_runs(exchange))
                if await is_guarded(exchange):
                    break
            placed = (await account(exchange))["conditional"]
            await lived(await life(5, "null"), tmp_path, lambda: is_guarded(exchange))
            assert (await account(exchange))["conditional"] == placed
            shift = {"usdm:BTCUSDT": "-0.05", "spot:BTCUSDT": "-0.05"}
            await exchange.post("/conditions", {"api_key": "sandbox-key-binance_ml", "price_shift": shift})
            await exchange.post("/clock", {"advance_s": 60})
            assert (await account(exchange))["positions"] == {}
            words(file)  # from here on the model is silent
            await lived(await life(6, "null"), tmp_path, lambda: is_flat_and_bare(exchange))
    finally:
        await sandbox.stop(WAIT_S)
    state = book_of(tmp_path / "book" / "journal.sqlite").state
    assert not state.ledger.holding(PositionKey(PERP))
    assert '"side":0' in state.memories[NAME]


async def account(exchange: LocalClient) -> dict[str, Any]:
    """What the exchange holds of the sub-account."""
    found: dict[str, Any] = (await exchange.get("/books"))["accounts"]["sandbox-key-binance_ml"]
    return found


async def is_guarded(exchange: LocalClient) -> bool:
    """True when exactly one stop and one take-profit of the whole position live."""
    book = await account(exchange)
    live = [(row["type"], row["quantity"]) for row in book["conditional"] if row["status"] == "NEW"]
    held = book["positions"].get("BTCUSDT")
    return held is not None and sorted(live) == [(kind, held) for kind in ("STOP_MARKET", "TAKE_PROFIT_MARKET")]


async def is_guarded_once_it_runs(exchange: LocalClient) -> bool:
    """Let the market run until there is a position, and hold it there."""
    is_there = await is_guarded(exchange)
    await exchange.post("/clock", {"hold": True} if is_there else {"resume": True})
    return is_there


async def is_safe(exchange: LocalClient) -> bool:
    """True when what is held is guarded; a book that does not remember a finished plan may have left its position."""
    return await is_guarded(exchange) or await is_flat_and_bare(exchange)


async def is_flat_and_bare(exchange: LocalClient) -> bool:
    """True when nothing is held, and nothing waits to reduce it."""
    book = await account(exchange)
    return not book["positions"] and all(row["status"] != "NEW" for row in book["conditional"])


async def lived(daemon: Child, directory: Path, is_there: Callable[[], Awaitable[bool]]) -> None:
    """A life until it is where it should be, with book and venue at one, and out of it in order."""
    try:
        async with LocalClient.at_socket(directory / "book" / "control.sock") as operator:

            async def is_clean() -> bool:
                try:
                    status = await operator.get("/status")
                except (NotListeningError, ControlRefusedError):
                    return False
                return status["live"]["phase"] == "armed" and not (status["in_doubt"] or status["breaks"])

            await daemon.until("armed and clean", is_clean, WAIT_S)
            await daemon.until("where it should be", is_there, WAIT_S)
    finally:
        assert await daemon.stop(WAIT_S) == 0
