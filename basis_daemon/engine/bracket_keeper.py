"""Keeps every position of one strategy between its stop and its take-profit, at the venue, whatever happens meanwhile.

What stands there is compared with what the position needs after every fill and once a second, and made equal: the stop
first, a new half before the old one goes, nothing left behind a flat position. A position without a live stop for
longer than it may be is closed; where a venue keeps no such orders, the mark is watched here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from basis_daemon.domain.bracket import (
    Bracket,
    BracketFired,
    Cancel,
    Guarding,
    Place,
    anchored,
    is_naked,
    kept,
)
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import PROTECTIVE, Order
from basis_daemon.domain.trade import DEAD
from basis_daemon.engine.bracket_orders import BracketOrders, exit_side, half_of, live_of
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import EPOCH
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.ports import Clock, KillPoint, TaskScope

ZERO = Decimal(0)


class BracketKeeper:
    """The brackets of one strategy. What it wants follows from durable intents and the book; it keeps nothing else."""

    def __init__(
        self,
        *,
        orders: BracketOrders,
        recorder: Recorder,
        runner: OrderRunner,
        interfaces: VenueInterfaceManager,
        clock: Clock,
        alarm: Alarm,
        is_armed: Callable[[], bool],
    ) -> None:
        self._orders = orders
        self._strategy = orders.strategy
        self._recorder = recorder
        self._runner = runner
        self._interfaces = interfaces
        self._clock = clock
        self._alarm = alarm
        self._is_armed = is_armed
        self._scope: TaskScope | None = None
        self._is_busy = self._is_dirty = False
        self._waiting: list[asyncio.Future[None]] = []
        self._naked_since_ns: dict[PositionKey, int] = {}
        self._closing: set[PositionKey] = set()

    # ------------------------------------------------------------------------------------------------------- rhythm
    def tick(self, scope: TaskScope, fired: Callable[[BracketFired], None]) -> None:
        """Once a second: look for what no venue guards, and begin a pass. Once armed it acts until the scope ends."""
        if self._scope is None and self._is_armed():
            self._scope = scope
        if self._scope is None:
            return
        for key in self._instruments():
            self._watch(key, self._scope, fired)
        self.wake()

    def wake(self) -> None:
        """Something was filled: compare at once."""
        if self._scope is None:
            return
        self._is_dirty = True
        if not self._is_busy and (self._waiting or any(self._is_off(key) for key in self._instruments())):
            self._is_busy = True
            self._scope.spawn(f"brackets of {self._strategy}", self._run())

    async def settle(self) -> None:
        """Return once every position was looked at after this call, and its bracket asked for."""
        if self._scope is not None:
            self._runner.probe(KillPoint.BETWEEN_LEGS)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(done)
            self.wake()
            await done

    async def _run(self) -> None:
        """Passes, until nothing was filled meanwhile."""
        try:
            while self._is_dirty:
                self._is_dirty = False
                waiting, self._waiting = self._waiting, []
                for key in self._instruments():
                    await self._keep(key)
                for done in waiting:
                    done.set_result(None)
        finally:
            self._is_busy = False

    # ------------------------------------------------------------------------------------------------- one position
    def _instruments(self) -> list[PositionKey]:
        plans = self._recorder.state.brackets.values()
        return list(dict.fromkeys(plan.instrument for plan in plans if plan.strategy == self._strategy))

    def _held(self, key: PositionKey) -> Decimal:
        return self._recorder.state.ledger.holding(key)

    def _plan(self, key: PositionKey) -> Order | None:
        """The entry whose bracket the position of today's side carries."""
        return self._recorder.state.bracket_of(key, exit_side(self._held(key)).opposite)

    def _wanted(self, key: PositionKey, plan: Order) -> Bracket | None:
        """Around the cost of what is really held, on the venue's ticks."""
        instrument, held = self._recorder.state.instruments.get(key), self._held(key)
        stop, take, ref_price = plan.stop_loss, plan.take_profit, plan.ref_price
        if instrument is None or not held or stop is None or take is None or ref_price is None:
            return None
        entry = instrument.price_of(self._recorder.state.ledger.open_notional(key, instrument.settle) / held)
        side = 1 if held > 0 else -1
        return anchored(Bracket(stop, take), ref_price, entry).on_ticks(instrument.price_tick, side)

    def _lives(self, key: PositionKey) -> list[OrderLife]:
        found = self._recorder.state.open_orders()
        return [life for life in found if life.order.instrument == key and self._is_own(life.order)]

    def _is_own(self, order: Order) -> bool:
        return order.strategy == self._strategy and order.operation in PROTECTIVE

    def _actions(self, key: PositionKey) -> tuple[Place | Cancel, ...]:
        """What makes the orders at the venue the bracket of the position; nothing where it keeps none."""
        held, plan = self._held(key), self._plan(key)
        wanted = None if plan is None else self._wanted(key, plan)
        lives = self._lives(key)
        if not held:
            return kept(ZERO, Bracket(ZERO, ZERO), [live_of(life) for life in lives])
        if wanted is None or not self._can_place(key):
            return ()
        side = exit_side(held)
        strays = [Cancel(life.order.order_id) for life in lives if life.order.side is not side]
        return (*kept(held, wanted, [live_of(life) for life in lives if life.order.side is side]), *strays)

    def _is_off(self, key: PositionKey) -> bool:
        return bool(self._actions(key)) or any(life.is_in_doubt for life in self._lives(key))

    def _can_place(self, key: PositionKey) -> bool:
        return self._interfaces.operations.get(key.venue, frozenset()) >= PROTECTIVE

    async def _keep(self, key: PositionKey) -> None:
        """One pass: doubt ends first; what could not be placed keeps the half that it was to replace."""
        for life in self._lives(key):
            if life.is_in_doubt:
                await self._runner.resolve(life)
        failed: set[Guarding] = set()
        for action in self._actions(key):
            if isinstance(action, Cancel):
                await self._take_away(action.order_id, failed)
            elif not await self._place(key, action):
                failed.add(action.half)

    async def _place(self, key: PositionKey, wanted: Place) -> bool:
        """True when it stands, or is no longer needed: the position may have gone while the half before was placed."""
        plan, held = self._plan(key), self._held(key)
        if plan is None or not held:
            return True
        return (await self._send(self._orders.half(plan, held, wanted))).state not in DEAD

    async def _take_away(self, target_id: str, failed: set[Guarding]) -> None:
        target = self._recorder.state.orders[target_id]
        if not target.is_open or half_of(target.order) in failed:
            return
        life = await self._send(self._orders.cancel(target.order))
        if life.state in DEAD and target.is_open:
            await self._runner.resolve(target)

    async def _send(self, order: Order) -> OrderLife:
        return await self._runner.run(order, order.created_at)

    # ----------------------------------------------------------------------------------------------------- watchdog
    def _watch(self, key: PositionKey, scope: TaskScope, fired: Callable[[BracketFired], None]) -> None:
        """Close what stands without a stop for too long, or beyond a bracket that no venue keeps."""
        held, plan = self._held(key), self._plan(key)
        if not held or plan is None:
            self._naked_since_ns.pop(key, None)
            return
        passed = self._passed(key, plan, held)
        half = self._unguarded(key, held, passed) if self._can_place(key) else passed
        if half is not None and key not in self._closing:
            self._closing.add(key)
            scope.spawn(f"close {key}", self._close(key, plan, half, fired))

    def _unguarded(self, key: PositionKey, held: Decimal, passed: Guarding | None) -> Guarding | None:
        """What no live stop guards, or what a stop does not close though the mark is beyond it, for too long."""
        now_ns, side = self._clock.monotonic_ns(), exit_side(held)
        live = [live_of(life) for life in self._lives(key) if life.rests and life.order.side is side]
        if passed is None and any(order.half is Guarding.STOP for order in live):
            self._naked_since_ns.pop(key, None)
            return None
        since = EPOCH + timedelta(microseconds=self._naked_since_ns.setdefault(key, now_ns) // 1000)
        is_late = is_naked(held, (), since, EPOCH + timedelta(microseconds=now_ns // 1000))
        return (passed or Guarding.STOP) if is_late else None

    def _passed(self, key: PositionKey, plan: Order, held: Decimal) -> Guarding | None:
        """Which half the mark is beyond."""
        wanted, mark = self._wanted(key, plan), self._orders.mark(key)
        return None if wanted is None or mark is None else wanted.fired(mark, 1 if held > 0 else -1)

    async def _close(
        self, key: PositionKey, plan: Order, half: Guarding, fired: Callable[[BracketFired], None]
    ) -> None:
        try:
            why = {"instrument": key, "held": str(self._held(key)), "half": half, "entry": plan.order_id}
            self._alarm("position closed because no venue guards it", why)
            fired(BracketFired(key, half, self._recorder.state.market_time))
            held = self._held(key)
            if held and (order := self._orders.exit(plan, held)) is not None:
                await self._send(order)
        finally:
            self._closing.discard(key)
