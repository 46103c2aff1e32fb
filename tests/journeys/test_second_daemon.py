"""Two daemons on one account, as processes: the second is refused, and one that cannot be halts the first."""

from __future__ import annotations

import hashlib
import hmac
import time
from pathlib import Path

import orjson
import pytest

from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.domain.order_ids import order_id
from basis_daemon.venues.cex.network import SandboxNetwork, open_session
from basis_daemon.web.client import ControlRefusedError, LocalClient, NotListeningError
from basis_daemon.wiring_exchanges import SANDBOX_KEY, SANDBOX_SECRET
from tests.journeys.test_faults import ALIVE, drill
from tests.journeys.test_sigkill import WAIT_S, Drill
from tests.process.nursery import born

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(240),
    pytest.mark.feature("H04", part="process"),
    pytest.mark.fault("F52"),
]
__all__ = ["drill"]

ORDERS = "https://api.binance.com/api/v3/order"
FAR_BELOW = "30000.00"
"""A bid here rests: nothing trades it while it is looked at."""


async def rival_order(drill: Drill) -> str:
    """The id of a living order of a daemon whose journal lies on another machine."""
    client_id = order_id("btc_basis_sandbox@elsewhere", 3, "btc_basis", 4, 0, 0, 0)
    ready = orjson.loads((drill.directory / "exchange" / "ready.json").read_bytes())
    network = SandboxNetwork(ready["port"], drill.directory / ready["ca_file"])
    signed = (
        f"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price={FAR_BELOW}"
        f"&newClientOrderId={client_id}&recvWindow=5000&timestamp={time.time_ns() // 1_000_000}"
    )
    signature = hmac.new(SANDBOX_SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": SANDBOX_KEY, "Content-Type": "application/x-www-form-urlencoded"}
    data = f"{signed}&signature={signature}"
    async with open_session(network) as session, session.post(ORDERS, data=data, headers=headers) as answer:
        body = orjson.loads(await answer.read())
    assert body.get("status") == "NEW", body
    return client_id


async def beside(drill: Drill, name: str) -> Child:
    """A daemon of the same configuration with a data directory of its own."""
    changes = {
        "data_dir": str(drill.directory / name),
        "sandbox.ready_file": str(drill.directory / "exchange" / "ready.json"),
    }
    (drill.directory / f"{name}.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
    return born(name, ("run", "--config", f"{name}.yaml", "--arm"), drill.directory)


async def test_a_second_daemon_with_a_data_directory_of_its_own_is_refused(drill: Drill) -> None:
    first = await drill.daemon(ALIVE)
    try:
        second = await beside(drill, "second")
        assert await second.ended(WAIT_S) == 1
        said = second.tail()
        assert "account binance is traded by another daemon on this machine" in said
        assert f"(pid {first._process.pid})" in said
    finally:
        assert await first.stop(WAIT_S) == 0
    third = await beside(drill, "third")
    try:
        await in_phase_at(drill.directory / "third" / "control.sock", third)
    finally:
        assert await third.stop(WAIT_S) == 0


async def in_phase_at(socket: Path, daemon: Child) -> None:
    async def is_armed() -> bool:
        try:
            async with LocalClient.at_socket(socket) as operator:
                return bool((await operator.get("/status"))["live"]["phase"] == "armed")
        except (NotListeningError, ControlRefusedError):
            return False

    await daemon.until("armed", is_armed, WAIT_S)


async def test_a_start_beside_a_daemon_on_another_machine_is_refused_naming_its_order(drill: Drill) -> None:
    client_id = await rival_order(drill)
    daemon = await beside(drill, "late")
    assert await daemon.ended(WAIT_S) == 1
    said = daemon.tail()
    assert client_id in said
    assert "is of another daemon's journal" in said


async def test_an_order_of_a_daemon_on_another_machine_halts_this_one(drill: Drill) -> None:
    daemon = await drill.daemon(ALIVE)
    try:
        client_id = await rival_order(drill)
        async with LocalClient.at_socket(drill.directory / "book" / "control.sock") as operator:

            async def is_halted() -> bool:
                guard = (await operator.get("/status"))["guard"]
                return guard["state"] == "HALTED" and client_id in guard["why"]

            await daemon.until("halted", is_halted, WAIT_S)
    finally:
        assert await daemon.stop(WAIT_S) == 0
