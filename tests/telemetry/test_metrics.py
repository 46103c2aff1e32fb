"""Counters and gauges."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.telemetry import Metrics


def test_a_snapshot_names_every_series_in_prometheus_notation() -> None:
    metrics = Metrics()
    metrics.count("orders_total", venue="binance", outcome="filled")
    metrics.count("orders_total", 2, outcome="filled", venue="binance")
    metrics.count("fees_usdt_total", Decimal("0.10"))
    metrics.gauge("net_delta_usd", Decimal("-12.5"), underlying="BTC")
    metrics.gauge("net_delta_usd", Decimal("3.5"), underlying="BTC")
    assert metrics.snapshot() == {
        "fees_usdt_total": Decimal("0.10"),
        'net_delta_usd{underlying="BTC"}': Decimal("3.5"),
        'orders_total{outcome="filled",venue="binance"}': 3,
    }
    assert metrics.value("orders_total", venue="binance", outcome="filled") == 3
    assert metrics.value("orders_total", venue="okx") == 0
    assert [sample.kind for sample in metrics.samples()] == ["counter", "gauge", "counter"]


def test_a_counter_never_falls() -> None:
    with pytest.raises(ValueError, match="amount -1, expected 0 or more"):
        Metrics().count("orders_total", -1)


def test_a_name_keeps_its_kind() -> None:
    metrics = Metrics()
    metrics.count("orders_total")
    with pytest.raises(ValueError, match="orders_total: written as gauge, expected counter"):
        metrics.gauge("orders_total", 1)


@pytest.mark.parametrize("name", ["Orders_total", "orders", "orders-total"])
def test_a_badly_named_counter_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected lower_case"):
        Metrics().count(name)


def test_a_label_that_holds_an_id_cannot_fill_the_memory() -> None:
    metrics = Metrics(series_max=2)
    for order in range(5):
        metrics.count("orders_total", order_id=str(order))
    metrics.count("orders_total", order_id="0")
    assert metrics.snapshot() == {
        "metrics_series_dropped_total": 3,
        'orders_total{order_id="0"}': 2,
        'orders_total{order_id="1"}': 1,
    }
