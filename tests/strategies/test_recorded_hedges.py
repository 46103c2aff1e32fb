"""The acceptance windows of strategies.md 6.0 for the staked hedges: what recorded weeks make of each."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.builders import D
from tests.strategies.recorded import DATA, Stress, moment
from tests.strategies.recorded_hedge import Replay, replayed

CRASH, SQUEEZE = "2024-08_crash_depeg", "2025-05_eth_squeeze"
LOW = moment("2025-05-06T13:00:00+00:00")
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded history at {DATA}"),
    pytest.mark.slow,
]


def is_near(found: Decimal, expected_bp: str) -> bool:
    """Within a tenth or one basis point, whichever is larger."""
    return abs(found - D(expected_bp)) <= max(abs(D(expected_bp)) / 10, D(1))


def acts(run: Replay) -> list[str]:
    return [f"{reason} {at}"[:-6] for reason, at in run.log]


@pytest.mark.parametrize(
    ("window", "start", "lam", "result", "funding", "cost", "z_min", "done"),
    [
        (CRASH, "2024-08-01T00", "0", "4.0", "-2.4", "0", "1.92", []),
        (CRASH, "2024-08-01T00", "0.65", "6.4", "-2.4", "0", "1.92", []),
        (SQUEEZE, "2025-05-06T13", "0", "9.5", "11", "4", "0.93", ["LIQ_TOPUP 05-08", "LIQ_TOPUP 05-10"]),
        (SQUEEZE, "2025-05-06T13", "0.65", "4.8", "11", "8", "0.93", ["LIQ_TOPUP 05-08", "LIQ_TOPUP 05-10"]),
    ],
)
def test_a_standing_hedge_gives_the_accepted_result(
    window: str, start: str, lam: str, result: str, funding: str, cost: str, z_min: str, done: list[str]
) -> None:
    run = replayed(window, moment(f"{start}:00:00+00:00"), lam=D(lam))
    assert is_near(run.result, result)
    assert is_near(run.bp(run.earned), funding)
    assert is_near(run.bp(run.costs), cost)
    assert run.z_min >= D(z_min) - D("0.05")
    assert acts(run) == done
    assert run.delta_max < D("0.004")


@pytest.mark.parametrize("lam", ["0", "0.65"])
@pytest.mark.parametrize(
    ("factor", "z_min", "reason"), [("1.30", "0.47", "LIQ_REDUCE"), ("1.40", "0.15", "LIQ_EMERGENCY")]
)
def test_a_worse_squeeze_is_survived_by_one_buy_back_and_nothing_that_undoes_it(
    lam: str, factor: str, z_min: str, reason: str
) -> None:
    run = replayed(SQUEEZE, LOW, lam=D(lam), stress=Stress(D(factor), moment("2025-05-07T00:00:00+00:00")))
    assert acts(run) == [f"{reason} 05-07"]
    assert abs(run.z_min - D(z_min)) < D("0.05")
    assert run.delta_max < D("0.004")


@pytest.mark.parametrize("lam", ["0", "0.65"])
@pytest.mark.parametrize(("window", "start"), [(CRASH, "2024-08-01"), (SQUEEZE, "2025-05-06")])
def test_no_hedge_is_entered_where_yield_and_funding_do_not_pay_it(window: str, start: str, lam: str) -> None:
    run = replayed(window, moment(f"{start}T00:00:00+00:00"), lam=D(lam), is_opened=False)
    assert run.log == []
