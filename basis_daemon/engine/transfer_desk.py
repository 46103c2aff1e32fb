"""What only a person may say of transfers: that a large one may leave, and what became of one that a venue lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from basis_daemon.domain.errors import BasisError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.trade import Fee, OrderState, Origin, Trade, TradeStatus
from basis_daemon.domain.transfer import WALLET, ApprovalRow, RouteBook, TransferRow, TransferStep
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Clock

HOURS_MAX = 72


class TransferRefusedError(BasisError):
    """Nothing was approved or closed; the message says what would be."""


class Ending(StrEnum):
    """What became of a transfer: at its target, back at its source with its fee, or gone, which is a cost."""

    ARRIVED = "arrived"
    RETURNED = "returned"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person asks for: one transfer of at most ``up_to`` units of ``coin``. Repeated under one id it is one."""

    approval_id: str
    source: str
    target: str
    coin: str
    up_to: Decimal
    hours: int


_ENDS = {
    Ending.ARRIVED: (TransferStep.DONE, OrderState.SETTLED, TradeStatus.FILLED),
    Ending.RETURNED: (TransferStep.RETURNED, OrderState.REJECTED, TradeStatus.FAILED),
    Ending.LOST: (TransferStep.FAILED, OrderState.REJECTED, TradeStatus.FAILED),
}


class TransferDesk:
    """One per daemon; ``book`` is its address book, empty where nothing may cross."""

    def __init__(self, recorder: Recorder, handler: PositionUpdateHandler, clock: Clock, book: RouteBook) -> None:
        self._recorder, self._handler, self._clock, self._book = recorder, handler, clock, book

    def approve(self, wish: Approval, why: str) -> ApprovalRow:
        """Let one transfer leave. Raises TransferRefusedError for what the address book does not have or allow."""
        known = self._recorder.state.approvals.get(wish.approval_id)
        if known is not None:
            if (known.source, known.target, known.coin, known.up_to) != (
                wish.source, wish.target, wish.coin, wish.up_to,
            ):  # fmt: skip
                raise TransferRefusedError(
                    f"approval {wish.approval_id}: {known.up_to} {known.coin} {known.source} to {known.target} stand "
                    "under this id; name another id for another word"
                )
            return known
        self._check(wish)
        at = self._clock.wall()
        row = ApprovalRow(
            wish.approval_id, wish.source, wish.target, wish.coin, wish.up_to, at, at + timedelta(hours=wish.hours), why
        )
        self._recorder.record(row, f"approval:{wish.approval_id}", "operator")
        return row

    def _check(self, wish: Approval) -> None:
        name = f"approval {wish.approval_id}"
        wanted = wish.source, wish.target, wish.coin
        route = next((one for one in self._book.routes if (one.source, one.target, one.coin) == wanted), None)
        if route is None:
            routes = ", ".join(f"{one.source} {one.target} {one.coin}" for one in self._book.routes)
            raise TransferRefusedError(
                f"{name}: {wish.source} {wish.target} {wish.coin}, expected one of the address book: "
                f"{routes or 'it is empty (transfers.enabled is false)'}"
            )
        if not 0 < wish.up_to <= route.once_max:
            raise TransferRefusedError(
                f"{name}: up to {wish.up_to} {wish.coin}, expected more than 0 and at most {route.once_max} (once_max)"
            )
        if not 1 <= wish.hours <= HOURS_MAX:
            raise TransferRefusedError(f"{name}: {wish.hours} h, expected 1 to {HOURS_MAX}")

    def close(self, order_id: str, ending: Ending, why: str) -> TransferRow:
        """Book what a person found out about a transfer that takes too long. Raises TransferRefusedError."""
        row = self._recorder.state.transfers.get(order_id)
        life = self._recorder.state.orders.get(order_id)
        if row is None or life is None:
            overdue = [one.order_id for one in self._overdue()]
            raise TransferRefusedError(
                f"transfer {order_id}: not known, expected one that is overdue: {', '.join(overdue) or 'none is'}"
            )
        if row.step is not TransferStep.MANUAL:
            raise TransferRefusedError(
                f"transfer {order_id}: {row.step}, expected {TransferStep.MANUAL}: only what is overdue is closed by "
                "hand, everything else follows its venues"
            )
        step, state, status = _ENDS[ending]
        self._handler.process_trades([self._last_trade(life, row, ending, state, status)])
        after = replace(row, step=step, why=why)
        self._recorder.record(after, life.plan_id, order_id)
        return after

    def _overdue(self) -> list[TransferRow]:
        return [row for row in self._recorder.state.transfers.values() if row.step is TransferStep.MANUAL]

    def _last_trade(
        self, life: OrderLife, row: TransferRow, ending: Ending, state: OrderState, status: TradeStatus
    ) -> Trade:
        """Out of transit, into wherever it is; an exchange that gives back gives its fee back too."""
        deltas = {key: -amount for key, amount in life.deltas.items() if key.kind is Kind.TRANSIT and amount}
        account = row.target if ending is Ending.ARRIVED else row.source
        is_fee_back = ending is Ending.RETURNED and account != WALLET and life.in_transit > 0
        fee = row.fee if is_fee_back else Decimal(0)
        if ending is not Ending.LOST and life.in_transit:
            kind = Kind.TOKEN if account == WALLET else Kind.SPOT
            deltas[PositionKey.of(account, kind, row.coin)] = life.in_transit + fee
        return Trade(
            trade_id=f"{row.order_id}:{ending}",
            order_id=row.order_id,
            account=account,
            instrument=life.order.instrument,
            status=status,
            order_state=state,
            origin=Origin.LOST if ending is Ending.LOST else Origin.ORDER,
            venue_time=self._recorder.state.market_time,
            recv_time=self._clock.wall(),
            deltas=deltas,
            fees=(Fee(asset=row.coin, quantity=-fee),) if fee else (),
        )
