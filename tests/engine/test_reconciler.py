"""Asking an account what happened and what it holds, and believing the answer only when nothing moved meanwhile."""

from __future__ import annotations

import pytest

from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Side
from basis_daemon.engine.freshness import Freshness, FreshnessLimits
from basis_daemon.engine.reconciler import Reconciler
from basis_daemon.engine.state import recover
from basis_daemon.tasks import TaskTree
from tests.engine.support import Rig, agrees
from tests.venues.paper_support import CASH, COIN, WALLET, D, limit_order, stamp, trade_order


def reconciler(rig: Rig, account: str) -> Reconciler:
    freshness = Freshness(rig.mailbox, FreshnessLimits(quote_s=D(5), account_s=D(20)))
    return Reconciler(rig.stage.venue.accounts[account], rig.recorder, rig.handler, freshness, rig.clock, rig.alarm)


@pytest.mark.feature("R02")
async def test_a_fill_the_stream_lost_is_asked_for_before_any_difference_is_concluded() -> None:
    rig = Rig.adopted()
    rig.stage.venue.connect(None)
    rig.stage.venue.trade_by_hand(COIN, Side.BUY, D("0.25"))
    rig.stage.venue.deposit(CASH, D(500))
    assert await reconciler(rig, WALLET).reconcile()
    assert agrees(rig)
    assert not rig.monitor.book.breaks
    assert rig.state.ledger.total(Cause.EXTERNAL, "USDT") == D(500)


@pytest.mark.fault("F45")
async def test_the_book_that_an_account_begins_with_is_on_disk_before_anything_is_judged_by_it() -> None:
    rig = Rig()
    await reconciler(rig, WALLET).adopt()
    again = recover(rig.journal.after_crash())
    assert again.is_adopted(WALLET)
    assert again.ledger.holding(CASH) == D(100_000)


@pytest.mark.feature("R02")
async def test_a_silent_venue_changes_nothing_and_is_asked_again() -> None:
    rig = Rig.adopted()
    checker = reconciler(rig, WALLET)
    rig.faults.silence(1)
    assert not await checker.reconcile()
    assert (checker.failures, rig.held(CASH)) == (1, D(100_000))
    assert await checker.reconcile()
    assert checker.failures == 0


@pytest.mark.feature("R02")
async def test_the_last_look_of_a_life_is_repeated_while_the_venue_is_silent() -> None:
    """What it paid in the last minute is in the book that the next start begins with."""
    rig = Rig.adopted()
    checker = reconciler(rig, WALLET)
    rig.stage.venue.connect(None)
    rig.stage.venue.deposit(CASH, D(500))
    rig.faults.silence(2)
    async with TaskTree("test") as tree:
        tree.spawn("last look", checker.last_look())
        for _ in range(2):
            await rig.clock.until_sleepers(1)
            await rig.clock.advance(1)
    assert rig.held(CASH) == D(100_500)


@pytest.mark.feature("R02")
async def test_the_last_look_of_a_life_does_not_wait_for_a_venue_that_stays_at_odds() -> None:
    rig = Rig.adopted()
    checker = reconciler(rig, WALLET)
    rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
    async with TaskTree("test") as tree:
        tree.spawn("last look", checker.last_look())
        for _ in range(2):
            await rig.clock.until_sleepers(1)
            await rig.clock.advance(1)
    assert not checker.is_clean


@pytest.mark.feature("R02")
async def test_while_an_order_rests_nothing_is_concluded() -> None:
    rig = Rig.adopted()
    checker = reconciler(rig, WALLET)
    order = limit_order(COIN, Side.BUY, "0.5", "59000")
    await rig.run(order)
    rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
    for _ in range(3):
        assert not await checker.reconcile()
    assert not rig.monitor.book.breaks


@pytest.mark.feature("R02")
@pytest.mark.fault("F19", "venue_lags")
async def test_money_nobody_can_explain_is_a_break_once_it_has_stayed_so() -> None:
    rig = Rig.adopted()
    checker = reconciler(rig, WALLET)
    rig.stage.venue.exchange.wallets.pay(CASH, D(-50))  # a venue that takes money and does not say why
    assert not await checker.reconcile()
    assert not await checker.reconcile()
    assert not rig.monitor.book.breaks
    await rig.clock.advance(2)
    assert not await checker.reconcile()
    assert [b.difference for b in rig.monitor.book.breaks] == [D(-50)]
    rig.stage.venue.exchange.wallets.pay(CASH, D(50))
    assert [await checker.reconcile() for _ in range(2)] == [False, True]
    assert not rig.monitor.book.breaks


@pytest.mark.feature("R02")
async def test_a_look_without_history_never_opens_a_break() -> None:
    """A valuation reads the balance alone: money that moved by a row not asked for yet is no break, however often."""
    rig = Rig.adopted()
    checker = reconciler(rig, WALLET)
    rig.stage.venue.connect(None)
    rig.stage.venue.deposit(CASH, D(500))
    for _ in range(3):
        assert not await checker.check()
    assert not rig.monitor.book.breaks
    assert await checker.reconcile()
    assert await checker.check()
    assert rig.state.breaks_opened == 0


@pytest.mark.feature("R02")
async def test_a_report_from_before_the_last_trade_is_no_agreement() -> None:
    rig = Rig.adopted()
    checker = reconciler(rig, WALLET)
    await rig.run(trade_order(COIN, Side.BUY, "0.1"))
    rig.state.last_trade_time[WALLET] = stamp(3_600)
    assert not await checker.reconcile()
    rig.state.last_trade_time[WALLET] = stamp(0)
    assert await checker.reconcile()


def test_an_account_is_stale_while_any_of_its_streams_is_down() -> None:
    """The book stream that comes back says nothing about the private one, which alone tells of fills."""
    rig = Rig.adopted()
    freshness = Freshness(rig.mailbox, FreshnessLimits(quote_s=D(5), account_s=D(20)))
    freshness.answered(WALLET, 0)

    def is_stale() -> bool:
        return freshness.ages((), (WALLET,), 0)[f"account:{WALLET}"].is_stale

    for stream in ("user", "book"):
        freshness.stream_changed(WALLET, stream, is_up=False)
    freshness.stream_changed(WALLET, "book", is_up=True)
    assert is_stale()
    freshness.stream_changed(WALLET, "user", is_up=True)
    assert not is_stale()
