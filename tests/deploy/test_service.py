"""What systemd hears: the protocol on a real socket, the beat of the loops, and a whole life of the real process."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from basis_daemon.cli.health import PROGRESS_MAX_S, judge
from basis_daemon.clock import ManualClock, SystemClock
from basis_daemon.demo.configuration import SANDBOX_CONFIG, written_over
from basis_daemon.demo.processes import Child
from basis_daemon.engine.heartbeat import Heartbeat
from basis_daemon.telemetry import ServiceManager
from basis_daemon.web.client import LocalClient

WAIT_S = 90.0
STILL_S = 6.0
"""Three rounds of every loop."""
READY, STOPPING, BEAT = "READY=1", "STOPPING=1", "WATCHDOG=1"


class Manager:
    """Stands where systemd does: a datagram socket, and everything that was said to it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(0)

    def listen(self) -> list[str]:
        """Everything that has arrived, line by line."""
        while True:
            try:
                self.heard += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    one = Manager(str(tmp_path / "notify"))
    yield one
    one.close()


@pytest.mark.feature("E03")
@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_protocol_is_that_of_sd_notify(kind: str, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify") if kind == "path" else f"@basis-test-{os.getpid()}")
    service = ServiceManager.of({"NOTIFY_SOCKET": manager.address})
    service.status("preflight")
    service.ready("armed: book\nREADY=0")
    service.alive()
    service.stopping("draining")
    service.close()
    heard = manager.listen()
    manager.close()
    assert heard == [
        "STATUS=preflight", READY, "STATUS=armed: book READY=0", BEAT, STOPPING, "STATUS=draining",
    ]  # fmt: skip


def test_without_a_manager_nothing_is_said_and_a_deaf_one_disturbs_nobody(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        service = ServiceManager.of(environ)
        service.ready("armed")
        service.alive()
        service.close()


@pytest.mark.feature("E03")
@pytest.mark.fault("F55")
async def test_a_beat_needs_every_loop_and_not_one_of_them_twice() -> None:
    beats: list[int] = []
    clock = ManualClock(datetime(2026, 1, 5, tzinfo=UTC))
    heartbeat = Heartbeat({"reconcile", "tick"}, clock, lambda: beats.append(1))
    for _ in range(100):
        heartbeat.came_round("tick")
    assert (beats, heartbeat.age_s()) == ([], None)
    heartbeat.came_round("reconcile")
    await clock.advance(7)
    assert (beats, heartbeat.age_s()) == ([1], 7)
    heartbeat.came_round("reconcile")
    assert beats == [1]
    with pytest.raises(KeyError):
        heartbeat.came_round("timer")


@pytest.mark.parametrize(
    ("phase", "age_s", "ready", "moving"),
    [
        ("armed", 3.0, True, True),
        ("disarmed", None, True, True),
        ("recovering", None, False, True),
        ("draining", 1.0, False, True),
        ("armed", float(PROGRESS_MAX_S), True, False),
    ],
)
@pytest.mark.feature("V05")
def test_alive_ready_and_moving_are_three_answers(phase: str, age_s: float | None, ready: bool, moving: bool) -> None:
    health = judge({"phase": phase, "progress_age_s": age_s})
    assert (health.is_ready, health.is_moving, health.is_good) == (ready, moving, ready and moving)
    assert health.document["alive"]
    assert ("expected" in health.sentence) is not health.is_good


@pytest.mark.feature("V05")
@pytest.mark.parametrize(
    ("said", "hindrance"),
    [
        ({"phase": "disarmed"}, "phase disarmed"),
        ({"guard": "HALTED"}, "guard HALTED"),
        ({"troubles": {"in_doubt": ["0a"], "breaks": []}}, "in_doubt: 0a"),
        ({"troubles": {"stale": ["btc_basis"], "frozen": ["eth_basis"]}}, "stale: btc_basis"),
    ],
)
def test_a_daemon_that_is_alive_and_ready_may_still_not_trade_as_it_should(
    said: dict[str, object], hindrance: str
) -> None:
    """No restart heals these: a HEALTHCHECK does not ask for them, a monitor does."""
    sound: dict[str, object] = {"phase": "armed", "progress_age_s": 1.0, "guard": "ACTIVE", "troubles": {"breaks": []}}
    assert judge(sound).document["trading"] is True
    health = judge(sound | said)
    assert (health.is_good, health.document["alive"], health.document["trading"]) == (True, True, False)
    assert health.hindrances[0] == hindrance
    assert hindrance in health.sentence


# -------------------------------------------------------------------------------------------------- the real process
@dataclass(frozen=True)
class Site:
    """Where a daemon is started, and the exchange beside it."""

    directory: Path
    sandbox: Child


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A running sandbox exchange, its market held, and a daemon's configuration."""
    arguments = ("sandbox", "exchange", "--directory", "exchange", "--seed", "7", "--days", "2")
    sandbox = await Child.start("sandbox", arguments, tmp_path, SystemClock())
    try:
        ready = tmp_path / "exchange" / "ready.json"

        async def is_ready() -> bool:
            return ready.is_file()

        await sandbox.until("listening", is_ready, WAIT_S)
        changes = {"data_dir": str(tmp_path / "book"), "sandbox.ready_file": str(ready), "reconcile.interval_s": "2"}
        (tmp_path / "daemon.yaml").write_text(written_over(SANDBOX_CONFIG, changes), encoding="utf-8")
        async with LocalClient.at_port(orjson.loads(ready.read_bytes())["control_port"]) as exchange:
            await exchange.post("/clock", {"hold": True})
            yield Site(tmp_path, sandbox)
    finally:
        await sandbox.stop(WAIT_S)


async def under(manager: Manager, site: Site) -> Child:
    """The daemon as systemd starts it."""
    os.environ["NOTIFY_SOCKET"] = manager.address
    try:
        return await Child.start("daemon", ("run", "--config", "daemon.yaml", "--arm"), site.directory, SystemClock())
    finally:
        del os.environ["NOTIFY_SOCKET"]


async def healthy(site: Site) -> int:
    child = await Child.start(
        "health", ("status", "--healthy", "--config", "daemon.yaml"), site.directory, SystemClock()
    )
    return await child.ended(WAIT_S)


@pytest.mark.journey
@pytest.mark.timeout(240)
@pytest.mark.feature("E03")
@pytest.mark.feature("E01")
async def test_a_life_as_systemd_and_docker_see_it(manager: Manager, site: Site) -> None:
    assert await healthy(site) == 1  # nobody is there

    daemon = await under(manager, site)
    try:
        await daemon.until("ready", lambda: heard(manager, READY), WAIT_S)
        before = manager.heard[: manager.heard.index(READY)]
        assert before[0] == "STATUS=preflight"
        assert before[-1].startswith("STATUS=recovering")  # ready is who has reconciled
        assert BEAT not in before
        await daemon.until("beating", lambda: heard(manager, BEAT, 3), WAIT_S)
        assert await healthy(site) == 0
        manager.listen()  # the kernel queues ten datagrams, and systemd does not let them lie
    finally:
        assert await daemon.stop(WAIT_S) == 0
    ending = manager.listen()[manager.heard.index(STOPPING) :]
    assert ending[1].startswith("STATUS=draining")
    assert ending[-1].startswith("STATUS=stopped")
    assert BEAT not in ending


@pytest.mark.journey
@pytest.mark.timeout(240)
@pytest.mark.feature("E03")
@pytest.mark.fault("F55")
async def test_a_timer_alone_does_not_feed_the_watchdog(manager: Manager, site: Site) -> None:
    """The venue hangs in its answer: the daemon's timers run on, its accounts are not asked any more."""
    daemon = await under(manager, site)
    try:
        await daemon.until("beating", lambda: heard(manager, BEAT), WAIT_S)
        site.sandbox._process.send_signal(signal.SIGSTOP)
        async with LocalClient.at_socket(site.directory / "book" / "control.sock") as operator:

            async def stands_still() -> bool:
                return bool((await operator.get("/health"))["progress_age_s"] > STILL_S)

            manager.heard.clear()
            await daemon.until("standing still", stands_still, WAIT_S)
        beats = manager.listen().count(BEAT)
        assert beats <= 2  # what was under way when it stopped
        site.sandbox._process.send_signal(signal.SIGCONT)
        await daemon.until("beating again", lambda: heard(manager, BEAT, beats + 2), WAIT_S)
    finally:
        site.sandbox._process.send_signal(signal.SIGCONT)
        assert await daemon.stop(WAIT_S) == 0


async def heard(manager: Manager, line: str, count: int = 1) -> bool:
    return manager.listen().count(line) >= count
