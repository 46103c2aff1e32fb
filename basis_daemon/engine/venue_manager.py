"""When: a plan's batches in list order, each settled before the next, every trade streaming to the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import BasisError, PlanRefusedError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.order import LEGS_OF_A_PAIR, ExecutionMode, OnFail, Order, OrderOperation, TimeInForce
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.plan import Batch, PlanState, batches
from basis_daemon.domain.trade import DEAD, OrderState
from basis_daemon.engine.bracket_keeper import BracketKeeper
from basis_daemon.engine.leg_group import Desk, GroupEnd, LegBudget, LegGroup
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.ports import Clock, TaskScope
from basis_daemon.rare_paths import RarePath

SETTLED = frozenset({OrderState.FILLED, OrderState.SETTLED, OrderState.CLAIMED, OrderState.FINAL})
RESTING = frozenset({TimeInForce.GTC, TimeInForce.POST_ONLY})
"""An order meant to rest is settled once the venue has it; anything else only when all of it was done."""


class VenueManager:
    """Executes plans. Several may run beside each other; ``stop`` keeps a plan's unsent orders from leaving."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        runner: OrderRunner,
        interfaces: VenueInterfaceManager,
        clock: Clock,
        budget: LegBudget,
        book: str,
        quotes: Mapping[PositionKey, BookTick],
        is_halted: Callable[[Order], bool],
        brackets: BracketKeeper | None = None,
    ) -> None:
        """Without ``brackets`` no order may carry one."""
        self._recorder = recorder
        self._runner = runner
        self._interfaces = interfaces
        self._clock = clock
        self._budget = budget
        self._book = book
        self._quotes = quotes
        self._is_halted = is_halted
        self.brackets = brackets
        self._stopped: set[str] = set()
        self._defence: set[str] = set()

    @property
    def unhedged_max_s(self) -> Decimal:
        """Process seconds for which a leg may stand alone."""
        return self._budget.unhedged_max_s

    @property
    def clip_usdt_max(self) -> Decimal:
        """The largest part of a pair that is sent at once."""
        return self._budget.clip_usdt

    def stop(self, plan_id: str) -> None:
        """Let the plan finish the clip it is in and send nothing more; what is on its way arrives by itself."""
        self._stopped.add(plan_id)
        self._runner.let_go(plan_id)

    def check(self, orders: Sequence[Order]) -> tuple[Batch, ...]:
        """The plan's batches; raises PlanRefusedError before anything is sent for what could not be executed whole."""
        cut = batches(orders, self._interfaces.chain_by_venue)
        for batch in cut:
            if batch.mode is ExecutionMode.PARALLEL and len(batch.orders) % LEGS_OF_A_PAIR:
                legs = f"{len(batch.orders)} parallel legs, expected pairs"
                raise PlanRefusedError(f"group {batch.group_id}: {legs}")
        for order in orders:
            if not self._interfaces.can_route(order):
                raise PlanRefusedError(f"order {order.order_id}: no interface for {order.operation} at {order.venue}")
            if (fault := self._bracket_fault(order)) is not None:
                raise PlanRefusedError(f"order {order.order_id}: {fault}")
        return cut

    async def execute_orders(
        self,
        timestamp: datetime,
        orders: Sequence[Order],
        plan_id: str,
        *,
        is_defence: bool = False,
        scope: TaskScope | None = None,
    ) -> PlanState:
        """DONE when every batch settled as asked; ABORTED as soon as one did not: the next decision repairs.

        A guard that tightens meanwhile ends an ordinary plan before its next order; defence goes on. ``scope`` is the
        parent of pairs that run side by side; without one they run one after another.
        """
        cut = self.check(orders)
        if is_defence:
            self._defence.add(plan_id)
        try:
            for batch in cut:
                if plan_id in self._stopped or not await self._run_batch(batch, timestamp, plan_id, scope):
                    return PlanState.ABORTED
            return PlanState.DONE
        finally:
            self._stopped.discard(plan_id)
            self._runner.ended(plan_id)
            self._defence.discard(plan_id)

    async def _run_batch(self, batch: Batch, timestamp: datetime, plan_id: str, scope: TaskScope | None) -> bool:
        if batch.mode is ExecutionMode.PARALLEL:
            pairs = list(zip(batch.orders[::2], batch.orders[1::2], strict=True))
            if len(pairs) == 1 or scope is None:
                return all([await self._run_legs(*pair, timestamp, plan_id) for pair in pairs])
            return await self._run_side_by_side(pairs, timestamp, plan_id, scope)
        if batch.mode is ExecutionMode.ATOMIC:
            return await self._run_group(batch.orders, timestamp, plan_id)
        for order in batch.orders:
            if not await self._run_single(order, timestamp, plan_id):
                return False
        return True

    async def _run_side_by_side(
        self, pairs: Sequence[tuple[Order, Order]], timestamp: datetime, plan_id: str, scope: TaskScope
    ) -> bool:
        """Every pair at once, so that one slow venue keeps none of them waiting; true when all of them were hedged."""
        ends: list[asyncio.Future[bool]] = []

        async def run(lead: Order, follow: Order, end: asyncio.Future[bool]) -> None:
            try:
                end.set_result(await self._run_legs(lead, follow, timestamp, plan_id))
            except BasisError as error:
                end.set_exception(error)

        for lead, follow in pairs:
            ends.append(asyncio.get_running_loop().create_future())
            scope.spawn(f"pair {lead.order_id}", run(lead, follow, ends[-1]))
        await asyncio.wait(ends)
        are_hedged = [end.result() for end in ends]
        return all(are_hedged)

    async def _run_legs(self, lead: Order, follow: Order, timestamp: datetime, plan_id: str) -> bool:
        desk = Desk(
            runner=self._runner,
            clock=self._clock,
            quote=lambda order: self._quotes.get(order.instrument),
            instrument=self._instrument,
            is_stopped=lambda: self._must_stop(lead, plan_id),
            book=self._book,
            epoch=self._recorder.epoch,
        )
        row = await LegGroup(lead, follow, self._budget, desk).run(timestamp)
        self._recorder.record(row, plan_id, row.group_id)
        return row.how == GroupEnd.HEDGED

    def _must_stop(self, order: Order, plan_id: str) -> bool:
        if plan_id in self._stopped or plan_id in self._defence:
            return plan_id in self._stopped
        return self._is_halted(order) or self._runner.rarely(RarePath.PLAN_ENDS_EARLY)

    async def _run_group(self, orders: Sequence[Order], timestamp: datetime, plan_id: str) -> bool:
        """One transaction: what it did not do costs its gas and is for the next decision to say again."""
        market_time = self._recorder.state.market_time
        if self._must_stop(orders[0], plan_id) or any(order.is_expired(market_time) for order in orders):
            return False
        lives = await self._runner.run_group(orders, timestamp)
        return all(life.state in SETTLED for life in lives)

    async def _run_single(self, order: Order, timestamp: datetime, plan_id: str) -> bool:
        """One order, with as many fresh attempts as ``on_fail`` grants after the one before is known dead."""
        tries = 1 + (order.retries_max if order.on_fail is OnFail.RETRY else 0)
        for attempt in range(tries):
            if self._must_stop(order, plan_id) or order.is_expired(self._recorder.state.market_time):
                return False
            life = await self._runner.run(order if attempt == 0 else self._again(order, attempt), timestamp)
            if self.brackets is not None and order.stop_loss is not None and life.cum_filled:
                await self.brackets.settle()
            if life.state not in DEAD:
                return life.state in SETTLED or life.order.tif in RESTING
            if life.cum_filled:  # a part was done: what is still wanted is for the next decision to say
                return False
        return False

    def _bracket_fault(self, order: Order) -> str | None:
        """Why the bracket that an order carries could not be kept; None when it can, or when there is none."""
        if order.take_profit is None and order.stop_loss is None:
            return None
        if self.brackets is None:
            return "no venue here keeps brackets, expected none"
        if order.take_profit is None or order.stop_loss is None:
            return "half a bracket, expected stop_loss and take_profit"
        is_single = order.execution_mode is ExecutionMode.SEQUENTIAL and order.group_id is None
        if order.operation is not OrderOperation.PERP_TRADE or order.reduce_only or not is_single:
            return "a bracket, which only a single order that opens a perp can carry"
        return None

    def _again(self, order: Order, attempt: int) -> Order:
        epoch = self._recorder.epoch
        fresh = order_id(self._book, epoch, order.strategy, order.decision, order.leg, order.clip, attempt)
        return Order(**order.model_dump() | {"order_id": fresh, "attempt": attempt, "parent_id": order.order_id})

    def _instrument(self, order: Order) -> Instrument:
        found = self._recorder.state.instruments.get(order.instrument)
        if found is None:
            raise PlanRefusedError(f"order {order.order_id}: instrument {order.instrument} is not loaded")
        return found
