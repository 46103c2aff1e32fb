"""Delivery keeps the latest value and wakes who asked; the guard only tightens until a person rearms it."""

from __future__ import annotations

import pytest

from basis_daemon.domain.market import FundingSettled, MarketEvent
from basis_daemon.domain.order import Side
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.codec import GuardState
from basis_daemon.engine.guard import GuardLatchedError
from basis_daemon.engine.mailbox import Mailbox
from tests.engine.support import Rig
from tests.venues.paper_support import CASH, COIN, PERP, WALLET, D, cancel_order, mark, stamp, tick, trade_order


def book(at_s: float, price: int = 60_000) -> MarketEvent:
    return tick(COIN, ((D(price), D(1)),), ((D(price + 1), D(1)),), at_s)


@pytest.mark.fault("F28", "F29")
def test_the_latest_value_replaces_the_one_before_and_an_older_one_is_dropped() -> None:
    box = Mailbox()
    for event in (book(1), book(3, 61_000), book(2, 59_000), mark(60_000, 5), mark(59_000, 4)):
        box.put(event)
    assert (box.books[COIN].bid, box.marks[PERP].mark) == (D(61_000), D(60_000))
    assert box.dropped == 2
    assert box.newest == stamp(5)


def test_equal_stamps_are_no_regress() -> None:
    box = Mailbox()
    box.put(book(1, 60_000))
    box.put(book(1, 60_500))
    assert box.books[COIN].bid == D(60_500)


def test_only_those_who_subscribed_are_woken_and_only_by_what_was_kept() -> None:
    box, coin, perp = Mailbox(), list[MarketEvent](), list[MarketEvent]()
    box.subscribe(COIN, coin.append)
    box.subscribe(PERP, perp.append)
    settled = FundingSettled(PERP, stamp(3), D("0.0001"), 8)
    for event in (book(2), book(1), settled):
        box.put(event)
    assert coin == [book(2)]
    assert perp == [settled]


def test_two_subscribers_of_one_instrument_are_woken_in_order() -> None:
    box, order = Mailbox(), list[str]()
    box.subscribe(COIN, lambda _: order.append("first"))
    box.subscribe(COIN, lambda _: order.append("second"))
    box.put(book(1))
    assert order == ["first", "second"]


def test_the_guard_only_tightens() -> None:
    rig = Rig.adopted()
    rig.guard.tighten(GuardState.HALTED, "drawdown")
    rig.guard.tighten(GuardState.REDUCING, "staleness")
    rig.guard.tighten(GuardState.ACTIVE, "wish")
    assert (rig.guard.state, rig.guard.why) == (GuardState.HALTED, "drawdown")


def test_the_latch_holds_over_a_restart_and_opens_only_by_hand() -> None:
    rig = Rig.adopted()
    rig.guard.tighten(GuardState.REDUCING, "peg")
    again = Rig(stage=rig.stage, journal=rig.journal)
    assert (again.guard.state, again.guard.why) == (GuardState.REDUCING, "peg")
    again.guard.rearm("operator")
    assert again.guard.state is GuardState.ACTIVE


@pytest.mark.parametrize("state", [GuardState.REDUCING, GuardState.HALTED])
def test_a_restricted_book_may_only_reduce_and_cancel(state: GuardState) -> None:
    rig = Rig.adopted()
    entry, exit_ = trade_order(PERP, Side.SELL, "1"), trade_order(PERP, Side.BUY, "1", reduce_only=True)
    assert not rig.guard.forbids(entry)
    rig.guard.tighten(state, "drill")
    assert rig.guard.forbids(entry)
    assert not rig.guard.forbids(exit_)
    assert not rig.guard.forbids(cancel_order(entry))


async def test_the_guard_is_not_rearmed_while_an_order_is_in_doubt_or_a_break_is_open() -> None:
    rig = Rig.adopted()
    rig.guard.tighten(GuardState.HALTED, "drill")
    rig.stage.venue.exchange.wallets.pay(CASH, D(-50))
    for _ in range(2):
        rig.handler.observe(await rig.report(WALLET), is_settled=True)
        await rig.clock.advance(2)
    with pytest.raises(GuardLatchedError, match="0 orders in doubt, 1 breaks open"):
        rig.guard.rearm("operator")
    rig.stage.venue.exchange.wallets.pay(CASH, D(50))
    for _ in range(2):
        rig.handler.observe(await rig.report(WALLET), is_settled=True)
    order = trade_order(COIN, Side.BUY, "0.1")
    await rig.recorder.intents([order])
    rig.recorder.move(order, OrderState.SUBMITTED)
    with pytest.raises(GuardLatchedError, match="1 orders in doubt, 0 breaks open"):
        rig.guard.rearm("operator")
    assert rig.guard.state is GuardState.HALTED
