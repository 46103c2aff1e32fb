"""The risk view of a daemon: whose positions it reads, by what they are judged, and the gauges it sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from basis_daemon.domain.risk_book import RiskTerms
from basis_daemon.domain.threats import NEVER, LadderState, Threat, ladder_state, least_hours
from basis_daemon.engine.picture import Survey
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.risk_watch import RiskWatch, Watched
from basis_daemon.settings import Settings
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.telemetry import Metrics

UNKNOWN = Decimal("NaN")


def risk_watch(
    settings: Settings, strategies: Sequence[BookStrategy], surveys: Sequence[Survey], recorder: Recorder
) -> RiskWatch:
    """Over these strategies, each surveyed by its own."""
    watched = {
        own.name: Watched(survey, risk_terms(settings, own)) for own, survey in zip(strategies, surveys, strict=True)
    }
    return RiskWatch(watched, recorder)


def risk_terms(settings: Settings, strategy: BookStrategy) -> RiskTerms:
    """By what the positions of one strategy are judged."""
    charter = strategy.charter
    return RiskTerms(
        ladder=charter.ladder,
        health=charter.health,
        shocks=charter.shocks,
        exchange_of=charter.exchange_of,
        drift=settings.risk.drift_shocks_per_day,
    )


def gauges(metrics: Metrics) -> Callable[[Sequence[Threat]], None]:
    """Sets, at every look, how near each position is; NaN for what is not known, so that no alert takes it for safe.

    ``risk_level`` counts the steps of the ladder from 0 (ACTIVE) to 3 (EMERGENCY).
    """
    told: dict[str, Threat] = {}

    def set_all(threats: Sequence[Threat]) -> None:
        gone = {name: threat for name, threat in told.items() if name not in {_name(each) for each in threats}}
        for name, threat in gone.items():  # closed: nothing of it can be liquidated any more
            del told[name]
            _set(metrics, threat, None)
        for threat in threats:
            told[_name(threat)] = threat
            _set(metrics, threat, threat)
        metrics.gauge("risk_hours_to_liquidation_min", _known(least_hours(each.hours_drift for each in threats)))
        is_unknown = ladder_state(threats) is LadderState.UNKNOWN
        worst = max((each.level or 0 for each in threats), default=0)
        metrics.gauge("risk_level_max", UNKNOWN if is_unknown else worst)

    return set_all


def _name(threat: Threat) -> str:
    return f"{threat.strategy} {threat.site} {threat.position}"


def _set(metrics: Metrics, threat: Threat, now: Threat | None) -> None:
    """``now`` is None once the position is gone: then nothing is ever near."""
    labels = {"strategy": threat.strategy, "site": threat.site, "position": threat.position}
    level = Decimal(now.level) if now is not None and now.level is not None else None
    far = now is None
    metrics.gauge("risk_distance_shocks", NEVER if far else _known(threat.z), **labels)
    metrics.gauge("risk_distance_ratio", NEVER if far else _known(threat.distance), **labels)
    metrics.gauge("risk_hours_to_liquidation", NEVER if far else _known(threat.hours_drift), **labels)
    metrics.gauge("risk_level", 0 if far else _known(level), **labels)


def _known(value: Decimal | None) -> Decimal:
    return UNKNOWN if value is None else value
