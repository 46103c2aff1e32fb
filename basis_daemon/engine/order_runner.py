"""One order from durable intent to evidence: sent at most once, asked about until its venue has told the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import count

from basis_daemon.domain.errors import (
    InvalidOrderError,
    OrderRejectedError,
    OutcomeUnknownError,
    PlanRefusedError,
    VenueUnreachableError,
)
from basis_daemon.domain.order import ExecutionMode, Order
from basis_daemon.domain.trade import TERMINAL, OrderState, Trade
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.position_update_handler import Alarm, PositionUpdateHandler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.ports import Clock, Evidence, Finding, KillPoint, Probe
from basis_daemon.rare_paths import Rarely, RarePath, never

BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.2, 5.0
ALARM_EVERY = 10
ARRIVAL_PAUSE_S, ARRIVAL_LOOK_S = 5.0, 1.0
"""Between two questions about a transfer on its way, and between two looks whether anybody still waits for it."""
_NS = 1_000_000_000


class OrderRunner:
    """Runs single orders. The state of an order is in the book; this object keeps none."""

    def __init__(
        self,
        recorder: Recorder,
        handler: PositionUpdateHandler,
        interfaces: VenueInterfaceManager,
        clock: Clock,
        alarm: Alarm,
        probe: Probe,
        rarely: Rarely = never,
    ) -> None:
        self._recorder = recorder
        self._handler = handler
        self._interfaces = interfaces
        self._clock = clock
        self._alarm = alarm
        self.probe = probe
        self.rarely = rarely
        self.waiting: set[str] = set()
        """Orders on their way that somebody waits for."""
        self._let_go: set[str] = set()

    async def run(self, order: Order, timestamp: datetime) -> OrderLife:
        """The order's life at its end, or at rest; never raises for a venue's refusal or silence."""
        self.probe(KillPoint.BEFORE_INTENT)
        await self._recorder.intents([order])
        self.probe(KillPoint.AFTER_INTENT)
        life = self._recorder.state.orders[order.order_id]
        self._recorder.move(order, OrderState.SUBMITTED, at=self._clock.wall())
        try:
            trade = await self._interfaces.route_order(order, timestamp)
        except OrderRejectedError as error:
            self._settle(life, OrderState.REJECTED, f"{error.error_class} {error.code}: {error}")
        except (VenueUnreachableError, InvalidOrderError) as error:
            self._settle(life, OrderState.NEVER_ACCEPTED, str(error))
        except OutcomeUnknownError as error:
            self._settle(life, OrderState.UNKNOWN, str(error))
            await self.resolve(life)
        else:
            self.probe(KillPoint.AFTER_SEND)
            self._hear(life, trade)
            self.probe(KillPoint.AFTER_FILL)
        await self._await_arrival(life)
        return life

    async def _await_arrival(self, life: OrderLife) -> None:
        """Ask about a transfer on its way until it is there, overdue, or has taken all of its order's time."""
        give_up_ns = self._clock.monotonic_ns() + int(life.order.timeout_s * _NS)
        look_ns = self._clock.monotonic_ns() + int(ARRIVAL_PAUSE_S * _NS)
        self.waiting.add(life.order.order_id)
        try:
            while life.state is OrderState.PENDING and self._clock.monotonic_ns() < give_up_ns:
                if life.plan_id in self._let_go:
                    return
                await self._clock.sleep(ARRIVAL_LOOK_S)
                if self._clock.monotonic_ns() >= look_ns:
                    look_ns = self._clock.monotonic_ns() + int(ARRIVAL_PAUSE_S * _NS)
                    await self.look_after(life)
        finally:
            self.waiting.discard(life.order.order_id)

    def let_go(self, plan_id: str) -> None:
        """Wait no longer for what this plan has sent on its way: it arrives without anybody."""
        self._let_go.add(plan_id)

    def ended(self, plan_id: str) -> None:
        """The plan is over: nobody waits for anything of it."""
        self._let_go.discard(plan_id)

    async def look_after(self, life: OrderLife) -> None:
        """Ask once what has become of an order that its venue has taken."""
        evidence = await self._ask(life.order, self._clock.wall())
        if evidence.trade is not None:
            self._hear(life, evidence.trade)

    async def run_group(self, orders: Sequence[Order], timestamp: datetime) -> Sequence[OrderLife]:
        """The lives of an atomic group at their end: what became of one became of all. Raises like ``run``: never."""
        self.probe(KillPoint.BEFORE_INTENT)
        await self._recorder.intents(orders)
        self.probe(KillPoint.AFTER_INTENT)
        lives = [self._recorder.state.orders[order.order_id] for order in orders]
        for order in orders:
            self._recorder.move(order, OrderState.SUBMITTED, at=self._clock.wall())
        try:
            trades = await self._interfaces.route_group(orders, timestamp)
        except OrderRejectedError as error:
            self._settle_all(lives, OrderState.REJECTED, f"{error.error_class} {error.code}: {error}")
        except (VenueUnreachableError, InvalidOrderError, PlanRefusedError) as error:
            self._settle_all(lives, OrderState.NEVER_ACCEPTED, str(error))
        except OutcomeUnknownError as error:
            self._settle_all(lives, OrderState.UNKNOWN, str(error))
            for life in lives:
                await self.resolve(life)
        else:
            self.probe(KillPoint.AFTER_SEND)
            self._handler.process_trades(trades)
            self.probe(KillPoint.AFTER_FILL)
        return lives

    def _settle_all(self, lives: Sequence[OrderLife], state: OrderState, why: str) -> None:
        for life in lives:
            self._settle(life, state, why)

    async def resolve(self, life: OrderLife) -> None:
        """Ask the venue by id until it gives evidence; nothing is ever sent again under doubt.

        Absence is proven by time since now, not since the send: a process that was halted may have sent long after.
        """
        order, asked_since = life.order, self._clock.wall()
        if life.state is OrderState.PERSISTED:  # found at recovery: the row of its send is lazy, so it may have left
            self._settle(life, OrderState.UNKNOWN, "recovered from its intent")
        backoff_s = BACKOFF_FIRST_S
        for attempt in count(1):
            evidence = await self._ask(order, asked_since)
            if evidence.finding is Finding.FOUND and evidence.trade is not None:
                self._hear(life, evidence.trade)
                if life.state is not OrderState.PENDING or life.is_travelling:  # else nobody would ask about it again
                    return
            if evidence.finding is Finding.ABSENT:
                self._bury(life)
                return
            if attempt % ALARM_EVERY == 0:
                self._alarm("order still in doubt", {"order_id": order.order_id, "asked": str(attempt)})
            await self._clock.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    def _bury(self, life: OrderLife) -> None:
        """The venue proves that no such order lives: it never did, or, if it was seen alive, it is gone."""
        if life.state in {OrderState.ACKED, OrderState.PARTIAL}:
            self._alarm("order vanished at its venue", {"order_id": life.order.order_id, "state": life.state})
            self._recorder.move(life.order, OrderState.CANCELLED, why="vanished at its venue")
            self._handler.publish()
        self._settle(life, OrderState.NEVER_ACCEPTED, "the venue proves that it never took the order")

    async def _ask(self, order: Order, sent_at: datetime) -> Evidence:
        if self.rarely(RarePath.DOUBT_LASTS):
            return Evidence(Finding.NOT_YET)
        try:
            if order.execution_mode is ExecutionMode.ATOMIC:
                return await self._ask_of_group(order, sent_at)
            return await self._interfaces.interface(order).find_order(order, sent_at)
        except VenueUnreachableError:
            return Evidence(Finding.NOT_YET)

    async def _ask_of_group(self, order: Order, sent_at: datetime) -> Evidence:
        """One transaction answers for all of its legs."""
        everything = (life.order for life in self._recorder.state.orders.values())
        legs = [other for other in everything if other.group_id == order.group_id]
        legs.sort(key=lambda leg: leg.sequence_in_group)
        return (await self._interfaces.find_group(legs, sent_at))[legs.index(order)]

    def _hear(self, life: OrderLife, trade: Trade) -> None:
        """Book the answer. One that tells of another order answers a cancel, whose own life ends with it."""
        self._handler.process_trades([trade])
        if trade.order_id != life.order.order_id:
            end = OrderState.FILLED if trade.order_state in TERMINAL else OrderState.CANCELLED
            self._settle(life, end, f"its target {trade.order_id} is {trade.order_state}")

    def _settle(self, life: OrderLife, state: OrderState, why: str) -> None:
        """Record where the order stands, unless a fill has meanwhile told us more."""
        if life.state in {OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.PERSISTED} and life.state is not state:
            self._recorder.move(life.order, state, why=why)
            self._handler.publish()
