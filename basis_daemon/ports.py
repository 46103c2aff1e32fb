"""What the engine needs from outside, in the engine's words. Adapters honour these; nothing here knows who they are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from basis_daemon.domain.decision import Assessment, Exposure, RiskView
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.market import MarketEvent, MarketSnapshot, StreamChanged
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.position import AccountFigures, AccountReport
from basis_daemon.domain.trade import Trade


class Clock(Protocol):
    """Process time and the wall clock; market time comes from venue stamps and never from here."""

    def wall(self) -> datetime:
        """Aware UTC now."""
        ...

    def monotonic_ns(self) -> int:
        """Never goes back; the unit of every time-out, age and leg budget."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the caller for process time."""
        ...


class TaskScope(Protocol):
    """The parent of every task. A child that raises an unforeseen error stops the daemon."""

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start a child."""
        ...


class Finding(StrEnum):
    """What asking a venue about one order id gave."""

    FOUND = "found"
    NOT_YET = "not_yet"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A venue's answer about one order: its last known trade when FOUND; ABSENT only when lateness is ruled out."""

    finding: Finding
    trade: Trade | None = None


TradeSink = Callable[[Trade], None]
"""Takes every fill as it happens, in order of arrival, at least once; never blocks."""


class ExecutionInterface(Protocol):
    """The only code that talks to a venue about orders: CEX-, OnChain-, DEX- and TransferExecutionInterface."""

    @property
    def account(self) -> str:
        """The venue part of this interface's position keys."""
        ...

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """What it can execute; the routing table is checked complete at start."""
        ...

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """Send once, return the last known trade; fills also stream to the sink.

        Raises OrderRejectedError, VenueUnreachableError (nothing left) or OutcomeUnknownError (ask, never resend).
        """
        ...

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """What the venue knows of this id, fills streamed to the sink again. Raises VenueUnreachableError.

        ``sent_at`` is the wall time of the send: absence is proof only after receive window, skew and read lag.
        """
        ...

    async def cancel_order(self, order: Order) -> Evidence:
        """Ask for cancellation and report what is left; raises like ``find_order``."""
        ...


class GroupExecution(Protocol):
    """Executes an atomic group as one transaction. Raises like ExecutionInterface, and PlanRefusedError."""

    async def execute_group(self, orders: Sequence[Order], timestamp: datetime) -> Sequence[Trade]:
        """Send once; one trade per order, in order, of which the first carries all the money."""
        ...

    async def find_group(self, orders: Sequence[Order], sent_at: datetime) -> Sequence[Evidence]:
        """What the venue knows, one answer per order, all alike. Raises VenueUnreachableError."""
        ...


class AccountSource(Protocol):
    """The venue's word on one account. Methods raise VenueUnreachableError when it gave no usable answer."""

    @property
    def account(self) -> str:
        """The venue part of its position keys."""
        ...

    @property
    def accrues(self) -> bool:
        """True when its balances grow by themselves: its report agrees with a book that has its newest flows."""
        ...

    async def fetch_report(self) -> AccountReport:
        """Balances, positions, margin and open orders now; where it accrues, as of the newest flows it told."""
        ...

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        """Fills since ``since`` (market time), oldest first; order_id is empty for orders that carry no id of ours."""
        ...

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        """Funding and other money moved without orders since ``since`` (market time), oldest first."""
        ...

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        """Moves between this account and others of the same key since ``since`` (market time), without order_id."""
        ...

    def hurry(self) -> None:
        """The life ends: from now on its questions go before whatever else the venue is asked."""
        ...


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """The venue says that an account moved outside an order (funding, transfer, deposit): fetch its cash flows."""

    account: str
    venue_time: datetime
    reason: str


class KillPoint(StrEnum):
    """Every place at which a drill may kill the daemon; each is passed many times in a life."""

    BEFORE_INTENT = "before_intent"
    AFTER_INTENT = "after_intent"
    AFTER_ACK = "after_ack"
    AFTER_SEND = "after_send"
    AFTER_FILL = "after_fill"
    BETWEEN_LEGS = "between_legs"
    BETWEEN_CLIPS = "between_clips"
    IN_RECONCILE = "in_reconcile"
    DURING_SNAPSHOT = "during_snapshot"
    DURING_PRUNING = "during_pruning"
    IN_START_UP = "in_start_up"
    IN_DRAIN = "in_drain"
    TX_SIGNED = "tx_signed"
    TX_JOURNALLED = "tx_journalled"
    TX_BROADCAST = "tx_broadcast"
    TX_INCLUDED = "tx_included"
    TRANSFER_SUBMITTING = "transfer_submitting"
    TRANSFER_LEFT = "transfer_left"
    TRANSFER_ARRIVED = "transfer_arrived"


Probe = Callable[[KillPoint], None]
"""Called at each passing of a point; a drill kills the process there."""


def pass_by(point: KillPoint) -> None:
    """The ``Probe`` of a daemon that is not drilled."""


@dataclass(frozen=True, slots=True)
class InstrumentsChanged:
    """These instruments are now so."""

    account: str
    instruments: Mapping[PositionKey, Instrument]


@dataclass(frozen=True, slots=True)
class InstrumentDoubted:
    """What the venue tells of an instrument cannot be believed: no new risk in it until an operator has looked."""

    instrument: PositionKey
    why: str


