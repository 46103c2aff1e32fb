"""The whole book closed on an operator's word: what would leave and what it would cost, the latch, what is left.

Every strategy leaves by its own way out, which knows its legs; nothing here sends an order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.order import Order
from basis_daemon.domain.risk_book import RiskBook
from basis_daemon.engine.book_view import Json, plain
from basis_daemon.engine.guard import Guard, GuardLatchedError
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.risk_views import unwind
from basis_daemon.engine.strategy_engine import STRATEGY_FAULTS, EventDrivenStrategyEngine


@dataclass(frozen=True, slots=True)
class FlattenDesk:
    """Plans, begins and watches a flattening. ``books`` are all positions with what closing them costs."""

    guard: Guard
    engines: Sequence[EventDrivenStrategyEngine]
    recorder: Recorder
    books: Callable[[], Sequence[RiskBook]]

    def plan(self) -> Json:
        """What each strategy would send first, and what closing everything costs off the books as they are.

        Nothing is recorded or sent.
        """
        return {"strategies": [self._rehearsed(engine) for engine in self.engines], "unwind": unwind(self.books())}

    def begin(self, why: str) -> None:
        """Latch it, and let every strategy begin at once, one that was frozen too."""
        self.guard.flatten(why)
        for engine in self.engines:
            engine.begin_flattening()

    def halt(self, why: str) -> None:
        """HALTED; a flattening that is under way stops behind the clip that it is in."""
        self.guard.halt(why)
        for engine in self.engines:
            engine.stop_flattening()

    def remains(self) -> tuple[str, ...]:
        """What keeps the book from being flat, as far as the last decisions know; empty once it is."""
        state = self.recorder.state
        return (
            *(f"{engine.strategy.name}: {said}" for engine in self.engines if (said := self._said(engine))),
            *(f"break at {key}" for key in state.breaks),
            *(f"order in doubt: {order_id}" for order_id in state.in_doubt()),
        )

    def state(self) -> Json:
        """For `status`: whether it is under way, and what is left of it."""
        why = self.guard.flattens
        return {"is_on": bool(why), "why": why, "remains": list(self.remains()) if why else []}

    def check_rearm(self) -> None:
        """Raises GuardLatchedError while a flattening has not come to its end."""
        if self.guard.flattens and (remains := self.remains()):
            raise GuardLatchedError(
                f"rearm refused: the book is being flattened and is not flat yet: {'; '.join(remains)}; wait, halt to "
                "stop it where it is, or rearm with --unfinished"
            )

    def _said(self, engine: EventDrivenStrategyEngine) -> str:
        row = self.recorder.state.last_decision.get(engine.strategy.name)
        if engine.is_frozen:
            return "frozen by a fault of its own, see the log"
        if row is None or not engine.has_decided:
            return "has not decided yet"
        if row.assessment.reason is not ReasonCode.FLAT:
            return f"{row.assessment.note}{', denied: ' if row.denied else ''}{'; '.join(row.denied)}"
        return "a plan is in flight" if engine.plans_in_flight else ""

    def _rehearsed(self, engine: EventDrivenStrategyEngine) -> Json:
        name = engine.strategy.name
        try:
            said, orders = engine.rehearse_flattening()
        except STRATEGY_FAULTS as error:
            fault = f"{type(error).__name__}: {error}"
            return {"name": name, "reason": "", "note": fault, "is_flat": False, "clip_usdt_max": None, "orders": []}
        return {
            "name": name,
            "reason": said.reason.value,
            "note": said.note,
            "is_flat": said.reason is ReasonCode.FLAT,
            "clip_usdt_max": plain(engine.clip_usdt_max),
            "orders": [self._row(order) for order in orders],
        }

    def _row(self, order: Order) -> Json:
        instrument = self.recorder.state.instruments.get(order.instrument)
        value = None
        if instrument is not None and order.ref_price is not None:
            value = instrument.notional(order.quantity, order.ref_price)
        return {
            "group": order.group_id,
            "mode": order.execution_mode.value,
            "operation": order.operation.value,
            "venue": order.venue,
            "instrument": str(order.instrument),
            "side": order.side.value if order.side else None,
            "amount": order.amount if isinstance(order.amount, str) else plain(order.amount),
            "value_usdt": None if value is None else plain(value),
            "slippage_bp_max": None if order.max_slippage_bp is None else plain(order.max_slippage_bp),
            "reduce_only": order.reduce_only,
        }
