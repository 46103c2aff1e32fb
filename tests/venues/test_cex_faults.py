"""Faults found by breaking the running daemon: halted processes, budgets that are spent, and books that never form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from basis_daemon.domain.errors import OutcomeUnknownError, VenueUnreachableError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, FundingSettled, StreamChanged
from basis_daemon.domain.order import ExecutionMode, Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import Finding
from basis_daemon.sandbox.exchange.faults import Fault, Subject
from basis_daemon.venues.cex.transfer import TransferExecutionInterface
from tests.venue_contract import order_for, small
from tests.venues.rig import PERP_BTC, SPOT_BTC, AccountUnderTest, Rig
from tests.venues.test_cex_transfer import HISTORY, move

pytestmark = pytest.mark.slow

BOTH = pytest.mark.parametrize("key", [SPOT_BTC, PERP_BTC], ids=["spot", "perp"])
FULL = 1e9


def on_request(rig: Rig, method: str, path: str, act: Callable[[], None]) -> None:
    """Do ``act`` while the first request of this kind is on the wire."""
    take, is_done = rig.exchange.faults.take, False

    def watched(kinds: Mapping[str, str], at: str, how: str, subject: Subject) -> Fault | None:
        nonlocal is_done
        if not is_done and how == method and at.endswith(path):
            is_done = True
            act()
        return take(kinds, at, how, subject)

    rig.exchange.faults.take = watched  # type: ignore[method-assign, assignment]  # a wire with a witness


def spend(rig: Rig, pool: str, share: float) -> None:
    """Use up ``share`` of a request budget."""
    limiter = rig.venue._limiter
    (budget,) = [one for one in limiter._budgets if one.pool.name == pool]
    budget.spend(budget.pool.weight_max * share - budget.total, rig.clock.monotonic_ns())


@BOTH
@pytest.mark.feature("C03", part="halted")
@pytest.mark.fault("F33")
async def test_a_process_that_was_halted_in_mid_call_waits_for_proof_from_its_waking(
    listening: Rig, key: PositionKey
) -> None:
    """F33: halted for 20 s between intent and wire, it may have signed just now: those 20 s prove nothing."""
    account = AccountUnderTest(listening, key)
    order, sent_at = order_for(account, Side.BUY, small(account)), account.wall
    on_request(listening, "POST", "/order", lambda: account.pass_time(20))
    account.lose_request()
    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(order, account.wall)

    assert (await account.interface.find_order(order, sent_at)).finding is Finding.NOT_YET
    account.pass_time(account.interface.absence_proof_s)
    assert (await account.interface.find_order(order, sent_at)).finding is Finding.ABSENT


@pytest.mark.feature("C03", part="halted")
@pytest.mark.fault("F33")
async def test_a_transfer_of_a_halted_process_waits_for_proof_from_its_waking(listening: Rig) -> None:
    transfers, order = listening.venue.transfers(listening.on_trade), move(listening, 1)

    def sleep() -> None:
        listening.clock.ahead += timedelta(seconds=20)

    on_request(listening, "POST", HISTORY, sleep)
    listening.arm("unavailable", method="POST", path=HISTORY)
    sent_at = listening.clock.wall()
    with pytest.raises(OutcomeUnknownError):
        await transfers.execute_order(order, sent_at)

    assert (await transfers.find_order(order, sent_at)).finding is Finding.NOT_YET
    listening.clock.ahead += timedelta(seconds=transfers.absence_proof_s)
    assert (await transfers.find_order(order, sent_at)).finding is Finding.ABSENT


async def test_a_transfer_that_our_own_budget_kept_back_leaves_its_route_free(listening: Rig) -> None:
    transfers: TransferExecutionInterface = listening.venue.transfers(listening.on_trade)

    on_request(listening, "GET", HISTORY, lambda: spend(listening, "sapi", FULL))
    with pytest.raises(VenueUnreachableError, match="nothing was sent"):
        await transfers.execute_order(move(listening, 1), listening.clock.wall())

    listening.clock.ahead += timedelta(seconds=61)
    trade = await transfers.execute_order(move(listening, 2), listening.clock.wall())
    assert trade.order_state is OrderState.SETTLED


@BOTH
@pytest.mark.feature("C05")
@pytest.mark.fault("F22")
async def test_a_spent_budget_keeps_new_risk_back_but_not_what_closes_a_gap(listening: Rig, key: PositionKey) -> None:
    """F22: nine tenths are spent; the rest belongs to the second leg, and to the question after a lost answer."""
    account = AccountUnderTest(listening, key)
    group = {"group_id": "pair", "execution_mode": ExecutionMode.PARALLEL}
    lead, follow = (
        order_for(account, Side.BUY, small(account), **group, sequence_in_group=place, leg=place) for place in (0, 1)
    )
    spend(listening, "api" if key == SPOT_BTC else "fapi", 0.9)

    with pytest.raises(VenueUnreachableError, match="nothing was sent"):
        await account.interface.execute_order(lead, account.wall)
    account.lose_answer()
    with pytest.raises(OutcomeUnknownError):
        await account.interface.execute_order(follow, account.wall)
    assert (await account.interface.find_order(lead, account.wall)).finding is Finding.NOT_YET
    evidence = await account.interface.find_order(follow, account.wall)
    assert evidence.trade is not None
    assert evidence.trade.cum_filled == follow.quantity


@pytest.mark.feature("D01", part="gap")
@pytest.mark.fault("F24", "gap_ws")
async def test_a_gap_in_the_first_frames_does_not_leave_a_market_without_a_book_for_ever(rig: Rig) -> None:
    """F24: the book is dropped before it was ever complete; ccxt then applies differences to nothing, in silence."""
    await rig.start()
    rig.arm("gap_ws", path="usdm", count=3)
    rig.spawn("feed", rig.feed.run(rig.sink))

    def states() -> list[bool]:
        return [e.is_up for e in rig.of(StreamChanged) if (e.account, e.stream) == ("binanceusdm", "book")]

    await rig.until(lambda: states() == [True])
    for _ in range(4):
        await rig.exchange.advance(60)
    assert not [tick for tick in rig.of(BookTick) if tick.instrument == PERP_BTC]
    rig.clock.ahead += timedelta(seconds=5)
    await rig.exchange.advance(60)
    await rig.until(lambda: states() == [True, False, True])
    await rig.exchange.advance(60)
    await rig.until(lambda: any(tick.instrument == PERP_BTC for tick in rig.of(BookTick)))


@pytest.mark.feature("D02")
@pytest.mark.fault("F13", "429")
async def test_a_settlement_does_not_queue_behind_valuations_for_what_is_left_of_the_budget(listening: Rig) -> None:
    """Valuations of a fast market spend what everybody may: a rate that came 8 s late was days late."""
    await listening.feed.history()
    spend(listening, "fapi", 0.9)

    await listening.exchange.advance(8 * 3600 + 60)
    await listening.until(lambda: bool(listening.of(FundingSettled)))
    assert not listening.noted("request_waited")


async def test_a_settlement_that_the_venue_did_not_tell_is_asked_for_again_also_when_the_next_is_due(
    listening: Rig,
) -> None:
    await listening.feed.history()
    listening.arm("unavailable", path="/fapi/v1/fundingRate")
    await listening.exchange.advance(8 * 3600 + 60)
    await listening.until(lambda: bool(listening.noted("funding_unanswered")))
    await listening.exchange.advance(8 * 3600)

    await listening.until(lambda: len(listening.of(FundingSettled)) >= 2)
    first, second = listening.of(FundingSettled)
    assert second.venue_time - first.venue_time == timedelta(hours=8)


@pytest.mark.parametrize("account", ["binance", "binanceusdm"])
@pytest.mark.feature("C05")
@pytest.mark.fault("F22")
async def test_a_life_that_ends_takes_its_last_look_out_of_the_reserve(listening: Rig, account: str) -> None:
    """F22: the funding of the last minute is in the book that the next life begins with, whatever was asked before."""
    source = listening.source(account)
    spend(listening, "api" if account == "binance" else "fapi", 0.9)

    source.hurry()
    report = await source.fetch_report()
    await source.fetch_cash_flows(report.observed_at - timedelta(hours=1))

    assert report.holdings
