"""Looks after transfers that nobody waits for any more: of an earlier life, overdue, or ended behind their back."""

from __future__ import annotations

from dataclasses import replace

from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.trade import OrderState
from basis_daemon.domain.transfer import TransferRow, TransferStep
from basis_daemon.engine.order_life import OrderLife
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
            self._end_rows()
            for life in self._recorder.state.open_orders():
                if life.state in _ON_ITS_WAY and life.order.order_id not in self._runner.waiting:
                    await self._runner.look_after(life)

    def _end_rows(self) -> None:
        """A transfer whose order has ended without it is over, too: a crash lost its last step, or its chain ended it.

        An open row closes its route to every other one, and nobody asks about an order that has ended.
        """
        state = self._recorder.state
        for row in [row for row in state.transfers.values() if row.is_open]:
            life = state.orders.get(row.order_id)
            if life is not None and not life.is_open and not life.in_transit:
                after = replace(row, step=_last_step(row, life), why=f"its order is {life.state}")
                self._recorder.record(after, life.plan_id, row.order_id)


def _last_step(row: TransferRow, life: OrderLife) -> TransferStep:
    arrived = (
        amount for key, amount in life.deltas.items() if key.venue == row.target and key.kind is not Kind.TRANSIT
    )
    if any(amount > 0 for amount in arrived):
        return TransferStep.DONE
    return TransferStep.RETURNED if row.venue_id else TransferStep.FAILED
