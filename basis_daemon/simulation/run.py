"""One window from its first bar to its last: the daemon's own engine in virtual time, on a journal in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.market import MarketEvent
from basis_daemon.engine.recorder import Recorder
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import StoredRecord
from basis_daemon.settings import Settings, kept_text, make_strategies, strategy_parameters
from basis_daemon.settings.replay import OrdinaryAt, ReplaySettings
from basis_daemon.simulation.chain.assembly import aboard, as_chain_venue, lost, read_before, simulated_chain
from basis_daemon.simulation.chain.record import ChainRecord
from basis_daemon.simulation.chain.venue import SimulatedChain
from basis_daemon.simulation.convention import AtBarOpen
from basis_daemon.simulation.crossing import Road, bridge_of, road_of
from basis_daemon.simulation.gauge import Gauge
from basis_daemon.simulation.history import History, SeriesName
from basis_daemon.simulation.market import BookShape, ReplayMarket, Stage, ether_at
from basis_daemon.simulation.opening import Opening, Prices, begins_with, books_of, stand
from basis_daemon.simulation.path import Point, Stress, hours, lead_in, points
from basis_daemon.simulation.venue import Listing, as_venue, listing, paper_venue
from basis_daemon.simulation.virtual import VirtualClock, VirtualLoop
from basis_daemon.simulation.words import is_directional, spoken
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.parameters import SHOCKS, BasisParameters
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.transfers.bridge import Bridge
from basis_daemon.wiring_book import Daemon, Ground, Venue, assemble

ONE, DELTA_HARD = Decimal(1), Decimal("0.03")
TOLD_MAX = 10
"""Alarms kept in full; of the others their number."""


@dataclass(frozen=True, slots=True)
class Span:
    """First instant that is played, and the first that is not."""

    start: datetime
    end: datetime


@dataclass(slots=True)
class Alarms:
    """What an operator would have been told: how often, and the first ones with their facts."""

    times: Counter[str] = field(default_factory=Counter)
    first: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, what: str, facts: Mapping[str, str]) -> None:
        self.times[what] += 1
        if len(self.first) < TOLD_MAX:
            self.first.append({"alarm": what, **facts})


@dataclass(slots=True)
class Played:
    """What a run left: its journal, what the venue measured, what was alarmed, and which series were not there."""

    span: Span
    rows: Sequence[StoredRecord] = field(repr=False)
    gauge: Gauge
    alarms: Alarms
    missing: Sequence[SeriesName]
    last: datetime


OnPoint = Callable[[Point, Daemon], None]
"""Told of every point that was played, with the book as it is."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a window has: bars and settlements, the chain's rows where somebody lives there, and what a model said."""

    history: History
    chain: ChainRecord | None = None
    words: Path | None = None


