"""What makes a staked hedge of a sleeve: it remembers, looks and tells as a basis book and as its sleeve do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

from basis_daemon.domain.decision import Exposure, InputUsed, PlanEnded, RiskView
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.market import MarketSnapshot
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.strategies import memory, onchain_memory, staking
from basis_daemon.strategies.charter import Charter
from basis_daemon.strategies.hedge_parameters import HedgeParameters
from basis_daemon.strategies.hedge_view import HedgeMemory, HedgeView, sleeve_exposure
from basis_daemon.strategies.onchain_memory import OnchainMemory, Teaching
from basis_daemon.strategies.pairs import (
    pair_charter,
    pair_declared,
    pair_inputs,
    pair_memory,
    pair_teaching,
    pair_thresholds,
)
from basis_daemon.strategies.ruled import Declared, RuledStrategy
from basis_daemon.strategies.rules import Frame, Rule
from basis_daemon.strategies.view import BookView, look

PH = TypeVar("PH", bound=HedgeParameters)
VH = TypeVar("VH", bound=HedgeView)


@dataclass(frozen=True, slots=True)
class SleeveFamily(Generic[PH, VH]):
    """What the sleeve adds: readings and keys, routes, the inputs it cannot do without, the picture, all rules."""

    declared: Declared
    routes: frozenset[tuple[O, str]]
    needed: tuple[str, ...]
    teaching: Teaching
    view: Callable[[BookView, Frame[PH, OnchainMemory], tuple[str, ...]], VH]
    rules: Sequence[Rule[VH]]


class HedgeStrategy(RuledStrategy[PH, HedgeMemory, VH]):
    """Shorts at exchanges over a sleeve of staked ETH."""

    def __init__(self, name: str, parameters: PH, family: SleeveFamily[PH, VH]) -> None:
        self._family = family
        self._taught = pair_teaching(parameters)
        super().__init__(name, parameters, _declared(parameters, family.declared), family.rules, HedgeMemory)

    @property
    def charter(self) -> Charter:
        """Limits as configured; both legs at every venue, the sleeve on the chain, and routes between them."""
        p = self.parameters
        routes = {(O.TRANSFER, "wallet")} | {(O.TRANSFER, venue.spot_account) for venue in p.venues}
        pairs = pair_charter(p)
        return replace(pairs, needed=pairs.needed | self._family.routes | routes, is_on_chain=True)

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        return self._parameters.decision_interval_s

    def initial_memory(self) -> HedgeMemory:
        """Nothing seen, weights as configured and capped."""
        return HedgeMemory(pair_memory(self._parameters), OnchainMemory())

    def fold(self, memory_: object, event: object) -> HedgeMemory:
        """Each half learns what is its own; a plan without a perp is none of the venues' business."""
        known = self._own(memory_)
        is_books = not isinstance(event, PlanEnded) or any(t.key.kind is Kind.PERP for t in event.targets)
        book = memory.fold(known.book, event, self._taught) if is_books else known.book
        chain = onchain_memory.fold(known.chain, event, self._family.teaching)
        return known if book is known.book and chain is known.chain else HedgeMemory(book, chain)

    @property
    def _leg_budget_s(self) -> Decimal:
        return self._parameters.unhedged_max_s

    def _look(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> VH:
        p, own = self._parameters, self._own(market.memory)
        price = exposure.prices.get(p.asset, ZERO)
        book = look(Frame(p, timestamp, market, exposure, risk, own.book, price))
        alone = replace(risk, withdrawal_pending_usdt=ZERO)
        sleeve = Frame(p, timestamp, market, sleeve_exposure(exposure), alone, own.chain, price)
        return self._family.view(book, sleeve, self._family.needed)

    def _inputs(self, view: VH) -> dict[str, InputUsed]:
        """The numbers of both halves; equity and drawdown are the book's."""
        return staking.staking_inputs(view.sleeve) | {"long": InputUsed(view.long)} | pair_inputs(view)

    def _thresholds(self, view: VH) -> dict[str, Decimal]:
        bounds = staking.staking_thresholds(view.sleeve) | pair_thresholds(view)
        if view.restriction is not None:
            return bounds
        hurdles = {"f_exit": view.hurdle(view.p.exit_net_apr), "f_entry": view.hurdle(view.p.entry_net_apr + view.cost)}
        return bounds | {name: value for name, value in hurdles.items() if value is not None}


def _declared(p: HedgeParameters, sleeve: Declared) -> Declared:
    """Everything that a basis book and its sleeve hold, and ETH on its way between them."""
    book = pair_declared(p)
    accounts = {venue.spot_account for venue in p.venues} | {"wallet"}
    travelling = {PositionKey.of(account, Kind.TRANSIT, p.asset) for account in accounts}
    return Declared(book.instruments | sleeve.instruments, book.keys | sleeve.keys | travelling)
