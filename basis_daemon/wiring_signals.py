"""The models that speak to strategies, as feeds: which source it is is chosen here, and nothing behind it knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.position_update_handler import Alarm
from basis_daemon.engine.strategy_engine import EventDrivenStrategyEngine
from basis_daemon.settings import Mode, Settings, strategy_parameters
from basis_daemon.settings.signals import SignalSettings
from basis_daemon.signals import SignalSource
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from basis_daemon.strategies.ml_view import contract_key
from basis_daemon.telemetry import Metrics
from basis_daemon.venues.signals.feed import SignalFeed
from basis_daemon.venues.signals.http import HttpSignals, Service
from basis_daemon.venues.signals.intake import Count, Hearing, Intake
from basis_daemon.venues.signals.recorded import RecordedSignals

T = TypeVar("T")


def signal_feeds(
    settings: Settings,
    engines: Sequence[EventDrivenStrategyEngine],
    mailbox: Mailbox,
    clock: SystemClock,
    alarm: Alarm,
    metrics: Metrics,
) -> list[SignalFeed]:
    """One feed for every strategy that listens."""
    found = []
    for engine in engines:
        name = engine.strategy.name
        parameters = strategy_parameters(settings, name)
        if isinstance(parameters, DirectionalParameters):
            signal = settings.signals[name]
            hearing = hearing_of(name, parameters, timedelta(seconds=float(signal.ttl_s)))
            source = _source(signal, Intake(hearing, alarm, _counter(metrics)), clock, settings.mode)
            found.append(SignalFeed(source, mailbox.subscribe, engine.on_prediction))
    return found


def hearing_of(name: str, parameters: DirectionalParameters, ttl: timedelta) -> Hearing:
    """Who listens to what; shown the market of its first venue."""
    return Hearing(name, contract_key(parameters.venues[0], parameters), parameters.listening, ttl)


def _counter(metrics: Metrics) -> Count:
    def count(strategy: str, what: str) -> None:
        metrics.count("predictions_total", strategy=strategy, what=what)

    return count


def _source(signal: SignalSettings, intake: Intake, clock: SystemClock, mode: Mode) -> SignalSource:
    if signal.source == "http":
        service = Service(_given(signal.url), float(signal.timeout_s), signal.token)
        if mode is Mode.SANDBOX and not service.is_local:
            raise ConfigError("signals url: found another machine, expected loopback: the sandbox reaches nobody else")
        return HttpSignals(service, intake, clock)
    if signal.source == "onnx":
        from basis_daemon.venues.signals.onnx_model import Artefact, OnnxSignals  # noqa: PLC0415 - a runtime of models is loaded where there is a model

        artefact = Artefact(_given(signal.file), _given(signal.sha256), _given(signal.model_version))
        return OnnxSignals(artefact, intake)
    return RecordedSignals(_given(signal.file), intake)


def _given(value: T | None) -> T:
    if value is None:
        raise ConfigError("signals: found nothing, expected a value; `config check` says which")
    return value
