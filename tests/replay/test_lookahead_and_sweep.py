"""What is cut off behind an instant changes nothing before it, and combinations of values are played and sorted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from basis_daemon.domain.errors import ConfigError
from basis_daemon.settings import SettingsError
from basis_daemon.simulation.lookahead import check
from basis_daemon.simulation.replay import CONFIG, Asked, Told, replay, settings_for
from basis_daemon.simulation.run import Recorded
from tests.replay.support import DATA, SQUEEZE, START, Unseen, answered, commanded, history_of, needs_data, written

pytestmark = pytest.mark.slow

CHANGES = dict.fromkeys(range(10, 20), "73000") | dict.fromkeys(range(20, 60), "55000")


def told_of(window: Path) -> Told:
    told: list[Told] = []
    replay(Asked("btc_basis", window, start=START, end=START.replace(day=3)), {}, Unseen(), told.append)
    return told[0]


@pytest.mark.feature("B07", part="exchange")
def test_no_decision_changes_when_what_comes_later_is_cut_off(tmp_path: Path) -> None:
    window = written(tmp_path / "window", changes=CHANGES)
    told = told_of(window)
    assert told.book is not None
    runs: list[str] = []
    found = check(settings_for(Asked("btc_basis", window), {}), Recorded(history_of(window)), told.book[0], runs.append)
    assert found["is_clean"]
    assert [cut["decisions"] for cut in found["cuts"]] == sorted(cut["decisions"] for cut in found["cuts"])
    assert min(cut["decisions"] for cut in found["cuts"]) > 30
    assert len(runs) == len(found["cuts"]) + 1
    assert (found["memory"]["other_deeds"] == 0) is (found["memory"]["first"] is None)


@pytest.mark.feature("B07", part="finds")
def test_a_decision_that_knew_a_later_row_is_named(tmp_path: Path) -> None:
    told = told_of(written(tmp_path / "window", changes=CHANGES))
    assert told.book is not None
    revised = history_of(written(tmp_path / "revised", changes=CHANGES | {5: "61000"}))
    found = check(settings_for(Asked("btc_basis", tmp_path), {}), Recorded(revised), told.book[0], lambda _: None)
    assert not found["is_clean"]
    first = found["cuts"][0]["first_difference"]
    assert first["whole"]["market_time"] == first["cut"]["market_time"] == "2024-03-01T05:40:00+00:00"
    assert first["number"] > 1


@needs_data
@pytest.mark.slow
@pytest.mark.feature("B07", part="chain")
def test_the_command_says_that_a_book_on_the_chain_does_not_look_ahead_either() -> None:
    said = answered("--strategy", "pure_lending", "--history", str(DATA / SQUEEZE), "--check-lookahead")
    found = said["lookahead"][SQUEEZE]
    assert found["is_clean"]
    assert all(cut["decisions"] for cut in found["cuts"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.feature("B06", part="command")
def test_every_combination_is_played_and_the_best_stands_first(tmp_path: Path) -> None:
    window = written(tmp_path / "window", rate="0.0004", days=9)
    days = ("--from", "2024-03-01", "--to", "2024-03-01")
    words = ["--strategy", "btc_basis", "--history", str(window), *days]
    said = answered(*words, "--sweep", "m_star=0.35,0.50", "--sweep", "replay.slippage_bp=1,20")
    results = [float(run["net_apr"]) for run in said["runs"]]
    assert results == sorted(results, reverse=True)
    assert len({run["decision_stream_sha256"] for run in said["runs"]}) == 4
    assert said["keys"]["m_star"] == "strategies.btc_basis.params.m_star"
    alone = tmp_path / "alone.yaml"
    text = CONFIG.read_text(encoding="utf-8").replace("uses_prediction: false", "uses_prediction: false, m_star: 0.35")
    alone.write_text(text.replace("slippage_bp: 1.5 ", "slippage_bp: 1 "), encoding="utf-8")
    one = answered(*words, "--config", str(alone))
    (same,) = (run for run in said["runs"] if run["values"] == {"m_star": "0.35", "replay.slippage_bp": "1"})
    assert (one["decision_stream_sha256"], one["net_apr"]) == (same["decision_stream_sha256"], same["net_apr"])


@pytest.mark.parametrize(
    ("sweep", "says"),
    [("nonsense=1,2", "nonsense"), ("m_star", "KEY=V1,V2"), ("m_star=9", "0.25 to 1"), ("replay.nothing=1", "nothing")],
)
def test_a_key_that_no_file_can_have_is_refused_before_anything_is_played(
    tmp_path: Path, sweep: str, says: str
) -> None:
    run = commanded("--strategy", "btc_basis", "--history", str(tmp_path / "absent"), "--sweep", sweep, "--json")
    assert run.returncode == 1
    assert says in json.loads(run.stdout)["error"]["message"]
    assert ConfigError in SettingsError.__mro__
