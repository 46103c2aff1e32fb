"""The accepted figures of each recorded window, one test a row, as the whole daemon reaches them.

One venue, taker fees 10 and 5 bp, 1.5 bp of slippage a fill, maintenance 1 %, 100,000 USDT. Within a tenth or one basis
point, whichever is larger; z no lower than .05 below; counts and times exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.engine.codec import DecisionRow, load
from basis_daemon.ports import RecordKind
from basis_daemon.simulation.replay import Asked
from tests.replay.support import BOOM, CRASH, DATA, HERE, SQUEEZE, D, Json, needs_data, one, whole

pytestmark = [needs_data, pytest.mark.slow]

ENTRY_FROM, OPEN_FROM, STRESS_FROM = HERE / "entry.yaml", HERE / "open.yaml", HERE / "stress.yaml"
DEFENCE = {"LIQ_TOPUP", "LIQ_REDUCE", "LIQ_EMERGENCY"}


@dataclass(frozen=True)
class Row:
    """A row of the table; basis points of the capital. ``acts`` are reason and market time, as far as it is told."""

    window: str
    book: str
    result: str
    funding: str
    cost: tuple[str, str]
    z_min: str | None
    acts: tuple[str, ...] = ()
    is_open: bool = False

    def __str__(self) -> str:
        return f"{self.window}-{self.book}-{'open' if self.is_open else 'flat'}"


ROWS = (
    Row(BOOM, "btc_basis", "216", "238", ("17", "17"), "0.99",
        ("03-01T00:00 ENTRY", "03-11 LIQ_TOPUP", "03-20 MARGIN_EXCESS")),
    Row(BOOM, "eth_basis", "193", "216", ("14", "18"), "0.95",
        ("03-01T00:00 ENTRY", "03-05 LIQ_TOPUP", "03-24 MARGIN_EXCESS", "03-26 LIQ_TOPUP")),
    Row(CRASH, "btc_basis", "0", "0", ("0", "0"), None),
    Row(CRASH, "eth_basis", "0", "0", ("0", "0"), None),
    Row(SQUEEZE, "btc_basis", "0", "0", ("0", "0"), None),
    Row(SQUEEZE, "eth_basis", "0", "0", ("0", "0"), None),
    Row(CRASH, "btc_basis", "10", "8", ("0", "0"), "1.83", (), is_open=True),
    Row(CRASH, "eth_basis", "-12", "-1", ("10", "10"), "1.53", ("08-07T08:00 CARRY_EXIT",), is_open=True),
    Row(SQUEEZE, "btc_basis", "-13", "0", ("13", "13"), "1.94", ("05-06T00:00 CARRY_EXIT",), is_open=True),
    Row(SQUEEZE, "eth_basis", "7.9", "12", ("4", "4"), "0.81", ("05-08 LIQ_TOPUP", "05-09 LIQ_TOPUP"), is_open=True),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_recorded_window_gives_the_accepted_result(row: Row) -> None:
    config = OPEN_FROM if row.is_open else ENTRY_FROM
    outcome = whole(Asked(row.book, DATA / row.window, config=config))
    said = outcome.document
    assert is_near(said["result_bp"], row.result)
    assert is_near(said["funding_bp"], row.funding)
    assert D(row.cost[0]) - 1 <= D(said["cost_bp"]) <= D(row.cost[1]) + 1
    assert (said["min_z"] is None) if row.z_min is None else D(said["min_z"]) >= D(row.z_min) - D("0.05")
    assert len(said["acts"]) == len(row.acts)
    assert all(_is(act, expected) for act, expected in zip(said["acts"], row.acts, strict=True))
    holds_what_every_run_must(said)


def test_a_squeeze_a_third_worse_than_the_recorded_one_is_survived_by_one_emergency() -> None:
    start = datetime.fromisoformat("2025-05-06T13:00:00+00:00")
    outcome = whole(Asked("eth_basis", DATA / SQUEEZE, start=start, config=STRESS_FROM))
    said = outcome.document
    assert said["actions"]["LIQ_EMERGENCY"] == 1
    assert set(said["actions"]) <= {"LIQ_EMERGENCY", "LIQ_TOPUP"}
    assert said["acts"][0]["reason"] == "LIQ_EMERGENCY"
    assert said["actions"].get("LIQ_TOPUP", 0) <= 3
    assert D("0.12") <= D(said["min_z"]) < D("0.25")
    holds_what_every_run_must(said)


def test_hours_that_are_missing_are_held_through_and_never_read_as_zero() -> None:
    """22 hours without a perp: nothing is decided but STALE, then the gate is open and the book enters."""
    start, end = (datetime.fromisoformat(f"2024-03-{at}:00:00+00:00") for at in ("22T02", "24T00"))
    outcome, played, _ = one(Asked("btc_basis", DATA / BOOM, start=start, end=end, config=HERE / "binance.yaml"))
    said = outcome.document
    rows = [row.record for row in played.rows if row.record.kind is RecordKind.DECISION]
    reasons = {load(DecisionRow, r.payload).assessment.reason for r in rows if r.market_time.isoformat() < "2024-03-23"}
    assert reasons == {ReasonCode.STALE}
    assert said["decisions"]["STALE"] >= 22 * 4
    assert [act["reason"] for act in said["acts"]] == ["ENTRY"]
    holds_what_every_run_must(said)


def holds_what_every_run_must(said: Json) -> None:
    """No liquidation, nothing unexplained, delta in its band outside clips, nothing traded back and forth."""
    assert (said["liquidations"], said["unexplained"], said["breaks"], said["in_doubt"]) == (0, "0", 0, 0)
    assert D(said["max_abs_delta_settled"]) < D("0.004")
    assert D(said["delta_breach_seconds"]) < 2 * max(len(said["acts"]), 1)
    assert said["denied"] == 0
    assert (said["guard"], said["alarms"]) == ("ACTIVE", {}) or "LIQ_EMERGENCY" in said["actions"]
    assert set(said["actions"]) <= DEFENCE | {"ENTRY", "CARRY_EXIT", "MARGIN_EXCESS"}  # no dust, no drift by price
    for act, following in zip(said["acts"], said["acts"][1:], strict=False):
        if act["reason"] in DEFENCE and following["reason"] not in DEFENCE:  # back into the pair, a day later at least
            gap = datetime.fromisoformat(following["at"]) - datetime.fromisoformat(act["at"])
            assert gap.total_seconds() >= 86_400


def is_near(found: str, expected: str) -> bool:
    """Within a tenth or one basis point, whichever is larger."""
    return abs(D(found) - D(expected)) <= max(abs(D(expected)) / 10, D(1))


def _is(act: Json, expected: str) -> bool:
    at, reason = expected.split()
    return bool(act["reason"] == reason and act["at"][5:].startswith(at))
