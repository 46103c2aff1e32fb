"""What no seed changes: the book, what is traded in it, and by which numbers it is judged. Made once per process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.settings import Settings, VenueSettings, load_settings, make_strategies, strategy_parameters
from basis_daemon.settings.replay import ReplaySettings
from basis_daemon.simulation.market import BookShape
from basis_daemon.simulation.venue import listing
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.onchain_parameters import LeveragedParameters
from basis_daemon.strategies.parameters import BasisParameters
from basis_daemon.venues.paper.venue import PaperAccountSpec

CLIP = "clip_usdt"


@dataclass(frozen=True, slots=True)
class House:
    """One exchange with an operator of its own: it fails, answers and streams for itself."""

    name: str
    specs: tuple[PaperAccountSpec, ...]
    leverage: Decimal

    @property
    def accounts(self) -> frozenset[str]:
        """Names of all of them."""
        return frozenset(spec.name for spec in self.specs)


@dataclass(frozen=True, slots=True)
class Mandate:
    """What one strategy may do at exchanges: of which coin, where, clips and full size in USDT."""

    strategy: str
    asset: str
    keys: frozenset[PositionKey]
    clip: Decimal
    target: Decimal
    houses: int


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Shared by all seeds of a process, so nobody may change anything in it; strategies are pure."""

    name: str
    settings: Settings
    strategies: tuple[BookStrategy, ...]
    instruments: Mapping[PositionKey, Instrument]
    houses: tuple[House, ...]
    mandates: tuple[Mandate, ...]
    balances: Mapping[PositionKey, Decimal]
    shape: BookShape
    liquidation_fee: Decimal
    is_on_chain: bool

    @property
    def ltv_most(self) -> Decimal:
        """Debt over collateral that the book on the chain may have by its parameters."""
        found = [strategy_parameters(self.settings, strategy.name) for strategy in self.strategies]
        levered = [one for one in found if isinstance(one, LeveragedParameters)]
        return max((one.lambda_target + one.lambda_up for one in levered), default=Decimal(0))

    def instruments_of(self, house: House) -> Mapping[PositionKey, Instrument]:
        """What is traded there."""
        return {key: one for key, one in self.instruments.items() if key.venue in house.accounts}


@cache
def stage_of(file: Path, clips_in_one: int = 1) -> Stage:
    """The book of a file; its clips are that many times as large. Raises ConfigError for a file that is no book."""
    settings = _coarser(load_settings(file, {}, with_secrets=False).settings, clips_in_one)
    strategies = tuple(make_strategies(settings))
    paper, replay = settings.paper, settings.replay or ReplaySettings()
    instruments = dict(listing(settings, strategies).instruments)
    balances = {PositionKey(key): amount for key, amount in paper.balances.items()} if paper is not None else {}
    return Stage(
        name=file.stem,
        settings=settings,
        strategies=strategies,
        instruments=instruments,
        houses=tuple(_house(name, venue) for name, venue in settings.enabled_venues.items()),
        mandates=tuple(_mandates(settings, strategies, instruments, balances)),
        balances=balances,
        shape=BookShape(replay.slippage_bp, replay.depth_step_bp, replay.depth_usdt, replay.depth_levels),
        liquidation_fee=paper.liquidation_fee if paper is not None else Decimal(0),
        is_on_chain=any(strategy.charter.is_on_chain for strategy in strategies),
    )


def _coarser(settings: Settings, clips_in_one: int) -> Settings:
    """The same book in fewer clips, where it says how large they are."""
    strategies = dict(settings.strategies)
    for name, own in strategies.items():
        if CLIP in own.params:
            clip = Decimal(str(own.params[CLIP])) * clips_in_one
            strategies[name] = own.model_copy(update={"params": {**own.params, CLIP: clip}})
    return settings.model_copy(update={"strategies": strategies})


def _house(name: str, venue: VenueSettings) -> House:
    spot, perps = venue.accounts.spot, venue.accounts.derivatives
    specs = (
        PaperAccountSpec(spot, trades_spot=True, trades_perps=False),
        PaperAccountSpec(perps, trades_spot=False, trades_perps=True),
    )
    return House(name, specs, Decimal(venue.leverage))


def _mandates(
    settings: Settings,
    strategies: tuple[BookStrategy, ...],
    instruments: Mapping[PositionKey, Instrument],
    balances: Mapping[PositionKey, Decimal],
) -> Iterator[Mandate]:
    for strategy in strategies:
        parameters, charter = strategy_parameters(settings, strategy.name), strategy.charter
        if not isinstance(parameters, BasisParameters) or charter.is_on_chain:
            continue
        accounts = charter.exchange_of.keys()
        capital = sum((amount for key, amount in balances.items() if key.venue in accounts), Decimal(0))
        yield Mandate(
            strategy=strategy.name,
            asset=parameters.asset,
            keys=frozenset(key for key in instruments if key.venue in accounts),
            clip=parameters.clip_usdt,
            target=capital / (1 + parameters.m_star),
            houses=len(charter.traded_at),
        )
