"""The picture of a directional book: per venue one perp, its margin and its mark; what the model's side asks for.

A linear book counts in USDT and base units, an inverse one in coin and contracts: the contract is all that differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from basis_daemon.domain.bracket import Bracket, bracket_at
from basis_daemon.domain.decision import MarginState
from basis_daemon.domain.directional import inverse_coins, inverse_contracts, linear_target
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.margin import ZERO, distance_of
from basis_daemon.domain.market import BookTick, MarkTick
from basis_daemon.strategies.ml_memory import DirectionalMemory, Taste, expiry
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from basis_daemon.strategies.parameters import BasisVenue
from basis_daemon.strategies.rules import Frame, restriction_of

DirectionalFrame = Frame[DirectionalParameters, DirectionalMemory]


@dataclass(frozen=True)
class ContractView:
    """One venue's perp. ``held`` is signed, in base units (linear) or contracts (inverse)."""

    frame: DirectionalFrame
    venue: BasisVenue
    perp: Instrument
    book: BookTick
    mark_tick: MarkTick
    state: MarginState
    weight: Decimal

    @property
    def key(self) -> PositionKey:
        """The contract's position key."""
        return self.perp.key

    @property
    def mark(self) -> Decimal:
        """USDT or USD per coin."""
        return self.state.mark

    @property
    def held(self) -> Decimal:
        """The position."""
        return self.state.quantity

    @property
    def cv(self) -> Decimal:
        """USD per contract of an inverse perp."""
        return self.perp.contract_value or ZERO

    @property
    def coins(self) -> Decimal:
        """What is held, in coin."""
        return inverse_coins(self.held, self.mark, self.cv) if self.cv else self.held

    def units(self, coins: Decimal) -> Decimal:
        """So many coins in the unit that orders of this contract count in, towards zero."""
        if self.cv:
            return inverse_contracts(coins, self.mark, self.cv)
        side = 1 if coins > 0 else -1
        return linear_target(side, Decimal(1), abs(coins), Decimal(1), self.perp.quantity_step)

    def usdt(self, units: Decimal) -> Decimal:
        """Worth of so many units of the contract."""
        return abs(units) * (self.cv or self.mark)

    @property
    def entry(self) -> Decimal:
        """``O/Q``: what the fills of the position were worth; the mark while none is held."""
        wallet = self.frame.exposure.holdings.get(self.perp.quote_key, ZERO)
        unrealised = self.state.margin - wallet
        if not self.held:
            return self.mark
        return self.perp.price_of(self.perp.unit_worth(self.mark) - unrealised / self.held)

    @property
    def z(self) -> Decimal:
        """Shocks until liquidation."""
        return distance_of(self.state) / self.frame.parameters.shock

    def bracket(self, side: int) -> Bracket:
        """Around the entry of what is held, or around the mid for what is to be opened."""
        p, at = self.frame.parameters, self.entry if self.held * side > 0 else self.book.mid
        return bracket_at(at, side, self.frame.memory.sd, p.width).on_ticks(self.perp.price_tick, side)

    @property
    def is_guarded(self) -> bool:
        """True while the venue holds its stop: then the venue closes it, and the engine sees to it that it does."""
        return self.key in self.frame.risk.guarded

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what it must know."""
        return f"mark:{self.key}", f"book:{self.key}", f"account:{self.venue.perp_account}"

    @cached_property
    def stale(self) -> tuple[str, ...]:
        """Those past their limit."""
        return self.frame.market.stale(*self.inputs)

    @property
    def close_fault(self) -> str | None:
        """Why it cannot be closed now; None when it can."""
        if self.stale:
            return f"stale: {', '.join(self.stale)}"
        if self.key in self.frame.risk.legs_with_open_orders:
            return f"orders are open on {self.key}"
        return f"closed at its venue: {self.key}" if self.perp.is_halted else None


@dataclass(frozen=True)
class DirectionalView:
    """All contracts that can be seen, and the side that is wanted now."""

    frame: DirectionalFrame
    taste: Taste
    contracts: tuple[ContractView, ...]
    missing: tuple[str, ...]

    @property
    def p(self) -> DirectionalParameters:
        """Parameters."""
        return self.frame.parameters

    @cached_property
    def equity(self) -> Decimal:
        """E in the class: USDT, or coins with unrealised P&L."""
        if self.p.is_inverse:
            return sum((contract.state.margin for contract in self.contracts), ZERO)
        return self.frame.exposure.capital_usdt or ZERO

    @property
    def ends_at(self) -> datetime | None:
        """When the side ends by itself."""
        return expiry(self.frame.memory, self.taste)

    @property
    def is_expired(self) -> bool:
        """True once it has."""
        ends = self.ends_at
        return ends is not None and self.frame.time >= ends

    @property
    def side(self) -> int:
        """What is wanted now."""
        return 0 if self.is_expired else self.frame.memory.side

    def target(self, contract: ContractView) -> Decimal:
        """``T`` here, as it was first aimed at; in units of the contract."""
        aimed = self.frame.memory.aimed.get(contract.key)
        if not self.side:
            return ZERO
        if aimed is not None and aimed * self.side > 0:
            return aimed
        coins = self.p.ml_size * self.equity * (1 if self.p.is_inverse else 1 / contract.mark)
        return contract.units(self.side * contract.weight * coins)

    def reached(self, contract: ContractView) -> Decimal:
        """What may stand here: the target that is being worked on, else the last one that was executed."""
        memory = self.frame.memory
        return memory.aimed.get(contract.key) or memory.executed.get(contract.key, ZERO)

    @cached_property
    def restriction(self) -> str | None:
        """Why only what reduces may act; None when everything may (rule 0)."""
        stale = ", ".join(name for contract in self.contracts for name in contract.stale)
        unknown = "" if self.contracts and not self.missing else ", ".join(self.missing) or "no contract"
        return restriction_of(self.frame.risk, unknown, stale, self.equity or None)


def look(frame: DirectionalFrame, taste: Taste) -> DirectionalView:
    """The picture: contracts with instrument, book, mark and margin known, and names of what was never seen."""
    states: Mapping[PositionKey, MarginState] = {state.instrument: state for state in frame.exposure.margins}
    weights, contracts, missing = frame.parameters.initial_weights, [], []
    for venue in frame.parameters.venues:
        key = contract_key(venue, frame.parameters)
        perp, book = frame.market.instruments.get(key), frame.market.books.get(key)
        mark, state = frame.market.marks.get(key), states.get(key)
        if perp is None or book is None or mark is None or state is None or not (book.bids and book.asks):
            missing.append(f"contract:{key}")
            continue
        contracts.append(ContractView(frame, venue, perp, book, mark, state, weights[venue.name]))
    if not frame.parameters.is_inverse and frame.exposure.equity_usdt is None:
        missing += frame.exposure.unknown or ("equity",)
    return DirectionalView(frame, taste, tuple(contracts), tuple(missing))


def contract_key(venue: BasisVenue, p: DirectionalParameters) -> PositionKey:
    """The perp that a venue of this book trades."""
    return PositionKey(f"{venue.perp_account}:perp:{p.symbol}")
