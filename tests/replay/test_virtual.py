"""Virtual time: nothing waits, deadlines come in their order, and a standstill is an error instead of a hang."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.simulation.virtual import VirtualClock, VirtualLoop
from basis_daemon.tasks import TaskTree
from tests.replay.support import START

T = TypeVar("T")


def run(loop: VirtualLoop, work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work)


def test_a_year_of_sleep_takes_no_time_and_every_sleeper_wakes_at_its_own_instant() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop, START)
    woken: list[tuple[str, str]] = []

    async def sleeper(name: str, days: int) -> None:
        await clock.sleep(days * 86_400.0)
        woken.append((name, f"{clock.wall():%Y-%m-%d}"))

    async def all_of_them() -> None:
        async with TaskTree("sleepers") as tree:
            for name, days in (("late", 366), ("soon", 1), ("same", 1)):
                tree.spawn(name, sleeper(name, days))

    run(loop, all_of_them())
    assert woken == [("soon", "2024-03-02"), ("same", "2024-03-02"), ("late", "2025-03-02")]
    assert clock.monotonic_ns() == pytest.approx(366 * 86_400 * 10**9, abs=1000)


def test_a_time_limit_is_virtual_too() -> None:
    loop = VirtualLoop()

    async def limited() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return loop.time()

    assert run(loop, limited()) == pytest.approx(30)


def test_a_standstill_is_told_and_never_waited_for() -> None:
    loop = VirtualLoop()

    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(IntegrityError, match="virtual time stands still"):
        loop.run_until_complete(forever())
    loop.close()


def test_the_wall_clock_is_put_forward_to_a_point_and_never_back() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop, START)

    async def through() -> list[timedelta]:
        seen = []
        clock.reach(START + timedelta(hours=1))
        seen.append(clock.wall() - START)
        await clock.sleep(2)
        clock.reach(START)
        seen.append(clock.wall() - START)
        return seen

    assert run(loop, through()) == [timedelta(hours=1), timedelta(hours=1, seconds=2)]
