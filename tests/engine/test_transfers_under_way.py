"""A transfer on its way: a plan waits for it, a plan that is stopped does not, and it arrives all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import IllegalTransitionError, OrderRejectedError
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick, DecisionIds, MarketSnapshot
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import PositionBook
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.domain.transfer import KEPT, NEXT, ApprovalRow, Route, RouteBook, TransferRow, TransferStep
from basis_daemon.engine.follower import Follower
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.state import BookState, recover
from basis_daemon.engine.transfer_log import TransferLog
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.ports import Evidence, Finding
from basis_daemon.tasks import TaskTree
from tests.engine.support import BUDGET, Rig
from tests.venues.paper_support import CASH, SPOT_BTC, START, WALLET, D, transfer_order

TARGET = PositionKey("wallet:token:USDT")
TRANSIT = PositionKey(f"{WALLET}:transit:USDT")


class Carrier:
    """Takes 10 USDT out of the account at once, and has them there when it is told to."""

    account = WALLET
    operations = frozenset({OrderOperation.TRANSFER})

    def __init__(self) -> None:
        self.is_there = False

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        return self._trade(order, OrderState.PENDING)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        state = OrderState.SETTLED if self.is_there else OrderState.PENDING
        return Evidence(Finding.FOUND, self._trade(order, state))

    async def cancel_order(self, order: Order) -> Evidence:
        return await self.find_order(order, START)

    def _trade(self, order: Order, state: OrderState) -> Trade:
        has_left = {CASH: D(-10), TRANSIT: D(10)}
        deltas = has_left if state is OrderState.PENDING else {TRANSIT: D(-10), TARGET: D(10)}
        return Trade(
            trade_id=f"transfer:{state}",
            order_id=order.order_id,
            account=WALLET,
            instrument=CASH,
            status=TradeStatus.PENDING,
            order_state=state,
            venue_time=START,
            recv_time=START,
            deltas=deltas,
        )


class Road:
    """A book whose transfers go by a carrier."""

    def __init__(self) -> None:
        self.rig, self.carrier = Rig.adopted(), Carrier()
        rig = self.rig
        table = VenueInterfaceManager([self.carrier], let_out=rig.last_hop.let_out)
        self.runner = OrderRunner(rig.recorder, rig.handler, table, rig.clock, rig.alarm, rig.probes.append)
        self.manager = VenueManager(
            recorder=rig.recorder, runner=self.runner, interfaces=table, clock=rig.clock, budget=BUDGET, book="test",
            quotes=rig.mailbox.books, is_halted=rig.guard.forbids,
        )  # fmt: skip
        self.order = transfer_order(
            CASH, "wallet", "10", timeout_s=D(3600), expected_deltas={CASH: D(-10), TARGET: D(10)}
        )
        self.ended: list[PlanState] = []

    @property
    def plan_id(self) -> str:
        return f"test:{self.rig.recorder.epoch}:{self.order.decision}"

    async def plan(self) -> None:
        self.ended.append(await self.manager.execute_orders(START, [self.order], self.plan_id))


@pytest.mark.feature("T01", part="plan")
async def test_a_plan_waits_until_its_transfer_has_arrived() -> None:
    road = Road()
    async with TaskTree("test") as tree:
        tree.spawn("plan", road.plan())
        await road.rig.clock.advance(600)
        assert (road.ended, road.rig.held(TRANSIT)) == ([], D(10))
        road.carrier.is_there = True
        await road.rig.clock.advance(10)
    assert (road.ended, road.rig.held(TRANSIT), road.rig.held(TARGET)) == ([PlanState.DONE], D(0), D(10))


@pytest.mark.feature("T01", part="plan")
async def test_a_plan_that_is_stopped_waits_no_longer_and_the_follower_books_the_arrival() -> None:
    road = Road()
    follower = Follower(road.rig.recorder, road.runner, road.rig.clock)
    async with TaskTree("test") as tree:
        tree.spawn("plan", road.plan())
        tree.spawn("follower", follower.run())
        await road.rig.clock.advance(30)
        road.manager.stop(road.plan_id)
        await road.rig.clock.advance(2)
        assert road.ended == [PlanState.ABORTED]
        road.carrier.is_there = True
        await road.rig.clock.advance(10)
        tree.cancel_all("seen")
    assert (road.rig.held(TRANSIT), road.rig.held(TARGET)) == (D(0), D(10))


@pytest.mark.feature("T01", part="plan")
@pytest.mark.parametrize(
    ("there", "number", "step"),
    [
        (None, "", TransferStep.FAILED),
        (None, "7", TransferStep.RETURNED),
        (TARGET, "7", TransferStep.DONE),
    ],
)
async def test_a_transfer_whose_order_has_ended_without_it_ends_and_leaves_its_route(
    there: PositionKey | None, number: str, step: TransferStep
) -> None:
    """Its transaction was cancelled while nobody looked, or its last step was lost in a crash."""
    road = Road()
    rig, order = road.rig, road.order
    await rig.recorder.intents([order])
    rig.recorder.move(order, OrderState.SUBMITTED)
    await TransferLog(rig.recorder).keep(row(TransferStep.SUBMITTING, order_id=order.order_id, venue_id=number))
    state = OrderState.CANCELLED if there is None else OrderState.SETTLED
    deltas = {} if there is None else {CASH: D(-10), there: D(10)}
    rig.handler.process_trades([road.carrier._trade(order, state).model_copy(update={"deltas": deltas})])
    async with TaskTree("test") as tree:
        tree.spawn("follower", Follower(rig.recorder, road.runner, rig.clock).run())
        await rig.clock.advance(6)
        tree.cancel_all("seen")
    assert rig.state.transfers[order.order_id].step is step


def row(step: TransferStep = TransferStep.SUBMITTING, **changes: object) -> TransferRow:
    made = TransferRow("a" * 32, WALLET, "wallet", "USDT", "ethereum", "0x1", D(10), D(0), D(1), D(0), START, step)
    return replace(made, **changes)  # type: ignore[arg-type]  # by name


async def test_a_step_is_on_disk_when_keep_returns_and_a_snapshot_has_it_too() -> None:
    rig = Rig.adopted()
    log = TransferLog(rig.recorder)
    await log.keep(row())
    await log.keep(row(TransferStep.ONCHAIN, tx_id="0x2"))
    assert recover(rig.journal.after_crash()).transfers == {"a" * 32: row(TransferStep.ONCHAIN, tx_id="0x2")}
    assert BookState.restore(rig.state.dump()).transfers == rig.state.transfers


@given(st.lists(st.sampled_from(list(TransferStep)), max_size=8))
def test_no_step_is_ever_taken_back_and_an_end_is_an_end(steps: list[TransferStep]) -> None:
    now = row()
    for step in steps:
        if step in NEXT[now.step]:
            now.check_next(step)
            now = replace(now, step=step)
        elif step is not now.step:
            with pytest.raises(IllegalTransitionError):
                now.check_next(step)
    assert now.is_open == bool(NEXT[now.step])
    assert now.is_kept(START + KEPT * 2) == now.is_open


@given(st.lists(st.decimals("1", "500", places=2), min_size=1, max_size=12))
def test_what_was_let_out_within_a_day_is_never_more_than_the_book_allows(amounts: list[Decimal]) -> None:
    book = RouteBook("ethereum", (Route(WALLET, "wallet", "USDT", "0x1", D(300), D(700), D(20), D(100)),))
    word = ApprovalRow("july", WALLET, "wallet", "USDT", D(200), START, START + timedelta(hours=24), "seen by two")
    rows: list[TransferRow] = []
    for number, amount in enumerate(amounts):
        now = START + timedelta(hours=3 * number)
        order = transfer_order(CASH, "wallet", str(amount), network="ethereum")
        try:
            admission = book.admitted(order, rows, [word], now)
        except OrderRejectedError:
            continue
        sent, approval = admission.amount, admission.approval
        rows.append(row(TransferStep.DONE, order_id=order.order_id, amount=sent, at=now, approval=approval))
        assert sent <= (300 if len(rows) > 1 else 20)
        assert sum(one.amount for one in rows if one.at > now - timedelta(days=1)) <= 700
        assert sent <= (200 if approval else 100), "more than 100 only on a word, and no more than it says"
        assert sum(one.approval == "july" for one in rows) <= 1, "a word is spent once"


@pytest.mark.feature("T03", part="exposure")
def test_what_left_an_exchange_is_in_equity_and_no_part_of_either_balance() -> None:
    ether = PositionKey("binance:spot:ETH")
    book = BookTick(ether, START, 0, ((D(2499), D(9)),), ((D(2501), D(9)),))
    terms = {ether: replace(SPOT_BTC, key=ether, base="ETH")}
    market = MarketSnapshot(START, DecisionIds("test", 1, 1), terms, {ether: book}, {}, {}, None)
    holdings = {CASH: D(90), TRANSIT: D(10), PositionKey("binance:transit:ETH"): D(2)}
    seen = build_exposure(PositionBook(1, START, holdings, {}), market)
    assert seen.equity_usdt == 90 + 10 + 2 * 2500
    assert seen.net_delta["ETH"] == 2
    assert (seen.holdings[CASH], ether in seen.holdings) == (D(90), False)
