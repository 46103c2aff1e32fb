"""The acceptance windows of strategies.md 6.0 for the ETH book: what recorded weeks make of core and overlay."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.builders import D
from tests.strategies.chain_scenes import A_WETH, USDT_DEBT
from tests.strategies.recorded import DATA, moment
from tests.strategies.recorded_overlay import CORE, replayed

BOOM, CRASH, SQUEEZE = "2024-03_funding_boom", "2024-08_crash_depeg", "2025-05_eth_squeeze"
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded history at {DATA}"),
    pytest.mark.slow,
]


def is_near(found: Decimal, expected_bp: str) -> bool:
    """Within a tenth or one basis point, whichever is larger."""
    return abs(found - D(expected_bp)) <= max(abs(D(expected_bp)) / 10, D(1))


def test_the_boom_is_lent_through_and_carried_on_borrowed_dollars() -> None:
    run = replayed(BOOM, moment("2024-03-01T00:00:00+00:00"))
    assert is_near((run.ether - CORE) * 100, "38")
    assert is_near(run.ether_bp(run.earned), "70")
    assert run.ether_bp(run.costs) < D("11.1") * D("1.1")  # trades 4.5, gas 6.6
    assert run.z_min >= D("0.96") - D("0.05")
    assert run.lam_max <= D("0.44")
    assert [(reason, at[:5]) for reason, at in run.log] == [
        ("ENTRY", "03-01"),
        ("ENTRY", "03-03"),
        ("LIQ_TOPUP", "03-05"),
    ]
    assert run.log[1] == ("ENTRY", "03-03 00:00")
    assert run.delta_max < D("0.004")


@pytest.mark.parametrize(("window", "start", "result"), [(CRASH, "2024-08-01", "6.4"), (SQUEEZE, "2025-05-06", "3.1")])
def test_where_no_carry_pays_interest_the_core_is_lent_and_nothing_borrowed(
    window: str, start: str, result: str
) -> None:
    run = replayed(window, moment(f"{start}T00:00:00+00:00"))
    assert is_near((run.ether - CORE) * 100, result)
    assert run.weigh(USDT_DEBT) == 0
    assert run.weigh(A_WETH) > 99
    assert [reason for reason, _ in run.log] == ["ENTRY"]
