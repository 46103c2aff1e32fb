"""A book at exchanges and on the chain at once: two halves that remember and look each by itself, over one set.

The venues see USDT and perps; the chain sees what lies there but USDT. Rules of either half work on their own picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Generic, TypeVar

from basis_daemon.domain.decision import Exposure, PlanEnded, RiskView
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.margin import ZERO
from basis_daemon.domain.market import FundingSettled, MarketSnapshot
from basis_daemon.domain.order import OrderOperation as O
from basis_daemon.strategies import memory as remembered
from basis_daemon.strategies import onchain_memory
from basis_daemon.strategies.charter import Charter
from basis_daemon.strategies.memory import BasisMemory
from basis_daemon.strategies.onchain_memory import OnchainMemory, Teaching
from basis_daemon.strategies.onchain_parameters import OnchainParameters
from basis_daemon.strategies.pairs import pair_charter, pair_declared, pair_memory, pair_teaching
from basis_daemon.strategies.parameters import QUOTE, BasisParameters
from basis_daemon.strategies.ruled import Declared, RuledStrategy
from basis_daemon.strategies.rules import Frame, Rule
from basis_daemon.strategies.view import BookView, look

OFF_CHAIN = frozenset({Kind.SPOT, Kind.PERP, Kind.TRANSIT})


class TwofoldParameters(BasisParameters, OnchainParameters):
    """Of a book that is both."""


Rates = Mapping[str, tuple[Decimal, ...]]
P2 = TypeVar("P2", bound=TwofoldParameters)
V2 = TypeVar("V2", bound=BookView)


@dataclass(frozen=True, slots=True)
class TwofoldMemory:
    """What each half remembers.

    ``rates`` is what the chain yielded or cost after the latest settlements of each venue, newest last, as far as it
    was known: a carry is confirmed by what it was at each of them, not by what it would have been at today's rate.
    """

    book: BasisMemory
    chain: OnchainMemory
    rates: Rates = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChainHalf(Generic[P2, V2]):
    """What the chain adds: readings and keys, routes, inputs it cannot do without, the whole picture, all rules.

    ``rate`` is what it yields or costs a year, None while unknown; ``cash`` is what capital leaves from where that is
    not the spot account of a venue.
    """

    declared: Declared
    routes: frozenset[tuple[O, str]]
    needed: tuple[str, ...]
    teaching: Teaching
    view: Callable[[BookView, Frame[P2, OnchainMemory], tuple[str, ...], Rates], V2]
    rules: Sequence[Rule[V2]]
    rate: Callable[[OnchainMemory], Decimal | None]
    numeraire: str = QUOTE
    cash: PositionKey | None = None


class TwofoldStrategy(RuledStrategy[P2, TwofoldMemory, V2]):
    """Shorts at exchanges, and what stands behind them on the chain."""

    def __init__(self, name: str, parameters: P2, chain: ChainHalf[P2, V2]) -> None:
        self._chain = chain
        self._taught = pair_teaching(parameters)
        super().__init__(name, parameters, _declared(parameters, chain.declared), chain.rules, TwofoldMemory)

    @cached_property
    def charter(self) -> Charter:
        """Limits as configured; both legs at every venue, the operations of the chain, and routes between them."""
        p, chain = self.parameters, self._chain
        routes = {(O.TRANSFER, "wallet")} | {(O.TRANSFER, venue.spot_account) for venue in p.venues}
        pairs = pair_charter(p)
        needed = pairs.needed | chain.routes | routes
        cash = pairs.cash if chain.cash is None else (chain.cash,)
        known = replace(pairs, health=p.health_ladder, shocks={**pairs.shocks, **p.shocks})
        known = replace(known, lambda_target=p.debt_target, exit_cost=p.exit_cost)
        return replace(known, needed=needed, cash=cash, is_on_chain=True, numeraire=chain.numeraire)

    @property
    def decision_interval_s(self) -> Decimal:
        """Market seconds between decisions at least."""
        return self._parameters.decision_interval_s

    def initial_memory(self) -> TwofoldMemory:
        """Nothing seen, weights as configured and capped."""
        return TwofoldMemory(pair_memory(self._parameters), OnchainMemory())

    def fold(self, memory: object, event: object) -> TwofoldMemory:
        """Each half learns what is its own; a plan without a perp is none of the venues' business."""
        known = self._own(memory)
        is_books = not isinstance(event, PlanEnded) or any(t.key.kind is Kind.PERP for t in event.targets)
        book = remembered.fold(known.book, event, self._taught) if is_books else known.book
        chain = onchain_memory.fold(known.chain, event, self._chain.teaching)
        if book is known.book and chain is known.chain:
            return known
        rates = self._rates(known, event.instrument, book) if isinstance(event, FundingSettled) else known.rates
        return TwofoldMemory(book, chain, rates)

    def _rates(self, known: TwofoldMemory, instrument: PositionKey, book: BasisMemory) -> Rates:
        """With the one of this settlement; what was unknown then leaves nothing before it to be confirmed."""
        name, rate = self._taught.venue_of.get(instrument), self._chain.rate(known.chain)
        if name is None or book is known.book:
            return known.rates
        kept = len(book.venues[name].averages)
        return {**known.rates, name: () if rate is None else (*known.rates.get(name, ()), rate)[-kept:]}

    @property
    def _leg_budget_s(self) -> Decimal:
        return self._parameters.unhedged_max_s

    def _look(self, timestamp: datetime, market: MarketSnapshot, exposure: Exposure, risk: RiskView) -> V2:
        p, own = self._parameters, self._own(market.memory)
        price = exposure.prices.get(p.asset, ZERO)
        book = look(Frame(p, timestamp, market, exposure, risk, own.book, price))
        chain = Frame(p, timestamp, market, on_chain(exposure), risk, own.chain, price)
        return self._chain.view(book, chain, self._chain.needed, own.rates)


def on_chain(exposure: Exposure) -> Exposure:
    """What the chain sees: all that lies there but USDT, whole, because the budget is the book's."""
    held = exposure.holdings.items()
    own = {key: amount for key, amount in held if key.kind not in OFF_CHAIN and key.symbol != QUOTE}
    return replace(exposure, holdings=own, budget_usdt=None)


def _declared(p: TwofoldParameters, chain: Declared) -> Declared:
    """Everything that both halves hold, and the asset on its way between them."""
    book = pair_declared(p)
    accounts = {venue.spot_account for venue in p.venues} | {"wallet"}
    travelling = {PositionKey.of(account, Kind.TRANSIT, p.asset) for account in accounts}
    return Declared(book.instruments | chain.instruments, book.keys | chain.keys | travelling)