def play(settings: Settings, recorded: Recorded, span: Span, on_point: OnPoint) -> Played:
    """Plays a span on an event loop of its own; raises ConfigError for one without a bar."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_play(settings, recorded, span, on_point, loop))


async def _play(settings: Settings, recorded: Recorded, span: Span, on_point: OnPoint, loop: VirtualLoop) -> Played:
    replay = settings.replay or ReplaySettings()
    strategies = [as_played(strategy, replay) for strategy in make_strategies(settings)]
    clock, alarms, stage = VirtualClock(loop, span.start), Alarms(), Stage()
    set_ = await _set(settings, recorded, span, strategies, clock, stage)
    market, gauge, listed = set_.market, set_.gauge, set_.listed
    stage.on_settled = gauge.settle
    journal = MemoryJournal(clock)
    async with TaskTree("replay") as tree:
        ground = Ground(
            clock=clock,
            journal=journal,
            journal_name=f"{settings.book.name}@{span.start.isoformat()}",
            scope=tree,
            alarm=alarms,
            venues=lambda _strategies, _recorder: set_.venues,
            on_phase=lambda _: None,
            on_beat=lambda: None,
            kept=lambda _: None,
            disk=lambda _: None,
            memory_share=float,
            bridge=partial(_bridge, settings, set_.road, alarms),
            terms=kept_text(settings, replay),
            signals=spoken(settings, recorded.words, alarms),
        )
        daemon = assemble(settings, strategies, ground)
        stage.on_point = _watching(gauge, listed, lambda point: on_point(point, daemon))
        stage.is_armed = lambda: daemon.supervisor.phase is Phase.ARMED
        stage.is_busy = partial(_is_busy, daemon)
        stage.is_due = lambda: any(valuer.due.is_set() for valuer in daemon.valuers)
        tree.spawn("end", _stop_behind(market, daemon))
        await daemon.supervisor.run(tree, arm=True)
    missing = [name for name in listed.keys if name not in recorded.history.bars]
    return Played(span, journal.read(), gauge, alarms, missing, market.newest or span.start)


@dataclass(frozen=True, slots=True)
class _Set:
    """The simulated venues of one run, at its first point."""

    market: ReplayMarket
    gauge: Gauge
    listed: Listing
    venues: list[Venue]
    road: Road | None


async def _set(
    settings: Settings,
    recorded: Recorded,
    span: Span,
    strategies: Sequence[BookStrategy],
    clock: VirtualClock,
    stage: Stage,
) -> _Set:
    replay = settings.replay or ReplaySettings()
    listed, history = listing(settings, strategies), recorded.history
    stress = Stress(replay.stress_factor, replay.stress_from)
    path = points(history, span.start, span.end, stress) if listed.keys else hours(span.start, span.end)
    first = next(path, None)
    if first is None:
        expected = f"bars from {span.start.isoformat()} to {span.end.isoformat()}"
        raise ConfigError(
            f"{history.directory}: found no bar of {', '.join(map(str, listed.keys))}; expected {expected}"
        )
    chain = _chain(settings, recorded, strategies, clock, first)
    opening = _opening(settings, listed, first, chain)
    paper = paper_venue(settings, clock, listed, opening) if listed.keys else None
    shape = BookShape(replay.slippage_bp, replay.depth_step_bp, replay.depth_usdt, replay.depth_levels)
    market = ReplayMarket(
        listed.instruments, listed.keys, lead_in(history, span.start, stress), itertools.chain([first], path), shape,
        clock, stage, chain, _read(settings, recorded, strategies, span),
    )  # fmt: skip
    exchange, road = paper.exchange if paper is not None else None, None
    gauge = Gauge(exchange, listed.instruments, SHOCKS, _delta_hard(settings), clock)
    gauge.numeraire = strategies[0].charter.numeraire
    venues = [as_venue(paper, market, gauge.hear)]
    if chain is not None:
        road = road_of(settings, exchange, chain, clock) if exchange is not None else None
        gauge.aboard = partial(aboard, chain, road.under_way if road is not None else tuple)
        chain.on_moved = lambda deltas: gauge.moved(lost(chain, deltas))
        venues.insert(0, as_chain_venue(chain))  # it listens before the market begins to speak
        if road is not None:
            stage.next_arrival = road.next_arrival
    return _Set(market, gauge, listed, venues, road)


def _bridge(
    settings: Settings, road: Road | None, alarms: Alarms, _venues: Sequence[Venue], recorder: Recorder
) -> Bridge | None:
    return None if road is None else bridge_of(settings, road, recorder, alarms)


def _chain(
    settings: Settings, recorded: Recorded, strategies: Sequence[BookStrategy], clock: VirtualClock, first: Point
) -> SimulatedChain | None:
    if recorded.chain is None:
        return None
    return simulated_chain(settings, strategies, recorded.chain, clock, first.at, ether_at(first))


def _opening(settings: Settings, listed: Listing, first: Point, chain: SimulatedChain | None) -> Opening:
    """The money of the instance that plays, and where it stands."""
    name = next(iter(settings.enabled_strategies))
    opening = begins_with(settings, name)
    world = chain.ledger.world if chain is not None else None
    if settings.replay is not None and settings.replay.is_open:
        at = {key: first.prices[series] for series, key in listed.keys.items() if series in first.prices}
        rates = {symbol: world.rate(symbol) or ONE for symbol in world.lsts} if world is not None else {}
        stand(opening, settings, name, Prices(at, rates, listed.instruments))
    if world is not None:
        world.books = books_of(opening, world)
        world.stand()
    return opening


def _read(
    settings: Settings, recorded: Recorded, strategies: Sequence[BookStrategy], span: Span
) -> Iterable[MarketEvent]:
    return () if recorded.chain is None else read_before(settings, strategies, recorded.chain, span.start)


def _is_busy(daemon: Daemon) -> bool:
    """True while a plan does something; one that waits for money on its way lets time go on."""
    state = daemon.recorder.state
    travelling = {life.plan_id for life in state.open_orders() if life.is_travelling}
    return any(plan.plan_id not in travelling for plan in state.running_plans())


def as_played(strategy: BookStrategy, replay: ReplaySettings) -> BookStrategy:
    """A strategy under the conventions of a replay."""
    return strategy if replay.ordinary is OrdinaryAt.EVERY_POINT else AtBarOpen(strategy)


def _delta_hard(settings: Settings) -> Decimal:
    """Of a book that hedges; of any other the limit that hedged ones have. A model's side is no breach of anything."""
    found = [strategy_parameters(settings, name) for name in settings.enabled_strategies]
    if all(is_directional(settings, name) for name in settings.enabled_strategies):
        return Decimal("Infinity")
    return min((p.delta_hard for p in found if isinstance(p, BasisParameters)), default=DELTA_HARD)


def _watching(gauge: Gauge, listed: Listing, on_point: Callable[[Point], None]) -> Callable[[Point], None]:
    def watch(point: Point) -> None:
        gauge.prices.update({listed.keys[name]: price for name, price in point.prices.items()})
        gauge.look()
        on_point(point)

    return watch


async def _stop_behind(market: ReplayMarket, daemon: Daemon) -> None:
    await market.ended.wait()
    daemon.supervisor.request_stop()
