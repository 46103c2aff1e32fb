"""Transfers of one account: each goes to whoever carries it, by the recipient that it names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import Evidence, ExecutionInterface


class TransferExecutionInterface:
    """``across`` carries between an exchange and the wallet, by recipient; ``within`` whatever else leaves here."""

    def __init__(self, account: str, within: ExecutionInterface, across: Mapping[str, ExecutionInterface]) -> None:
        self._account, self._within, self._across = account, within, across

    @property
    def account(self) -> str:
        """Where money leaves."""
        return self._account

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """Transfers only."""
        return frozenset({OrderOperation.TRANSFER})

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says."""
        return await self._carrier(order).execute_order(order, timestamp)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """As the port says."""
        return await self._carrier(order).find_order(order, sent_at)

    async def cancel_order(self, order: Order) -> Evidence:
        """As the port says."""
        return await self._carrier(order).cancel_order(order)

    def _carrier(self, order: Order) -> ExecutionInterface:
        return self._across.get(order.recipient or "", self._within)
