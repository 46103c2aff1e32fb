"""The risk view of a daemon: whose positions it reads, by what they are judged, and the gauges it sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.risk_book import RiskTerms
from basis_daemon.domain.threats import NEVER, LadderState, Threat, ladder_state, least_hours
from basis_daemon.engine.gate import RiskDesk
from basis_daemon.engine.picture import PictureMaker
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.risk_watch import RiskWatch, Watched
from basis_daemon.engine.valuation import Valuer
from basis_daemon.settings import Settings
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.telemetry import Metrics
from basis_daemon.wiring_limits import caps_of

UNKNOWN = Decimal("NaN")
LIABLE = frozenset({Kind.PERP, Kind.VDEBT})


def risk_watch(
    settings: Settings,
    strategies: Sequence[BookStrategy],
    pictures: Sequence[PictureMaker],
    desks: Sequence[RiskDesk],
    valuers: Sequence[Valuer],
    recorder: Recorder,
) -> RiskWatch:
    """Over these strategies, each by its own picture; every valuation keeps it, every gate sees all other books."""
    books = list(zip(strategies, pictures, strict=True))
    watched = {own.name: Watched(partial(each.survey, own), risk_terms(settings, own)) for own, each in books}
    watch = RiskWatch(watched, recorder)
    for own, desk, valuer in zip(strategies, desks, valuers, strict=True):
        valuer.on_valued, desk.peers = partial(watch.keep, own.name), partial(watch.others, own.name)
    return watch


def risk_terms(settings: Settings, strategy: BookStrategy) -> RiskTerms:
    """By what the positions of one strategy are judged."""
    charter = strategy.charter
    return RiskTerms(
        ladder=charter.ladder,
        health=charter.health,
        shocks=charter.shocks,
        drift=settings.risk.drift_shocks_per_day,
        caps=caps_of(settings),
        liable=tuple(sorted({key.venue for key in strategy.declared_keys if key.kind in LIABLE})),
        ways=charter.ways,
        m_star=charter.m_star,
        lambda_target=charter.lambda_target,
        exit_cost=charter.exit_cost,
        numeraire=charter.numeraire,
        slip_emergency_bp=charter.slip_emergency_bp,
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
