"""Rare ways of the daemon itself: a drill goes them often, every one of them, and nothing but time is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.rare_paths import RarePath, never
from basis_daemon.simulation.drill.campaign import Plan, command_of
from basis_daemon.simulation.drill.chance import SHARES, Chance, Fault
from basis_daemon.simulation.drill.profiles import profile_of
from basis_daemon.simulation.drill.stage import stage_of
from basis_daemon.simulation.drill.world import Verdict, World
from basis_daemon.venues.cex.options import CEXOptions
from basis_daemon.venues.cex.paging import Page, every_page
from basis_daemon.venues.chain.rpc import PoolPolicy
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.wiring_book import Ground

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
START = datetime(2026, 1, 5, tzinfo=UTC)
AT_EXCHANGES = frozenset({RarePath.PAGE_ENDS_EARLY})
"""Places in the exchange client: the whole stack goes there."""
SEEDS_MOST = 100


def played(seed: int, profile: str, chaos_s: float) -> Verdict:
    """With every rare way as frequent as any seed may draw it."""
    plan = Plan(seed, profile)
    world = World(stage_of(plan.file), seed, (), chaos_s)
    world.chance.shares = dict(SHARES)
    return world.run()


def test_a_daemon_that_is_not_drilled_goes_no_rare_way() -> None:
    assert not any(never(point) for point in RarePath)
    defaults = [f.default for kind in (Ground, CEXOptions, TrackPolicy, PoolPolicy) for f in fields(kind)
                if f.name == "rarely"]  # fmt: skip
    assert defaults == [never] * 4


def test_every_rare_way_is_gone_within_few_seeds_and_nothing_is_lost() -> None:
    missing = set(RarePath) - AT_EXCHANGES
    for seed in range(SEEDS_MOST):
        verdict = played(seed, profile_of(seed), 15)
        assert verdict.violations == (), seed
        missing -= {RarePath(name) for name in verdict.rare_paths}
        if not missing:
            return
    pytest.fail(f"{SEEDS_MOST} seeds went nowhere near {sorted(missing)}")


def test_what_is_gone_rarely_is_thrown_with_a_coin_of_its_own() -> None:
    one, other = Chance(7), Chance(7)
    for point in list(RarePath) * 20:
        one.rarely(point)
    assert one.between(0, 1) == other.between(0, 1)
    assert not one.taken.total()


def test_some_seeds_go_no_rare_way_and_every_way_is_left_out_by_some() -> None:
    drawn = [Chance(seed).shares for seed in range(40)]
    assert any(not any(shares.values()) for shares in drawn)
    for point, most in SHARES.items():
        assert {shares[point] == 0 for shares in drawn} == {True, False}
        assert all(0 <= shares[point] <= most for shares in drawn)
    assert set(SHARES) == set(RarePath)
    assert not set(map(str, RarePath)) & set(map(str, Fault))


def test_a_seed_is_played_without_a_rare_way_as_without_a_fault() -> None:
    seed = next(seed for seed in range(40) if Chance(seed).shares[RarePath.CLIP_IS_LEAST])
    without = Chance(seed, (RarePath.CLIP_IS_LEAST,)).shares
    assert without == Chance(seed).shares | {RarePath.CLIP_IS_LEAST: 0.0}
    assert "--without clip_is_least" in command_of(Plan(seed, "pair", without=(RarePath.CLIP_IS_LEAST,)))


@given(cuts=st.lists(st.booleans(), max_size=40), rows=st.sets(st.integers(0, 7_200), max_size=30))
def test_pages_that_end_early_tell_what_whole_ones_tell(cuts: list[bool], rows: set[int]) -> None:
    times = [START + timedelta(seconds=second) for second in sorted(rows)]

    async def fetch(start: datetime, end: datetime) -> Page[datetime]:
        found = [time for time in times if start <= time <= end]
        return Page(found[:7], found[6] if len(found) >= 7 else None)

    def asked(cuts: Sequence[bool]) -> set[datetime]:
        left = iter(cuts)
        until, window = START + timedelta(hours=2), timedelta(minutes=50)
        return set(asyncio.run(every_page(START, until, window, fetch, lambda _: next(left, False))))

    assert asked(cuts) == asked(()) == set(times)
