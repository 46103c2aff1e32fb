"""The one order model: an immutable instruction to one venue, valid once it exists.

``FIELDS_BY_OPERATION`` is the table of what each operation needs; an assertion proves that it covers every operation.
Quantities are in ``amount_unit``, prices in quote per base, slippage in basis points, times aware UTC.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from basis_daemon.domain.errors import InvalidOrderError
from basis_daemon.domain.instrument import Kind, PositionKey

LEGS_OF_A_PAIR = 2


class OrderOperation(StrEnum):
    """Everything that an order can ask of a venue."""

    SPOT_TRADE = "spot_trade"
    PERP_TRADE = "perp_trade"
    SUPPLY = "supply"
    WITHDRAW = "withdraw"
    BORROW = "borrow"
    REPAY = "repay"
    STAKE = "stake"
    UNSTAKE = "unstake"
    SWAP = "swap"
    TRANSFER = "transfer"
    FLASH_BORROW = "flash_borrow"
    FLASH_REPAY = "flash_repay"
    CLAIM = "claim"
    WRAP = "wrap"
    UNWRAP = "unwrap"
    APPROVE = "approve"
    SET_EMODE = "set_emode"
    SET_COLLATERAL = "set_collateral"
    STOP = "stop"
    TAKE_PROFIT = "take_profit"
    CANCEL = "cancel"
    DEPOSIT_STRATEGY = "deposit_strategy"
    DELEGATE = "delegate"
    QUEUE_WITHDRAWAL = "queue_withdrawal"
    COMPLETE_WITHDRAWAL = "complete_withdrawal"
    CLAIM_REWARD = "claim_reward"
    UNWRAP_REWARD = "unwrap_reward"


class ExecutionMode(StrEnum):
    """How the orders of one group run; a parallel group is pairs, of which each second leg follows its first."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    ATOMIC = "atomic"


class Side(StrEnum):
    """Direction of a CEX trade."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """``market`` is bounded by ``ref_price`` and ``max_slippage_bp``; the venue sees a price band."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    TAKE_PROFIT_MARKET = "take_profit_market"


CONDITIONAL = frozenset({OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})
"""Held by the venue until the mark comes to their trigger; a cancel of one bears its type."""


class TimeInForce(StrEnum):
    """How long an order may rest."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "POST_ONLY"


class OnFail(StrEnum):
    """What the manager does when a member of a group fails; ``retry`` uses ``retries_max``."""

    ABORT = "abort"
    REVERSE_LEGS = "reverse_legs"
    COMPLETE_MARKETABLE = "complete_marketable"
    RETRY = "retry"


class AmountUnit(StrEnum):
    """What ``amount`` counts."""

    BASE = "base"
    QUOTE = "quote"
    CONTRACTS = "contracts"
    WEI = "wei"


class PostConditionKind(StrEnum):
    """What must hold after an atomic group, checked inside the transaction."""

    HEALTH_FACTOR_MIN = "health_factor_min"
    LTV_MAX = "ltv_max"
    OUT_MIN = "out_min"
    DEBT_MAX = "debt_max"
    RESIDUE_NONE = "residue_none"


class PostCondition(BaseModel):
    """One bound on the state after a group: ``subject`` is a position key or protocol name, ``bound`` in its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PostConditionKind
    subject: str
    bound: Decimal


O = OrderOperation  # noqa: E741  the tables below are read by operation, not by class name
NEAREST_LIQUIDATION = "LIQ_"
"""What the reasons of rule 2 begin with: margin that is borrowed and sent hurries as much as a buy-back."""
CEX_TRADES = frozenset({O.SPOT_TRADE, O.PERP_TRADE})
PROTECTIVE = frozenset({O.STOP, O.TAKE_PROFIT})
NO_DELTAS = frozenset({O.APPROVE, O.SET_EMODE, O.SET_COLLATERAL, O.DELEGATE, O.CANCEL, *PROTECTIVE})
MAX_ALLOWED = frozenset({O.REPAY, O.WITHDRAW})
CEX_FORBIDDEN_IN_ATOMIC = frozenset({*CEX_TRADES, *PROTECTIVE, O.CANCEL, O.TRANSFER, O.UNSTAKE, O.CLAIM})

