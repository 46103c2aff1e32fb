"""Everything the daemon knows, as a fold of journal rows. Live changes and recovery take the same road."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from basis_daemon.domain.errors import JournalError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.ledger import CashFlow, Cause, Entry, Ledger, entry_of_cash_flow, entry_of_trade, opening_id
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import Break
from basis_daemon.domain.trade import IN_DOUBT, TERMINAL, TRANSITIONS, OrderState, Trade, advance
from basis_daemon.engine.codec import (
    BreakRow,
    DecisionRow,
    ForeignOrderRow,
    GuardRow,
    GuardState,
    HaltRow,
    MemoryRow,
    OrderLifeRow,
    OrderStateRow,
    PlanRow,
    SnapshotRow,
    TradeRow,
    WithdrawalRow,
    dump,
    load,
)
from basis_daemon.ports import Journal, RecordKind, StoredRecord

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class OrderLife:
    """One order from intent to its end; quantities in base units, deltas as booked so far."""

    order: Order
    plan_id: str
    state: OrderState = OrderState.PERSISTED
    sent_at: datetime | None = None
    cum_filled: Decimal = Decimal(0)
    deltas: dict[PositionKey, Decimal] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """True while it may still change something."""
        return self.state not in TERMINAL

    @property
    def is_in_doubt(self) -> bool:
        """True when no venue has told us its outcome."""
        return self.state in IN_DOUBT

    @property
    def was_never_alive(self) -> bool:
        """True when we concluded that the venue never took it; a fill says that we were wrong."""
        return self.state in {OrderState.REJECTED, OrderState.NEVER_ACCEPTED}

    @property
    def was_sent(self) -> bool:
        """True when the venue saw it or may have seen it."""
        return self.state not in {OrderState.PERSISTED, OrderState.NEVER_ACCEPTED}


class BookState:
    """Ledger, orders, plans, memories and breaks. The handler is its only writer while the daemon lives."""

    def __init__(self) -> None:
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
        self.last_valuation = ""
        self.trade_count = 0
        self.sequence = 0
        self.last_trade_time: dict[str, datetime] = {}
        self.market_time = EPOCH
        self.openings: dict[str, datetime] = {}
        self.halts: dict[PositionKey, str] = {}
        self.withdrawals: dict[str, WithdrawalRow] = {}

    def intent(self, order: Order, plan_id: str) -> None:
        """The order is durable; nothing has left yet. Raises IntegrityError through JournalError for a repeated id."""
        if order.order_id in self.orders:
            raise JournalError(f"order {order.order_id}: an intent with this id exists, expected a new id")
        self.orders[order.order_id] = self._living[order.order_id] = OrderLife(order, plan_id)

    def move_order(self, row: OrderStateRow) -> None:
        """Advance one order; raises IllegalTransitionError."""
        life = self.orders[row.order_id]
        life.state = advance(row.order_id, life.state, row.state)
        if row.state is OrderState.SUBMITTED:
            life.sent_at = row.at

    def entry_of(self, trade: Trade) -> Entry:
        """The postings that this trade makes on the ledger as it is now."""
        instrument = self.instruments.get(trade.instrument)
        quote = instrument.quote if instrument else ""
        held, cost = self.ledger.holding(trade.instrument), self.ledger.open_notional(trade.instrument, quote)
        return entry_of_trade(trade, held, cost, instrument)

    def book(self, row: TradeRow) -> bool:
        """Book one trade; False when its money was booked before. The order behind it follows, never backwards."""
        trade, is_new = row.trade, False
        if row.entry is not None and self.ledger.apply(row.entry):
            is_new = True
            self.trade_count += bool(trade.qty_base)
            for account in {key.venue for key in trade.deltas}:
                last = self.last_trade_time.get(account, EPOCH)
                self.last_trade_time[account] = max(last, trade.venue_time)
        if (life := self.orders.get(trade.order_id)) is not None:
            _follow(life, trade, is_new=is_new)
        return is_new

    def is_overfilled(self, order_id: str) -> bool:
        """True when the unique fills of an order exceed what was asked."""
        life = self.orders.get(order_id)
        return life is not None and life.order.amount != "MAX" and life.cum_filled > life.order.amount

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
        rows = (row for row in self.withdrawals.values() if any(wallet in keys for wallet in row.wallets))
        return sum((row.pending_usdt for row in rows), Decimal(0))

    def open_account(self, account: str, entry: Entry) -> None:
        """Book an account's opening balance: it holds whatever happened there before."""
        if self.ledger.apply(entry):
            self.openings[account] = entry.time

    def is_adopted(self, account: str) -> bool:
        """True once the account's opening balance was booked."""
        return self.ledger.has(opening_id(account))

    def open_orders(self) -> list[OrderLife]:
        """Lives that have not ended; what has ended is looked at once more and never again, whatever the history."""
        living = self._living
        if living:
            for order_id in [order_id for order_id, life in living.items() if not life.is_open]:
                del living[order_id]
        return list(living.values())

    def in_doubt(self) -> tuple[str, ...]:
        """Ids whose outcome no venue has told us."""
        return tuple(life.order.order_id for life in self.open_orders() if life.is_in_doubt)

    def running_plans(self) -> list[PlanRow]:
        """Plans that have not ended."""
        return [p for p in self.plans.values() if p.state in {PlanState.RUNNING, PlanState.ACCEPTED, PlanState.BLOCKED}]

    def apply(self, row: StoredRecord) -> None:
        """Fold one stored row in; rows up to the last folded sequence are ignored."""
        if row.sequence <= self.sequence:
            return
        self.sequence = row.sequence
        self.market_time = max(self.market_time, row.record.market_time)
        self._apply(row.record.kind, row.record.payload, row.record.correlation_id)

    def _apply(self, kind: RecordKind, text: str, correlation: str) -> None:  # noqa: C901, PLR0912  one line per kind of row
        match kind:
            case RecordKind.MEMORY:
                memory = load(MemoryRow, text)
                self.memories[memory.strategy] = memory.text
            case RecordKind.DECISION:
                decision = load(DecisionRow, text)
                self.decisions[decision.strategy] = decision.decision
                self.last_decision[decision.strategy] = decision
            case RecordKind.PLAN:
                plan = load(PlanRow, text)
                self.plans[plan.plan_id] = plan
            case RecordKind.INTENT:
                self.intent(load(Order, text), correlation)
            case RecordKind.ORDER_STATE:
                self.move_order(load(OrderStateRow, text))
            case RecordKind.TRADE:
                self.book(load(TradeRow, text))
            case RecordKind.CASH_FLOW:
                self.cash_flow(load(CashFlow, text))
            case RecordKind.OPENING:
                opening = load(Entry, text)
                self.open_account(opening.event_id.removeprefix(opening_id("")), opening)
            case RecordKind.BREAK:
                self.move_break(load(BreakRow, text))
            case RecordKind.FOREIGN_ORDER:
                self.move_foreign(load(ForeignOrderRow, text))
            case RecordKind.HALT:
                self.move_halt(load(HaltRow, text))
            case RecordKind.GUARD:
                self.guard = load(GuardRow, text)
            case RecordKind.WITHDRAWAL:
                asked = load(WithdrawalRow, text)
                self.withdrawals[asked.wish_id] = asked
            case RecordKind.VALUATION:
                self.last_valuation = text

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
        """The whole state as JSON text for a snapshot row; ended orders and plans are left to the journal."""
        return dump(
            SnapshotRow(
                sequence=self.sequence,
                market_time=self.market_time,
                ledger=self.ledger.state(),
                orders=tuple(
                    OrderLifeRow(life.order, life.plan_id, life.state, life.sent_at, life.cum_filled, life.deltas)
                    for life in self.open_orders()
                ),
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
                last_valuation=self.last_valuation,
                openings=self.openings,
                halts=self.halts,
                withdrawals=self.withdrawals,
            )
        )

    @classmethod
    def restore(cls, text: str) -> BookState:
        """A state equal to the one whose ``dump`` this was, as far as it can still change."""
        row, state = load(SnapshotRow, text), cls()
        state.ledger = Ledger.restore(row.ledger)
        state.orders = {
            o.order.order_id: OrderLife(o.order, o.plan_id, o.state, o.sent_at, o.cum_filled, dict(o.deltas))
            for o in row.orders
        }
        state._living = dict(state.orders)
        state.plans = {plan.plan_id: plan for plan in row.plans}
        state.breaks = {found.key: found for found in row.breaks}
        for name in (
            "sequence", "market_time", "memories", "decisions", "last_decision", "breaks_opened", "foreign_orders",
            "guard", "trade_count", "last_trade_time", "last_valuation", "openings", "halts", "withdrawals",
        ):  # fmt: skip
            setattr(state, name, getattr(row, name))
        return state


def _follow(life: OrderLife, trade: Trade, *, is_new: bool) -> None:
    if is_new:
        life.cum_filled += trade.qty_base
        for key, amount in trade.deltas.items():
            life.deltas[key] = life.deltas.get(key, Decimal(0)) + amount
    if trade.order_state is not life.state and trade.order_state in TRANSITIONS[life.state]:
        life.state = trade.order_state


def recover(journal: Journal) -> BookState:
    """The state after the newest snapshot and every row behind it."""
    snapshot = journal.latest(RecordKind.SNAPSHOT)
    state = BookState.restore(snapshot.record.payload) if snapshot else BookState()
    for row in journal.read(after=state.sequence):
        state.apply(row)
    return state
