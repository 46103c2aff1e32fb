"""Where an order goes: a table from (operation, venue) to the one interface that executes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from basis_daemon.domain.errors import ConfigError, PlanRefusedError
from basis_daemon.domain.order import ExecutionMode, Order, OrderOperation
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import Evidence, ExecutionInterface, GroupExecution

Route = tuple[OrderOperation, str]
IN_GROUPS = frozenset({OrderOperation.FLASH_BORROW, OrderOperation.FLASH_REPAY})
"""What is only ever a leg of an atomic group."""


class VenueInterfaceManager:
    """Routes by table; two interfaces for one route, or a needed route without one, are errors at start."""

    def __init__(
        self,
        interfaces: Iterable[ExecutionInterface],
        needed: Iterable[Route] = (),
        shared: Iterable[tuple[str, ExecutionInterface]] = (),
        *,
        let_out: Callable[[Order], None],
        groups: GroupExecution | None = None,
        chain_by_venue: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``shared`` names further accounts that an interface serves: one key moves money of several wallets.

        ``let_out`` sees every order last of all and raises LastHopError to keep it. ``groups`` takes atomic groups,
        over the venues that ``chain_by_venue`` gives a chain.
        """
        self._let_out, self._groups, self.chain_by_venue = let_out, groups, chain_by_venue
        table: dict[Route, ExecutionInterface] = {}
        for account, interface in (*((each.account, each) for each in interfaces), *shared):
            for operation in interface.operations:
                route = (operation, account)
                if route in table:
                    raise ConfigError(f"{operation} at {account} has two interfaces, expected one")
                table[route] = interface
        missing = sorted(f"{operation} at {venue}" for operation, venue in needed if (operation, venue) not in table)
        if missing:
            raise ConfigError(
                f"no interface for {', '.join(missing)}: enable the venue or change the strategy's venues"
            )
        self._table: Mapping[Route, ExecutionInterface] = table
        self.operations: Mapping[str, frozenset[OrderOperation]] = {
            venue: frozenset(operation for operation, at in table if at == venue)
            | (IN_GROUPS if groups is not None and venue in chain_by_venue else frozenset())
            for _, venue in table
        }

    def interface(self, order: Order) -> ExecutionInterface:
        """The interface of this order; raises PlanRefusedError when there is none."""
        found = self._table.get((order.operation, order.venue))
        if found is None:
            raise PlanRefusedError(f"order {order.order_id}: no interface for {order.operation} at {order.venue}")
        return found

    def can_route(self, order: Order) -> bool:
        """True when the table holds this order's (operation, venue), or it belongs to a group that can be taken."""
        if order.execution_mode is ExecutionMode.ATOMIC:
            return self._groups is not None and order.venue in self.chain_by_venue
        return (order.operation, order.venue) in self._table

    async def route_order(self, order: Order, timestamp: datetime) -> Trade:
        """Execute once at the order's venue; returns and raises what its interface does, LastHopError before that."""
        interface = self.interface(order)
        self._let_out(order)
        return await interface.execute_order(order, timestamp)

    async def find_group(self, orders: Sequence[Order], sent_at: datetime) -> Sequence[Evidence]:
        """What is known of the legs of an atomic group; raises as its interface does, and PlanRefusedError."""
        return await self._executor(orders).find_group(orders, sent_at)

    async def route_group(self, orders: Sequence[Order], timestamp: datetime) -> Sequence[Trade]:
        """Execute an atomic group once; returns and raises what its interface does, LastHopError before that."""
        executor = self._executor(orders)
        for order in orders:
            self._let_out(order)
        return await executor.execute_group(orders, timestamp)

    def _executor(self, orders: Sequence[Order]) -> GroupExecution:
        if self._groups is None:
            raise PlanRefusedError(f"group {orders[0].group_id}: nothing here executes atomic groups")
        return self._groups
