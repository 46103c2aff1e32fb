"""The plan is the ordered list of orders: cut into batches, refused when it could never be executed whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from itertools import groupby

from msgspec import Struct

from basis_daemon.domain.errors import IllegalTransitionError, PlanRefusedError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import CEX_FORBIDDEN_IN_ATOMIC, ExecutionMode, Order, OrderOperation


class PlanState(StrEnum):
    """Life of a plan; BLOCKED waits for a human."""

    PROPOSED = "PROPOSED"
    ACCEPTED = "ACCEPTED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    ABORTED = "ABORTED"
    BLOCKED = "BLOCKED"


_NEXT: Mapping[PlanState, frozenset[PlanState]] = {
    PlanState.PROPOSED: frozenset({PlanState.ACCEPTED, PlanState.ABORTED}),
    PlanState.ACCEPTED: frozenset({PlanState.RUNNING, PlanState.ABORTED}),
    PlanState.RUNNING: frozenset({PlanState.DONE, PlanState.ABORTED, PlanState.BLOCKED}),
    PlanState.BLOCKED: frozenset({PlanState.RUNNING, PlanState.ABORTED}),
    PlanState.DONE: frozenset(),
    PlanState.ABORTED: frozenset(),
}


def advance_plan(plan: str, state: PlanState, following: PlanState) -> PlanState:
    """``following`` if it is legal after ``state``; raises IllegalTransitionError otherwise."""
    if following in _NEXT[state]:
        return following
    msg = f"plan {plan}: {state} -> {following}, expected one of {sorted(_NEXT[state]) or 'nothing: terminal'}"
    raise IllegalTransitionError(msg)


class Batch(Struct, frozen=True):
    """What succeeds or fails together: one order, or the orders of one group in sequence."""

    group_id: str | None
    mode: ExecutionMode
    orders: tuple[Order, ...]


def batches(orders: Sequence[Order], chain_by_venue: Mapping[str, str] | None = None) -> tuple[Batch, ...]:
    """The plan's batches in list order.

    ``chain_by_venue`` names the chain of every on-chain venue; a venue without one is a CEX. Raises PlanRefusedError,
    naming the order or group, for repeated ids, torn groups, mixed group settings and malformed atomic groups.
    """
    if len(orders) == 1 and orders[0].execution_mode is not ExecutionMode.ATOMIC:
        return (Batch(orders[0].group_id, orders[0].execution_mode, tuple(orders)),)
    repeated = [oid for oid, count in Counter(o.order_id for o in orders).items() if count > 1]
    if repeated:
        _refuse(f"order ids repeat: {', '.join(repeated)}; expected every id once")
    cut = [
        Batch(key if not key.startswith("single:") else None, members[0].execution_mode, members)
        for key, run in groupby(orders, key=lambda o: o.group_id or f"single:{o.order_id}")
        for members in [tuple(run)]
    ]
    torn = [gid for gid, count in Counter(b.group_id for b in cut if b.group_id).items() if count > 1]
    if torn:
        _refuse(f"group {torn[0]}: its orders do not stand together")
    for batch in cut:
        _refuse_mixed(batch)
        if batch.mode is ExecutionMode.ATOMIC:
            _refuse_malformed_atomic(batch, chain_by_venue or {})
    return tuple(cut)


def _refuse(why: str) -> None:
    msg = f"plan refused: {why}"
    raise PlanRefusedError(msg)


def _refuse_mixed(batch: Batch) -> None:
    for name in ("execution_mode", "on_fail", "timeout_s", "reason"):
        values = {getattr(order, name) for order in batch.orders}
        if len(values) > 1:
            _refuse(f"group {batch.group_id}: {name} differs within the group: {sorted(map(str, values))}")
    found = [order.sequence_in_group for order in batch.orders]
    if batch.group_id and found != list(range(found[0], found[0] + len(found))):
        _refuse(f"group {batch.group_id}: sequence_in_group {found}, expected contiguous and rising")


def _refuse_malformed_atomic(batch: Batch, chain_by_venue: Mapping[str, str]) -> None:
    for order in batch.orders:
        if order.operation in CEX_FORBIDDEN_IN_ATOMIC or order.venue not in chain_by_venue:
            _refuse(
                f"group {batch.group_id}: order {order.order_id} ({order.operation} at {order.venue}) cannot be atomic"
            )
    chains = {chain_by_venue[order.venue] for order in batch.orders}
    if len(chains) > 1:
        _refuse(f"group {batch.group_id}: legs on {sorted(chains)}, expected one chain")
    owners = {order.on_behalf_of for order in batch.orders}
    if len(owners) > 1:
        _refuse(f"group {batch.group_id}: owners {sorted(map(str, owners))}, expected one")
    _refuse_unmatched_flash(batch)
    _refuse_overdrawn(batch)


def _refuse_unmatched_flash(batch: Batch) -> None:
    """Every flash loan is closed at the end by a repayment or a debt-mode borrow of at least its amount."""
    owed: dict[PositionKey, Decimal] = {}
    for order in batch.orders:
        if order.operation is OrderOperation.FLASH_BORROW and order.token_out is not None:
            owed[order.token_out] = owed.get(order.token_out, Decimal(0)) + order.quantity
    for token, amount in owed.items():
        closing = [o for o in batch.orders if _closes_flash(o, token)]
        repaid = sum((o.quantity for o in closing), Decimal(0))
        if repaid < amount:
            _refuse(
                f"group {batch.group_id}: flash loan of {amount} {token} is repaid with {repaid}, expected >= {amount}"
            )
        if batch.orders[-1] not in closing:
            _refuse(f"group {batch.group_id}: the flash repayment is not the last leg")
    unmatched = [o for o in batch.orders if o.operation is OrderOperation.FLASH_REPAY and o.token_in not in owed]
    if unmatched:
        _refuse(f"group {batch.group_id}: flash repayment {unmatched[0].order_id} has no flash loan")


def _closes_flash(order: Order, token: PositionKey) -> bool:
    is_repayment = order.operation is OrderOperation.FLASH_REPAY and order.token_in == token
    return is_repayment or _is_debt_mode(order, token)


def _is_debt_mode(order: Order, token: PositionKey | None) -> bool:
    return order.operation is OrderOperation.BORROW and order.memo == "debt_mode" and order.token_out == token


def _refuse_overdrawn(batch: Batch) -> None:
    """What a group lends itself must never run out before it is given back: only tokens of the flash loan are counted.

    A loan that becomes debt is given back by nobody: own tokens may then be spent beside it, and the gate looks whether
    they are there.
    """
    lent = {o.token_out for o in batch.orders if o.operation is OrderOperation.FLASH_BORROW}
    for key in lent:
        changes = [(order, order.expected_deltas[key]) for order in batch.orders if key in order.expected_deltas]
        own = min(sum((delta for _, delta in changes), Decimal(0)), Decimal(0))
        least = own if any(_is_debt_mode(o, key) for o in batch.orders) else Decimal(0)
        balance = Decimal(0)
        for order, delta in changes:
            balance += delta
            if balance < least:
                _refuse(
                    f"group {batch.group_id}: {key} runs to {balance} at order {order.order_id}, expected >= {least}"
                )


def by_id(orders: Iterable[Order]) -> dict[str, Order]:
    """Orders indexed by id."""
    return {order.order_id: order for order in orders}
