"""Killed twenty times at random instants, the daemon is reconciled each time: nothing lost, nothing sent twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from basis_daemon.journal.reader import JournalReader
from tests.process.kills import killing, survived, told
from tests.told import PROPERTY

KILLS, SEED = 20, 20261123


@pytest.mark.journey
@pytest.mark.timeout(600)
@pytest.mark.feature("H02", part="random")
@pytest.mark.feature("Q03", part="process")
@pytest.mark.fault("F45", "F46", "F47")
async def test_twenty_kills_at_random_instants_lose_no_fill_and_send_no_order_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with killing(tmp_path, Random(SEED)) as campaign:  # noqa: S311 - a seed to repeat the kills by
        for _ in range(KILLS):
            await campaign.lives_and_dies()
        assert await survived(campaign) == ()
    assert campaign.lives[-1].orders > KILLS // 2, "lives that hardly trade prove little"
    with JournalReader.open(tmp_path / "book" / "journal.sqlite") as journal:
        journal.verify()
    record_property(PROPERTY, told(campaign.lives))
