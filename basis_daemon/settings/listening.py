"""A strategy that listens needs one that speaks, and both must mean the same model."""

from __future__ import annotations

from collections.abc import Iterator

from basis_daemon.domain.settings_faults import Fault
from basis_daemon.settings.explain import Where, plain
from basis_daemon.settings.families import strategy_parameters
from basis_daemon.settings.model import Mode, Settings
from basis_daemon.settings.paper import is_replay
from basis_daemon.settings.signals import SignalSettings
from basis_daemon.strategies.ml_parameters import DirectionalParameters

_NEEDS = {"file": ("file",), "http": ("url",), "onnx": ("file", "sha256", "model_version")}


def signal_faults(settings: Settings, where: Where) -> Iterator[Fault]:
    """Everything that keeps an enabled strategy from hearing its model."""
    for name in settings.signals.keys() - settings.strategies.keys():
        known = ", ".join(settings.strategies)
        yield _fault(f"signals.{name}", "a voice for nobody", f"a strategy of this file: {known}", where)
    for name in settings.enabled_strategies:
        parameters = strategy_parameters(settings, name)
        if not isinstance(parameters, DirectionalParameters):
            continue
        if is_replay(settings):  # it is given its words when it is played
            continue
        if settings.mode is not Mode.SANDBOX:
            kind = settings.strategies[name].kind
            yield _fault("mode", settings.mode, f"sandbox: {kind} has been played at the sandbox exchange only", where)
        signal = settings.signals.get(name)
        if signal is None:
            yield _fault("signals", "nothing", f"a section {name}, because strategies.{name} listens to a model", where)
        else:
            yield from _faults_of(f"signals.{name}", signal, parameters, where)


def _faults_of(key: str, signal: SignalSettings, parameters: DirectionalParameters, where: Where) -> Iterator[Fault]:
    for part in _NEEDS[signal.source]:
        if getattr(signal, part) is None:
            yield _fault(f"{key}.{part}", "nothing", f"a value, because the source is {signal.source}", where)
    version = signal.model_version
    if version is not None and version not in parameters.models:
        yield _fault(f"{key}.model_version", version, f"one of the models {', '.join(parameters.models)}", where)
    if signal.ttl_s > parameters.bar_s:
        expected = f"at most {parameters.bar_s} s, the bar_s of the strategy: a word is about the last bar"
        yield _fault(f"{key}.ttl_s", f"{plain(signal.ttl_s)} s", expected, where)


def _fault(key: str, found: str, expected: str, where: Where) -> Fault:
    return Fault(key, found, expected, "change one of the two", where(key))
