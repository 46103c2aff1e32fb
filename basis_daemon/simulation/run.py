"""One window from its first bar to its last: the daemon's own engine in virtual time, on a journal in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice

from basis_daemon.domain.errors import ConfigError
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import StoredRecord
from basis_daemon.settings import Settings, make_strategies, strategy_parameters
from basis_daemon.settings.replay import OrdinaryAt, ReplaySettings
from basis_daemon.simulation.convention import AtBarOpen
from basis_daemon.simulation.gauge import Gauge
from basis_daemon.simulation.history import History, SeriesName
from basis_daemon.simulation.market import BookShape, ReplayMarket, Stage
from basis_daemon.simulation.path import Point, Stress, lead_in, points
from basis_daemon.simulation.venue import Listing, as_venue, listing, paper_venue
from basis_daemon.simulation.virtual import VirtualClock, VirtualLoop
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.strategies.parameters import SHOCKS, BasisParameters
from basis_daemon.supervisor import Phase
from basis_daemon.tasks import TaskTree
from basis_daemon.wiring_book import Daemon, Ground, assemble

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


def play(settings: Settings, history: History, span: Span, on_point: Callable[[Point], None]) -> Played:
    """Plays a span on an event loop of its own; raises ConfigError for one without a bar."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_play(settings, history, span, on_point, loop))


async def _play(
    settings: Settings, history: History, span: Span, on_point: Callable[[Point], None], loop: VirtualLoop
) -> Played:
    replay = settings.replay or ReplaySettings()
    strategies = _strategies(settings, replay)
    listed, clock, alarms = listing(settings, strategies), VirtualClock(loop, span.start), Alarms()
    stress = Stress(replay.stress_factor, replay.stress_from)
    path = points(history, span.start, span.end, stress)
    first = list(islice(path, 1))
    if not first:
        expected = f"bars from {span.start.isoformat()} to {span.end.isoformat()}"
        raise ConfigError(
            f"{history.directory}: found no bar of {', '.join(map(str, listed.keys))}; expected {expected}"
        )
    paper = paper_venue(settings, strategies, clock, listed, first[0] if replay.is_open else None)
    shape = BookShape(replay.slippage_bp, replay.depth_step_bp, replay.depth_usdt, replay.depth_levels)
    before, stage = lead_in(history, span.start, stress), Stage()
    market = ReplayMarket(listed.instruments, listed.keys, before, chain(first, path), shape, clock, stage)
    gauge = Gauge(paper.exchange, listed.instruments, SHOCKS, _delta_hard(settings), clock)
    stage.on_point, stage.on_settled = _watching(gauge, listed, on_point), gauge.settle
    journal = MemoryJournal(clock)
    async with TaskTree("replay") as tree:
        ground = Ground(
            clock=clock,
            journal=journal,
            journal_name=f"{settings.book.name}@{span.start.isoformat()}",
            scope=tree,
            alarm=alarms,
            venues=lambda _strategies, _recorder: [as_venue(paper, market, gauge.hear)],
            on_phase=lambda _: None,
            on_beat=lambda: None,
            kept=lambda _: None,
            disk=lambda _: None,
            memory_share=float,
        )
        daemon = assemble(settings, strategies, ground)
        stage.is_armed = lambda: daemon.supervisor.phase is Phase.ARMED
        stage.is_busy = lambda: any(engine.plans_in_flight for engine in daemon.supervisor.engines)
        stage.is_due = lambda: any(valuer.due.is_set() for valuer in daemon.valuers)
        tree.spawn("end", _stop_behind(market, daemon))
        await daemon.supervisor.run(tree, arm=True)
    missing = [name for name in listed.keys if name not in history.bars]
    return Played(span, journal.read(), gauge, alarms, missing, market.newest or span.start)


def _strategies(settings: Settings, replay: ReplaySettings) -> list[BookStrategy]:
    made = make_strategies(settings)
    return made if replay.ordinary is OrdinaryAt.EVERY_POINT else [AtBarOpen(strategy) for strategy in made]


def _delta_hard(settings: Settings) -> Decimal:
    found = [strategy_parameters(settings, name) for name in settings.enabled_strategies]
    return min(p.delta_hard for p in found if isinstance(p, BasisParameters))


def _watching(gauge: Gauge, listed: Listing, on_point: Callable[[Point], None]) -> Callable[[Point], None]:
    def watch(point: Point) -> None:
        gauge.prices.update({listed.keys[name]: price for name, price in point.prices.items()})
        gauge.look()
        on_point(point)

    return watch


async def _stop_behind(market: ReplayMarket, daemon: Daemon) -> None:
    await market.ended.wait()
    daemon.supervisor.request_stop()
