"""Time that moves when it is told to, and time that moves by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from basis_daemon.clock import ManualClock, SystemClock
from basis_daemon.ports import Clock
from basis_daemon.tasks import TaskTree

START = datetime(2024, 3, 1, tzinfo=UTC)


def manual() -> ManualClock:
    return ManualClock(START, monotonic_ns=7)


@pytest.mark.parametrize("clock", [SystemClock(), manual()])
async def test_both_clocks_honour_the_port(clock: Clock) -> None:
    before = clock.monotonic_ns()
    await clock.sleep(0)
    assert clock.monotonic_ns() >= before
    assert clock.wall().utcoffset() == timedelta(0)


async def test_sleepers_wake_in_order_of_their_deadline_each_at_its_own_time() -> None:
    clock, woken = manual(), []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, (clock.wall() - START).total_seconds()))

    async with TaskTree("test") as tree:
        for name, seconds in (("late", 9), ("early", 1.5), ("also early", 1.5), ("middle", 4)):
            tree.spawn(name, sleeper(name, seconds))
        await clock.until_sleepers(4)
        await clock.advance(10)

    assert woken == [("early", 1.5), ("also early", 1.5), ("middle", 4), ("late", 9)]
    assert clock.wall() == START + timedelta(seconds=10)
    assert clock.monotonic_ns() == 7 + 10_000_000_000


async def test_a_sleeper_that_lies_down_again_is_woken_again_within_the_span() -> None:
    clock, beats = manual(), []

    async def heart() -> None:
        while True:
            await clock.sleep(3)
            beats.append(clock.monotonic_ns() // 1_000_000_000)

    async with TaskTree("test") as tree:
        tree.spawn("heart", heart())
        await clock.until_sleepers(1)
        await clock.advance(Decimal(10))
        tree.cancel_all()

    assert beats == [3, 6, 9]
    assert clock.sleepers == 0


async def test_a_sleeper_that_was_cancelled_wakes_nobody() -> None:
    clock, woken = manual(), []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    async with TaskTree("test") as tree:
        tree.spawn("stays", sleeper("stays", 2))
        async with TaskTree("inner") as inner:
            inner.spawn("goes", sleeper("goes", 1))
            await clock.until_sleepers(2)
            inner.cancel_all()
        await clock.advance(5)

    assert woken == ["stays"]


async def test_waiting_for_sleepers_ends_when_the_last_of_them_lies_down() -> None:
    clock = manual()
    counts: list[int] = []

    async def watcher(count: int) -> None:
        await clock.until_sleepers(count)
        counts.append(count)

    async with TaskTree("test") as tree:
        for count in (2, 1):
            tree.spawn(f"watch {count}", watcher(count))
        tree.spawn("cancelled watcher", watcher(99))
        for name in ("a", "b"):
            tree.spawn(name, clock.sleep(1))
        await clock.until_sleepers(2)
        await clock.advance(1)
        tree.cancel_all()
    assert sorted(counts) == [1, 2]


async def test_moving_to_an_instant_moves_both_clocks_by_the_same_span() -> None:
    clock = manual()
    await clock.advance_to(START + timedelta(hours=8, microseconds=1))
    assert clock.wall() == START + timedelta(hours=8, microseconds=1)
    assert clock.monotonic_ns() == 7 + (8 * 3600 * 1_000_000 + 1) * 1000


async def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="advance by -1 s, expected 0 or more"):
        await manual().advance(-1)


def test_a_clock_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        ManualClock(datetime(2024, 3, 1))  # noqa: DTZ001 - the fault under test


async def test_equal_calls_give_equal_runs() -> None:
    async def run() -> list[tuple[str, int]]:
        clock, trace = manual(), []

        async def worker(name: str, period: float) -> None:
            for _ in range(5):
                await clock.sleep(period)
                trace.append((name, clock.monotonic_ns()))

        async with TaskTree("test") as tree:
            for number in range(5):
                tree.spawn(str(number), worker(str(number), 0.3 + number % 2))
            await clock.until_sleepers(5)
            await clock.advance(7)
        return trace

    assert await run() == await asyncio.wait_for(run(), timeout=30)
