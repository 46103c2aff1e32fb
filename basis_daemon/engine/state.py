"""Everything the daemon knows, as a fold of journal rows. Live changes and recovery take the same road."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.errors import JournalError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause, Entry, Ledger, entry_of_cash_flow, entry_of_trade, opening_id
from basis_daemon.domain.order import Order, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import Break
from basis_daemon.domain.trade import OrderState, Trade, advance
from basis_daemon.domain.transfer import ApprovalRow, TransferRow
from basis_daemon.engine.arrival import arrival_of
from basis_daemon.engine.codec import (
    ROWS,
    AskedRow,
    BreakRow,
    DecisionRow,
    ForeignOrderRow,
    GroupRow,
    GuardRow,
    GuardState,
    HaltRow,
    LifeRow,
    Load,
    MemoryRow,
    OrderStateRow,
    PlanRow,
    SnapshotRow,
    TradeRow,
    WithdrawalRow,
    dump,
    load,
)
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.ports import Journal, RecordKind, StoredRecord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MEMORY = timedelta(days=2)
"""Market time for which ended orders and the ids of booked events stay in memory. A venue is asked again for at most
the last day before its last answer (`reconciler.OVERLAP_AT_START`), so nothing older can be told a second time."""

ENDED_MAX = 10_000
"""Ended orders in memory at most, however young; they are read back from the journal when one more fill is told."""

_RUNNING = frozenset({PlanState.RUNNING, PlanState.ACCEPTED, PlanState.BLOCKED})


class BookState:
    """Ledger, orders, plans, memories and breaks. The handler is its only writer while the daemon lives.

    ``read`` is by what the text of a row becomes a value again, for who folds the same rows more than once.
    """

    def __init__(self, read: Load = load) -> None:
        self._read = read
        self.ledger = Ledger()
        self.instruments: dict[PositionKey, Instrument] = {}
        self.orders: dict[str, OrderLife] = {}
        self._living: dict[str, OrderLife] = {}
        self.plans: dict[str, PlanRow] = {}
        self.memories: dict[str, str] = {}
        self.decisions: dict[str, int] = {}
        self.last_decision: dict[str, DecisionRow] = {}
        self.breaks: dict[PositionKey, Break] = {}
        self.breaks_opened = 0
        self.foreign_orders: dict[str, ForeignOrderRow] = {}
        self.guard = GuardRow(GuardState.ACTIVE, "")
        self.last_valuations: dict[str, str] = {}
        self.trade_count = 0
        self.sequence = 0
        self.last_trade_time: dict[str, datetime] = {}
        self.market_time = EPOCH
        self.openings: dict[str, datetime] = {}
        self.halts: dict[PositionKey, str] = {}
        self.withdrawals: dict[str, WithdrawalRow] = {}
        self.asked_until: dict[str, datetime] = {}
        self.transfers: dict[str, TransferRow] = {}
        self.approvals: dict[str, ApprovalRow] = {}
        self.brackets: dict[str, Order] = {}
        self._folds: dict[type, Callable[[Any], object]] = {
            AskedRow: self.asked,
            BreakRow: self.move_break,
            CashFlow: self.cash_flow,
            DecisionRow: self._decide,
            ForeignOrderRow: self.move_foreign,
            GroupRow: lambda _: None,  # told, not folded
            GuardRow: self._latch,
            HaltRow: self.move_halt,
            LifeRow: self.move_life,
            MemoryRow: self._remember,
            OrderStateRow: self.move_order,
            PlanRow: self.move_plan,
            TradeRow: self.book,
            TransferRow: self._step,
            ApprovalRow: self._approve,
            WithdrawalRow: self._wish,
        }

    def intent(self, order: Order, plan_id: str) -> None:
        """The order is durable; nothing has left yet. Raises IntegrityError through JournalError for a repeated id."""
        if order.order_id in self.orders:
            raise JournalError(f"order {order.order_id}: an intent with this id exists, expected a new id")
        self.orders[order.order_id] = self._living[order.order_id] = OrderLife(order, plan_id)
        if order.stop_loss is not None:
            self.brackets[f"{order.instrument}|{order.side}"] = order

    def bracket_of(self, instrument: PositionKey, side: Side) -> Order | None:
        """The newest entry on this side that was to carry a bracket; None when there was none."""
        return self.brackets.get(f"{instrument}|{side}")

    def move_order(self, row: OrderStateRow) -> None:
        """Advance one order; raises IllegalTransitionError."""
        life = self.orders[row.order_id]
        life.state = advance(row.order_id, life.state, row.state)
        if row.state is OrderState.SUBMITTED:
            life.sent_at = row.at
        life.end(self.market_time)

    def entry_of(self, trade: Trade) -> Entry:
        """The postings that this trade makes on the ledger as it is now."""
        instrument = self.instruments.get(trade.instrument)
        coin = instrument.settle if instrument else ""
        held, cost = self.ledger.holding(trade.instrument), self.ledger.open_notional(trade.instrument, coin)
        arrival = arrival_of(trade.order_id, self.orders, self.last_valuations)
        return entry_of_trade(trade, held, cost, instrument, arrival)

    def book(self, row: TradeRow) -> bool:
        """Book one trade; False when its money was booked before. The order behind it follows, never backwards."""
        trade, is_new = row.trade, False
        if row.entry is not None and self.ledger.apply(row.entry):
            is_new = True
            self.trade_count += bool(trade.qty_base)
            moved = (key.venue for key in trade.deltas if key.kind is not Kind.TRANSIT)
            for account in dict.fromkeys((trade.account, *moved)):
                last = self.last_trade_time.get(account, EPOCH)
                self.last_trade_time[account] = max(last, trade.venue_time)
        if (life := self.orders.get(trade.order_id)) is not None:
            life.follow(trade, is_new=is_new)
            life.end(self.market_time)
            if is_new and life.was_taken_back:
                self._share(life)
        return is_new

    def _share(self, life: OrderLife) -> None:
        """An order whose block went lives again until another one holds it, with all others of its transaction."""
        group = life.order.group_id
        alike = [life] if group is None else [one for one in self.orders.values() if one.order.group_id == group]
        for one in alike:
            one.state, one.ended_at = life.state, life.ended_at
            if one.is_open:
                self._living[one.order.order_id] = one

    def asked(self, row: AskedRow) -> None:
        """Every fill and flow of an account until then is booked: what is much older needs no id any more."""
        self.asked_until[row.account] = max(row.until, self.asked_until.get(row.account, EPOCH))
        before = {account: until - MEMORY for account, until in self.asked_until.items()}
        if self.ledger.forgets(before):
            self.ledger.forget(before, {trade_id for life in self.orders.values() for trade_id in life.trade_ids})

    def is_before_memory(self, trade: Trade) -> bool:
        """True for a fill so old that its venue was asked for it long ago: it was booked then, and its id forgotten."""
        return trade.venue_time < self.memory_begins(trade.account)

    def memory_begins(self, account: str) -> datetime:
        """Market time before which the ids of an account's events are forgotten."""
        return self.asked_until[account] - MEMORY if account in self.asked_until else EPOCH

    def is_past_flow(self, flow: CashFlow) -> bool:
        """True for what the opening balance holds already, or what was booked so long ago that its id is forgotten."""
        account = flow.key.venue
        return flow.venue_time < max(self.openings.get(account, EPOCH), self.memory_begins(account))

    def answered_until(self, account: str) -> datetime:
        """Market time until which an account's venue told everything: behind the journal's end where it was silent."""
        return min(self.market_time, self.asked_until.get(account, self.market_time))

    def move_life(self, row: LifeRow) -> None:
        """Let an ended order go, or take it back."""
        order_id = row.life.order.order_id
        if row.is_leaving:
            self.orders.pop(order_id, None)
        else:
            self.orders[order_id] = OrderLife.of(row.life)

    def forgettable(self, count_max: int, ended_max: int) -> list[OrderLife]:
        """Orders that ended longer ago than MEMORY, or are too many, oldest first."""
        found: list[OrderLife] = []
        too_many = len(self.orders) - len(self._living) - ended_max
        for life in self.orders.values():
            if life.ended_at is None:
                continue
            if len(found) == count_max or (life.ended_at >= self.market_time - MEMORY and len(found) >= too_many):
                break
            found.append(life)
        return found

    def move_plan(self, row: PlanRow) -> None:
        """Follow a plan until it ends."""
        if row.state in _RUNNING:
            self.plans[row.plan_id] = row
        else:
            self.plans.pop(row.plan_id, None)

    def overfill(self, trade: Trade) -> Decimal | None:
        """What the order has got with this fill, when it is more than was asked."""
        life = self.orders.get(trade.order_id)
        got = Decimal(0) if life is None else life.cum_filled + trade.qty_base
        return got if life is not None and life.order.amount != "MAX" and got > life.order.amount else None

    def cash_flow(self, flow: CashFlow) -> bool:
        """Book money the venue moved by itself; False when its id is known. What left was asked for, oldest first."""
        if not self.ledger.apply(entry_of_cash_flow(flow)):
            return False
        left = -flow.amount if flow.cause is Cause.EXTERNAL else Decimal(0)
        for row in list(self.withdrawals.values()):
            if left > 0 and row.pending_usdt and flow.key in row.wallets:
                taken = min(left, row.pending_usdt)
                self.withdrawals[row.wish_id] = replace(row, pending_usdt=row.pending_usdt - taken)
                left -= taken
        return True

    def pending_withdrawal(self, keys: Container[PositionKey]) -> Decimal:
        """USDT that is to leave from wallets among ``keys`` and has not left yet."""
        if not self.withdrawals:
            return Decimal(0)
        rows = (row for row in self.withdrawals.values() if any(wallet in keys for wallet in row.wallets))
        return sum((row.pending_usdt for row in rows), Decimal(0))

    def open_account(self, account: str, entry: Entry) -> None:
        """Book an account's opening balance: it holds whatever happened there before."""
        if self.ledger.apply(entry):
            self.openings[account] = entry.time

    def is_adopted(self, account: str) -> bool:
        """True once the account's opening balance was booked."""
        return account in self.openings

    def open_orders(self) -> list[OrderLife]:
        """Lives that have not ended; what has ended is looked at once more and never again, whatever the history."""
        living = self._living
        if living:
            for order_id in [order_id for order_id, life in living.items() if not life.is_open]:
                del living[order_id]
        return list(living.values())

    def arriving(self) -> Mapping[PositionKey, tuple[Decimal, ...]]:
        """What may show at an account before it is booked: each transfer at its target, or back at its source."""
        found: dict[PositionKey, tuple[Decimal, ...]] = {}
        for life in self.open_orders():
            if life.is_travelling:
                targets = {key: life.in_transit for key, amount in life.order.expected_deltas.items() if amount > 0}
                sources = {key: -amount for key, amount in life.deltas.items() if amount < 0}
                for key, amount in (targets | sources).items():
                    found[key] = (*found.get(key, ()), amount)
        return found

    def in_doubt(self) -> tuple[str, ...]:
        """Ids whose outcome no venue has told us."""
        return tuple(life.order.order_id for life in self.open_orders() if life.is_in_doubt)

    def running_plans(self) -> list[PlanRow]:
        """Plans that have not ended."""
        return list(self.plans.values())

    def apply(self, row: StoredRecord) -> None:
        """Fold one stored row in; rows up to the last folded sequence are ignored."""
        if row.sequence <= self.sequence:
            return
        self.sequence = row.sequence
        self.market_time = max(self.market_time, row.record.market_time)
        self._apply(row.record.kind, row.record.payload, row.record.correlation_id)

    def _apply(self, kind: RecordKind, text: str, correlation: str) -> None:
        match kind:
            case RecordKind.INTENT:
                self.intent(self._read(Order, text), correlation)
            case RecordKind.OPENING:
                opening = self._read(Entry, text)
                self.open_account(opening.event_id.removeprefix(opening_id("")), opening)
            case RecordKind.CORRECTION:
                self.ledger.apply(self._read(Entry, text))
            case RecordKind.VALUATION:
                self.last_valuations[correlation] = text
            case _ if kind in ROWS:
                self.fold(self._read(ROWS[kind], text))

    def fold(self, row: object) -> None:
        """Fold one row of ROWS in; raises IllegalTransitionError for an order's step that cannot be."""
        self._folds[type(row)](row)

    def _decide(self, row: DecisionRow) -> None:
        self.decisions[row.strategy] = row.decision
        self.last_decision[row.strategy] = row

    def _remember(self, row: MemoryRow) -> None:
        self.memories[row.strategy] = row.text

    def _wish(self, row: WithdrawalRow) -> None:
        self.withdrawals[row.wish_id] = row

    def _step(self, row: TransferRow) -> None:
        """Raises IllegalTransitionError for a step that cannot follow. What ended long ago goes."""
        if (known := self.transfers.get(row.order_id)) is not None:
            known.check_next(row.step)
        self.transfers[row.order_id] = row
        self.transfers = {name: one for name, one in self.transfers.items() if one.is_kept(row.at)}

    def _approve(self, row: ApprovalRow) -> None:
        self.approvals[row.approval_id] = row
        self.approvals = {name: one for name, one in self.approvals.items() if one.is_kept(row.at)}

    def _latch(self, row: GuardRow) -> None:
        self.guard = row

    def move_break(self, row: BreakRow) -> None:
        """Open or close a break."""
        if row.is_open:
            self.breaks_opened += row.found.key not in self.breaks
            self.breaks[row.found.key] = row.found
        else:
            self.breaks.pop(row.found.key, None)

    def move_foreign(self, row: ForeignOrderRow) -> None:
        """Adopt an order of another hand, or let it go once it is no longer open."""
        if row.is_open:
            self.foreign_orders[row.order_id] = row
        else:
            self.foreign_orders.pop(row.order_id, None)

    def move_halt(self, row: HaltRow) -> None:
        """Halt an instrument, or let it go."""
        if row.is_on:
            self.halts[row.instrument] = row.why
        else:
            self.halts.pop(row.instrument, None)

    def dump(self) -> str:
        """The whole state as JSON text for a snapshot row; as large as what is in memory, whatever the history."""
        return dump(
            SnapshotRow(
                sequence=self.sequence,
                market_time=self.market_time,
                ledger=self.ledger.state(),
                orders=tuple(life.row() for life in self.orders.values()),
                plans=tuple(self.running_plans()),
                memories=self.memories,
                decisions=self.decisions,
                last_decision=self.last_decision,
                breaks=tuple(self.breaks.values()),
                breaks_opened=self.breaks_opened,
                foreign_orders=self.foreign_orders,
                guard=self.guard,
                trade_count=self.trade_count,
                last_trade_time=self.last_trade_time,
                last_valuations=self.last_valuations,
                openings=self.openings,
                halts=self.halts,
                withdrawals=self.withdrawals,
                asked_until=self.asked_until,
                transfers=self.transfers,
                approvals=self.approvals,
                brackets=self.brackets,
            )
        )

    @classmethod
    def restore(cls, text: str, read: Load = load) -> BookState:
        """A state equal to the one whose ``dump`` this was; ``read`` is for rows behind it."""
        row, state = load(SnapshotRow, text), cls(read)
        state.ledger = Ledger.restore(row.ledger)
        state.orders = {life.order.order_id: OrderLife.of(life) for life in row.orders}
        state._living = {order_id: life for order_id, life in state.orders.items() if life.is_open}
        state.plans = {plan.plan_id: plan for plan in row.plans}
        state.breaks = {found.key: found for found in row.breaks}
        for name in (
            "sequence", "market_time", "memories", "decisions", "last_decision", "breaks_opened", "foreign_orders",
            "guard", "trade_count", "last_trade_time", "last_valuations", "openings", "halts", "withdrawals",
            "asked_until", "transfers", "approvals", "brackets",
        ):  # fmt: skip
            setattr(state, name, getattr(row, name))
        return state


def recover(journal: Journal, read: Load = load) -> BookState:
    """The state after the newest snapshot and every row behind it."""
    snapshot = journal.latest(RecordKind.SNAPSHOT)
    state = BookState.restore(snapshot.record.payload, read) if snapshot else BookState(read)
    for row in journal.read(after=state.sequence):
        state.apply(row)
    return state
