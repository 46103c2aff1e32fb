"""Looks after transfers that nobody waits for any more: those of an earlier life, and those that are overdue."""

from __future__ import annotations

from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.order_runner import ARRIVAL_PAUSE_S, OrderRunner
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock

_ON_ITS_WAY = frozenset({OrderState.PENDING, OrderState.OVERDUE})


class Follower:
    """One per daemon. What it learns is booked like anything else."""

    def __init__(self, recorder: Recorder, runner: OrderRunner, clock: Clock) -> None:
        self._recorder, self._runner, self._clock = recorder, runner, clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(ARRIVAL_PAUSE_S)
            for life in self._recorder.state.open_orders():
                if life.state in _ON_ITS_WAY and life.order.order_id not in self._runner.waiting:
                    await self._runner.look_after(life)
