"""The acceptance windows of strategies.md 6.0: what the recorded months make of each basis book."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.builders import D
from tests.strategies.recorded import DATA, Run, Stress, moment, replay

BOOM, CRASH, SQUEEZE = "2024-03_funding_boom", "2024-08_crash_depeg", "2025-05_eth_squeeze"

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded history at {DATA}"),
    pytest.mark.slow,
]


def is_near(run: Run, amount: Decimal, expected_bp: Decimal | int) -> bool:
    """Within a tenth or one basis point, whichever is larger."""
    return abs(run.bp(amount) - expected_bp) <= max(abs(D(expected_bp)) / 10, D(1))


@pytest.mark.parametrize(
    ("window", "start", "opened", "result", "funding", "cost", "z_min", "acts"),
    [
        (BOOM, "2024-03-01", False, 216, 238, 17, "0.99", ["ENTRY 03-01 00", "LIQ_TOPUP 03-11", "MARGIN_EXCESS 03-20"]),
        (CRASH, "2024-08-01", False, 0, 0, 0, None, []),
        (SQUEEZE, "2025-05-06", False, 0, 0, 0, None, []),
        (CRASH, "2024-08-01", True, 10, 8, 0, "1.83", []),
        (SQUEEZE, "2025-05-06", True, -13, 0, 13, "1.94", ["CARRY_EXIT 05-06 00"]),
    ],
)
def test_a_recorded_window_gives_the_accepted_result(
    window: str, start: str, opened: bool, result: int, funding: int, cost: int, z_min: str | None, acts: list[str]
) -> None:
    run = replay(window, moment(f"{start}T00:00:00+00:00"), opened=opened)
    assert is_near(run, run.equity - run.capital, result)
    assert is_near(run, run.funding, funding)
    assert is_near(run, run.costs, cost)
    assert z_min is None or run.z_min >= D(z_min) - D("0.05")
    assert len(run.acts) == len(acts)
    assert all(f"{reason} {at}".startswith(act) for (reason, at), act in zip(run.acts, acts, strict=True))
    assert run.delta_max < D("0.004")


@pytest.mark.parametrize(
    ("window", "opened", "result", "funding", "costs", "z_min", "acts"),
    [
        (BOOM, None, 193, 216, (14, 18), "0.95",
         ["ENTRY 03-01 00:00", "LIQ_TOPUP 03-05", "MARGIN_EXCESS 03-24", "LIQ_TOPUP 03-26"]),
        (CRASH, None, 0, 0, (0, 0), None, []),
        (SQUEEZE, None, 0, 0, (0, 0), None, []),
        (CRASH, "2024-08-01T00", -12, -1, (10, 10), "1.53", ["CARRY_EXIT 08-07 08:00"]),
        (SQUEEZE, "2025-05-06T00", D("7.9"), 12, (4, 4), "0.81", ["LIQ_TOPUP 05-08", "LIQ_TOPUP 05-09"]),
    ],
)  # fmt: skip
def test_a_recorded_window_gives_the_accepted_result_for_eth(
    window: str,
    opened: str | None,
    result: Decimal,
    funding: int,
    costs: tuple[int, int],
    z_min: str | None,
    acts: list[str],
) -> None:
    start = opened or {BOOM: "2024-03-01T00", CRASH: "2024-08-01T00", SQUEEZE: "2025-05-06T00"}[window]
    run = replay(window, moment(f"{start}:00:00+00:00"), opened=opened is not None, asset="ETH")
    assert is_near(run, run.equity - run.capital, result)
    assert is_near(run, run.funding, funding)
    assert costs[0] - 1 <= run.bp(run.costs) <= costs[1] + 1
    assert z_min is None or run.z_min >= D(z_min) - D("0.05")
    assert [f"{reason} {at}"[: len(act)] for (reason, at), act in zip(run.acts, acts, strict=True)] == acts
    assert run.delta_max < D("0.004")


def test_a_squeeze_a_third_worse_than_the_recorded_one_is_survived_by_one_emergency() -> None:
    worse = Stress(D("1.30"), moment("2025-05-07T00:00:00+00:00"))
    run = replay(SQUEEZE, moment("2025-05-06T13:00:00+00:00"), opened=True, asset="ETH", stress=worse)
    reasons = [reason for reason, _ in run.acts]
    assert reasons[0] == "LIQ_EMERGENCY"
    assert set(reasons[1:]) <= {"LIQ_TOPUP"}
    assert len(reasons) <= 4
    assert D("0.12") <= run.z_min < D("0.25")
    assert run.delta_max < D("0.004")
