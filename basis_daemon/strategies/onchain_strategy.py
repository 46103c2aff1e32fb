"""What every family on the chain does alike: it remembers by one fold and looks at one kind of picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Generic, TypeVar

from basis_daemon.domain.decision import Exposure, RiskView
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import OrderOperation
from basis_daemon.strategies import onchain_memory as remembered
from basis_daemon.strategies.charter import Charter
from basis_daemon.strategies.onchain_calls import ETH
from basis_daemon.strategies.onchain_memory import OnchainMemory, Teaching
from basis_daemon.strategies.onchain_parameters import OnchainParameters
from basis_daemon.strategies.onchain_view import ChainView, eth_price
from basis_daemon.strategies.ruled import Declared, RuledStrategy
from basis_daemon.strategies.rules import Frame, Rule

PC = TypeVar("PC", bound=OnchainParameters)
VC = TypeVar("VC", bound=ChainView[OnchainParameters])


@dataclass(frozen=True, slots=True)
class Family(Generic[PC, VC]):
    """One book: what it watches and holds, the inputs it cannot do without, its picture, its rules in their order.

    ``routes`` are the operations it asks for, each with the venue that takes it; ``cash`` is what capital leaves from.
    """

    declared: Declared
    routes: frozenset[tuple[OrderOperation, str]]
    cash: PositionKey
    needed: tuple[str, ...]
    teaching: Teaching
    view: Callable[[Frame[PC, OnchainMemory], tuple[str, ...]], VC]
    rules: Sequence[Rule[VC]]


def declared(instruments: set[PositionKey], keys: set[PositionKey]) -> Declared:
    """Frozen."""
    return Declared(frozenset(instruments), frozenset(keys))


class OnchainStrategy(RuledStrategy[PC, OnchainMemory, VC]):
    """A book on the chain; a family adds its numbers."""

    def __init__(self, name: str, parameters: PC, family: Family[PC, VC]) -> None:
        super().__init__(name, parameters, family.declared, family.rules, OnchainMemory)
        self._family = family

    @cached_property
    def charter(self) -> Charter:
        """Limits as configured; a wallet on a chain, and what its family asks for there."""
        p, family = self._parameters, self._family
        return Charter(
            max_drawdown=p.max_drawdown,
            slip_emergency_bp=p.slip_emergency_bp,
            needed=family.routes,
            cash=(family.cash,),
            health=p.health_ladder,
            shocks=p.shocks,
            lambda_target=p.debt_target,
            exit_cost=p.exit_cost,
            is_on_chain=True,
            numeraire="ETH" if family.cash == ETH else "USDT",
        )

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        return self._parameters.decision_interval_s

    def initial_memory(self) -> OnchainMemory:
        """Nothing seen."""
        return OnchainMemory()

    def fold(self, memory: object, event: object) -> OnchainMemory:
        """Memory after an event; the same object when the event teaches nothing."""
        return remembered.fold(self._own(memory), event, self._family.teaching)

    def _look(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> VC:
        own = self._own(market.memory)
        frame = Frame(self._parameters, timestamp, market, exposure, risk, own, eth_price(market))
        return self._family.view(frame, self._family.needed)