AccountEvent = AccountChanged | AccountFigures | AccountReport
FeedEvent = MarketEvent | StreamChanged | AccountEvent | InstrumentsChanged | InstrumentDoubted | Trade


class Feed(Protocol):
    """A venue's streams. ``run`` lives until cancelled; it reconnects by itself and says so with StreamChanged."""

    async def start(self) -> Mapping[PositionKey, Instrument]:
        """Load and check what is declared, set and read back modes; raises ConfigError or VenueUnreachableError."""
        ...

    async def history(self) -> Sequence[MarketEvent]:
        """Settled funding before now, oldest first, to seed a strategy's memory."""
        ...

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        """Deliver every event to ``sink`` (synchronous, never blocks)."""
        ...

    async def close(self) -> None:
        """Leave nothing open."""
        ...


class RecordKind(StrEnum):
    """Every kind of journal row; state is a fold of these."""

    GENERATION = "generation"
    MEMORY = "memory"
    DECISION = "decision"
    PLAN = "plan"
    INTENT = "intent"
    ORDER_STATE = "order_state"
    TRADE = "trade"
    CASH_FLOW = "cash_flow"
    FOREIGN_ORDER = "foreign_order"
    HALT = "halt"
    OPENING = "opening"
    CORRECTION = "correction"
    BREAK = "break"
    GROUP = "group"
    VALUATION = "valuation"
    RISK = "risk"
    GUARD = "guard"
    OPERATOR = "operator"
    WITHDRAWAL = "withdrawal"
    TRANSACTION = "transaction"
    TRANSFER = "transfer"
    APPROVAL = "approval"
    SNAPSHOT = "snapshot"
    ASKED = "asked"
    LIFE = "life"
    PRUNING = "pruning"
    MIGRATION = "migration"
    RESTORE = "restore"


class Record(Struct, eq=False):
    """One journal row before it has a sequence number; ``payload`` is JSON text, the ids tie it to intent and cause.

    Nobody changes one. The text may be given as what will make it: made when first asked for, on the writing thread.
    """

    kind: RecordKind
    market_time: datetime
    correlation_id: str
    causation_id: str
    _payload: str | Callable[[], str]

    @property
    def payload(self) -> str:
        """The text. Raises what making it raises; two threads that ask at once are told the same."""
        text = self._payload
        if not isinstance(text, str):
            text = self._payload = text()
        return text

    def check(self) -> None:
        """Raises ValueError when the market time is not aware, UnicodeEncodeError for text that no file can hold."""
        if self.market_time.tzinfo is None:
            raise ValueError(f"{self.market_time} has no time zone; the journal takes aware instants only")
        correlation, causation, payload = self.correlation_id, self.causation_id, self._payload
        if not (correlation.isascii() and causation.isascii()):
            (correlation + causation).encode()
        if isinstance(payload, str) and not payload.isascii():
            payload.encode()

    def _fields(self) -> tuple[object, ...]:
        return self.kind, self.market_time, self.correlation_id, self.causation_id, self.payload

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"Record{self._fields()!r}"


class StoredRecord(Struct, frozen=True):
    """A row as read back."""

    sequence: int
    generation: int
    wall_time: datetime
    record: Record


class Journal(Protocol):
    """Append-only, one writer. Raises JournalError when a write failed: from then on no append succeeds."""

    @property
    def generation(self) -> int:
        """The epoch: grows durably with every opening for writing; part of every order id."""
        ...

    def append(self, record: Record) -> None:
        """Queue a row; durable within the next group commit. Never blocks."""
        ...

    async def append_durable(self, records: Sequence[Record]) -> None:
        """Return once these rows, and all queued before them, are on disk."""
        ...

    async def flush(self) -> None:
        """Return once everything queued is on disk."""
        ...

    def read(self, after: int = 0, kinds: frozenset[RecordKind] | None = None) -> Sequence[StoredRecord]:
        """Rows with a sequence above ``after``, oldest first."""
        ...

    def latest(self, kind: RecordKind) -> StoredRecord | None:
        """The newest row of one kind."""
        ...

    def life(self, order_id: str) -> StoredRecord | None:
        """The newest row of kind LIFE caused by this order: what was known of it when it left memory."""
        ...


class Strategy(Protocol):
    """Frozen parameters and three pure functions; equal inputs give equal outputs."""

    @property
    def name(self) -> str:
        """Instance name, unique in the process."""
        ...

    @property
    def instruments(self) -> frozenset[PositionKey]:
        """What its decisions are woken by."""
        ...

    @property
    def declared_keys(self) -> frozenset[PositionKey]:
        """Every position key it may hold; a balance under another key is an alert, never a trade."""
        ...

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        ...

    def initial_memory(self) -> object:
        """Memory of a strategy that has seen nothing."""
        ...

    def dump_memory(self, memory: object) -> str:
        """JSON text of a memory."""
        ...

    def load_memory(self, text: str) -> object:
        """Inverse of ``dump_memory``; raises ValueError on text that is not one."""
        ...

    def fold(self, memory: object, event: object) -> object:
        """Memory after a market event, or after a Trade or PlanEnded of its own."""
        ...

    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        """The reasons; never raises for stale or missing inputs, it holds with STALE."""
        ...

    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        """Orders built on the same assessment; empty to hold."""
        ...
