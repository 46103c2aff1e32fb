"""Books that listen to a model, in a replay: bars of their own length, contracts without spot, and recorded words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.settings import Settings, strategy_parameters
from basis_daemon.simulation.history import FILES, HOUR, SeriesName
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from basis_daemon.venues.signals.feed import SignalFeed
from basis_daemon.venues.signals.intake import Intake
from basis_daemon.venues.signals.recorded import RecordedSignals
from basis_daemon.wiring_signals import hearing_of

CONTRACT_VALUE = Decimal(100)
"""Dollars that one inverse contract stands for."""
ONE = Decimal(1)
Voices = Callable[[Sequence[EventDrivenStrategyEngine], Mailbox], Sequence[SignalFeed]]


def is_directional(settings: Settings, name: str) -> bool:
    """True for an instance that listens to a model."""
    return isinstance(strategy_parameters(settings, name), DirectionalParameters)


def step_of(settings: Settings, name: str) -> timedelta:
    """Length of the bars that an instance is played on. Raises ConfigError for one that no file has."""
    parameters = strategy_parameters(settings, name)
    if not isinstance(parameters, DirectionalParameters):
        return HOUR
    if parameters.bar not in FILES:
        known = ", ".join(f"{step.total_seconds():g}" for step in FILES)
        raise ConfigError(f"strategies.{name}.params.bar_s: found {parameters.bar_s}; expected one of {known}")
    return parameters.bar


def named(series: SeriesName, step: timedelta) -> str:
    """A series as it is told to be missing: bars that are not hourly with the file that they would be in."""
    return str(series) if step == HOUR else f"{FILES[step]} {series}"


def contract(perp: Instrument, *, is_inverse: bool) -> Instrument:
    """What a model's word is traded on: the linear perp as it is, or its inverse sibling, counted in contracts."""
    if not is_inverse:
        return perp
    key = PositionKey.of(perp.key.venue, perp.key.kind, f"{perp.base}USD")
    return replace(
        perp, key=key, quote="USD", contract_value=CONTRACT_VALUE, quantity_step=ONE, quantity_min=ONE,
        notional_min=Decimal(0),
    )  # fmt: skip


def check_words(settings: Settings, name: str, words: Path | None) -> None:
    """Raises ConfigError for words that nobody listens to, and for a file that is none."""
    if words is None:
        return
    if not is_directional(settings, name):
        raise ConfigError(f"--signals {words}: {name} listens to no model; leave it out, or name another --strategy")
    if not words.is_file():
        raise ConfigError(f"--signals {words}: found no such file; expected recorded words, one JSON object a line")


def spoken(settings: Settings, words: Path | None, alarm: Alarm) -> Voices:
    """Recorded words for every instance that listens; without a file nobody speaks."""

    def voices(engines: Sequence[EventDrivenStrategyEngine], mailbox: Mailbox) -> Sequence[SignalFeed]:
        found = []
        for engine in engines if words is not None else ():
            parameters = strategy_parameters(settings, engine.strategy.name)
            if words is not None and isinstance(parameters, DirectionalParameters):
                hearing = hearing_of(engine.strategy.name, parameters, parameters.bar)
                source = RecordedSignals(words, Intake(hearing, alarm, _uncounted))
                found.append(SignalFeed(source, mailbox.subscribe, engine.on_prediction))
        return found

    return voices


def _uncounted(_strategy: str, _what: str) -> None:
    """A replay has no metrics; the source counts for itself."""
