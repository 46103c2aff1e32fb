"""The chain of the drill: the daemon's own wallet on it, and what its seeds have found."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from basis_daemon.simulation.drill.campaign import Plan, play
from basis_daemon.simulation.drill.chain.checks import ChainChecks
from basis_daemon.simulation.drill.chain.endpoint import pool_of
from basis_daemon.simulation.drill.chain.node import ChainNode
from basis_daemon.simulation.drill.chain.scene import scene_of
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.checks import Checks
from basis_daemon.simulation.drill.loop import SeededLoop
from basis_daemon.simulation.drill.market import BLOCK, START
from basis_daemon.simulation.drill.profiles import book_of
from basis_daemon.simulation.drill.stage import stage_of
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.endpoint import newest_header
from basis_daemon.venues.chain.heads import ChainWalk, Head, HeadOptions
from basis_daemon.venues.chain.notes import ignore_note

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.feature("Q03", part="chain")
def test_under_faults_blocks_are_taken_back_and_the_book_stays_that_of_the_chain() -> None:
    found = [play(Plan(seed, "chain")) for seed in range(10, 20)]
    assert [verdict.violations for verdict in found] == [()] * 10
    assert sum(verdict.reorgs for verdict in found) > 0
    assert sum(verdict.fills for verdict in found) > 5


def test_without_faults_a_levered_book_enters_by_one_transaction() -> None:
    verdicts = [play(Plan(seed, "chain", tuple(Fault), chaos_s=10)) for seed in range(4)]
    assert all((one.violations, one.unknown, one.reorgs) == ((), 0, 0) for one in verdicts)
    assert any(one.fills for one in verdicts), "two of three begin with ether alone"


class Walker:
    """A `ChainWalk` over two drilled nodes, whose answers take up to a tenth of their time-out."""

    def __init__(self) -> None:
        self.chance = Chance(7)
        self.loop = SeededLoop(self.chance)
        stage = stage_of(book_of("chain"))
        checks = ChainChecks(Checks(stage, self.loop), stage.ltv_most)
        self.node: ChainNode = scene_of(stage, self.chance, checks, {})[0]
        self.mine(60)

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.node.tick(self.node.head.ref.time + BLOCK)

    def walk(self, after: int, depth: int = 0) -> Head | None:
        """The head behind the first one, after so many blocks, or another past of ``depth`` blocks."""

        async def look() -> Head | None:
            async with TaskTree("walk") as tree:
                clock = VirtualClock(self.loop, START + timedelta(days=1))
                pool = pool_of(self.node, self.chance, bool, clock, tree, ignore_note)
                walk = ChainWalk(pool, HeadOptions())
                await walk.step_to(await pool.ask("newest", newest_header))
                if depth:
                    self.node.take_back(depth)
                self.mine(after)
                found = await walk.step_to(await pool.ask("newest", newest_header))
                tree.cancel_all("seen")
                return found

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            return runner.run(look())


@pytest.mark.fault("F41")
def test_blocks_that_were_missed_are_fetched_although_all_of_them_take_longer_than_one_answer_may() -> None:
    found = Walker().walk(after=40)
    assert found is not None
    assert (found.is_gap, len(found.added)) == (False, 40)


@pytest.mark.fault("F38")
def test_a_fork_before_the_first_known_block_is_a_gap_after_a_question_or_two() -> None:
    found = Walker().walk(after=1, depth=3)
    assert found is not None
    assert (found.is_gap, len(found.removed), len(found.added)) == (True, 1, 1)
