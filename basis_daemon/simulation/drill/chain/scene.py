"""The chain at the first tick of a seed, and what a strategy has read of it by then."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from basis_daemon.domain.market import MarketEvent
from basis_daemon.simulation.chain.assembly import lsts_of, read_before, world_of
from basis_daemon.simulation.drill.chain.node import ChainNode, NodeWatcher
from basis_daemon.simulation.drill.chain.wallet import signer
from basis_daemon.simulation.drill.chain.weather import Weather
from basis_daemon.simulation.drill.chance import Chance
from basis_daemon.simulation.drill.market import START
from basis_daemon.simulation.drill.stage import Stage
from basis_daemon.simulation.opening import Prices, begins_with, books_of, stand

ONE_IN = 3
"""Of the seeds one in so many begins with a book that stands at its targets; the others have to enter."""


def chain_of(stage: Stage, chance: Chance, watcher: NodeWatcher) -> ChainNode:
    """With the money of the book's one strategy that lives there."""
    settings, weather = stage.settings, Weather.of(_calm(), chance)
    world = world_of(settings, weather.record, lsts_of(stage.strategies), START)
    name = next(strategy.name for strategy in stage.strategies if strategy.charter.is_on_chain)
    opening = begins_with(settings, name)
    if not chance.below(ONE_IN):
        rates = {symbol: rate for symbol in world.lsts if (rate := world.rate(symbol)) is not None}
        stand(opening, settings, name, Prices({}, rates, stage.instruments))
    world.books = books_of(opening, world)
    world.stand()
    return ChainNode(world, weather, chance, signer().address, watcher)


@cache
def _calm() -> Weather:
    return Weather.calm_until(START)


@cache
def past_of(stage: Stage) -> Sequence[MarketEvent]:
    """What was read of the chain before, hour by hour."""
    return tuple(read_before(stage.settings, stage.strategies, _calm().record, START))
