"""What a book begins with: money alone, or everything standing at its targets as if it always had, without a cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey, round_down
from basis_daemon.settings import Settings, strategy_parameters
from basis_daemon.simulation.chain.books import Books, decimals_of
from basis_daemon.simulation.chain.reserve import EMODE_CATEGORY, RAY
from basis_daemon.simulation.chain.world import World
from basis_daemon.strategies.onchain_parameters import LendingParameters, LeveragedParameters, StakingParameters
from basis_daemon.strategies.parameters import BasisParameters, BasisVenue
from basis_daemon.venues.chain.tokens import ETH, units_of

ZERO, ONE = Decimal(0), Decimal(1)
IN_WALLET = frozenset({Kind.TOKEN, Kind.LST})


@dataclass(slots=True)
class Opening:
    """``held`` by key, exchanges and wallet together; ``costs`` is the open notional of perps; the rest is at Aave."""

    held: dict[PositionKey, Decimal]
    costs: dict[PositionKey, Decimal] = field(default_factory=dict)
    supplied: dict[str, Decimal] = field(default_factory=dict)
    owed: dict[str, Decimal] = field(default_factory=dict)
    is_in_emode: bool = False

    def take(self, key: PositionKey, amount: Decimal) -> None:
        """Spend of what is there."""
        self.held[key] = self.held.get(key, ZERO) - amount


@dataclass(frozen=True, slots=True)
class Prices:
    """The first point of a run: prices of exchange instruments by key, and ETH per staking token by symbol."""

    at: Mapping[PositionKey, Decimal]
    rates: Mapping[str, Decimal]
    instruments: Mapping[PositionKey, Instrument]


def begins_with(settings: Settings, name: str) -> Opening:
    """The money of one instance. Raises ConfigError for a key that is none."""
    own = settings.replay.balances.get(name) if settings.replay is not None else None
    if own is None:
        own = settings.paper.balances if settings.paper is not None else {}
    try:
        return Opening({PositionKey(key): amount for key, amount in own.items()})
    except ValueError as error:
        raise ConfigError(f"replay.balances.{name}: {error}; write account, kind and asset with colons") from error


def stand(opening: Opening, settings: Settings, name: str, prices: Prices) -> None:
    """Let the money of one instance stand at its targets."""
    p = strategy_parameters(settings, name)
    staked = p if isinstance(p, StakingParameters) else None
    if isinstance(p, BasisParameters):
        ether = sum((_pair(opening, p, venue, prices, is_on_chain=staked is not None) for venue in p.venues), ZERO)
        if staked is not None and ether:
            reserve = min(staked.reserve_eth, ether)
            opening.held[ETH] = opening.held.get(ETH, ZERO) + reserve
            _sleeve(opening, staked, ether - reserve, prices)
    elif isinstance(p, LendingParameters):
        _lent(opening, p)
    elif staked is not None:
        whole = opening.held.get(ETH, ZERO) - staked.reserve_eth
        if whole > 0:
            opening.held[ETH] = staked.reserve_eth
            _sleeve(opening, staked, whole, prices)


def _pair(opening: Opening, p: BasisParameters, venue: BasisVenue, prices: Prices, *, is_on_chain: bool) -> Decimal:
    """The money of a venue as a pair at m_star; what of its long leg stands on the chain instead (ETH)."""
    spot, perp = venue.spot_key(p.asset), venue.perp_key(p.asset)
    money = opening.held.get(venue.cash_key, ZERO)
    if spot not in prices.at or perp not in prices.at or not money:
        return ZERO
    step = prices.instruments[perp].quantity_step
    quantity = round_down(money / (ONE + p.m_star) / prices.at[spot], step)
    margin = p.m_star * quantity * prices.at[perp]
    opening.take(venue.cash_key, quantity * prices.at[spot] + margin)
    opening.held[venue.margin_key] = opening.held.get(venue.margin_key, ZERO) + margin
    opening.held[perp], opening.costs[perp] = -quantity, -quantity * prices.at[perp]
    if not is_on_chain:
        opening.held[spot] = quantity
    return quantity if is_on_chain else ZERO


def _sleeve(opening: Opening, p: StakingParameters, ether: Decimal, prices: Prices) -> None:
    """Staked, and levered to lambda_target where the family is."""
    lst, lam = p.lst, p.lambda_target if isinstance(p, LeveragedParameters) else ZERO
    tokens = ether / (ONE - lam) / prices.rates[lst.value]
    if not lam:
        opening.held[lst.key] = tokens
        return
    opening.supplied[lst.value], opening.owed["WETH"] = tokens, lam * ether / (ONE - lam)
    opening.is_in_emode = True


def _lent(opening: Opening, p: LendingParameters) -> None:
    symbol, reserve = ("WETH", p.reserve_eth) if p.asset == "ETH" else (p.asset, ZERO)
    key = ETH if p.asset == "ETH" else PositionKey.of("wallet", Kind.TOKEN, p.asset)
    amount = (opening.held.get(key, ZERO) - reserve) * (ONE - p.lend_buffer)
    if amount > 0:
        opening.take(key, amount)
        opening.supplied[symbol] = amount


def books_of(opening: Opening, world: World) -> Books:
    """What of it is on the chain, in base units."""
    books, worth = Books(), world.worth
    for key, amount in opening.held.items():
        if key.kind in IN_WALLET:
            books.tokens[key.symbol] = units_of(amount, decimals_of(key.symbol))
    for symbol, amount in opening.supplied.items():
        books.supplied[symbol] = units_of(amount, decimals_of(symbol)) * RAY // worth.income[symbol]
        books.collateral.add(symbol)
    for symbol, amount in opening.owed.items():
        books.owed[symbol] = units_of(amount, decimals_of(symbol)) * RAY // worth.debt[symbol]
    books.emode = EMODE_CATEGORY if opening.is_in_emode else 0
    return books
