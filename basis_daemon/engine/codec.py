"""Journal payloads: JSON text of domain values and back. Decimals travel as strings, instants as ISO 8601."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from basis_daemon.domain.bracket import BracketFired
from basis_daemon.domain.decision import Assessment, PlanEnded, ReasonCode
from basis_daemon.domain.errors import JournalError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import CashFlow, Entry
from basis_daemon.domain.market import FundingSettled
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import Break
from basis_daemon.domain.prediction import PredictionTick
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.domain.transfer import ApprovalRow, TransferRow
from basis_daemon.ports import RecordKind

T = TypeVar("T")

Heard = FundingSettled | Trade | PlanEnded | PredictionTick | BracketFired
"""What teaches a strategy and is in no picture. Each has a field that none of the others has, by which it is known."""


@dataclass(frozen=True, slots=True)
class OrderStateRow:
    """One step in the life of an order; ``at`` is the wall time of a send, empty otherwise."""

    order_id: str
    state: OrderState
    at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One step in the life of a plan, with the orders its strategy asked for."""

    plan_id: str
    strategy: str
    decision: int
    reason: ReasonCode
    state: PlanState
    order_ids: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What a strategy decided, why, and what the risk gate said of it."""

    strategy: str
    decision: int
    assessment: Assessment
    order_ids: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """What a strategy remembers, as its own text, and what taught it that; None for what a picture showed."""

    strategy: str
    text: str
    heard: Annotated[Heard, Field(union_mode="left_to_right")] | None = None


@dataclass(frozen=True, slots=True)
class BreakRow:
    """A break opened or closed."""

    is_open: bool
    found: Break


@dataclass(frozen=True, slots=True)
class ForeignOrderRow:
    """An order at one of our accounts that is not ours: adopted while it is open, with its owner."""

    account: str
    order_id: str
    owner: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class HaltRow:
    """No new risk in an instrument until an operator has looked, or (``is_on`` false) has looked and rearmed."""

    instrument: PositionKey
    why: str
    is_on: bool


class GuardState(StrEnum):
    """The guard's latched states: it only tightens, an operator rearms."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True)
class GuardRow:
    """The guard's state and the reason it went there; ``is_flattening`` when an operator closes the whole book."""

    state: GuardState
    why: str
    is_flattening: bool = False


@dataclass(frozen=True, slots=True)
class WithdrawalRow:
    """Investor capital that is to leave: ``amount_usdt`` as asked, ``pending_usdt`` of it has not left yet.

    ``wish_id`` is the operator's, so that asking twice asks once; it leaves from one of ``wallets``.
    """

    wish_id: str
    strategy: str
    amount_usdt: Decimal
    pending_usdt: Decimal
    wallets: tuple[PositionKey, ...]


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A trade with the postings it made; ``entry`` is None for one that only tells an order's state."""

    trade: Trade
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The leg risk that a parallel group ran: worst unhedged notional (quote units) and seconds of process time.

    ``legging_usdt_s`` is its exposure in time: the worst of each clip by the seconds that it lasted, summed.
    """

    group_id: str
    strategy: str
    naked_notional_max: Decimal
    naked_s_max: Decimal
    how: str
    legging_usdt_s: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class OrderLifeRow:
    """An order as far as it has come; ``ended_at`` is the market time of its end, ``trade_ids`` are its fills."""

    order: Order
    plan_id: str
    state: OrderState
    sent_at: datetime | None
    cum_filled: Decimal
    deltas: Mapping[PositionKey, Decimal]
    ended_at: datetime | None = None
    trade_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LifeRow:
    """An order that ended long ago leaves memory, or comes back because its venue told of one more fill."""

    is_leaving: bool
    life: OrderLifeRow


@dataclass(frozen=True, slots=True)
class AskedRow:
    """An account's venue has told of every fill and flow until this market time."""

    account: str
    until: datetime


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """Everything that can still change, after the row with this sequence."""

    sequence: int
    market_time: datetime
    ledger: Mapping[str, Any]
    orders: tuple[OrderLifeRow, ...]
    plans: tuple[PlanRow, ...]
    memories: dict[str, str]
    decisions: dict[str, int]
    last_decision: dict[str, DecisionRow]
    breaks: tuple[Break, ...]
    breaks_opened: int
    foreign_orders: dict[str, ForeignOrderRow]
    guard: GuardRow
    trade_count: int
    last_trade_time: dict[str, datetime]
    last_valuations: dict[str, str]
    openings: dict[str, datetime] = field(default_factory=dict)
    halts: dict[PositionKey, str] = field(default_factory=dict)
    withdrawals: dict[str, WithdrawalRow] = field(default_factory=dict)
    asked_until: dict[str, datetime] = field(default_factory=dict)
    transfers: dict[str, TransferRow] = field(default_factory=dict)
    approvals: dict[str, ApprovalRow] = field(default_factory=dict)
    brackets: dict[str, Order] = field(default_factory=dict)


ROWS: dict[RecordKind, type] = {
    RecordKind.ASKED: AskedRow,
    RecordKind.BREAK: BreakRow,
    RecordKind.CASH_FLOW: CashFlow,
    RecordKind.DECISION: DecisionRow,
    RecordKind.FOREIGN_ORDER: ForeignOrderRow,
    RecordKind.GROUP: GroupRow,
    RecordKind.GUARD: GuardRow,
    RecordKind.HALT: HaltRow,
    RecordKind.LIFE: LifeRow,
    RecordKind.MEMORY: MemoryRow,
    RecordKind.ORDER_STATE: OrderStateRow,
    RecordKind.PLAN: PlanRow,
    RecordKind.TRADE: TradeRow,
    RecordKind.APPROVAL: ApprovalRow,
    RecordKind.TRANSFER: TransferRow,
    RecordKind.WITHDRAWAL: WithdrawalRow,
}
"""What a journal row of each kind holds, where that is a row type of its own."""

_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    found = _ADAPTERS.get(kind)
    if found is None:
        found = _ADAPTERS[kind] = TypeAdapter(kind)
    return found


def dump(value: object) -> str:
    """JSON text of a domain value."""
    return _text(_adapter(type(value)), value)


def later(value: object) -> Callable[[], str]:
    """``dump`` for another thread and another moment; the value never changes, and what encodes it is made here."""
    adapter = _ADAPTERS.get(type(value)) or _adapter(type(value))
    return partial(_text, adapter, value)


def _text(adapter: TypeAdapter[Any], value: object) -> str:
    return adapter.dump_json(value).decode()


class Load(Protocol):
    """As ``load``."""

    def __call__(self, kind: type[T], text: str, /) -> T: ...


class LoadedOnce:
    """Honours ``Load``: equal texts are decoded once, for who folds the same rows again and again. Values are shared.

    It keeps everything that it ever read.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[type, str], Any] = {}

    def __call__(self, kind: type[T], text: str, /) -> T:
        at = kind, text
        value: T | None = self._known.get(at)
        if value is None:
            value = self._known[at] = load(kind, text)
        return value


def load(kind: type[T], text: str) -> T:
    """The value back; raises JournalError naming the type and the first fault when the text is not one."""
    try:
        value: T = _adapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise JournalError(f"journal row is no {kind.__name__}: {first['msg']} at {first['loc']}") from error
    return value
