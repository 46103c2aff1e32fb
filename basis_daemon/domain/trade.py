"""Outcomes: one trade per fill, transfer step or transaction, and the legal lives of an order.

Deltas come from the venue's record, never from expectations; they include fees and gas. Times are aware UTC:
``venue_time`` is market time, ``recv_time`` the daemon's wall clock.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from basis_daemon.domain.errors import ErrorClass, IllegalTransitionError
from basis_daemon.domain.instrument import PositionKey


class TradeStatus(StrEnum):
    """How far the order behind this trade has come."""

    PENDING = "PENDING"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    FAILED = "FAILED"


class OrderState(StrEnum):
    """Every state of the three lives: CEX order, chain transaction, asynchronous claim."""

    CREATED = "CREATED"
    PERSISTED = "PERSISTED"
    SUBMITTED = "SUBMITTED"
    UNKNOWN = "UNKNOWN"
    ACKED = "ACKED"
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    NEVER_ACCEPTED = "NEVER_ACCEPTED"
    BUILT = "BUILT"
    SIMULATED = "SIMULATED"
    SIGNED = "SIGNED"
    BROADCAST = "BROADCAST"
    INCLUDED = "INCLUDED"
    FINAL = "FINAL"
    REPLACED = "REPLACED"
    DROPPED = "DROPPED"
    REVERTED = "REVERTED"
    REORGED = "REORGED"
    REQUESTED = "REQUESTED"
    PENDING = "PENDING"
    OVERDUE = "OVERDUE"
    CLAIMABLE = "CLAIMABLE"
    CLAIMED = "CLAIMED"
    SETTLED = "SETTLED"


class Origin(StrEnum):
    """Who made a trade happen, as far as its venue says; REWARD and PAYOUT are orders that give or get nothing.

    LOST is a person's word that what was on its way will never arrive.
    """

    ORDER = "order"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    SETTLEMENT = "settlement"
    REWARD = "reward"
    PAYOUT = "payout"
    LOST = "lost"


FORCED = frozenset({Origin.LIQUIDATION, Origin.ADL, Origin.SETTLEMENT})
"""The venue reduced the position by itself: for want of margin, for another's, or because the contract ends."""


S = OrderState
_ENDS = (S.FILLED, S.CANCELLED, S.REJECTED, S.EXPIRED)
TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    S.CREATED: frozenset({S.PERSISTED, S.BUILT, S.REQUESTED}),
    S.PERSISTED: frozenset({S.SUBMITTED, S.CANCELLED, S.NEVER_ACCEPTED, S.UNKNOWN}),
    S.SUBMITTED: frozenset({S.UNKNOWN, S.ACKED, S.PARTIAL, S.NEVER_ACCEPTED, S.PENDING, S.SETTLED, *_ENDS}),
    S.UNKNOWN: frozenset({S.ACKED, S.PARTIAL, S.NEVER_ACCEPTED, S.PENDING, S.SETTLED, *_ENDS}),
    S.ACKED: frozenset({S.PARTIAL, S.UNKNOWN, *_ENDS}),
    S.PARTIAL: frozenset({S.PARTIAL, S.UNKNOWN, S.FILLED, S.CANCELLED, S.EXPIRED}),
    S.FILLED: frozenset(),
    S.CANCELLED: frozenset(),
    S.REJECTED: frozenset(),
    S.EXPIRED: frozenset(),
    S.NEVER_ACCEPTED: frozenset(),
    S.BUILT: frozenset({S.SIMULATED, S.DROPPED}),
    S.SIMULATED: frozenset({S.SIGNED, S.DROPPED}),
    S.SIGNED: frozenset({S.BROADCAST, S.DROPPED}),
    S.BROADCAST: frozenset({S.INCLUDED, S.REPLACED, S.DROPPED, S.REVERTED}),
    S.REPLACED: frozenset({S.BROADCAST, S.INCLUDED, S.DROPPED}),
    S.INCLUDED: frozenset({S.FINAL, S.REORGED}),
    S.REORGED: frozenset({S.BROADCAST, S.INCLUDED, S.DROPPED}),
    S.FINAL: frozenset(),
    S.DROPPED: frozenset(),
    S.REVERTED: frozenset({S.REORGED}),
    S.REQUESTED: frozenset({S.PENDING, S.CLAIMABLE, S.SETTLED, S.REJECTED, S.UNKNOWN}),
    S.PENDING: frozenset({S.OVERDUE, S.CLAIMABLE, S.SETTLED, S.REJECTED, S.CANCELLED}),
    S.OVERDUE: frozenset({S.CLAIMABLE, S.SETTLED, S.REJECTED, S.CANCELLED}),
    S.CLAIMABLE: frozenset({S.CLAIMED, S.PENDING}),
    S.CLAIMED: frozenset({S.SETTLED}),
    S.SETTLED: frozenset(),
}
assert TRANSITIONS.keys() == set(OrderState), "every order state needs its row of legal next states"  # noqa: S101  a table that lags its enum must stop the import

