"""A paper wallet that also holds stops and take-profits, and a book whose brackets are kept there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.bracket import BracketFired
from basis_daemon.domain.errors import ErrorClass, OrderRejectedError, OutcomeUnknownError
from basis_daemon.domain.order import PROTECTIVE, Order, OrderOperation, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.engine.bracket_keeper import BracketKeeper
from basis_daemon.engine.bracket_orders import BracketOrders
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.ports import Evidence, ExecutionInterface, Finding, TaskScope
from basis_daemon.tasks import TaskTree
from tests.engine.support import BUDGET, Rig
from tests.venues.paper_support import FUTURES, PERP, START, WALLET, D, trade_order


class PlainVenue:
    """Trades as the wallet behind it does, and holds no conditional orders; honours ``ExecutionInterface``."""

    def __init__(self, inner: ExecutionInterface) -> None:
        self._inner = inner

    @property
    def account(self) -> str:
        return self._inner.account

    @property
    def operations(self) -> frozenset[OrderOperation]:
        return self._inner.operations - PROTECTIVE

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        return await self._inner.execute_order(order, timestamp)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        return await self._inner.find_order(order, sent_at)

    async def cancel_order(self, order: Order) -> Evidence:
        return await self._inner.cancel_order(order)


class StopVenue:
    """Trades as the wallet behind it does, and holds conditional orders of its own; honours ``ExecutionInterface``."""

    def __init__(self, inner: ExecutionInterface, rig: Rig) -> None:
        self._inner, self._rig = inner, rig
        self.held: dict[str, OrderState] = {}
        self.log: list[str] = []
        self.refuses: set[OrderOperation] = set()
        self.loses_answers = 0
        self.silent_questions = 0

    @property
    def account(self) -> str:
        return self._inner.account

    @property
    def operations(self) -> frozenset[OrderOperation]:
        return self._inner.operations | PROTECTIVE

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        if order.operation is OrderOperation.CANCEL:
            self.log.append("cancel " + self._kind(order.memo or ""))
            self.held[order.memo or ""] = OrderState.CANCELLED
            return self._state(self._rig.state.orders[order.memo or ""].order)
        if order.operation not in PROTECTIVE:
            return await self._inner.execute_order(order, timestamp)
        if order.operation in self.refuses:
            raise OrderRejectedError(f"order {order.order_id}: would trigger", ErrorClass.RETRYABLE)
        self.log.append(f"{order.operation} {order.side} {order.amount} at {order.trigger_price}")
        self.held[order.order_id] = OrderState.ACKED
        if self.loses_answers:
            self.loses_answers -= 1
            raise OutcomeUnknownError(f"order {order.order_id}: no answer")
        return self._state(order)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        if order.operation not in PROTECTIVE:
            return await self._inner.find_order(order, sent_at)
        if self.silent_questions:
            self.silent_questions -= 1
            return Evidence(Finding.NOT_YET)
        known = order.order_id in self.held
        return Evidence(Finding.FOUND, self._state(order)) if known else Evidence(Finding.ABSENT)

    async def cancel_order(self, order: Order) -> Evidence:
        return await self._inner.cancel_order(order)

    async def fire(self, operation: OrderOperation, share: str = "1") -> None:
        """The mark has come to a half: it trades under its own id."""
        order_id = next(i for i, state in self.held.items() if state is OrderState.ACKED and self._kind(i) == operation)
        half = self._rig.state.orders[order_id].order
        self.held[order_id] = OrderState.FILLED
        assert half.side is not None
        order = trade_order(PERP, half.side, half.quantity * D(share), order_id=order_id, reduce_only=True)
        await self._inner.execute_order(order, START)

    @property
    def live(self) -> dict[str, Order]:
        """What it holds, by kind."""
        ids = [order_id for order_id, state in self.held.items() if state is OrderState.ACKED]
        return {self._kind(order_id): self._rig.state.orders[order_id].order for order_id in ids}

    def _kind(self, order_id: str) -> str:
        return str(self._rig.state.orders[order_id].order.operation)

    def _state(self, order: Order) -> Trade:
        return Trade(
            trade_id=f"{order.order_id}:{self.held[order.order_id]}",
            order_id=order.order_id,
            account=self.account,
            instrument=order.instrument,
            status=TradeStatus.PENDING,
            order_state=self.held[order.order_id],
            venue_time=self._rig.state.market_time,
            recv_time=START,
            remaining=order.quantity,
        )


class Guarded:
    """One strategy's keeper and manager over a ``Rig``; ``keeps`` is false for a venue that holds no stops."""

    def __init__(self, rig: Rig, *, keeps: bool = True) -> None:
        self.rig = rig
        inner = rig.witnesses[FUTURES]
        self.venue = StopVenue(inner, rig)
        futures: ExecutionInterface = self.venue if keeps else PlainVenue(inner)
        interfaces = VenueInterfaceManager([rig.witnesses[WALLET], futures], let_out=rig.last_hop.let_out)
        runner = OrderRunner(rig.recorder, rig.handler, interfaces, rig.clock, rig.alarm, rig.probes.append)
        self.fired: list[BracketFired] = []
        self.is_armed = True
        prices = rig.mailbox.books, rig.mailbox.marks
        self.keeper = BracketKeeper(
            orders=BracketOrders("test", "test", rig.recorder, D(100), prices),
            recorder=rig.recorder,
            runner=runner,
            interfaces=interfaces,
            clock=rig.clock,
            alarm=rig.alarm,
            is_armed=lambda: self.is_armed,
        )
        self.manager = VenueManager(
            recorder=rig.recorder,
            runner=runner,
            interfaces=interfaces,
            clock=rig.clock,
            budget=BUDGET,
            book="test",
            quotes=rig.mailbox.books,
            is_halted=rig.guard.forbids,
            brackets=self.keeper,
        )
        rig.handler.on_fill.append(lambda _: self.keeper.wake())
        self.scope: TaskScope | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Guarded]:
        """Its passes have a parent, and the first second is over."""
        async with TaskTree("test") as tree:
            self.scope = tree
            await self.second()
            yield self

    async def second(self, seconds: float = 0) -> None:
        """So much process time passes, and it looks."""
        await self.rig.clock.advance(seconds)
        assert self.scope is not None
        self.keeper.tick(self.scope, self.fired.append)
        await self.rig.clock.advance(0)

    async def enter(self, side: Side = Side.BUY, amount: str = "0.5", **fields: object) -> PlanState:
        """An entry between a stop of 1 % and a take-profit of 2 % of its reference price."""
        gap = D(600) * side.sign
        given: dict[str, object] = {"stop_loss": D(60_000) - gap, "take_profit": D(60_000) + 2 * gap}
        order = trade_order(PERP, side, amount, **given | fields)
        self.entry = order
        return await self.manager.execute_orders(START, [order], "plan")

    @property
    def held(self) -> Decimal:
        return self.rig.held(PERP)

    def figures(self) -> dict[str, tuple[Decimal | str, Decimal | None]]:
        """Amount and trigger of every half that lives."""
        return {kind: (order.amount, order.trigger_price) for kind, order in self.venue.live.items()}
