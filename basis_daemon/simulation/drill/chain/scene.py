"""The chain at the first tick of a seed, and what a strategy has read of it by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache

from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.market import MarketEvent
from basis_daemon.simulation.chain.assembly import lsts_of, read_before, world_of
from basis_daemon.simulation.drill.chain.node import ChainNode, NodeWatcher
from basis_daemon.simulation.drill.chain.wallet import signer
from basis_daemon.simulation.drill.chain.weather import Weather
from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.drill.market import START
from basis_daemon.simulation.drill.stage import Stage
from basis_daemon.simulation.opening import Opening, Prices, begins_with, books_of, stand
from basis_daemon.venues.chain.tokens import held_at

ONE_IN = 3
"""Of the seeds one in so many begins with a book that stands at its targets, and where money may cross as many with
half of it on the other side; the others have to enter."""


def scene_of(
    stage: Stage, chance: Chance, watcher: NodeWatcher, prices: Mapping[PositionKey, Decimal]
) -> tuple[ChainNode, Opening]:
    """The chain with the money of the book's one strategy that lives there, and all that the strategy begins with.

    ``prices`` are those of the exchanges, where it trades at some.
    """
    settings, weather = stage.settings, Weather.of(_calm(), chance)
    ether = next((price for key, price in prices.items() if key.kind is Kind.SPOT), None)
    world = world_of(settings, weather.record, lsts_of(stage.strategies), START, ether)
    name = next(strategy.name for strategy in stage.strategies if strategy.charter.is_on_chain)
    opening = begins_with(settings, name)
    draw = chance.below(ONE_IN)
    if draw == 1 and settings.enabled_transfers is not None:
        _half_away(opening)
    elif not draw:
        rates = {symbol: rate for symbol in world.lsts if (rate := world.rate(symbol)) is not None}
        stand(opening, settings, name, Prices(prices, rates, stage.instruments))
    world.books = books_of(opening, world)
    world.stand()
    return ChainNode(world, weather, chance, signer().address, watcher), opening


def _half_away(opening: Opening) -> None:
    """The wallet has half of what lies in dollars at exchanges."""
    for key in [key for key in opening.held if key.kind is Kind.SPOT and key.asset == "USDT"]:
        half = opening.held[key] / 2
        opening.held[key] -= half
        opening.held[held_at("USDT")] = opening.held.get(held_at("USDT"), Decimal(0)) + half


@cache
def _calm() -> Weather:
    return Weather.calm_until(START)


@cache
def past_of(stage: Stage) -> Sequence[MarketEvent]:
    """What was read of the chain before, hour by hour."""
    return tuple(read_before(stage.settings, stage.strategies, _calm().record, START))
