"""Where an order goes: a table from (operation, venue) to the one interface that executes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from basis_daemon.domain.errors import ConfigError, PlanRefusedError
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import ExecutionInterface

Route = tuple[OrderOperation, str]


class VenueInterfaceManager:
    """Routes by table; two interfaces for one route, or a needed route without one, are errors at start."""

    def __init__(
        self,
        interfaces: Iterable[ExecutionInterface],
        needed: Iterable[Route] = (),
        shared: Iterable[tuple[str, ExecutionInterface]] = (),
        *,
        let_out: Callable[[Order], None],
    ) -> None:
        """``shared`` names further accounts that an interface serves: one key moves money of several wallets.

        ``let_out`` sees every order last of all and raises LastHopError to keep it.
        """
        self._let_out = let_out
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
            venue: frozenset(operation for operation, at in table if at == venue) for _, venue in table
        }

    def interface(self, order: Order) -> ExecutionInterface:
        """The interface of this order; raises PlanRefusedError when there is none."""
        found = self._table.get((order.operation, order.venue))
        if found is None:
            raise PlanRefusedError(f"order {order.order_id}: no interface for {order.operation} at {order.venue}")
        return found

    def can_route(self, order: Order) -> bool:
        """True when the table holds this order's (operation, venue)."""
        return (order.operation, order.venue) in self._table

    async def route_order(self, order: Order, timestamp: datetime) -> Trade:
        """Execute once at the order's venue; returns and raises what its interface does, LastHopError before that."""
        interface = self.interface(order)
        self._let_out(order)
        return await interface.execute_order(order, timestamp)
