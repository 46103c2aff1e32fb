"""From a strategy's name and a directory to an outcome: which configuration, which windows, which rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.judgement import Outcome
from basis_daemon.settings import Settings, load_settings
from basis_daemon.settings.document import Tree, read_document
from basis_daemon.settings.environment import PREFIX
from basis_daemon.settings.families import FAMILIES, family_of
from basis_daemon.simulation.chain.record import ChainRecord, read_record
from basis_daemon.simulation.history import HOUR, SPOT, History, SeriesName, read_history, stamps_in, with_stand_in
from basis_daemon.simulation.hold import hold, instance_of, lacking, needs_chain
from basis_daemon.simulation.outcome import judge, together
from basis_daemon.simulation.path import Point
from basis_daemon.simulation.run import Played, Recorded, Span, play
from basis_daemon.simulation.venue import listing
from basis_daemon.simulation.windows import Stamps, Window, span_of, windows_of
from basis_daemon.simulation.words import check_words, named, step_of
from basis_daemon.wiring_book import Daemon

CONFIG = Path(__file__).resolve().parents[2] / "config" / "replay.yaml"
"""Of a checkout; an installation without one needs a file named on the command line."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked to play."""

    strategy: str
    history: Path
    start: datetime | None = None
    end: datetime | None = None
    config: Path = CONFIG
    signals: Path | None = None


class Spectator(Protocol):
    """Sees a run go by."""

    def begin(self, window: str, span: Span) -> None:
        """A window begins."""
        ...

    def see(self, point: Point, daemon: Daemon) -> None:
        """A point was played; the book as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """One window and what came of it; ``book`` is what was played and its journal read, None where nothing was.

    ``recorded`` and ``settings`` are what it was played with.
    """

    window: Window
    outcome: Outcome
    book: tuple[Played, BookView] | None = None
    recorded: Recorded | None = None
    settings: Settings | None = None


def replay(asked: Asked, environ: Mapping[str, str], spectator: Spectator, on_told: Callable[[Told], None]) -> Outcome:
    """Plays every window of the directory, each as a book of its own. Raises ConfigError, HistoryError among them."""
    settings = settings_for(asked, environ)
    check_words(settings, asked.strategy, asked.signals)
    found = []
    for window in windows_of(asked.history):
        told = _played(settings, asked, window, spectator)
        on_told(told)
        found.append(told.outcome)
    return together(asked.strategy, found)


def _played(settings: Settings, asked: Asked, window: Window, spectator: Spectator) -> Told:
    strategy = instance_of(settings, asked.strategy)
    wanted = list(listing(settings, [strategy]).keys)
    step = step_of(settings, asked.strategy)
    history = _read(settings, window, wanted, step) if wanted else History(window.directory)
    record = read_record(window.directory) if needs_chain(strategy) else None
    span = span_of(window, history, asked.start, asked.end, _others(window, history, record))
    spectator.begin(window.name, span)
    missing = lacking(strategy, record) if record is not None else []
    if missing or (wanted and not history.bars):
        absent = [named(name, step) for name in wanted if name not in history.bars]
        return Told(window, hold(strategy, window, span, [*absent, *missing]))
    recorded = Recorded(history, record, asked.signals)
    played = play(settings, recorded, span, spectator.see)
    view = BookView().fold(played.rows)
    return Told(window, judge(played, view, asked.strategy, window.name), (played, view), recorded, settings)


def _others(window: Window, history: History, record: ChainRecord | None) -> Stamps | None:
    """First and last rows of what the strategy does not trade, where it finds none of its own."""
    return record.stamps if record is not None else None if history.step == HOUR else stamps_in(window.directory)


def _read(settings: Settings, window: Window, wanted: Sequence[SeriesName], step: timedelta) -> History:
    stand_in = settings.replay.spot_stand_in if settings.replay is not None else None
    if stand_in is None or step != HOUR:
        return read_history(window.directory, wanted, step)
    lent = {SeriesName(stand_in, SPOT, name.symbol) for name in wanted if name.market == SPOT}
    return with_stand_in(
        read_history(window.directory, [*wanted, *sorted(lent - {*wanted}, key=str)]), wanted, stand_in
    )


def settings_for(asked: Asked, environ: Mapping[str, str]) -> Settings:
    """The configuration with this one strategy enabled, and the way that it needs.

    Raises ConfigError for a file that does not know it.
    """
    tree = _tree_of(asked.config)
    names = _instances(tree)
    if asked.strategy not in names:
        known = ", ".join(names) or "none"
        raise ConfigError(
            f"--strategy {asked.strategy}: found no such instance in {asked.config}; expected one of {known}; "
            "name one of them, or add a section under strategies"
        )
    chosen = {
        f"{PREFIX}STRATEGIES__{name.upper()}__ENABLED": "true" if name == asked.strategy else "false" for name in names
    }
    if _needs_a_way(names[asked.strategy]) and isinstance(tree.get("transfers"), dict):
        chosen[f"{PREFIX}TRANSFERS__ENABLED"] = "true"
    return load_settings(asked.config, {**environ, **chosen}, with_secrets=False).settings


def _tree_of(file: Path) -> Tree:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--config {file}: {error.strerror}; name a file such as config/replay.yaml") from error
    return read_document(text, str(file)).tree


def _instances(tree: Tree) -> Mapping[str, Tree]:
    """Every instance of the file, by its name."""
    strategies = tree.get("strategies")
    return {name: section for name, section in (strategies or {}).items() if isinstance(section, dict)}


def _needs_a_way(section: Tree) -> bool:
    """True for a book that lives at exchanges and on the chain: it is nothing without a way between them."""
    kind, params = section.get("kind"), section.get("params")
    if kind not in FAMILIES:
        return False
    family = family_of(str(kind), params if isinstance(params, dict) else {})
    return family.weighs and family.is_on_chain
