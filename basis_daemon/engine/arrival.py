"""What a trade is measured against: the mid its order was made at, or what staked ether was worth at its issuer."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import orjson

from basis_daemon.domain.exposure import AS_ETHER, ETHER
from basis_daemon.domain.ledger import COST_GRAIN, NOWHERE, Arrival
from basis_daemon.domain.order import ExecutionMode, Order, OrderOperation
from basis_daemon.domain.valuation import STAKED
from basis_daemon.engine.order_life import OrderLife

ONE = Decimal(1)


def arrival_of(order_id: str, orders: Mapping[str, OrderLife], valuations: Mapping[str, str]) -> Arrival:
    """Where the order set out; ``valuations`` are the newest of each strategy, as journalled.

    Only what goes through a pool is held against the issuer's rate: what the issuer itself gives is that rate.
    """
    life = orders.get(order_id)
    if life is None:
        return NOWHERE
    order = life.order
    text = valuations.get(order.strategy) if _goes_through_a_pool(order, orders) else None
    return Arrival(order.ref_price, ether_rates(text) if text is not None else {})


def _goes_through_a_pool(order: Order, orders: Mapping[str, OrderLife]) -> bool:
    """A swap, or a transaction with one in it."""
    if order.execution_mode is not ExecutionMode.ATOMIC:
        return order.operation is OrderOperation.SWAP
    group = (life.order for life in orders.values() if life.order.group_id == order.group_id)
    return any(member.operation is OrderOperation.SWAP for member in group)


def ether_rates(valuation: str) -> dict[str, Decimal]:
    """ETH per unit of everything that is ether or staked ether, at this valuation; empty where ETH had no price."""
    prices = orjson.loads(valuation)["prices"]
    if ETHER not in prices:
        return {}
    ether = Decimal(prices[ETHER])
    staked = {asset: (Decimal(prices[asset]) / ether).quantize(COST_GRAIN) for asset in STAKED if asset in prices}
    return dict.fromkeys(AS_ETHER, ONE) | staked
