"""The accepted figures of books that live at the exchange and on the chain at once, a test a row.

One venue, 300,000 USDT or 100 ETH, money an hour on the way. Within a tenth or one basis point, whichever is larger; z
no lower than .05 below; counts and days exact.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from basis_daemon.simulation.replay import Asked
from tests.replay.support import BOOM, CRASH, DATA, HERE, SQUEEZE, D, Json, answered, needs_data, whole

pytestmark = [needs_data, pytest.mark.slow, pytest.mark.timeout(600)]

PLAIN, LEVERED, IN_ETH = "usdt_market_neutral_no_leverage", "usdt_market_neutral", "eth_basis_in_eth"
LOW, STRESSED = "2025-05-06T13:00:00+00:00", "2025-05-07T00:01:00+00:00"
"""Behind the open of a bar: at it, the jump would be its own hour's return, and the account jump a level."""
NEVER = {"CARRY_EXIT", "DUST", "LEG_DRIFT", "DRAWDOWN", "ROTATE", "LTV_BAND", "SPIKE_EXIT"}


def played(book: str, window: str, start: str | None = None, **settings: object) -> Json:
    """The outcome by the accepted configuration, with what else is set of its replay section."""
    first = datetime.fromisoformat(start) if start is not None else None
    environ = {f"BASIS_DAEMON__REPLAY__{name.upper()}": str(value).lower() for name, value in settings.items()}
    return whole(Asked(book, DATA / window, first, config=HERE / "hedge.yaml"), environ).document


@pytest.mark.parametrize(
    ("window", "start", "book", "result", "cost", "z_min", "days"),
    [
        (CRASH, None, PLAIN, "4.0", "0", "1.92", []),
        (CRASH, None, LEVERED, "6.4", "0", "1.92", []),
        (SQUEEZE, LOW, PLAIN, "9.5", "4", "0.93", ["05-08", "05-10"]),
        (SQUEEZE, LOW, LEVERED, "4.8", "8", "0.93", ["05-08", "05-10"]),
    ],
)
def test_an_open_hedge_gives_the_accepted_result(
    window: str, start: str | None, book: str, result: str, cost: str, z_min: str, days: list[str]
) -> None:
    said = played(book, window, start, is_open=True)
    assert is_near(said["result_bp"], result)
    assert is_near(said["funding_bp"], "-2.4" if window == CRASH else "11")
    assert is_near(str(D(said["cost_bp"]) + D(said["gas_bp"])), cost)
    assert D(said["min_z"]) >= D(z_min) - D("0.05")
    assert [(act["reason"], act["at"][5:10]) for act in said["acts"]] == [("LIQ_TOPUP", day) for day in days]
    holds_what_every_run_must(said)
    assert D(said["max_drawdown"]) < D("0.001")  # a discount is no loss


@pytest.mark.parametrize("book", [PLAIN, LEVERED])
@pytest.mark.parametrize(
    ("factor", "z_min", "reason"), [("1.30", "0.47", "LIQ_REDUCE"), ("1.40", "0.15", "LIQ_EMERGENCY")]
)
def test_a_worse_squeeze_is_survived_by_one_buy_back_that_nothing_undoes(
    book: str, factor: str, z_min: str, reason: str
) -> None:
    said = played(book, SQUEEZE, LOW, is_open=True, stress_factor=factor, stress_from=STRESSED)
    assert said["actions"][reason] == 1
    assert said["acts"][0]["reason"] == reason
    assert abs(D(said["min_z"]) - D(z_min)) <= D("0.05")
    holds_what_every_run_must(said)


@pytest.mark.parametrize("book", [PLAIN, LEVERED])
@pytest.mark.parametrize("window", [CRASH, SQUEEZE])
def test_no_hedge_is_entered_where_yield_and_funding_do_not_pay_it(window: str, book: str) -> None:
    said = played(book, window)
    assert (said["actions"], said["fills"], said["result_bp"]) == ({}, 0, "0")
    holds_what_every_run_must(said)


def test_a_window_without_the_token_is_held_through_by_both_hedges() -> None:
    for book in (PLAIN, LEVERED):
        said = played(book, BOOM)
        assert said["missing"] == ["lst_market.csv weETH", "aave_daily.csv weETH"]
        assert set(said["decisions"]) == {"STALE"}


