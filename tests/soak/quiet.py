"""P8: a daemon that is left in peace for a thousand hours of market stays as large as it was.

It is the real one, as a process, against the sandbox exchange, whose market jumps while nobody waits for an answer:
hours of books, marks, funding, decisions, valuations and snapshots pass in seconds. Every so often its resident bytes,
descriptors and threads are read from outside, and it is asked how many tasks it has and how much its containers hold.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

import orjson

from basis_daemon.demo.processes import Child
from tests.journeys.test_sigkill import WAIT_S
from tests.process.kills import Killing, killing

SAMPLES = 40
CLIP_USDT = "25000"
BOUNDS = {"rss_mb": 1.10, "held": 1.10, "tasks": 1.25, "descriptors": 1.0, "threads": 1.0}
"""Of the last quarter to the second one: the first is for warming up, and for what is kept for some days.

Of some ten tasks two come and go with what is asked at the moment of a look: a median of looks may be one more or less.
"""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """The daemon at one moment; ``held`` are entries of all containers that came after its start."""

    market_hours: float
    rss_mb: float
    held: float
    tasks: float
    descriptors: float
    threads: float


async def quiet(place: Path, market_hours: int) -> tuple[list[Sample], tuple[str, ...]]:
    """Samples of one life of so many hours of market, and what was wrong at its end."""
    days = market_hours // 24 + 2
    async with killing(place, Random(0), days=days, clip=CLIP_USDT) as campaign:  # noqa: S311 - nothing is thrown
        child, drill = campaign.birth(), campaign.drill
        samples: list[Sample] = []
        try:
            await drill.armed(child)
            began = (await drill.exchange.get("/status"))["days_done"] * 24
            await drill.exchange.post("/clock", {"resume": True})
            for number in range(1, SAMPLES + 1):
                await _passed(campaign, child, began + market_hours * number / SAMPLES)
                samples.append(await _sample(campaign, child))
            await drill.exchange.post("/clock", {"hold": True})
            clock = await drill.exchange.get("/status")
        finally:
            code = await child.stop(WAIT_S)
        outcome = drill.outcome(clock, await drill.exchange.get("/books"), code)
    return samples, tuple(map(str, outcome.failed))


async def _passed(campaign: Killing, child: Child, hours: float) -> None:
    async def is_there() -> bool:
        return bool((await campaign.drill.exchange.get("/status"))["days_done"] * 24 >= hours)

    await child.until("through the market", is_there, WAIT_S * 10)


async def _sample(campaign: Killing, child: Child) -> Sample:
    census = child.log.with_suffix(".census")
    census.unlink(missing_ok=True)
    child._process.send_signal(signal.SIGUSR2)

    async def has_counted() -> bool:
        return census.exists()

    await child.until("counted", has_counted, WAIT_S)
    counted, process = orjson.loads(census.read_bytes()), Path("/proc") / str(child._process.pid)
    pages = int((process / "statm").read_text(encoding="ascii").split()[1])
    hours = (await campaign.drill.exchange.get("/status"))["days_done"] * 24
    return Sample(
        market_hours=round(hours, 1),
        rss_mb=pages * _PAGE / 1e6,
        held=counted["held"],
        tasks=counted["tasks"],
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
    )


def drifts(samples: Sequence[Sample]) -> dict[str, float]:
    """Median of the last quarter over that of the second, of everything that has to stay flat."""
    quarter = len(samples) // 4

    def drift(name: str) -> float:
        values = [float(getattr(sample, name)) for sample in samples]
        return median(values[-quarter:]) / median(values[quarter : 2 * quarter])

    return {name: round(drift(name), 3) for name in BOUNDS}


def judged(samples: Sequence[Sample]) -> list[str]:
    """What grew, in words."""
    found = drifts(samples)
    return [f"{name} grew to {found[name]}, bound {bound}" for name, bound in BOUNDS.items() if found[name] > bound]