FIELDS_BY_OPERATION: dict[OrderOperation, frozenset[str]] = {
    O.SPOT_TRADE: frozenset({"side", "order_type", "ref_price", "ref_time"}),
    O.PERP_TRADE: frozenset({"side", "order_type", "ref_price", "ref_time"}),
    O.SUPPLY: frozenset({"token_in"}),
    O.WITHDRAW: frozenset({"token_out"}),
    O.BORROW: frozenset({"token_out"}),
    O.REPAY: frozenset({"token_in"}),
    O.STAKE: frozenset({"token_in", "token_out", "min_out"}),
    O.UNSTAKE: frozenset({"token_in"}),
    O.SWAP: frozenset({"token_in", "token_out", "min_out", "deadline"}),
    O.TRANSFER: frozenset({"token_in", "recipient", "network"}),
    O.FLASH_BORROW: frozenset({"token_out"}),
    O.FLASH_REPAY: frozenset({"token_in"}),
    O.CLAIM: frozenset({"token_out"}),
    O.WRAP: frozenset({"token_in", "token_out"}),
    O.UNWRAP: frozenset({"token_in", "token_out"}),
    O.APPROVE: frozenset({"token_in", "recipient"}),
    O.SET_EMODE: frozenset({"memo"}),
    O.SET_COLLATERAL: frozenset({"token_in"}),
    O.STOP: frozenset({"side", "order_type", "trigger_price"}),
    O.TAKE_PROFIT: frozenset({"side", "order_type", "trigger_price"}),
    O.CANCEL: frozenset({"memo"}),
    O.DEPOSIT_STRATEGY: frozenset({"token_in"}),
    O.DELEGATE: frozenset({"recipient"}),
    O.QUEUE_WITHDRAWAL: frozenset({"token_in"}),
    O.COMPLETE_WITHDRAWAL: frozenset({"token_out"}),
    O.CLAIM_REWARD: frozenset({"token_out"}),
    O.UNWRAP_REWARD: frozenset({"token_in"}),
}
assert FIELDS_BY_OPERATION.keys() == set(OrderOperation), "every operation needs its row of required fields"  # noqa: S101  a table that lags its enum must stop the import


class Order(BaseModel):
    """One instruction to one venue. Raises InvalidOrderError, naming order id, field, value and expectation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    strategy: str
    decision: int = Field(ge=0)
    leg: int = Field(ge=0)
    clip: int = Field(default=0, ge=0)
    attempt: int = Field(default=0, ge=0)
    parent_id: str | None = None
    group_id: str | None = None
    execution_mode: ExecutionMode = ExecutionMode.SEQUENTIAL
    sequence_in_group: int = Field(default=0, ge=0)
    on_fail: OnFail = OnFail.ABORT
    retries_max: int = Field(default=0, ge=0, le=10)
    timeout_s: Decimal = Field(default=Decimal(30), gt=0, le=86_400)
    operation: OrderOperation
    venue: str
    instrument: PositionKey
    side: Side | None = None
    amount: Decimal | Literal["MAX"]
    amount_unit: AmountUnit = AmountUnit.BASE
    order_type: OrderType | None = None
    price: Decimal | None = Field(default=None, gt=0)
    tif: TimeInForce | None = None
    reduce_only: bool = False
    take_profit: Decimal | None = Field(default=None, gt=0)
    stop_loss: Decimal | None = Field(default=None, gt=0)
    trigger_price: Decimal | None = Field(default=None, gt=0)
    trigger_source: Literal["mark"] = "mark"
    ref_price: Decimal | None = Field(default=None, gt=0)
    ref_time: AwareDatetime | None = None
    max_slippage_bp: Decimal | None = Field(default=None, ge=0, le=1_000)
    token_in: PositionKey | None = None
    token_out: PositionKey | None = None
    min_out: Decimal | None = Field(default=None, ge=0)
    route: tuple[str, ...] = ()
    on_behalf_of: str | None = None
    recipient: str | None = None
    network: str | None = None
    memo: str | None = None
    max_fee: int | None = Field(default=None, ge=0)
    max_priority_fee: int | None = Field(default=None, ge=0)
    gas_limit: int | None = Field(default=None, ge=0)
    deadline: AwareDatetime | None = None
    expected_deltas: dict[PositionKey, Decimal] = Field(default_factory=dict)
    post_conditions: tuple[PostCondition, ...] = ()
    reason: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _holds_the_invariants(self) -> Self:
        for check in (_amount, _required_fields, _market_bounds, _conditional_fields, _deltas):
            if (fault := check(self)) is not None:
                msg = f"order {self.order_id} ({self.operation}): {fault}"
                raise InvalidOrderError(msg)
        return self

    @property
    def quantity(self) -> Decimal:
        """The amount as a number; raises InvalidOrderError for MAX, whose size only the venue knows."""
        if isinstance(self.amount, Decimal):
            return self.amount
        msg = f"order {self.order_id}: amount is MAX, expected a number"
        raise InvalidOrderError(msg)

    @property
    def signed_quantity(self) -> Decimal:
        """Positive for BUY, negative for SELL; only for orders with a side."""
        if self.side is None:
            msg = f"order {self.order_id} ({self.operation}): has no side, expected BUY or SELL"
            raise InvalidOrderError(msg)
        return self.quantity * self.side.sign

    @property
    def is_risk_reducing(self) -> bool:
        """True for what a halted or stale book may still send: reduce-only, repay, and transfers into margin."""
        return self.reduce_only or self.operation in {O.REPAY, O.CANCEL}

    @property
    def is_hurried(self) -> bool:
        """True for what may cost more to be there in time: a nearest liquidation's, and whatever reduces risk."""
        return self.is_risk_reducing or self.reason.startswith(NEAREST_LIQUIDATION)

    @property
    def is_immediate(self) -> bool:
        """True when it cannot rest: filled at once as far as possible, and over."""
        return self.order_type is OrderType.MARKET or self.tif in {TimeInForce.IOC, TimeInForce.FOK}

    @property
    def closes_a_gap(self) -> bool:
        """True for what hedges or undoes the first leg of a pair: until it is done, the book stands naked."""
        return self.execution_mode is ExecutionMode.PARALLEL and self.sequence_in_group % LEGS_OF_A_PAIR != 0

    def is_expired(self, market_time: datetime) -> bool:
        """True when the order may no longer be sent."""
        return self.expires_at is not None and market_time >= self.expires_at


