"""The network of memory: order, silence, resets, and what is left of a process that was killed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.drill.market import START
from basis_daemon.simulation.full_stack.loop import NetworkLoop
from basis_daemon.simulation.full_stack.weather import Trouble, Weather
from basis_daemon.simulation.full_stack.wire import End, Process
from basis_daemon.simulation.virtual import VirtualClock

NOON = datetime(2026, 5, 9, 12, tzinfo=UTC)
Play = Callable[[NetworkLoop], Coroutine[Any, Any, None]]


class Ear(asyncio.Protocol):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def played(play: Play, weather: Weather) -> NetworkLoop:
    loop = NetworkLoop(Chance(1), weather)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(play(loop))
    return loop


async def later(loop: NetworkLoop, seconds: float) -> None:
    """Virtual ones."""
    await VirtualClock(loop, START).sleep(seconds)


def connected(loop: NetworkLoop, client: Process) -> tuple[End, Ear, Ear]:
    here, there = Ear(), Ear()
    names = (("127.0.0.1", 1), ("127.0.0.1", 2))
    mine, theirs = End.pair(loop, loop.weather, (client, Process("server")), names)
    theirs.begin(there)
    mine.begin(here)
    return mine, here, there


def test_bytes_arrive_in_their_order_however_slow_each_of_them_is() -> None:
    weather = Weather(3)
    weather.rates[Trouble.SLOW], weather.is_on = 0.5, True
    for trouble in (Trouble.RESET, Trouble.BLACKHOLE):
        weather.rates[trouble] = 0.0

    async def play(loop: NetworkLoop) -> None:
        end, _, ear = connected(loop, Process("client"))
        for number in range(50):
            end.write(bytes([number]))
        await later(loop, 200)
        assert ear.heard == bytes(range(50))

    played(play, weather)
    assert weather.struck[Trouble.SLOW] > 0


@pytest.mark.parametrize(("trouble", "ends"), [(Trouble.RESET, 1), (Trouble.BLACKHOLE, 0)])
def test_a_reset_is_told_to_both_ends_and_silence_to_none(trouble: Trouble, ends: int) -> None:
    weather = Weather(3)
    weather.rates = dict.fromkeys(Trouble, 0.0) | {trouble: 1.0}
    weather.is_on = True

    async def play(loop: NetworkLoop) -> None:
        end, here, there = connected(loop, Process("client"))
        end.write(b"lost")
        await later(loop, 100)
        assert there.heard == b""
        assert len(here.lost) == len(there.lost) == ends

    played(play, weather)


def test_what_left_before_a_kill_arrives_and_nothing_after_it() -> None:
    process = Process("client")

    async def play(loop: NetworkLoop) -> None:
        end, here, there = connected(loop, process)
        end.write(b"before")
        process.kill()
        end.write(b"after")
        await later(loop, 100)
        assert there.heard == b"before"
        assert [type(error) for error in there.lost] == [ConnectionResetError]
        assert here.lost == []

    played(play, Weather(3))


def test_nobody_is_reached_where_nobody_listens() -> None:
    async def play(loop: NetworkLoop) -> None:
        with socket.socket() as name, pytest.raises(ConnectionRefusedError, match="nobody accepts"):
            await loop.sock_connect(name, ("127.0.0.1", 9))

    played(play, Weather(3))
