"""Every place that a daemon writes to or answers from is searched for the secret that it signs with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from basis_daemon.demo.processes import Child
from basis_daemon.web.client import LocalClient
from basis_daemon.wiring_exchanges import SANDBOX_KEY, SANDBOX_SECRET
from tests.journeys.test_faults import ALIVE, PERP, SPOT, break_wire, drill, orders_at_venue
from tests.journeys.test_sigkill import WAIT_S, Drill

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240), pytest.mark.fault("F60")]
__all__ = ["drill"]

SIGNED = "signature="
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


async def test_a_trading_daemon_in_trouble_lets_its_secret_be_seen_nowhere(drill: Drill) -> None:
    daemon = await drill.daemon(ALIVE)
    try:
        await break_wire(drill, "accept_then_drop", method="POST", path=SPOT)
        await break_wire(drill, "bad_gateway", method="POST", path=PERP)
        await break_wire(drill, "reject", method="GET", path="/api/v3/account", message="Signature is not valid.")
        await break_wire(drill, "close_ws", path="user")
        await orders_at_venue(drill, 2, daemon)
        async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:
            for path in ANSWERS:
                assert_silent(path, orjson.dumps(await operator.get(path)), SANDBOX_SECRET, SIGNED)
        process = Path("/proc") / str(daemon._process.pid)
        assert_silent("ps", (process / "cmdline").read_bytes(), SANDBOX_SECRET, SANDBOX_KEY)
        assert_silent("environment", (process / "environ").read_bytes(), SANDBOX_SECRET, SANDBOX_KEY)
        (core,) = [line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core file")]
        assert core.split()[4:6] == ["0", "0"]
        for file in (drill.directory / "book").iterdir():
            assert file.stat().st_mode & 0o077 == 0, file
    finally:
        assert await daemon.stop(WAIT_S) == 0
    places = dict(written(drill, daemon))
    assert {"log", "journal.sqlite"} <= set(places)
    for where, said in places.items():
        assert_silent(where, said, SANDBOX_SECRET, SIGNED)
