"""What a replay assumes, and that it says so: the path inside a bar moves no ordinary trade, and size has its price."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.decision import Assessment, ReasonCode
from basis_daemon.simulation.convention import AtBarOpen
from basis_daemon.simulation.history import Bar
from basis_daemon.simulation.market import BookShape
from basis_daemon.simulation.path import Stress, walked
from basis_daemon.simulation.replay import Asked
from tests.builders import NOW, idle, paired
from tests.replay.support import START, D, whole, written


@pytest.mark.parametrize(("minute", "reason"), [(0, ReasonCode.ENTRY), (20, ReasonCode.HOLD), (59, ReasonCode.HOLD)])
def test_an_entry_waits_for_the_next_bar_and_says_so(minute: int, reason: ReasonCode) -> None:
    found = _asked(NOW + timedelta(minutes=minute))
    assert found.reason is reason
    assert (reason is ReasonCode.ENTRY) is not found.note.startswith("ENTRY waits for the next bar: ")
    assert bool(found.targets) is (reason is ReasonCode.ENTRY)


def test_defence_waits_for_nothing() -> None:
    scene = paired(m=D("0.15"))
    at = NOW + timedelta(minutes=20)
    found = AtBarOpen(scene.strategy).assess(at, "market", scene.market, scene.exposure, scene.risk)
    assert found.reason is ReasonCode.LIQ_TOPUP
    assert found.targets


def test_a_stress_begins_at_its_instant_and_leaves_the_order_of_the_path() -> None:
    """Behind the open of a bar that closes down: the open stands, the rest is twice as high, the high comes first."""
    bar = Bar(START, D(100), D(110), D(90), D(95))
    assert [int(price) for price in walked(bar, Stress(D(2), START + timedelta(minutes=1)))] == [100, 220, 180, 190]
    assert [int(price) for price in walked(bar, Stress(D(2), START))] == [200, 220, 180, 190]
    assert [int(price) for price in walked(bar, Stress(D(2), START + timedelta(hours=1)))] == [100, 110, 90, 95]


def _asked(at: datetime) -> Assessment:
    scene = idle()
    return AtBarOpen(scene.strategy).assess(at, "market", scene.market, scene.exposure, scene.risk)


@given(
    price=st.decimals("0.01", "1000000", places=4),
    slippage=st.decimals("0", "50", places=2),
    depth=st.decimals("1000", "1000000000", places=0),
)
def test_every_level_holds_its_money_and_the_two_sides_lie_alike_around_the_price(
    price: Decimal, slippage: Decimal, depth: Decimal
) -> None:
    shape = BookShape(slippage, D(1), depth, 5)
    bids, asks = shape.side(price, -1), shape.side(price, 1)
    for n, (bid, ask) in enumerate(zip(bids, asks, strict=True)):
        off = price * (slippage + n) / 10_000
        assert abs(price - bid[0] - off) < D("1e-18") * price
        assert abs(ask[0] - price - off) < D("1e-18") * price
        assert all(abs(level * size - depth) < D("1e-12") * depth for level, size in (bid, ask))


@pytest.mark.parametrize("slippage", ["0", "3"])
def test_slippage_costs_what_was_configured_on_every_fill(tmp_path: Path, slippage: str) -> None:
    window = written(tmp_path / "window")
    environ = {"BASIS_DAEMON__REPLAY__SLIPPAGE_BP": slippage}
    said = whole(Asked("btc_basis", window, start=START, end=START.replace(hour=4)), environ).document
    fees_at_5_bp, fees_at_10_bp = D("0.0005"), D("0.001")
    traded = D(said["fees"]) / (fees_at_5_bp + fees_at_10_bp)  # the same quantity of both legs, but for what fees take
    assert said["actions"] == {"ENTRY": 1}
    assert D(said["slippage"]) == pytest.approx(2 * traded * D(slippage) / 10_000, rel=D("0.002"))


def test_a_book_too_thin_for_a_clip_is_not_entered(tmp_path: Path) -> None:
    window = written(tmp_path / "window")
    environ = {"BASIS_DAEMON__REPLAY__DEPTH_USDT": "3000"}
    said = whole(Asked("btc_basis", window, start=START, end=START.replace(hour=4)), environ).document
    assert said["actions"] == {}
    assert "depth" in said["why"]