def test_the_boom_is_lent_through_and_carried_on_borrowed_dollars() -> None:
    """The accepted result of 38 bp leaves the gas beside, as its own column does."""
    said = played(IN_ETH, BOOM)
    assert is_near(str(D(said["result_bp"]) + D(said["gas_bp"])), "38")
    assert is_near(said["funding_bp"], "70")
    assert is_near(said["cost_bp"], "4.5")
    assert is_near(said["gas_bp"], "6.6")
    assert D(said["min_z"]) >= D("0.96") - D("0.05")
    assert D("0.83") / D(said["min_health_factor"]) <= D("0.44")
    acts = [(act["reason"], act["at"][5:10]) for act in said["acts"]]
    assert acts == [("ENTRY", "03-01"), ("ENTRY", "03-03"), ("LIQ_TOPUP", "03-05")]
    assert said["acts"][1]["at"][5:16] == "03-03T00:00"
    holds_what_every_run_must(said)


@pytest.mark.parametrize(("window", "result"), [(CRASH, "6.4"), (SQUEEZE, "3.1")])
def test_where_no_carry_pays_interest_the_core_is_lent_and_nothing_borrowed(window: str, result: str) -> None:
    said = played(IN_ETH, window)
    assert is_near(said["result_bp"], result)
    assert [act["reason"] for act in said["acts"]] == ["ENTRY"]
    assert not any(":vdebt:" in key or ":perp:" in key for key in said["positions"])
    holds_what_every_run_must(said)


@pytest.mark.parametrize("book", [PLAIN, LEVERED])
def test_a_rich_market_is_entered_hedged_at_every_moment_and_its_ether_is_staked_an_hour_later(
    tmp_path: Path, book: str
) -> None:
    """The weeks of the crash with 4 bp of funding every time: pairs at the exchange, ETH to the wallet, token."""
    window, until = rich(tmp_path / "rich"), datetime.fromisoformat("2024-08-01T06:00:00+00:00")
    start = until.replace(hour=0)
    said = whole(Asked(book, window, start, until)).document
    assert [act["reason"] for act in said["acts"]] == ["ENTRY", "SCALE", "ENTRY"]
    assert said["acts"][2]["at"][:16] == "2024-08-01T01:00"
    held = {key: D(amount) for key, amount in said["positions"].items()}
    assert held["bybitlinear:perp:ETHUSDT"] < -60
    assert held["wallet:lst:weETH"] > 58
    assert held["bybit:spot:ETH"] < D("0.001")
    holds_what_every_run_must(said)


def rich(window: Path) -> Path:
    window.mkdir()
    for file in (DATA / CRASH).glob("*.csv"):
        lines = file.read_text(encoding="utf-8").splitlines()
        if file.name == "funding.csv":
            cut = [line.split(",") for line in lines[1:]]
            lines[1:] = [f"{at},{venue},{symbol},0.0004,{hours}" for at, venue, symbol, _, hours in cut]
        (window / file.name).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return window


@pytest.mark.feature("B04", part="combined")
def test_a_hedge_decides_the_same_whatever_the_hash_seed() -> None:
    words = ("--strategy", PLAIN, "--history", str(DATA / SQUEEZE), "--from", "2025-05-08", "--to", "2025-05-08")
    first, second = (answered(*words, hash_seed=seed) for seed in ("1", "4242"))
    assert first == second
    assert first["decision_stream_sha256"]


def holds_what_every_run_must(said: Json) -> None:
    """No liquidation, nothing unexplained, delta beyond its bound only while a sale waits for its blocks."""
    assert (said["liquidations"], said["unexplained"], said["breaks"], said["in_doubt"]) == (0, "0", 0, 0)
    assert (said["frozen"], said["denied"], said["positions"]) == (0, 0, said["venue_positions"])
    assert D(said["max_abs_delta_settled"]) < D("0.004")
    assert D(said["delta_breach_seconds"]) <= 60 * max(len(said["acts"]), 1)
    assert not NEVER & set(said["actions"])
    assert (said["guard"], said["alarms"]) == ("ACTIVE", {}) or "LIQ_EMERGENCY" in said["actions"]


def is_near(found: str, expected: str) -> bool:
    """Within a tenth or one basis point, whichever is larger."""
    return abs(D(found) - D(expected)) <= max(abs(D(expected)) / 10, D(1))
