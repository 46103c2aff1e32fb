"""Whatever order fills, repeats, endings, days and crashes come in: each fill counts once and no order lives twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, Side
from basis_daemon.domain.trade import TERMINAL, TRANSITIONS, OrderState, Trade, TradeStatus
from basis_daemon.engine.reconciler import OVERLAP_AT_START
from basis_daemon.engine.state import EPOCH, BookState
from tests.engine.support import Rig, folded
from tests.engine.test_recovery import visible
from tests.venues.paper_support import COIN, FUTURES, WALLET, D, trade_order

pytestmark = pytest.mark.slow

CASH = PositionKey.of(WALLET, Kind.SPOT, "USDT")
PRICE = D(60_000)
ENDINGS = (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED, OrderState.NEVER_ACCEPTED, OrderState.UNKNOWN)
ANY = st.integers(0, 10**6)


class LifeOfOrders(RuleBasedStateMachine):
    """The venue's own record of every fill is the model; the book may hear of it late, twice, or in the wrong order."""

    @initialize()
    def begin(self) -> None:
        self.rig = Rig.adopted()
        asyncio.run(self.rig.recorder.flush())
        self.opening = self.rig.held(COIN), self.rig.held(CASH)
        self.orders: list[Order] = []
        self.fills: list[Trade] = []
        self.heard: set[str] = set()
        self.ended: dict[str, OrderState] = {}

    @rule(eighths=st.integers(1, 8))
    def send(self, eighths: int) -> None:
        order = trade_order(COIN, Side.BUY, D(eighths) / 8)
        asyncio.run(self.rig.recorder.intents([order]))
        self.rig.recorder.move(order, OrderState.SUBMITTED, at=self.rig.clock.wall())
        self.orders.append(order)

    @precondition(lambda self: self.orders)
    @rule(which=ANY, share=st.sampled_from((2, 1)), is_told=st.booleans())
    def fill(self, which: int, share: int, is_told: bool) -> None:
        """The venue fills half of what is left, or all; also of an order that we believe dead or have forgotten."""
        order = self.orders[which % len(self.orders)]
        done = sum((fill.qty_base for fill in self.fills if fill.order_id == order.order_id), D(0))
        if (left := order.quantity - done) <= 0:
            return
        self.fills.append(self._fill_of(order, left / share, done + left / share))
        if is_told:
            self._hear(self.fills[-1])

    @precondition(lambda self: self.fills)
    @rule(which=ANY)
    def tell(self, which: int) -> None:
        """A fill is told in whatever order, once more or for the first time, while a venue would still tell of it."""
        fill = self.fills[which % len(self.fills)]
        if fill.trade_id not in self.heard or fill.venue_time >= self._asked_again_from():
            self._hear(fill)

    @precondition(lambda self: self.orders)
    @rule(which=ANY, state=st.sampled_from(ENDINGS))
    def end(self, which: int, state: OrderState) -> None:
        """Evidence, right or wrong, of how an order ended."""
        life = self.rig.state.orders.get(self.orders[which % len(self.orders)].order_id)
        if life is not None and state in TRANSITIONS[life.state]:
            self.rig.recorder.move(life.order, state)

    @rule(hours=st.sampled_from((1, 7, 11, 23, 30, 80)))
    def days_pass(self, hours: int) -> None:
        """Market time in which the venue was asked, and told of everything until then."""
        for fill in self.fills:
            if fill.trade_id not in self.heard:
                self._hear(fill)
        self.rig.recorder.see_time(self.rig.state.market_time + timedelta(hours=hours))
        for account in (WALLET, FUTURES):
            self.rig.recorder.asked(account, self.rig.state.market_time)
        self.rig.recorder.forget(3)

    @rule()
    def snapshot(self) -> None:
        self.rig.recorder.snapshot()

    @rule(is_flushed=st.booleans())
    def crash(self, is_flushed: bool) -> None:
        """Rows that nobody waited for may be gone; the next life asks the venue as the reconciler does."""
        if is_flushed:
            asyncio.run(self.rig.recorder.flush())
        self.rig = Rig(stage=self.rig.stage, journal=self.rig.journal.after_crash())
        self.ended = {}
        since = self._asked_again_from()
        for fill in self.fills:
            if fill.venue_time >= since:
                self._hear(fill)

    @invariant()
    def every_fill_that_was_told_counts_once(self) -> None:
        told = [fill for fill in self.fills if fill.trade_id in self.heard]
        bought = sum((fill.qty_base for fill in told), D(0))
        assert self.rig.held(COIN) == self.opening[0] + bought
        assert self.rig.held(CASH) == self.opening[1] - bought * PRICE
        assert self.rig.state.trade_count == len(told)

    @invariant()
    def an_order_holds_its_own_fills_and_never_comes_back_from_its_end(self) -> None:
        for order_id, life in self.rig.state.orders.items():
            mine = [f for f in self.fills if f.order_id == order_id and f.trade_id in self.heard]
            assert sorted(life.trade_ids) == sorted(fill.trade_id for fill in mine)
            assert life.cum_filled == sum((fill.qty_base for fill in mine), D(0)) <= life.order.quantity
            if order_id in self.ended:
                assert life.state is self.ended[order_id]
            if life.state in TERMINAL:
                self.ended[order_id] = life.state
                assert life.ended_at is not None

    @invariant()
    def the_journal_tells_the_same(self) -> None:
        assert visible(folded(self.rig)) == visible(self.rig.state)
        assert BookState.restore(self.rig.state.dump()).dump() == self.rig.state.dump()

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            strangers = [facts for what, facts in self.rig.alarms if what == "fill of an order that is not ours"]
            assert strangers == []

    def _hear(self, fill: Trade) -> None:
        self.rig.handler.process_trades([fill])
        self.heard.add(fill.trade_id)

    def _asked_again_from(self) -> datetime:
        state = self.rig.state
        return max(state.asked_until.get(WALLET, state.market_time) - OVERLAP_AT_START, EPOCH)

    def _fill_of(self, order: Order, quantity: Decimal, done: Decimal) -> Trade:
        now, left = self.rig.state.market_time, order.quantity - done
        state = OrderState.PARTIAL if left else OrderState.FILLED
        return Trade(
            trade_id=f"fill-{len(self.fills)}", order_id=order.order_id, account=WALLET, instrument=COIN,
            status=TradeStatus.PARTIAL if left else TradeStatus.FILLED, order_state=state, price=PRICE,
            qty_base=quantity, venue_time=now, recv_time=now, cum_filled=done, remaining=left,
            deltas={COIN: quantity, CASH: -quantity * PRICE},
        )  # fmt: skip


TestLifeOfOrders = pytest.mark.feature("Q02", part="orders")(LifeOfOrders.TestCase)
TestLifeOfOrders.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
