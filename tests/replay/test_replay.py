"""A replay end to end: the engine that trades, on hours that were, and the same answer every time."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.decision import ReasonCode
from basis_daemon.domain.ledger import Cause
from basis_daemon.engine.codec import DecisionRow, load
from basis_daemon.ports import RecordKind
from basis_daemon.simulation.replay import Asked
from tests.replay.support import BOOM, DATA, HERE, START, D, answered, commanded, needs_data, one, whole, written

pytestmark = pytest.mark.slow


def test_a_rich_market_is_entered_at_the_first_bar_and_every_cent_of_it_is_explained(tmp_path: Path) -> None:
    outcome, _, view = one(Asked("btc_basis", written(tmp_path / "rich"), start=START))
    said, state = outcome.document, view.state
    assert said["actions"] == {"ENTRY": 1}
    assert said["acts"][0]["at"] == START.isoformat()
    assert (said["liquidations"], said["unexplained"], said["breaks"], said["alarms"]) == (0, "0", 0, {})
    assert D(said["funding"]) == state.ledger.total(Cause.FUNDING, "USDT") > 0
    assert D(said["equity_end"]) == D(said["equity_start"]) + sum(map(Decimal, said["pnl"].values()))
    assert D(said["max_abs_delta_settled"]) < D("0.001")
    assert 0 < D(said["delta_breach_seconds"]) < 2  # between the legs of a clip, and at no other time


@pytest.mark.slow
@pytest.mark.feature("B04")
def test_the_same_history_gives_the_same_decisions_whatever_the_hash_seed(tmp_path: Path) -> None:
    window = str(written(tmp_path / "rich"))
    words = ("--strategy", "btc_basis", "--history", window, "--from", f"{START:%Y-%m-%d}")
    first, second = (answered(*words, hash_seed=seed) for seed in ("1", "4242"))
    assert first == second
    assert len(first["decision_stream_sha256"]) == 64


@needs_data
@pytest.mark.slow
def test_a_recorded_month_gives_the_same_decisions_whatever_the_hash_seed() -> None:
    words = ("--strategy", "btc_basis", "--history", str(DATA / BOOM), "--to", "2024-03-11")
    first, second = (answered(*words, hash_seed=seed) for seed in ("1", "4242"))
    assert first == second
    assert first["actions"] == {"ENTRY": 1, "LIQ_TOPUP": 1}


def test_poor_funding_is_not_entered_and_the_run_says_why(tmp_path: Path) -> None:
    outcome = whole(Asked("btc_basis", written(tmp_path / "poor", rate="0.00001"), start=START))
    said = outcome.document
    assert (said["actions"], said["fills"], said["result_bp"]) == ({}, 0, "0")
    assert "f_hat" in said["why"]


def test_nothing_that_comes_later_changes_what_was_decided_before(tmp_path: Path) -> None:
    """Look-ahead is impossible: from hour 30 on the two markets are different, and until then the decisions equal."""
    split, quiet = 30, written(tmp_path / "quiet")
    other = written(tmp_path / "other", changes={hour: str(60_000 + 700 * (hour - split)) for hour in range(30, 60)})
    streams = [_decisions(window) for window in (quiet, other)]
    until = (START + timedelta(hours=split)).isoformat()
    before = [[line for line in stream if line[0] <= until] for stream in streams]
    assert len(before[0]) > 4 * split
    assert before[0] == before[1]
    assert streams[0] != streams[1]


def test_a_hole_at_one_venue_stops_no_decision_about_the_other(tmp_path: Path) -> None:
    window = written(tmp_path / "two", venues=("binance", "bybit"), hole=("binance", range(10, 20)))
    outcome, played, _ = one(Asked("btc_basis", window, start=START, config=HERE / "two_venues.yaml"))
    said = outcome.document
    assert said["actions"] == {"ENTRY": 1}
    assert {key for key in said["positions"] if ":perp:" in key} == {
        "binanceusdm:perp:BTCUSDT",
        "bybitlinear:perp:BTCUSDT",
    }
    inside = [
        load(DecisionRow, row.record.payload).assessment.reason
        for row in played.rows
        if row.record.kind is RecordKind.DECISION
        and START.replace(hour=10) <= row.record.market_time < START.replace(hour=20)
    ]
    assert inside.count(ReasonCode.HOLD) == 10 * 4  # what bybit says is heard at every point
    assert inside.count(ReasonCode.STALE) <= 10 * 4  # a breath before it has spoken
    assert len(inside) == inside.count(ReasonCode.HOLD) + inside.count(ReasonCode.STALE)
    assert (said["breaks"], said["unexplained"], said["guard"], said["ok"]) == (0, "0", "ACTIVE", True)


def test_a_liquidation_fails_the_run_and_is_booked_to_the_last_cent(tmp_path: Path) -> None:
    """Two thirds up within an hour: no ladder has a step in between, and the venue closes the short."""
    window = written(tmp_path / "jump", changes=dict.fromkeys(range(5, 72), "100000"))
    run = commanded("--strategy", "btc_basis", "--history", str(window), "--from", f"{START:%Y-%m-%d}", "--json")
    said = json.loads(run.stdout)
    assert run.returncode == 1
    assert said["liquidations"] > 0
    assert (said["checks"]["liquidations"], said["unexplained"], said["breaks"]) == (False, "0", 0)
    assert "liquidations: found" in run.stderr
    assert said["alarms"]["position reduced by the venue"] > 0


def _decisions(window: Path) -> list[tuple[str, str]]:
    _, played, _ = one(Asked("btc_basis", window, start=START))
    rows = [row.record for row in played.rows if row.record.kind.value == "decision"]
    return [(record.market_time.isoformat(), record.payload) for record in rows]
