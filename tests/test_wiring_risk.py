"""The gauges of risk: as near as each position is, NaN for what nobody knows, and far once a position is gone."""

from __future__ import annotations

import pytest

from basis_daemon.domain.threats import threats_of
from basis_daemon.telemetry import Metrics
from basis_daemon.wiring_risk import gauges
from tests.domain.risk_books import book, loan, short

SERIES = '{position="binanceusdm:perp:ETHUSDT",site="binanceusdm",strategy="book"}'


@pytest.mark.feature("K04", part="metrics")
def test_every_position_has_its_gauges_and_the_worst_has_its_own() -> None:
    metrics = Metrics()
    gauges(metrics)(threats_of(book(short("13"), loan())))
    found = metrics.snapshot()
    assert f"{found[f'risk_distance_shocks{SERIES}']:.3f}" == "0.475"
    assert (found[f"risk_level{SERIES}"], found["risk_level_max"]) == (2, 2)
    assert 0 < found["risk_hours_to_liquidation_min"] < 12


@pytest.mark.feature("K04", part="metrics")
def test_what_nobody_knows_is_not_a_number_and_what_is_gone_is_far() -> None:
    metrics = Metrics()
    look = gauges(metrics)
    look(threats_of(book(short("50", missing=("mark:x",)))))
    for name in (f"risk_distance_shocks{SERIES}", f"risk_level{SERIES}", "risk_level_max"):
        assert metrics.snapshot()[name] != metrics.snapshot()[name], name
    look(())
    assert metrics.snapshot()[f"risk_distance_shocks{SERIES}"] == float("inf")
    assert (metrics.snapshot()[f"risk_level{SERIES}"], metrics.snapshot()["risk_level_max"]) == (0, 0)
