"""What a venue has taken and not yet finished: asked about until it has arrived, because nobody else would ask."""

from __future__ import annotations

from datetime import datetime

from basis_daemon.domain.errors import OutcomeUnknownError
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.ports import Evidence, Finding
from basis_daemon.tasks import TaskTree
from tests.engine.support import Rig
from tests.venues.paper_support import CASH, FUTURES, MARGIN, START, WALLET, D, transfer_order


class Slow:
    """A wallet whose transfer is under way when it is first asked about, and arrives two questions later."""

    account = WALLET
    operations = frozenset({OrderOperation.TRANSFER})

    def __init__(self) -> None:
        self.asked = 0

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        raise OutcomeUnknownError(f"order {order.order_id}: no answer")

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        self.asked += 1
        is_there = self.asked == 3
        trade = Trade(
            trade_id="transfer:1",
            order_id=order.order_id,
            account=WALLET,
            instrument=CASH,
            status=TradeStatus.FILLED if is_there else TradeStatus.PENDING,
            order_state=OrderState.SETTLED if is_there else OrderState.PENDING,
            venue_time=START,
            recv_time=START,
            deltas={CASH: D(-10), MARGIN: D(10)} if is_there else {},
        )
        return Evidence(Finding.FOUND, trade)

    async def cancel_order(self, order: Order) -> Evidence:
        return await self.find_order(order, START)


async def test_a_transfer_found_under_way_is_asked_about_until_it_has_arrived() -> None:
    """The answer that it is pending ends the doubt, not the transfer: its money would never be booked."""
    rig, wallet = Rig.adopted(), Slow()
    interfaces = VenueInterfaceManager([wallet], let_out=rig.last_hop.let_out)
    runner = OrderRunner(rig.recorder, rig.handler, interfaces, rig.clock, rig.alarm, rig.probes.append)
    order = transfer_order(CASH, FUTURES, "10")

    async def run() -> None:
        await runner.run(order, START)

    async with TaskTree("test") as tree:
        tree.spawn("run", run())
        await rig.clock.advance(10)
    assert rig.state.orders[order.order_id].state is OrderState.SETTLED
    assert (wallet.asked, rig.held(CASH), rig.held(MARGIN)) == (3, D(99_990), D(50_010))
