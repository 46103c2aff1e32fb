"""The steps of transfers in the daemon's journal: on disk before the call that they announce may leave."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.transfer import ApprovalRow, TransferRow
from basis_daemon.engine.recorder import Recorder


class TransferLog:
    """Reads the book's transfers and adds steps to them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def rows(self) -> Sequence[TransferRow]:
        """Every transfer that is remembered, each as far as it has come."""
        return list(self._recorder.state.transfers.values())

    def approvals(self) -> Sequence[ApprovalRow]:
        """Every word of a person that is remembered, spent or not."""
        return list(self._recorder.state.approvals.values())

    def row(self, order_id: str) -> TransferRow | None:
        """That of one order; None when nothing of it can have left."""
        return self._recorder.state.transfers.get(order_id)

    def held(self, key: PositionKey) -> Decimal:
        """What the book says is there."""
        return self._recorder.state.ledger.holding(key)

    async def keep(self, row: TransferRow) -> None:
        """Return once the step is on disk. Raises IllegalTransitionError."""
        life = self._recorder.state.orders.get(row.order_id)
        self._recorder.record(row, life.plan_id if life is not None else row.order_id, row.order_id)
        await self._recorder.flush()
