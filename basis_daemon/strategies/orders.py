"""Steps that a rule asks for, and the orders they become: one order per leg, a pair of legs as one parallel group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from basis_daemon.domain.bracket import Bracket
from basis_daemon.domain.decision import Exposure, ReasonCode, Target
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey, round_down, round_up
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import AmountUnit, ExecutionMode, OnFail, Order, OrderOperation, OrderType, Side
from basis_daemon.domain.order_ids import order_id
from basis_daemon.strategies.onchain_orders import Atomic, Operation, operation_fields

ZERO = Decimal(0)
INTERNAL = "internal"
"""Network name of a move between accounts of one exchange."""
CENT = Decimal("0.01")
TRANSFER_TIMEOUT_S = Decimal(60)
ROUTE_TIMEOUT_S = Decimal(21_600)


@dataclass(frozen=True, slots=True)
class Leg:
    """One trade: base ``quantity`` as ordered, before any fee that is taken in the base coin."""

    key: PositionKey
    side: Side
    quantity: Decimal
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Two legs at once; the second follows what the first really got."""

    lead: Leg
    follow: Leg
    slippage_bp: Decimal


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Pairs of several accounts at once; none waits for another."""

    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Single:
    """One leg alone; one that opens a position may carry the prices of its bracket."""

    leg: Leg
    slippage_bp: Decimal
    bracket: Bracket | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """USDT from one account to another."""

    source: PositionKey
    target: PositionKey
    amount: Decimal
    network: str = INTERNAL


Step = Pair | SideBySide | Single | Move | Operation | Atomic


def cents_down(amount: Decimal) -> Decimal:
    """What can be moved out of ``amount``."""
    return round_down(amount, CENT)


def cents_up(amount: Decimal) -> Decimal:
    """What must be moved to cover ``amount``."""
    return round_up(amount, CENT)


def legs_of(steps: Iterable[Step]) -> list[Leg]:
    """Every trade of the steps."""
    legs: list[Leg] = []
    for step in steps:
        if isinstance(step, Pair | SideBySide):
            legs += [leg for pair in _pairs_of(step) for leg in (pair.lead, pair.follow)]
        elif isinstance(step, Single):
            legs.append(step.leg)
    return legs


def targets_of(
    steps: Iterable[Step], holdings: Mapping[PositionKey, Decimal], market: MarketSnapshot
) -> tuple[Target, ...]:
    """Wanted against held for every leg and every moved balance, as the steps leave them."""
    steps = tuple(steps)
    changes: dict[PositionKey, Decimal] = {}
    for leg in legs_of(steps):
        changes[leg.key] = changes.get(leg.key, ZERO) + _net_change(leg, market)
    for step in steps:
        if isinstance(step, Move | Operation | Atomic):
            for key, change in _moved(step):
                changes[key] = changes.get(key, ZERO) + change
    return tuple(
        Target(key, holdings.get(key, ZERO) + change, holdings.get(key, ZERO)) for key, change in changes.items()
    )


def _moved(step: Move | Operation | Atomic) -> Iterable[tuple[PositionKey, Decimal]]:
    """Signed changes of what a step moves without a trade."""
    if isinstance(step, Move):
        return (step.source, -step.amount), (step.target, step.amount)
    if isinstance(step, Operation):
        return step.deltas.items()
    return tuple(change for operation in step.operations for change in operation.deltas.items())


@dataclass(frozen=True, slots=True)
class Desk:
    """What every order of one decision shares."""

    strategy: str
    reason: ReasonCode
    time: datetime
    market: MarketSnapshot
    exposure: Exposure
    unhedged_max_s: Decimal

    def new_id(self, strategy: str, leg: int) -> str:
        """Deterministic id of a leg of this decision."""
        ids = self.market.ids
        return order_id(ids.book, ids.epoch, strategy, ids.decision, leg, 0, 0)

    def order(self, leg: int, fields: Mapping[str, Any]) -> Order:
        """The order with what is common to all."""
        return Order(
            order_id=self.new_id(self.strategy, leg),
            strategy=self.strategy,
            decision=self.market.ids.decision,
            leg=leg,
            reason=self.reason,
            created_at=self.time,
            **fields,
        )


def orders_of(steps: Sequence[Step], desk: Desk) -> list[Order]:
    """The steps as orders, in their order; ids follow from the decision's ids and the leg number alone."""
    orders: list[Order] = []
    for step in steps:
        if isinstance(step, Move):
            orders.append(desk.order(len(orders), _move_fields(step)))
        elif isinstance(step, Single):
            orders.append(desk.order(len(orders), _single_fields(step, desk)))
        elif isinstance(step, Operation):
            orders.append(desk.order(len(orders), operation_fields(step, desk.time)))
        elif isinstance(step, Atomic):
            orders.extend(_atomic_orders(step, len(orders), desk))
        else:
            orders.extend(_pair_orders(_pairs_of(step), len(orders), desk))
    return orders