def _amount(order: Order) -> str | None:
    if order.amount == "MAX":
        return None if order.operation in MAX_ALLOWED else "amount MAX, expected a number (MAX: only repay, withdraw)"
    if not order.amount.is_finite() or order.amount <= 0:
        return f"amount {order.amount}, expected a finite number above zero"
    return None


def _required_fields(order: Order) -> str | None:
    missing = sorted(name for name in FIELDS_BY_OPERATION[order.operation] if getattr(order, name) is None)
    return f"missing {', '.join(missing)}" if missing else None


def _market_bounds(order: Order) -> str | None:
    if order.order_type is OrderType.LIMIT and order.price is None:
        return "limit order without price"
    if order.order_type is not OrderType.MARKET:
        return None
    if order.price is not None:
        return f"market order with price {order.price}, expected ref_price and max_slippage_bp"
    if order.ref_price is None or order.max_slippage_bp is None:
        return (
            f"market order with ref_price {order.ref_price} and max_slippage_bp {order.max_slippage_bp}, expected both"
        )
    return None


def _conditional_fields(order: Order) -> str | None:
    if order.side is not None and order.operation not in CEX_TRADES | PROTECTIVE:
        return f"side {order.side} on an operation that has none"
    if order.operation in PROTECTIVE and not order.reduce_only:
        return "protective order without reduce_only"
    if order.instrument.venue != order.venue and order.operation in CEX_TRADES | PROTECTIVE:
        return f"instrument {order.instrument} is not at venue {order.venue}"
    if order.operation is O.PERP_TRADE and order.instrument.kind is not Kind.PERP:
        return f"instrument {order.instrument}, expected a perp key"
    if order.operation is O.SPOT_TRADE and order.instrument.kind is not Kind.SPOT:
        return f"instrument {order.instrument}, expected a spot key"
    return None


def _deltas(order: Order) -> str | None:
    if not order.expected_deltas:
        return None if order.operation in NO_DELTAS else "no expected_deltas"
    bad = [key for key, value in order.expected_deltas.items() if not value.is_finite() or value == 0]
    return f"expected_deltas of {', '.join(bad)} are zero or not finite" if bad else None
