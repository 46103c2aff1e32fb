"""`python -m tests.soak`: kills at random instants, so many that luck is no explanation, and a long quiet life."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tests.process.kills import Life, killing, survived, told
from tests.soak.quiet import drifts, judged, quiet

PER_MARKET = 50
"""Kills over one market and one journal; then both begin anew."""


def main(
    kills: Annotated[int, typer.Option(min=0, help="At random instants of a daemon's life.")] = 200,
    seed: Annotated[int, typer.Option(help="Which instants.")] = 1,
    hours: Annotated[int, typer.Option(min=0, help="Of market, in one quiet life.")] = 1000,
) -> None:
    """Exit 0 when every life was reconciled, no fill was lost, no order was sent twice, and nothing grew."""
    faults = asyncio.run(_killed(kills, seed)) if kills else []
    faults += asyncio.run(_quiet(hours)) if hours else []
    raise typer.Exit(1 if faults else 0)


async def _killed(kills: int, seed: int) -> list[str]:
    lives, faults = list[Life](), list[str]()
    chance = Random(seed)  # noqa: S311 - a seed to repeat the kills by
    while len(lives) < kills:
        with TemporaryDirectory(prefix="kills-") as place:
            async with killing(Path(place), chance) as campaign:
                for _ in range(min(PER_MARKET, kills - len(lives))):
                    await campaign.lives_and_dies()
                faults += await survived(campaign)
        lives += campaign.lives
        print(f"{len(lives)} of {kills} kills, faults: {faults or 'none'}", flush=True)
    print(told(lives))
    return faults


async def _quiet(hours: int) -> list[str]:
    with TemporaryDirectory(prefix="quiet-") as place:
        samples, faults = await quiet(Path(place), hours)
    for sample in samples[:: len(samples) // 8]:
        print(sample)
    print(f"{hours} quiet hours of market, last quarter / second: {drifts(samples)}")
    found = [*faults, *judged(samples)]
    print(f"faults: {found or 'none'}", flush=True)
    return found


if __name__ == "__main__":
    typer.run(main)
