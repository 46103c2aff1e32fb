"""A simulated chain out of settings and its record, and the engine's view of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.exposure import AS_ETHER
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.ports import FeedEvent, TradeSink
from basis_daemon.settings import Settings
from basis_daemon.settings.chain import ChainSettings
from basis_daemon.settings.replay import ReplaySettings, TokenRates
from basis_daemon.simulation.chain.books import BARE, Books
from basis_daemon.simulation.chain.ledger import Amounts, ChainLedger
from basis_daemon.simulation.chain.record import HOUR, ChainRecord
from basis_daemon.simulation.chain.scene import Delays
from basis_daemon.simulation.chain.venue import GWEI, NETWORK, ChainGroups, GasCaps, SimulatedChain, chain_accounts
from basis_daemon.simulation.chain.world import Nature, World, first_block
from basis_daemon.simulation.gauge import DOLLAR, ETHER, ZERO, Aboard
from basis_daemon.simulation.virtual import VirtualClock
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.parameters import SHOCKS
from basis_daemon.wiring_book import Routes, Venue

BP, LST_SHOCK = Decimal("0.0001"), Decimal("0.025")


def simulated_chain(
    settings: Settings,
    strategies: Sequence[BookStrategy],
    record: ChainRecord,
    clock: VirtualClock,
    start: datetime,
    ether: Decimal | None,
) -> SimulatedChain:
    """At its first block, with empty books; ``ether`` is its price at an exchange then."""
    keys = {key for strategy in strategies for key in strategy.declared_keys}
    world = world_of(settings, record, lsts_of(strategies), start, ether)
    caps = settings.chain or ChainSettings()
    return SimulatedChain(
        ledger=ChainLedger(world, clock.wall),
        accounts=chain_accounts(keys),
        clock=clock,
        caps=GasCaps(int(caps.gas_cap_gwei) * GWEI, int(caps.emergency_gas_cap_gwei) * GWEI),
    )


def lsts_of(strategies: Sequence[BookStrategy]) -> list[str]:
    """Staking tokens that somebody declared."""
    return sorted({key.symbol for s in strategies for key in s.declared_keys if key.kind is Kind.LST})


def read_before(
    settings: Settings, strategies: Sequence[BookStrategy], record: ChainRecord, start: datetime
) -> Iterator[MarketEvent]:
    """What was read of the chain before ``start``, hour by hour."""
    stamps = record.stamps
    if stamps is None or stamps[0] >= start:
        return
    world = world_of(settings, record, lsts_of(strategies), stamps[0])
    for hours in range((start - stamps[0]) // HOUR):
        world.reach(stamps[0] + hours * HOUR, None)
        yield from world.events(0)


@dataclass(frozen=True, slots=True)
class _Stream:
    """Where the chain tells what happens: the market says when, and hands out its past. Honours ``ports.Feed``."""

    chain: SimulatedChain

    async def start(self) -> Mapping[PositionKey, Instrument]:
        return {}

    async def history(self) -> Sequence[MarketEvent]:
        return ()

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        self.chain.sink = sink
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.chain.sink = None


def as_chain_venue(chain: SimulatedChain) -> Venue:
    """As the engine needs it; its stream is that of the market."""

    def routes(on_trade: TradeSink) -> Routes:
        chain.on_trade = on_trade
        return [(interface.account, interface) for interface in chain.interfaces()]

    return Venue(
        sources=[chain.source(account) for account in chain.accounts],
        routes=routes,
        feed=lambda _: _Stream(chain),
        dead_men=dict,
        groups=ChainGroups(chain),
        chain=NETWORK,
    )


def aboard(chain: SimulatedChain, under_way: Callable[[], Iterable[tuple[str, Decimal]]]) -> Aboard:
    """What the gauge sees of it, with coins on their way: a token counts at its rate, whatever a market pays."""
    world = chain.ledger.world
    held, report = world.held, world.report()
    coming = dict[str, Decimal]()
    for coin, amount in under_way():
        coming[coin] = coming.get(coin, ZERO) + amount
    ether, dollars = _summed(world, held)
    shock = LST_SHOCK if world.books.emode else SHOCKS[ETHER]
    health = report.health_factor if report is not None else None
    ether, dollars = ether + coming.get(ETHER, ZERO), dollars + coming.get(DOLLAR, ZERO)
    return Aboard(held, ether, dollars, world.quotes.ether, health, shock)


def lost(chain: SimulatedChain, deltas: Amounts) -> Decimal:
    """USDT that an exchange of these cost against their own worth; 0 for a payment, and while ether has no price."""
    world = chain.ledger.world
    ether, dollars = _summed(world, deltas)
    price = world.quotes.ether
    return max(-ether * price - dollars, ZERO) if price and len(deltas) > 1 else ZERO


def _summed(world: World, amounts: Amounts) -> tuple[Decimal, Decimal]:
    """Ether and dollars in it, debts against them."""
    rates = {symbol: world.rate(symbol) or ZERO for symbol in BARE} | dict.fromkeys(AS_ETHER, Decimal(1))
    ether = sum((key.sign * amount * rates.get(key.asset, ZERO) for key, amount in amounts.items()), ZERO)
    return ether, sum((key.sign * amount for key, amount in amounts.items() if key.asset == DOLLAR), ZERO)


def world_of(
    settings: Settings, record: ChainRecord, lsts: Sequence[str], at: datetime, ether: Decimal | None = None
) -> World:
    """The chain at its first block, with empty books; ``ether`` is its price at an exchange then."""
    replay = settings.replay or ReplaySettings()
    delays = Delays(_days(replay.queue_d), _days(replay.restaked_d))
    is_drawn = replay.token_rates is TokenRates.HOURLY
    nature = Nature(delays, replay.dex_size, replay.flash_fee_bp * BP, replay.collateral_earns, is_drawn)
    world = World(record, nature, lsts, Books(), first_block(at))
    world.reach(at, ether)
    return world


def _days(days: Decimal) -> timedelta:
    return timedelta(seconds=int(days * 86_400))
