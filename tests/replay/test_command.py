"""The command around a replay: folders of windows, dates, journals and reports to keep, and what it says of holes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from basis_daemon.domain.errors import ConfigError
from basis_daemon.simulation.replay import Asked
from tests.replay.support import START, D, answered, commanded, whole, written

pytestmark = pytest.mark.slow

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def test_a_folder_of_windows_is_played_window_by_window_and_summed_up(tmp_path: Path) -> None:
    for name, rate in (("b_poor", "0.00001"), ("a_rich", "0.0004")):
        written(tmp_path / name, rate=rate, days=9)
    dates = [{"id": name, "start": "2024-03-01", "end": "2024-03-01"} for name in ("a_rich", "b_poor")]
    (tmp_path / "windows.json").write_text(json.dumps({"windows": dates}), encoding="utf-8")
    said = whole(Asked("btc_basis", tmp_path)).document
    alone = whole(Asked("btc_basis", tmp_path / "a_rich")).document
    rich, poor = said["windows"]
    assert [part["window"] for part in said["windows"]] == ["a_rich", "b_poor"]
    assert (rich["actions"], poor["actions"], said["actions"]) == ({"ENTRY": 1}, {}, {"ENTRY": 1})
    assert rich["market_end"] == "2024-03-01T23:59:00+00:00"
    assert alone["windows"] == [rich]
    assert alone["decision_stream_sha256"] == rich["decision_stream_sha256"] != said["decision_stream_sha256"]
    assert (said["liquidations"], said["unexplained"], said["breaks"], said["ok"]) == (0, "0", 0, True)
    assert said["min_distance"] == rich["min_distance"]
    assert D(said["net_apr"]) == (D(rich["net_apr"]) / 2).quantize(D("1e-6"))


def test_a_series_that_is_not_there_is_named_and_the_book_holds_with_stale(tmp_path: Path) -> None:
    window = written(tmp_path / "window", days=4)
    candles = window / "candles_1h.csv"
    rows = [row for row in candles.read_text(encoding="utf-8").splitlines() if ",spot," not in row]
    candles.write_text("\n".join([*rows, ""]), encoding="utf-8")
    said = answered("--strategy", "btc_basis", "--history", str(window), "--from", "2024-03-01", "--to", "2024-03-01")
    assert said["missing"] == ["bybit spot BTCUSDT"]
    assert set(said["decisions"]) == {"STALE"}
    assert (said["actions"], said["breaks"], said["unexplained"]) == ({}, 0, "0")


def test_a_window_of_other_symbols_is_held_through_as_well(tmp_path: Path) -> None:
    window = written(tmp_path / "window", days=4)
    asked = Asked("eth_basis", window, start=START, end=START.replace(day=2))
    with pytest.raises(ConfigError, match=r"no bar of any series that the strategy needs; .* windows\.json"):
        whole(asked)
    dates = {"windows": [{"id": "window", "start": "2024-03-01", "end": "2024-03-01"}]}
    (tmp_path / "windows.json").write_text(json.dumps(dates), encoding="utf-8")
    said = whole(asked).document
    assert said["missing"] == ["bybit spot ETHUSDT", "bybit perp ETHUSDT"]
    assert said["decisions"] == {"STALE": 24}


def test_an_instance_that_nobody_configured_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--strategy sol_basis: found no such instance in .*replay\.yaml; expected"):
        whole(Asked("sol_basis", written(tmp_path / "window", days=4)))
    with pytest.raises(ConfigError, match=r"--config .*nowhere\.yaml: No such file"):
        whole(Asked("btc_basis", tmp_path / "window", config=tmp_path / "nowhere.yaml"))


@pytest.mark.slow
def test_a_kept_journal_answers_what_every_journal_answers(tmp_path: Path) -> None:
    window, kept = written(tmp_path / "window"), tmp_path / "kept"
    words = ("--strategy", "btc_basis", "--history", str(window), "--from", "2024-03-01", "--to", "2024-03-01")
    page = tmp_path / "report.html"
    said = answered(*words, "--keep", str(kept), "--report", str(page))
    journal = str(kept / "window" / "journal.sqlite")
    assert answered("verify", "--journal", journal, command=("journal",))["result"] == "whole"
    assert answered("--journal", journal, command=("pnl",))["equity_end"] == said["equity_end"]
    text = page.read_text(encoding="utf-8")
    assert "all 6 checks hold" in text
    assert "replayed market window" in text
    again = commanded(*words, "--keep", str(kept))
    assert again.returncode == 1
    assert "found a journal there" in " ".join(again.stderr.split())


def test_the_help_teaches_what_a_replay_assumes() -> None:
    run = commanded("--help")
    said = " ".join(COLOURS.sub("", run.stdout).replace("│", " ").split())
    for word in ("--strategy", "--history", "--from", "--to", "--config", "--report", "--keep", "--json", "STALE"):
        assert word in said
    assert "No bar is seen before its time" in said
