"""What the pre-trade gate is told and what it answers: limits, picture, the effect of an order, approved or refused.

A list of orders is approved whole or refused whole (``risk_checks.review``). Defence passes where new risk does not
(strategies.md 1.1 rule 0, 3.2): reduce-only orders, the sale of a long leg together with them, transfers into margin,
repayments.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from msgspec import Struct

from basis_daemon.domain.caps import Caps
from basis_daemon.domain.decision import Exposure, RiskView
from basis_daemon.domain.deny import Denial
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import PROTECTIVE, Order, OrderOperation, Side

O = OrderOperation  # noqa: E741 - the tables below are read by operation
ZERO = Decimal(0)
NO_CAPS = Caps()
NOTHING_RESERVED: Mapping[PositionKey, Decimal] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Bounds of the gate. ``shocks`` per underlying; ``exchange_of`` names the exchange behind each account.

    ``recipients`` are the accounts and addresses that money may be sent to, ``caps`` how much may stand with whom.
    """

    order_notional_max_usdt: Decimal
    price_band_bp: Decimal
    slippage_max_bp: Decimal
    venue_share_max: Decimal
    orders_per_minute_max: int
    z_open: Decimal
    shocks: Mapping[str, Decimal]
    exchange_of: Mapping[str, str]
    recipients: frozenset[str]
    caps: Caps = NO_CAPS


class GateInput(Struct, frozen=True):
    """What the gate looks at. ``level`` is the urgency of the assessment; ``reserved`` is promised to live orders.

    ``caution`` is the guard's reason to add no risk for now, empty when it has none. ``peers`` are the books of all
    other strategies, which stand with the same names.
    """

    market: MarketSnapshot
    exposure: Exposure
    risk: RiskView
    declared_keys: frozenset[PositionKey]
    operations: Mapping[str, frozenset[OrderOperation]]
    is_armed: bool
    is_read_only: bool = False
    is_reducing: bool = False
    is_halted: bool = False
    caution: str = ""
    is_operator: bool = False
    level: int = 0
    known_ids: Container[str] = frozenset()
    sent_last_minute: int = 0
    reserved: Mapping[PositionKey, Decimal] = NOTHING_RESERVED
    peers: Sequence[Exposure] = ()


class Approved(Struct, frozen=True):
    """Every order of the plan may go."""

    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """No order of the plan may go."""

    denials: tuple[Denial, ...]


class Effect(StrEnum):
    """What an order does to the risk of the book, as far as restrictions are concerned."""

    DEFENCE = "defence"
    NEUTRAL = "neutral"
    ADDING = "adding"


_REDUCING = PROTECTIVE | {O.REPAY, O.CANCEL}
_NEUTRAL = frozenset(
    {O.TRANSFER, O.WITHDRAW, O.UNSTAKE, O.CLAIM, O.WRAP, O.UNWRAP, O.CLAIM_REWARD, O.UNWRAP_REWARD}
    | {O.QUEUE_WITHDRAWAL, O.COMPLETE_WITHDRAWAL}
)


def effect_of(order: Order, plan: Sequence[Order], exposure: Exposure) -> Effect:
    """Whether an order defends, adds risk, or does neither; a sale of the long leg is judged with its group."""
    if order.reduce_only or order.operation in _REDUCING:
        return Effect.DEFENCE
    if order.operation is O.SPOT_TRADE and order.side is Side.SELL:
        return _effect_of_sale(order, plan, exposure)
    if order.operation is O.TRANSFER and any(state.account == order.recipient for state in exposure.margins):
        return Effect.DEFENCE
    if _lowers_debt(order, plan):
        return Effect.DEFENCE
    return Effect.NEUTRAL if order.operation in _NEUTRAL else Effect.ADDING


def _effect_of_sale(order: Order, plan: Sequence[Order], exposure: Exposure) -> Effect:
    bought_back = sum((o.quantity for o in plan if o.group_id == order.group_id and o.group_id and o.reduce_only), ZERO)
    if order.quantity <= bought_back:
        return Effect.DEFENCE
    naked = exposure.net_delta.get(order.instrument.symbol, ZERO)
    return Effect.DEFENCE if order.quantity <= naked + bought_back else Effect.ADDING


def _lowers_debt(order: Order, plan: Sequence[Order]) -> bool:
    """True inside a group whose debt falls: every leg of a de-lever bundle is defence."""
    if order.group_id is None:
        return False
    debt = [
        amount
        for member in plan
        if member.group_id == order.group_id
        for key, amount in member.expected_deltas.items()
        if key.kind is Kind.VDEBT
    ]
    return bool(debt) and sum(debt, ZERO) < 0