def _pairs_of(step: Pair | SideBySide) -> tuple[Pair, ...]:
    return (step,) if isinstance(step, Pair) else step.pairs


def _pair_orders(pairs: Sequence[Pair], first: int, desk: Desk) -> list[Order]:
    group = {
        "group_id": desk.new_id(f"{desk.strategy}/group", first),
        "execution_mode": ExecutionMode.PARALLEL,
        "on_fail": OnFail.COMPLETE_MARKETABLE,
        "timeout_s": desk.unhedged_max_s,
    }
    legs = [(leg, pair.slippage_bp) for pair in pairs for leg in (pair.lead, pair.follow)]
    return [
        desk.order(first + place, _trade_fields(leg, slip, desk) | group | {"sequence_in_group": place})
        for place, (leg, slip) in enumerate(legs)
    ]


def _atomic_orders(step: Atomic, first: int, desk: Desk) -> list[Order]:
    """One transaction; what must hold at its end stands on its last member."""
    group = {
        "group_id": desk.new_id(f"{desk.strategy}/group", first),
        "execution_mode": ExecutionMode.ATOMIC,
        "on_fail": OnFail.ABORT,
    }
    last = len(step.operations) - 1
    return [
        desk.order(
            first + place,
            operation_fields(member, desk.time)
            | group
            | {"sequence_in_group": place, "post_conditions": step.conditions if place == last else ()},
        )
        for place, member in enumerate(step.operations)
    ]


def _single_fields(step: Single, desk: Desk) -> dict[str, Any]:
    fields = _trade_fields(step.leg, step.slippage_bp, desk)
    if step.bracket is None:
        return fields
    return fields | {"stop_loss": step.bracket.stop, "take_profit": step.bracket.take}


def _trade_fields(leg: Leg, slippage_bp: Decimal, desk: Desk) -> dict[str, Any]:
    market = desk.market
    instrument, book = market.instruments[leg.key], market.books[leg.key]
    is_perp = leg.key.kind is Kind.PERP
    value = _worth(leg, instrument, book.mid)
    deltas = {leg.key: _net_change(leg, market)}
    fee = value * instrument.taker_fee
    quote = _realised(leg, desk) - fee if is_perp else _spot_quote(leg, value, instrument.taker_fee)
    if quote:
        deltas[instrument.quote_key] = quote
    return {
        "operation": OrderOperation.PERP_TRADE if is_perp else OrderOperation.SPOT_TRADE,
        "venue": leg.key.venue,
        "instrument": leg.key,
        "side": leg.side,
        "amount": leg.quantity,
        "amount_unit": AmountUnit.BASE if instrument.contract_value is None else AmountUnit.CONTRACTS,
        "order_type": OrderType.MARKET,
        "reduce_only": leg.reduce_only,
        "ref_price": book.mid,
        "ref_time": book.venue_time,
        "max_slippage_bp": slippage_bp,
        "expected_deltas": deltas,
    }


def _worth(leg: Leg, instrument: Instrument, mid: Decimal) -> Decimal:
    """In the coin that the fee is taken in: an inverse contract stands for quote units and is settled in coin."""
    return leg.quantity * abs(instrument.unit_worth(mid))


def _net_change(leg: Leg, market: MarketSnapshot) -> Decimal:
    """Signed change of the leg's own key: a spot buy brings less than was ordered, the fee is taken in the coin."""
    if leg.side is Side.BUY and leg.key.kind is Kind.SPOT:
        return leg.quantity * (1 - market.instruments[leg.key].taker_fee)
    return leg.quantity * leg.side.sign


def _realised(leg: Leg, desk: Desk) -> Decimal:
    """P&L that a reducing perp leg turns into coin at today's mark: its share of what is unrealised."""
    state = next((s for s in desk.exposure.margins if s.instrument == leg.key), None)
    if state is None or state.quantity * leg.side.sign >= 0:
        return ZERO
    coin = desk.market.instruments[leg.key].quote_key
    share = min(leg.quantity / abs(state.quantity), Decimal(1))
    return (state.margin - desk.exposure.holdings.get(coin, ZERO)) * share


def _spot_quote(leg: Leg, value: Decimal, fee: Decimal) -> Decimal:
    return -value if leg.side is Side.BUY else value * (1 - fee)


def _move_fields(move: Move) -> dict[str, Any]:
    is_internal = move.network == INTERNAL
    return {
        "operation": OrderOperation.TRANSFER,
        "venue": move.source.venue,
        "instrument": move.source,
        "amount": move.amount,
        "token_in": move.source,
        "recipient": move.target.venue,
        "network": move.network,
        "timeout_s": TRANSFER_TIMEOUT_S if is_internal else ROUTE_TIMEOUT_S,
        "expected_deltas": {move.source: -move.amount, move.target: move.amount},
    }
