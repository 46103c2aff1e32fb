"""One request budget for everybody on an IP: full when it is full, with a reserve for what reduces risk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime

import pytest

from basis_daemon.clock import ManualClock
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.cex.binance import BINANCE
from basis_daemon.venues.cex.limiter import BREAK_FIRST_S, REQUEST, TROUBLES_MAX, Request, WeightLimiter

CLOCK_START = datetime(2026, 1, 1, tzinfo=UTC)
FAPI, SAPI = "fapiPrivate", "sapi"
HEADER = "X-MBX-USED-WEIGHT-1M"
MOST, ORDINARY = 2_400, 1_920


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(CLOCK_START)


@pytest.fixture
def limiter(clock: ManualClock) -> WeightLimiter:
    return WeightLimiter(BINANCE.pools, clock)


def acquire(
    limiter: WeightLimiter, weight: float, *, urgent: bool = False, wait_s: float = 0.0, section: str = FAPI
) -> Awaitable[None]:
    async def run() -> None:
        token = REQUEST.set(Request(is_urgent=urgent, wait_max_s=wait_s))
        try:
            await limiter.acquire(section, weight)
        finally:
            REQUEST.reset(token)

    return run()


@pytest.mark.feature("C05")
async def test_clients_share_one_budget_and_the_reserve_is_for_what_reduces_risk(limiter: WeightLimiter) -> None:
    await acquire(limiter, ORDINARY)

    with pytest.raises(VenueUnreachableError, match="nothing was sent"):
        await acquire(limiter, 1)
    await acquire(limiter, MOST - ORDINARY, urgent=True)
    with pytest.raises(VenueUnreachableError):
        await acquire(limiter, 1, urgent=True)


async def test_spent_weight_comes_back_after_a_minute(limiter: WeightLimiter, clock: ManualClock) -> None:
    await acquire(limiter, ORDINARY)

    await clock.advance(59)
    with pytest.raises(VenueUnreachableError):
        await acquire(limiter, 1)
    await clock.advance(2)
    await acquire(limiter, ORDINARY)


async def test_a_request_waits_for_its_turn(limiter: WeightLimiter, clock: ManualClock) -> None:
    await acquire(limiter, ORDINARY)
    done: list[int] = []

    async def patient() -> None:
        await acquire(limiter, 100, wait_s=120)
        done.append(clock.monotonic_ns())

    async with TaskTree("test") as tree:
        tree.spawn("patient", patient())
        await clock.advance(30)
        assert done == []
        await clock.advance(31)
    assert done == [60 * 10**9]


@pytest.mark.feature("C05", part="learns")
async def test_what_others_on_the_ip_spent_is_learnt_from_the_venue(limiter: WeightLimiter) -> None:
    await acquire(limiter, 10)

    limiter.observe(FAPI, 200, {HEADER: "1900"})
    limiter.observe(FAPI, 200, {HEADER: "40"})  # an answer that was overtaken

    assert limiter.used(FAPI) == 1_900
    with pytest.raises(VenueUnreachableError):
        await acquire(limiter, 30)


@pytest.mark.fault("F13", "429")
@pytest.mark.parametrize(
    ("status", "headers", "pause_s"), [(429, {"Retry-After": "7"}, 7), (418, {}, 120), (429, {}, 30)]
)
async def test_after_a_refusal_nobody_asks_before_the_venue_allows_it(
    limiter: WeightLimiter, clock: ManualClock, status: int, headers: dict[str, str], pause_s: int
) -> None:
    limiter.observe(FAPI, status, headers)

    await clock.advance(pause_s - 1)
    with pytest.raises(VenueUnreachableError):
        await acquire(limiter, 1, urgent=True)
    await clock.advance(1)
    await acquire(limiter, 1)
    with pytest.raises(VenueUnreachableError):  # and for a while the budget is half of what it was
        await acquire(limiter, ORDINARY / 2)


async def test_pools_do_not_pay_for_each_other(limiter: WeightLimiter) -> None:
    limiter.observe(FAPI, 429, {})

    await acquire(limiter, 1, section=SAPI)
    await acquire(limiter, 1, section="private")
    assert limiter.used("public") == 5  # ccxt's cost of spot is a fifth of the venue's weight


async def test_a_request_larger_than_the_budget_is_refused_and_does_not_wait_for_ever(limiter: WeightLimiter) -> None:
    with pytest.raises(VenueUnreachableError):
        async with asyncio.timeout(5):
            await acquire(limiter, MOST + 1, urgent=True, wait_s=1)


def fail(limiter: WeightLimiter, times: int) -> None:
    for _ in range(times):
        limiter.observe(FAPI, 503, {})


@pytest.mark.fault("F14", "503")
async def test_a_venue_that_fails_again_and_again_is_left_alone_except_by_what_reduces_risk(
    limiter: WeightLimiter,
) -> None:
    fail(limiter, TROUBLES_MAX - 1)
    await acquire(limiter, 1)

    fail(limiter, 1)
    with pytest.raises(VenueUnreachableError, match="5 failures of the venue in a row"):
        await acquire(limiter, 1)
    await acquire(limiter, 1, urgent=True)
    await acquire(limiter, 1, section=SAPI)


@pytest.mark.fault("F14", "garbage")
async def test_one_request_goes_ahead_and_its_answer_says_whether_the_others_may_follow(
    limiter: WeightLimiter, clock: ManualClock
) -> None:
    for _ in range(TROUBLES_MAX):
        limiter.observe(FAPI, 200, {"Content-Type": "text/html; charset=utf-8"})
    await clock.advance(BREAK_FIRST_S)
    await acquire(limiter, 1)
    with pytest.raises(VenueUnreachableError):  # half open: the first one's answer is not there yet
        await acquire(limiter, 1)

    fail(limiter, 1)
    await clock.advance(BREAK_FIRST_S)
    with pytest.raises(VenueUnreachableError):  # twice as long now
        await acquire(limiter, 1)
    await clock.advance(BREAK_FIRST_S)
    await acquire(limiter, 1)
    limiter.observe(FAPI, 200, {})
    await acquire(limiter, 1)
    fail(limiter, TROUBLES_MAX - 1)
    await acquire(limiter, 1)


async def test_whoever_waited_long_for_its_turn_is_told_of(clock: ManualClock) -> None:
    told: list[str] = []
    limiter = WeightLimiter(BINANCE.pools, clock, lambda event, _: told.append(event))
    await acquire(limiter, ORDINARY)
    async with TaskTree("test") as tree:
        tree.spawn("patient", acquired(limiter))
        await clock.advance(61)
    assert told == ["request_waited"]


async def acquired(limiter: WeightLimiter) -> None:
    await acquire(limiter, 100, wait_s=120)
