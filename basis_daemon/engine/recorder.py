"""The one door through which the book changes: the state is folded and the journal row queued in the same breath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from basis_daemon.domain.ledger import CashFlow, Entry
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState
from basis_daemon.domain.transfer import ApprovalRow, TransferRow
from basis_daemon.engine.codec import (
    ROWS,
    AskedRow,
    BreakRow,
    DecisionRow,
    ForeignOrderRow,
    GroupRow,
    GuardRow,
    HaltRow,
    LifeRow,
    MemoryRow,
    OrderStateRow,
    PlanRow,
    TradeRow,
    WithdrawalRow,
    later,
    load,
)
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.state import ENDED_MAX, EPOCH, BookState
from basis_daemon.ports import Journal, Record, RecordKind
from basis_daemon.rare_paths import Rarely, RarePath, never

ASKED_EVERY = timedelta(hours=1)
"""Market time between rows that say how far an account's venue has answered."""

Row = (
    ApprovalRow
    | AskedRow
    | BreakRow
    | DecisionRow
    | ForeignOrderRow
    | GroupRow
    | GuardRow
    | HaltRow
    | LifeRow
    | MemoryRow
    | OrderStateRow
    | PlanRow
    | TradeRow
    | TransferRow
    | WithdrawalRow
    | CashFlow
)
_KINDS = {row: kind for kind, row in ROWS.items()}


Text = str | Callable[[], str]
"""JSON text, or what makes it of a row, which is made of values that never change."""


class Recorder:
    """Folds rows into the state and queues them; state sequence and journal sequence stay equal."""

    def __init__(self, state: BookState, journal: Journal, rarely: Rarely = never) -> None:
        self.state = state
        self._journal = journal
        self._rarely = rarely
        self._unspent: dict[str, Order] = {}
        self.rows_since_snapshot = 0
        self.snapshots = 0
        """Taken by this process."""
        self.epoch = journal.generation
        """The journal's generation, part of every order id."""

    def see_time(self, market_time: datetime) -> None:
        """Market time only goes forward; every row is stamped with it."""
        self.state.market_time = max(self.state.market_time, market_time)

    def record(self, row: Row, correlation: str, causation: str = "", text: Text | None = None) -> None:
        """Fold one row and queue it; durable within the next group commit. ``text`` says more than the row alone."""
        state = self.state
        state.fold(row)
        state.sequence += 1
        self.rows_since_snapshot += 1
        kind = _KINDS[type(row)]
        self._journal.append(Record(kind, state.market_time, str(correlation), str(causation), text or later(row)))

    def note(self, kind: RecordKind, payload: str, correlation: str) -> None:
        """Queue a row that changes no book: a valuation, correlated by its strategy; an operator's command."""
        if kind is RecordKind.VALUATION:
            self.state.last_valuations[correlation] = payload
        self._append(kind, payload, correlation, "")

    async def intents(self, orders: Sequence[Order]) -> None:
        """Return once these orders are on disk; only then may their first byte leave."""
        rows, state = [], self.state
        for order in orders:
            plan_id = f"{order.strategy}:{self.epoch}:{order.decision}"
            state.intent(order, plan_id)
            cause = order.parent_id or plan_id
            rows.append(Record(RecordKind.INTENT, state.market_time, plan_id, cause, later(order)))
        state.sequence += len(rows)
        self.rows_since_snapshot += len(rows)
        await self._journal.append_durable(rows)
        for order in orders:
            self._unspent[order.order_id] = order

    async def keep(self, kind: RecordKind, rows: Sequence[tuple[str, str]]) -> None:
        """Return once these (payload, correlation) are on disk; they change no book."""
        state = self.state
        state.sequence += len(rows)
        self.rows_since_snapshot += len(rows)
        await self._journal.append_durable([Record(kind, state.market_time, about, "", text) for text, about in rows])

    def spend_intent(self, order_id: str) -> Order | None:
        """The durable intent behind this id, once: an intent is spent by its send. None without one."""
        return self._unspent.pop(order_id, None)

    def move(self, order: Order, state: OrderState, at: datetime | None = None, why: str = "") -> None:
        """Advance one order and record it; raises IllegalTransitionError."""
        row = OrderStateRow(order.order_id, state, at, why)
        self.record(row, self.state.orders[order.order_id].plan_id, order.order_id)

    def trade(self, row: TradeRow) -> None:
        """Book one trade under the plan of its order; a foreign one stands for itself."""
        life = self.state.orders.get(row.trade.order_id)
        self.record(row, life.plan_id if life else row.trade.trade_id, row.trade.order_id)

    def opening(self, entry: Entry, account: str) -> None:
        """Adopt what a venue holds at the first start."""
        self.state.open_account(account, entry)
        self._append(RecordKind.OPENING, later(entry), account, "")

    def asked(self, account: str, until: datetime) -> None:
        """The venue has told of everything until then; recorded once in ASKED_EVERY, and only forwards."""
        last = self.state.asked_until.get(account, EPOCH)
        if until >= last + ASKED_EVERY or (until > last and self._rarely(RarePath.ANSWERS_NOTED)):
            self.record(AskedRow(account, until), account)

    def forget(self, count_max: int, ended_max: int = ENDED_MAX) -> None:
        """Let orders that ended long ago leave memory; each leaves a row by which it is found again."""
        for life in self.state.forgettable(count_max, ended_max):
            self.record(LifeRow(is_leaving=True, life=life.row()), life.plan_id, life.order.order_id)

    def recall(self, order_id: str) -> OrderLife | None:
        """An order that had left memory, in it again; None for one that was never ours. Reads the journal."""
        row = self._journal.life(order_id) if order_id else None
        if row is None:
            return None
        kept = load(LifeRow, row.record.payload).life
        self.record(LifeRow(is_leaving=False, life=kept), kept.plan_id, order_id)
        return self.state.orders[order_id]

    def correction(self, entry: Entry) -> None:
        """Book what an operator has said of a difference that the venue's record does not explain."""
        self.state.ledger.apply(entry)
        self._append(RecordKind.CORRECTION, later(entry), entry.event_id, "repair")

    def snapshot(self) -> None:
        """Queue the whole state; recovery starts behind it."""
        self._append(RecordKind.SNAPSHOT, self.state.dump(), "snapshot", "")
        self.rows_since_snapshot = 0
        self.snapshots += 1

    async def flush(self) -> None:
        """Return once everything recorded is on disk."""
        await self._journal.flush()

    def _append(self, kind: RecordKind, payload: Text, correlation: str, causation: str) -> None:
        self.state.sequence += 1
        self.rows_since_snapshot += 1
        self._journal.append(Record(kind, self.state.market_time, str(correlation), str(causation), payload))
