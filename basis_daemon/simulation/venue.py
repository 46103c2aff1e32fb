"""The simulated venue set: paper accounts under recorded prices, with fees, tiers and steps as configured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import Evidence, ExecutionInterface, Feed, FeedEvent
from basis_daemon.settings import Settings, VenueSettings
from basis_daemon.settings.model import PaperSettings
from basis_daemon.settings.replay import ReplaySettings
from basis_daemon.simulation.history import PERP, SPOT, SeriesName
from basis_daemon.simulation.market import ReplayMarket
from basis_daemon.simulation.opening import Opening
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.simulation.words import contract, is_directional
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.parameters import QUOTE
from basis_daemon.venues.paper.feed import PaperFeed
from basis_daemon.venues.paper.venue import PaperAccountSpec, PaperTerms, PaperVenue
from basis_daemon.wiring_book import Venue
from basis_daemon.wiring_limits import tiers_of

TICK, QUANTITY_MAX, NOTIONAL_MIN = Decimal("0.01"), Decimal(1_000_000_000), Decimal(5)
STEP = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Listing:
    """What is traded, and whose rows price it."""

    instruments: Mapping[PositionKey, Instrument]
    keys: Mapping[SeriesName, PositionKey]


def listing(settings: Settings, strategies: Sequence[BookStrategy]) -> Listing:
    """Spot and perp of every asset at every venue; a venue plays the rows that bear its own name."""
    replay = settings.replay or ReplaySettings()
    instruments: dict[PositionKey, Instrument] = {}
    keys: dict[SeriesName, PositionKey] = {}
    for name, venue in settings.enabled_venues.items():
        for asset in sorted({asset for s in strategies for asset in s.charter.traded_at.get(name, ())}):
            symbol = f"{asset}{QUOTE}"
            perp = _perp(asset, venue, paper_of(settings), replay)
            listed = [(SPOT, symbol, _spot(asset, venue, paper_of(settings), replay)), (PERP, symbol, perp)]
            if all(is_directional(settings, s.name) for s in strategies):
                made = contract(perp, is_inverse=any(s.charter.numeraire != QUOTE for s in strategies))
                listed = [(PERP, made.key.symbol, made)]
            for market, series, made in listed:
                instruments[made.key] = made
                keys[SeriesName(name, market, series)] = made.key
    return Listing(instruments, keys)


def paper_of(settings: Settings) -> PaperSettings:
    """The simulated accounts; raises ConfigError without them."""
    if settings.paper is None:
        remedy = "a replay is played on paper: write mode: paper and copy the section of config/replay.yaml"
        raise ConfigError(f"paper: found nothing, expected balances, fees and tiers; {remedy}")
    return settings.paper


def _spot(asset: str, venue: VenueSettings, paper: PaperSettings, replay: ReplaySettings) -> Instrument:
    if paper.fees is None:
        raise ConfigError("paper.fees: found nothing, expected fees of spot and perp; no exchange is asked in a replay")
    fees, step = paper.fees.spot, replay.spot_step
    key = PositionKey.of(venue.accounts.spot, Kind.SPOT, asset)
    return Instrument(key, asset, QUOTE, step, TICK, step, QUANTITY_MAX, NOTIONAL_MIN, fees.taker, fees.maker)


def _perp(asset: str, venue: VenueSettings, paper: PaperSettings, replay: ReplaySettings) -> Instrument:
    if paper.fees is None or not paper.tiers:
        raise ConfigError("paper.tiers: found nothing, expected a table of margin tiers; no exchange is asked here")
    fees, step = paper.fees.perp, replay.perp_step.get(asset.lower(), STEP)
    key = PositionKey.of(venue.accounts.derivatives, Kind.PERP, f"{asset}{QUOTE}")
    tiers = tiers_of(paper.tiers)
    return Instrument(key, asset, QUOTE, step, TICK, step, QUANTITY_MAX, NOTIONAL_MIN, fees.taker, fees.maker, tiers)


def paper_venue(settings: Settings, clock: VirtualClock, listed: Listing, opening: Opening) -> PaperVenue:
    """All accounts of all venues, with what of the opening lies there."""
    paper, accounts = paper_of(settings), list[PaperAccountSpec]()
    traded = {name.venue for name in listed.keys}
    for venue in (venue for name, venue in settings.enabled_venues.items() if name in traded):
        spot, perps = venue.accounts.spot, venue.accounts.derivatives
        is_unified = spot == perps
        accounts.append(PaperAccountSpec(spot, trades_spot=True, trades_perps=is_unified))
        if not is_unified:
            accounts.append(PaperAccountSpec(perps, trades_spot=False, trades_perps=True))
    latency_s = float(paper.latency_s)
    leverage = Decimal(max(venue.leverage for venue in settings.enabled_venues.values()))
    terms = PaperTerms(latency_s, latency_s, liquidation_fee=paper.liquidation_fee, leverage=leverage)
    held = {key: amount for key, amount in opening.held.items() if key.kind in {Kind.SPOT, Kind.PERP}}
    made = PaperVenue(accounts, clock, held, open_notional=opening.costs, terms=terms)
    made.list_instruments(listed.instruments.values())
    return made


@dataclass(frozen=True, slots=True)
class _Heard:
    """A feed, and who hears all of it behind the book. Honours ``ports.Feed``."""

    feed: Feed
    hear: Callable[[FeedEvent], None]

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return await self.feed.start()

    async def history(self) -> Sequence[MarketEvent]:
        return await self.feed.history()

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        def deliver(event: FeedEvent) -> None:
            sink(event)
            if isinstance(event, Trade):
                self.hear(event)

        await self.feed.run(deliver)

    async def close(self) -> None:
        await self.feed.close()


@dataclass(frozen=True, slots=True)
class _Door:
    """Some of what an account executes: its money has a door of its own. Honours ``ports.ExecutionInterface``."""

    inner: ExecutionInterface
    operations: frozenset[OrderOperation]

    @property
    def account(self) -> str:
        return self.inner.account

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        return await self.inner.execute_order(order, timestamp)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        return await self.inner.find_order(order, sent_at)

    async def cancel_order(self, order: Order) -> Evidence:
        return await self.inner.cancel_order(order)


def _doors(account: ExecutionInterface) -> Iterator[tuple[str, ExecutionInterface]]:
    transfers = frozenset({OrderOperation.TRANSFER})
    yield account.account, _Door(account, account.operations - transfers)
    yield account.account, _Door(account, account.operations & transfers)


def as_venue(paper: PaperVenue | None, market: ReplayMarket, hear: Callable[[FeedEvent], None]) -> Venue:
    """The accounts and their market, as the engine needs them; the market alone where nobody trades at an exchange."""
    return Venue(
        sources=[] if paper is None else list(paper.accounts.values()),
        routes=lambda _: [] if paper is None else [door for one in paper.accounts.values() for door in _doors(one)],
        feed=lambda _: _Heard(market if paper is None else PaperFeed(paper, market), hear),
        dead_men=dict,
    )
