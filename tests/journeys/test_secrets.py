"""Every place that a daemon writes to or answers from is searched for the secrets that it was given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from basis_daemon.demo.processes import Child
from basis_daemon.web.client import LocalClient
from basis_daemon.wiring_exchanges import SANDBOX_KEY, SANDBOX_SECRET
from tests.journeys.test_faults import ALIVE, PERP, SPOT, break_wire, market, orders_at_venue
from tests.journeys.test_sigkill import WAIT_S, Drill

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240), pytest.mark.fault("F60")]

SIGNED = "signature="
TOKEN = "canary-of-the-voice-5f1d"
ML = "ml_usdt_directional"
CANARIES = (SANDBOX_SECRET, SIGNED, TOKEN)
ANSWERS = ("/status", "/health", "/positions", "/orders", "/trades", "/pnl", "/why/btc_basis")


def written(drill: Drill, daemon: Child) -> Iterator[tuple[str, bytes]]:
    """Everything it wrote."""
    yield "log", daemon.log.read_bytes()
    for path in sorted((drill.directory / "book").iterdir()):
        if path.is_file():
            yield path.name, path.read_bytes()


def assert_silent(where: str, said: bytes, *canaries: str) -> None:
    for canary in canaries:
        assert canary.encode() not in said, f"{canary} in {where}"


@asynccontextmanager
async def parrot() -> AsyncIterator[tuple[str, list[int]]]:
    """A model's service that only ever says back what it was told, secrets too, as an error and as a word; its URL."""
    heard: list[int] = []

    async def echo(request: web.Request) -> web.Response:
        heard.append(len(heard))
        said = {"signal": request.headers["Authorization"], "confidence": request.headers["Authorization"]}
        return web.json_response(said, status=500 if len(heard) % 2 else 200)

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", heard
    finally:
        await runner.cleanup()


async def test_a_trading_daemon_in_trouble_lets_its_secrets_be_seen_nowhere(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o600)
    async with market(tmp_path, "--margined", "binance_ml") as drill, parrot() as (url, heard):
        voice = {"source": "http", "url": url, "token_file": str(token), "file": "null"}
        more = {f"signals__{ML}__{name}": value for name, value in voice.items()}
        more |= {f"strategies__{ML}__enabled": "true", "venues__binance_ml__enabled": "true"}
        daemon = await drill.start(ALIVE, **more)
        try:
            await drill.armed(daemon)
            await in_trouble(drill, daemon)

            async def has_spoken() -> bool:
                return len(heard) > 1

            await daemon.until("asking the model twice", has_spoken, WAIT_S)
            await assert_seen_nowhere(drill, daemon)
        finally:
            assert await daemon.stop(WAIT_S) == 0
        places = dict(written(drill, daemon))
    assert {"log", "journal.sqlite"} <= set(places)
    assert b"prediction refused" in places["log"]
    for where, said in places.items():
        assert_silent(where, said, *CANARIES)


async def in_trouble(drill: Drill, daemon: Child) -> None:
    """Answers lost, a page of HTML, a signature refused, a stream cut."""
    await break_wire(drill, "accept_then_drop", method="POST", path=SPOT)
    await break_wire(drill, "bad_gateway", method="POST", path=PERP)
    await break_wire(drill, "reject", method="GET", path="/api/v3/account", message="Signature is not valid.")
    await break_wire(drill, "close_ws", path="user")
    await orders_at_venue(drill, 2, daemon)


async def assert_seen_nowhere(drill: Drill, daemon: Child) -> None:
    """Not by who asks it, not by who lists processes, and not by another user who looks at its files."""
    async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:
        for path in ANSWERS:
            assert_silent(path, orjson.dumps(await operator.get(path)), *CANARIES)
    process = Path("/proc") / str(daemon._process.pid)
    assert_silent("ps", (process / "cmdline").read_bytes(), *CANARIES, SANDBOX_KEY)
    assert_silent("environment", (process / "environ").read_bytes(), *CANARIES, SANDBOX_KEY)
    (core,) = [line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core file")]
    assert core.split()[4:6] == ["0", "0"]
    for file in (*(drill.directory / "book").iterdir(), *(drill.directory / "exchange").glob("*.key")):
        assert file.stat().st_mode & 0o077 == 0, file
