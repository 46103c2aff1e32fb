"""What both directions share: admission, steps on disk, trades for what has moved, and when a person has to look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from basis_daemon.domain.errors import ErrorClass, OrderRejectedError
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeStatus
from basis_daemon.domain.transfer import NEXT, UNAPPROVED, WALLET, Admission, RouteBook, TransferRow, TransferStep
from basis_daemon.ports import Clock, Probe, TradeSink
from basis_daemon.venues.transfers.ends import ChainEnd, ExchangeEnd, TransferLog

Note = Callable[[str, Mapping[str, object]], None]
"""(what happened, the facts); a name that ends in ``_alarm`` is one."""
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Terms:
    """``confirmations`` until what arrives at the wallet counts, ``timeout_s`` until a person has to look.

    ``absence_s`` for which a withdrawal that nobody knows stays in doubt at least; ``poll_s`` between two questions.
    """

    confirmations: int
    timeout_s: float
    absence_s: float = 120.0
    poll_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a carrier needs of the daemon."""

    log: TransferLog
    clock: Clock
    note: Note
    probe: Probe


class Crossing:
    """One exchange account and the wallet. One order at a time per coin; what is sent is never sent again."""

    def __init__(
        self,
        exchange: ExchangeEnd,
        chain: ChainEnd,
        routes: RouteBook,
        terms: Terms,
        around: Surroundings,
        on_trade: TradeSink,
    ) -> None:
        self._exchange, self._chain, self._routes, self._terms = exchange, chain, routes, terms
        self._log, self._clock, self._note = around.log, around.clock, around.note
        self._probe, self._on_trade = around.probe, on_trade
        self._asked_ns: dict[str, int] = {}
        self._doubted_ns: dict[str, int] = {}

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """Transfers only."""
        return frozenset({OrderOperation.TRANSFER})

    def _admitted(self, order: Order) -> Admission:
        try:
            return self._routes.admitted(order, self._log.rows(), self._log.approvals(), self._clock.wall())
        except OrderRejectedError as refusal:
            if refusal.code == UNAPPROVED:
                self._note("transfer_unapproved_alarm", {"order_id": order.order_id, "why": str(refusal)})
            raise

    async def _submitting(self, order: Order, held: tuple[Decimal, Decimal]) -> TransferRow:
        """The step before anything leaves; raises OrderRejectedError when another one came first meanwhile."""
        admission = self._admitted(order)
        route = admission.route
        row = TransferRow(
            order.order_id, route.source, route.target, route.coin, self._routes.network, route.address,
            admission.amount, ZERO, *held, self._clock.wall(), approval=admission.approval,
        )  # fmt: skip
        await self._log.keep(row)
        return row

    async def _step(self, order_id: str, step: TransferStep, **facts: Any) -> TransferRow:  # noqa: ANN401 - fields of a row
        """The row with these facts, on disk, at this step where it may follow: a late reading takes none back."""
        row = self._known(order_id)
        after = replace(row, step=step if step in NEXT[row.step] else row.step, **facts)
        if after != row:
            await self._log.keep(after)
        return after

    def _known(self, order_id: str) -> TransferRow:
        row = self._log.row(order_id)
        if row is None:
            raise OrderRejectedError(f"transfer {order_id}: has no row, expected one", ErrorClass.BAD_PARAMS)
        return row

    async def _waits(self, row: TransferRow) -> OrderState:
        """PENDING, or OVERDUE once it has taken too long: then nothing new leaves until it ends."""
        if row.step is TransferStep.MANUAL:
            return OrderState.OVERDUE
        taken_s = (self._clock.wall() - row.at).total_seconds()
        if taken_s <= self._terms.timeout_s:
            return OrderState.PENDING
        await self._step(row.order_id, TransferStep.MANUAL, why=f"{row.step} after {taken_s:.0f} s")
        facts = {"order_id": row.order_id, "step": row.step, "seconds": f"{taken_s:.0f}", "tx_id": row.tx_id}
        self._note("transfer_overdue_alarm", facts)
        return OrderState.OVERDUE

    def _is_time(self, order_id: str) -> bool:
        """True when a record that weighs much may be asked about this order again."""
        now_ns, asked_ns = self._clock.monotonic_ns(), self._asked_ns.get(order_id)
        if asked_ns is not None and now_ns - asked_ns < self._terms.poll_s * 1_000_000_000:
            return False
        self._asked_ns[order_id] = now_ns
        return True

    def _arrived(self, order: Order, row: TransferRow, trade_id: str, amount: Decimal, at: datetime) -> Trade:
        """The last step: out of transit, into the target; with less than was asked for, the rest is not sent."""
        kind = Kind.TOKEN if row.target == WALLET else Kind.SPOT
        deltas = {
            PositionKey.of(row.source, Kind.TRANSIT, row.coin): row.fee - row.amount,
            PositionKey.of(row.target, kind, row.coin): amount,
        }
        if amount != row.amount - row.fee:
            facts = {"order_id": row.order_id, "expected": str(row.amount - row.fee), "arrived": str(amount)}
            self._note("transfer_amount_alarm", facts)
        is_whole = row.amount == order.quantity
        state = OrderState.SETTLED if is_whole else OrderState.CANCELLED
        return self._trade(order, row.target, trade_id, state, at, deltas)

    def _trade(
        self,
        order: Order,
        account: str,
        trade_id: str,
        state: OrderState,
        at: datetime,
        deltas: dict[PositionKey, Decimal],
        fees: tuple[Fee, ...] = (),
    ) -> Trade:
        statuses = {OrderState.SETTLED: TradeStatus.FILLED, OrderState.REJECTED: TradeStatus.FAILED}
        statuses[OrderState.CANCELLED] = TradeStatus.PARTIAL
        return Trade(
            trade_id=trade_id,
            order_id=order.order_id,
            account=account,
            instrument=order.instrument,
            status=statuses.get(state, TradeStatus.PENDING),
            order_state=state,
            fees=fees,
            venue_time=at,
            recv_time=self._clock.wall(),
            deltas=deltas,
        )
