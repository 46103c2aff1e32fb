"""Recorded weeks of books that live on the chain, as the whole daemon lives through them in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.decision import Assessment, ReasonCode
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.engine.codec import DecisionRow, load
from basis_daemon.ports import RecordKind
from basis_daemon.simulation.replay import Asked
from basis_daemon.simulation.run import Played
from tests.builders import signs
from tests.replay.support import BOOM, CRASH, DATA, HERE, SQUEEZE, D, Json, answered, needs_data, one, whole

pytestmark = [needs_data, pytest.mark.slow, pytest.mark.timeout(600)]

CHAIN_FILES = {"lst_market.csv", "aave_daily.csv"}
OPEN_FROM = HERE / "chain_open.yaml"
WEETH, A_USDT, A_WEETH, DEBT, ETH = (
    PositionKey(key)
    for key in (
        "wallet:lst:weETH", "aave_v3:atoken:USDT", "aave_v3:atoken:weETH", "aave_v3:vdebt:WETH", "wallet:token:ETH",
    )
)  # fmt: skip


def midnight(day: str) -> datetime:
    """A minute behind it: what was read then is the last that is played."""
    return datetime.fromisoformat(f"{day}T00:01:00+00:00")


def decisions(played: Played) -> Iterator[Assessment]:
    for row in played.rows:
        if row.record.kind is RecordKind.DECISION:
            yield load(DecisionRow, row.record.payload).assessment


@pytest.mark.feature("S07")
@pytest.mark.feature("B02", part="chain")
@pytest.mark.parametrize(
    ("window", "until", "levered", "health"),
    [
        (CRASH, "2024-08-12", "0.0017561372", "1.1177999"),  # LX8
        (SQUEEZE, "2025-05-12", "0.00021142805", "1.1176114"),  # LX5
    ],
)
def test_an_open_levered_book_earns_the_accepted_return_and_is_left_alone(
    window: str, until: str, levered: str, health: str
) -> None:
    outcome, played, _ = one(Asked("eth_leveraged", DATA / window, end=midnight(until), config=OPEN_FROM))
    said, *_, last = outcome.document, *decisions(played)
    assert signs((D(said["equity_end"]) - D("0.4")) / 100 - 1) == levered
    assert signs(last.inputs["health_factor"].value) == health
    assert said["decisions"] == {"HOLD": said["decisions"]["HOLD"]}  # neither depeg nor squeeze moves it
    assert D(said["min_health_factor"]) > D("1.117")
    holds_what_every_run_must(said)


@pytest.mark.feature("S06")
@pytest.mark.parametrize(
    ("window", "until", "result"),
    [(CRASH, "2024-08-12", "0.00098080401"), (SQUEEZE, "2025-05-12", "0.00039213249")],
)
def test_an_open_staking_book_earns_what_its_rate_grows_whatever_the_market_pays(
    window: str, until: str, result: str
) -> None:
    outcome, played, _ = one(Asked("eth_staking_only", DATA / window, end=midnight(until), config=OPEN_FROM))
    said = outcome.document
    assert signs((D(said["equity_end"]) - D("0.05")) / 100 - 1) == result
    values = [found.inputs["equity"].value for found in decisions(played)]
    assert values == sorted(values)  # a discount is no loss: nothing is sold into it
    assert said["actions"] == {}
    assert D(said["max_drawdown"]) == 0
    holds_what_every_run_must(said)


def test_a_sleeve_is_filled_and_delegated_once_and_what_rounding_leaves_of_it_is_left() -> None:
    said = whole(Asked("eth_staking_only", DATA / SQUEEZE, config=HERE / "chain_sleeve.yaml")).document
    assert [act["reason"] for act in said["acts"]] == ["SCALE", "ENTRY"]
    assert D(said["positions"]["eigenlayer:share:stETH"]) > D("20.01")  # and grows by itself
    holds_what_every_run_must(said)


@pytest.mark.feature("S08")
def test_an_open_lender_stays_supplied_through_the_boom_and_earns_the_index() -> None:  # WN5
    said = whole(Asked("pure_lending", DATA / BOOM, end=midnight("2024-03-31"), config=OPEN_FROM)).document
    assert signs(D(said["positions"][A_USDT]) / 98_000 - 1) == "0.0096767154"
    assert said["actions"] == {}
    holds_what_every_run_must(said)


def test_a_lender_enters_pays_its_gas_and_moves_the_rate_that_it_earns() -> None:
    outcome, played, _ = one(Asked("pure_lending", DATA / BOOM, end=midnight("2024-03-08")))
    said = outcome.document
    assert [act["reason"] for act in said["acts"]] == ["ENTRY"]
    assert D(said["pnl"]["gas"]) < 0 < D(said["pnl"]["lending"])
    assert all(abs(D(amount)) <= D("0.000002") for name, amount in said["pnl"].items() if name == "rounding")
    assert D(said["positions"][ETH]) < D("0.05")
    assert max(found.inputs["utilisation"].value for found in decisions(played)) < D("0.95")
    holds_what_every_run_must(said)


@pytest.mark.feature("S03", part="leverage")
def test_leverage_is_taken_when_the_crash_has_opened_its_gate_and_not_an_hour_earlier() -> None:
    said = whole(Asked("eth_leveraged", DATA / CRASH)).document
    acts = [(act["at"][5:16], act["reason"], act["why"].split()[0]) for act in said["acts"]]
    assert acts == [("08-01T00:00", "ENTRY", "100"), ("08-12T00:00", "ENTRY", "flash")]
    assert D("1.117") < D(said["min_health_factor"]) < D("1.118")
    assert D(said["positions"][DEBT]) > 500
    holds_what_every_run_must(said)


def test_the_squeeze_never_pays_for_leverage_and_the_book_holds_its_token() -> None:
    said = whole(Asked("eth_leveraged", DATA / SQUEEZE)).document
    assert [act["why"] for act in said["acts"]] == ["100 ETH into weETH"]
    assert DEBT not in said["positions"]
    holds_what_every_run_must(said)


@pytest.mark.feature("B04", part="chain")
def test_a_book_on_the_chain_decides_the_same_whatever_the_hash_seed() -> None:
    words = ("--strategy", "eth_leveraged", "--history", str(DATA / CRASH), "--from", "2024-08-11")
    first, second = (answered(*words, hash_seed=seed) for seed in ("1", "4242"))
    assert first == second
    assert first["actions"] == {"ENTRY": 2}


def test_what_is_recorded_later_changes_no_decision_before(tmp_path: Path) -> None:
    """Look-ahead is impossible: rows behind an instant may be cut off or be other ones."""
    until = datetime.fromisoformat("2024-08-06T05:00:00+00:00")
    whole_, cut, other = (tmp_path / name for name in ("whole", "cut", "other"))
    copied(whole_)
    copied(cut, until, is_cut=True)
    copied(other, until)
    streams = [stream_until(until, window) for window in (whole_, cut, other)]
    assert len(streams[0]) > 24 * 4
    assert streams[0] == streams[1] == streams[2]


def stream_until(until: datetime, window: Path) -> list[str]:
    asked = Asked("eth_leveraged", window, datetime(2024, 8, 1, tzinfo=until.tzinfo), until + timedelta(days=1))
    _, played, _ = one(asked)
    rows = [row.record for row in played.rows if row.record.kind is RecordKind.DECISION]
    return [row.payload for row in rows if row.market_time <= until]


def copied(window: Path, until: datetime | None = None, *, is_cut: bool = False) -> None:
    """The crash; rows behind ``until`` are left away, or the last of their values is another one."""
    window.mkdir()
    for file in (DATA / CRASH).glob("*.csv"):
        header, *lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if until is None or not is_behind(line, until)]
        behind = [line for line in lines if until is not None and is_behind(line, until)]
        others = [] if is_cut else [worse(line) if file.name in CHAIN_FILES else line for line in behind]
        (window / file.name).write_text("\n".join([header, *kept, *others, ""]), encoding="utf-8")


def is_behind(line: str, until: datetime) -> bool:
    stamp = line.partition(",")[0]
    return stamp.startswith("20") and datetime.fromisoformat(stamp) > until


def worse(line: str) -> str:
    head, _, last = line.rpartition(",")
    return f"{head},{D(last) * D('0.999')}" if last else line


@pytest.mark.parametrize("strategy", ["eth_staking_only", "eth_leveraged"])
def test_a_window_without_the_token_is_held_through(strategy: str) -> None:
    said = answered("--strategy", strategy, "--history", str(DATA / BOOM))
    assert said["missing"] == ["lst_market.csv weETH", "aave_daily.csv weETH"]
    assert said["decisions"] == {ReasonCode.STALE.value: 31 * 24}
    assert (said["liquidations"], said["unexplained"], said["breaks"], said["actions"]) == (0, "0", 0, {})


def holds_what_every_run_must(said: Json) -> None:
    """No liquidation, nothing unexplained, the book what the chain holds, nothing denied or undone."""
    assert (said["liquidations"], said["unexplained"], said["breaks"], said["in_doubt"]) == (0, "0", 0, 0)
    assert (said["guard"], said["alarms"], said["frozen"], said["denied"]) == ("ACTIVE", {}, 0, 0)
    assert D(said["delta_breach_seconds"]) == 0
    assert said["positions"] == said["venue_positions"]
    assert said["ok"]
    total = sum((Decimal(amount) for amount in said["pnl"].values()), D(0))
    assert D(said["equity_end"]) == D(said["equity_start"]) + total
