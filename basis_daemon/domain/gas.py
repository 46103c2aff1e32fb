"""Gas in numbers: planning units per operation, which a simulation replaces before anything is sent. Costs are ETH."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from basis_daemon.domain.order import OrderOperation

GWEI = Decimal("1e-9")
HEADROOM = Decimal("1.15")
"""Planned on top of the units, as it is on top of a simulation."""

ENTRY_UNITS, DELEVER_UNITS = 1_250_000, 850_000
"""Of one atomic group."""

UNITS: Mapping[OrderOperation, int] = {
    OrderOperation.APPROVE: 55_000,
    OrderOperation.WRAP: 55_000,
    OrderOperation.UNWRAP: 55_000,
    OrderOperation.STAKE: 150_000,
    OrderOperation.UNSTAKE: 250_000,
    OrderOperation.CLAIM: 150_000,
    OrderOperation.SUPPLY: 250_000,
    OrderOperation.WITHDRAW: 220_000,
    OrderOperation.BORROW: 300_000,
    OrderOperation.REPAY: 280_000,
    OrderOperation.SWAP: 180_000,
    OrderOperation.TRANSFER: 100_000,
}


def gas_cost(units: int, price_eth: Decimal) -> Decimal:
    """ETH for so many units at ``price_eth`` per unit."""
    return units * price_eth


def planned_units(operations: Iterable[OrderOperation]) -> int:
    """Of single transactions; an operation without a row costs as much as the dearest one."""
    dearest = max(UNITS.values())
    return sum(UNITS.get(operation, dearest) for operation in operations)


def reserve_needed(units: int, cap_gwei: Decimal) -> Decimal:
    """ETH that pays for so many units, headroom included, at the highest price that would still be paid."""
    return gas_cost(units, cap_gwei * GWEI) * HEADROOM
