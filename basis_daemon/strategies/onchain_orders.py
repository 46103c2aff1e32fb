"""Steps on the chain, single or as one atomic transaction, and the fields that make an order of each.

No approvals stand among them: whoever executes sets the exact allowance that an operation needs right before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import OrderOperation, PostCondition

CHAIN_TIMEOUT_S = Decimal(300)
DEADLINE = timedelta(minutes=5)
"""Market time after which a transaction may no longer be mined: what it was sized on is old."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. ``deltas`` are what it is expected to change, ``min_out`` what it must bring at least.

    Inside an atomic group the amount of a supply is the least that is there: all that came is supplied.
    """

    operation: OrderOperation
    venue: str
    instrument: PositionKey
    amount: Decimal | Literal["MAX"]
    deltas: Mapping[PositionKey, Decimal]
    token_in: PositionKey | None = None
    token_out: PositionKey | None = None
    min_out: Decimal | None = None
    recipient: str | None = None
    memo: str | None = None
    reduces: bool = False


@dataclass(frozen=True, slots=True)
class Atomic:
    """Calls of one transaction, and what must hold at its end."""

    operations: tuple[Operation, ...]
    conditions: tuple[PostCondition, ...] = ()


def operation_fields(step: Operation, time: datetime) -> dict[str, Any]:
    """What is the step's own in an order decided at ``time``."""
    return {
        "operation": step.operation,
        "venue": step.venue,
        "instrument": step.instrument,
        "amount": step.amount,
        "token_in": step.token_in,
        "token_out": step.token_out,
        "min_out": step.min_out,
        "recipient": step.recipient,
        "memo": step.memo,
        "reduce_only": step.reduces,
        "timeout_s": CHAIN_TIMEOUT_S,
        "deadline": time + DEADLINE,
        "expected_deltas": dict(step.deltas),
    }
