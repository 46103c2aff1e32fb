"""The ground fails under a trading daemon: its disk, its room, its journal's lock, its clock. Nothing is lost."""

from __future__ import annotations

import errno
import resource
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random

import pytest

from basis_daemon.demo.processes import Child
from tests.journeys.test_sigkill import WAIT_S
from tests.process.kills import Killing, killing, survived
from tests.process.shim import Shim

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600), pytest.mark.feature("Q03", part="process")]

HOUR_S, HAND_BTC, ENTERED = 3_600, "0.05", 10
DISKS = ({"sync": errno.EIO}, {"write": errno.ENOSPC}, {"write": errno.EIO})
"""A sync that fails, a full disk, a write that fails."""


@asynccontextmanager
async def trading(campaign: Killing) -> AsyncIterator[Child]:
    """A life that is armed while the market runs; it is over at the end, however it came to it."""
    child = campaign.birth()
    try:
        await campaign.drill.armed(child)
        child.check()
        await campaign.drill.exchange.post("/clock", {"resume": True})
        yield child
    finally:
        await child.stop(WAIT_S)
        await campaign.buried(None)


async def ends_by_itself(child: Child, said: str = "journal") -> None:
    """It fails aloud and with a name, at the first row that cannot be kept."""
    assert await child.ended(WAIT_S) == 1
    tail = child.tail()
    assert "JournalError" in tail, tail
    assert said in tail, tail


@pytest.mark.fault("F49", "F31")
async def test_a_disk_that_fails_ends_the_daemon_a_clock_that_leaps_does_not_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    shim = Shim.built(tmp_path, "/book/")
    async with killing(tmp_path, Random(1), shim.environ) as campaign:  # noqa: S311 - no throw of it counts here
        for failure in DISKS:
            async with trading(campaign) as child:
                shim.set(**failure)
                await ends_by_itself(child)
            shim.set()
        shim.set(opened=errno.EROFS)
        refused = campaign.birth()
        assert await refused.ended(WAIT_S) == 1
        assert "Read-only file system" in refused.tail()
        await campaign.buried(None)
        shim.set()
        async with trading(campaign) as child:
            await more_orders(campaign, child, ENTERED)
            for wall_offset_s, side in ((HOUR_S, "sell"), (-HOUR_S, "buy"), (0, "sell")):
                shim.set(wall_offset_s=wall_offset_s)
                await trades_back(campaign, child, side)
        assert await survived(campaign) == ()


async def more_orders(campaign: Killing, child: Child, count: int) -> None:
    """So many more that the venue takes than it has taken until now."""
    before = await taken(campaign)

    async def is_so() -> bool:
        return await taken(campaign) >= before + count

    await child.until(f"sending {count} orders", is_so, WAIT_S)


async def taken(campaign: Killing) -> int:
    """Orders; what it refuses for the stamp of a clock that has leapt comes again, and only that counts."""
    (book,) = (await campaign.drill.exchange.get("/books"))["accounts"].values()
    return sum(row["status"] != "REJECTED" for market in ("spot", "usdm") for row in book["orders"][market])


async def trades_back(campaign: Killing, child: Child, side: str) -> None:
    """What another hand does to the short is seen, and answered with an order of its own, as at any other time."""
    body = {"kind": "trade", "market": "usdm", "symbol": "BTCUSDT", "side": side, "quantity": HAND_BTC}
    await campaign.drill.exchange.post("/market", body)
    await more_orders(campaign, child, 1)


@pytest.mark.fault("F49", "F50")
async def test_no_room_left_or_another_hand_on_the_journal_ends_the_daemon_and_nothing_is_lost(tmp_path: Path) -> None:
    """Without a shim: the kernel's own limit on the size of a file, and a program that holds SQLite's lock."""
    async with killing(tmp_path, Random(1)) as campaign:  # noqa: S311 - no throw of it counts here
        journal = tmp_path / "book" / "journal.sqlite"
        async with trading(campaign) as child:
            size = max(file.stat().st_size for file in journal.parent.iterdir())
            resource.prlimit(child._process.pid, resource.RLIMIT_FSIZE, (size, size))
            await ends_by_itself(child)
        async with trading(campaign) as child:
            with closing(sqlite3.connect(journal, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await ends_by_itself(child, "locked")
        assert await survived(campaign) == ()