DEAD = frozenset({S.REJECTED, S.NEVER_ACCEPTED, S.CANCELLED, S.EXPIRED, S.DROPPED})
TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
IN_DOUBT = frozenset({S.SUBMITTED, S.UNKNOWN})
REVERSAL = ":reorged"
"""What the id of a trade ends with that takes another one back, because its block is no longer in the chain."""


def advance(order_id: str, state: OrderState, following: OrderState) -> OrderState:
    """``following`` if the table allows it after ``state``; raises IllegalTransitionError otherwise."""
    if following in TRANSITIONS[state]:
        return following
    msg = (
        f"order {order_id}: {state} -> {following}, expected one of {sorted(TRANSITIONS[state]) or 'nothing: terminal'}"
    )
    raise IllegalTransitionError(msg)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fee(_Frozen):
    """What a fill cost: ``quantity`` of ``asset``, positive paid, negative a rebate."""

    asset: str
    quantity: Decimal


class TxInfo(_Frozen):
    """The transaction behind a chain trade; gas price in wei."""

    hash: str
    block: int
    block_hash: str = ""
    gas_used: int
    gas_price: int
    nonce: int


class TradeError(_Frozen):
    """Why an order failed, in our class and in the venue's own code and words."""

    error_class: ErrorClass
    code: str
    text: str


class Trade(_Frozen):
    """One outcome. ``trade_id`` is the dedupe key: applying a trade twice changes nothing.

    A trade with deltas is money that moved; one without deltas only tells the order's state. ``cum_filled`` and
    ``remaining`` are base units of the whole order, ``price`` is this fill's. ``origin`` is ORDER for whatever an order
    of ours or of another hand asked for.
    """

    trade_id: str = Field(min_length=1)
    order_id: str
    account: str
    instrument: PositionKey
    status: TradeStatus
    order_state: OrderState
    price: Decimal | None = None
    qty_base: Decimal = Decimal(0)
    qty_quote: Decimal = Decimal(0)
    liquidity: Literal["maker", "taker"] | None = None
    fees: tuple[Fee, ...] = ()
    realised_pnl: Decimal | None = None
    venue_time: AwareDatetime
    recv_time: AwareDatetime
    cum_filled: Decimal = Decimal(0)
    remaining: Decimal = Decimal(0)
    deltas: dict[PositionKey, Decimal] = Field(default_factory=dict)
    tx: TxInfo | None = None
    error: TradeError | None = None
    simulated: bool = False
    origin: Origin = Origin.ORDER

    @model_validator(mode="after")
    def _money_is_finite(self) -> Self:
        for name in ("price", "qty_base", "qty_quote", "cum_filled", "remaining", "realised_pnl"):
            value = getattr(self, name)
            if value is not None and not value.is_finite():
                msg = f"trade {self.trade_id}: {name} is {value}, expected a finite number"
                raise ValueError(msg)
        if self.qty_base < 0 or self.cum_filled < 0:
            msg = f"trade {self.trade_id}: qty_base {self.qty_base}, cum_filled {self.cum_filled}, expected no negative"
            raise ValueError(msg)
        return self

    @property
    def is_fill(self) -> bool:
        """True when money moved."""
        return bool(self.deltas)

    @property
    def is_forced(self) -> bool:
        """True when the venue reduced the position by itself."""
        return self.origin in FORCED
