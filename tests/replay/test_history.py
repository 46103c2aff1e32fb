"""Bad files are refused before anything is played: with file, line, column, value and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from basis_daemon.simulation.path import SIXTIETHS, Stress, lead_in, points
from basis_daemon.simulation.replay import Asked
from basis_daemon.simulation.rows import HistoryError
from basis_daemon.simulation.windows import read_instant
from tests.replay.support import START, commanded, history_of, whole, written

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("file", "line", "column", "value", "said"),
    [
        ("candles_1h.csv", 5, "close", "NaN", "column close: found 'NaN'; expected a finite number"),
        ("candles_1h.csv", 5, "close", "", "column close: found ''; expected a plain decimal number"),
        ("candles_1h.csv", 5, "open", "-1", "column open: found '-1'; expected a price above zero"),
        ("candles_1h.csv", 5, "high", "5", "column high: found '5'; expected no open or close above it"),
        ("candles_1h.csv", 5, "low", "99999", "column low: found '99999'; expected no open or close below it"),
        ("candles_1h.csv", 5, "market", "future", "column market: found 'future'; expected spot or perp"),
        ("candles_1h.csv", 5, "timestamp", "yesterday", "column timestamp: found 'yesterday'; expected an instant"),
        ("candles_1h.csv", 5, "timestamp", "2024-02-29T01:00:00+01:00", "expected UTC, with a Z behind it"),
        ("candles_1h.csv", 6, "timestamp", "2024-02-29T01:30:00Z", "expected a full hour"),
        ("candles_1h.csv", 6, "timestamp", "2024-02-29T00:00:00Z", "expected a stamp behind 2024-02-29T01:00:00"),
        ("candles_1h.csv", 6, "timestamp", "2024-02-29T01:00:00Z", "expected every stamp once in a series; keep one"),
        ("funding.csv", 3, "funding_rate", "nan", "column funding_rate: found 'nan'; expected a finite number"),
        ("funding.csv", 3, "funding_rate", "1", "at most 0.05; a basis point is 0.0001"),
        ("funding.csv", 3, "interval_hours", "3", "column interval_hours: found '3'; expected 1, 2, 4 or 8 hours"),
    ],
)
def test_a_bad_value_is_refused_with_its_place_and_a_remedy(
    tmp_path: Path, file: str, line: int, column: str, value: str, said: str
) -> None:
    window = written(tmp_path / "window", days=4)
    _edit(window / file, line, column, value)
    with pytest.raises(HistoryError) as error:
        whole(Asked("btc_basis", window))
    assert f"{window / file}, line {line}, " in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(("file", "column"), [("candles_1h.csv", "close"), ("funding.csv", "interval_hours")])
def test_a_missing_column_is_named_with_those_that_are_needed(tmp_path: Path, file: str, column: str) -> None:
    window = written(tmp_path / "window", days=4)
    text = (window / file).read_text(encoding="utf-8")
    (window / file).write_text(text.replace(column, "else", 1), encoding="utf-8")
    with pytest.raises(HistoryError, match=rf"line 1: found no column {column}; expected the columns timestamp, .*add"):
        whole(Asked("btc_basis", window))


def test_a_line_that_was_cut_is_refused(tmp_path: Path) -> None:
    window = written(tmp_path / "window", days=4)
    with (window / "funding.csv").open("a", encoding="utf-8") as file:
        file.write("2024-03-02T00:00:00Z,bybit\n")
    with pytest.raises(HistoryError, match="found 2 values; expected 5, one for each column; complete the line"):
        whole(Asked("btc_basis", window))


def test_a_window_without_funding_rows_in_a_file_is_refused_by_name(tmp_path: Path) -> None:
    window = written(tmp_path / "window", days=4)
    (window / "funding.csv").unlink()
    with pytest.raises(HistoryError, match=r"funding\.csv: No such file"):
        whole(Asked("btc_basis", window))


def test_a_window_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    written(tmp_path / "a_window", days=4)
    with pytest.raises(HistoryError, match="found no such directory; expected one of a_window; correct the path"):
        whole(Asked("btc_basis", tmp_path / "another"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(HistoryError, match=r"found no candles_1h\.csv in it, nor one level below"):
        whole(Asked("btc_basis", tmp_path / "empty"))


def test_dates_that_fit_nowhere_are_refused_with_those_that_would(tmp_path: Path) -> None:
    window = written(tmp_path / "window", days=4)
    late = read_instant("--from", "2024-03-03")
    with pytest.raises(HistoryError, match=r"found a start that is not before the end; expected an earlier --from"):
        whole(Asked("btc_basis", window, start=late, end=START))
    with pytest.raises(HistoryError, match=r"found no bar there; .* holds 2024-02-29.* to 2024-03-04"):
        whole(Asked("btc_basis", window, start=START.replace(year=2030), end=START.replace(year=2031)))
    with pytest.raises(HistoryError, match="--to: found 'tomorrow'; expected a date such as 2024-03-01"):
        read_instant("--to", "tomorrow", is_end=True)


def test_a_date_as_an_end_means_its_last_hour_too() -> None:
    assert read_instant("--to", "2024-03-31", is_end=True).isoformat() == "2024-04-01T00:00:00+00:00"
    assert read_instant("--to", "2024-03-31T12:00:00Z", is_end=True).isoformat() == "2024-03-31T12:00:00+00:00"


def test_the_command_refuses_in_one_panel_and_leaves_with_1(tmp_path: Path) -> None:
    window = written(tmp_path / "window", days=4)
    _edit(window / "candles_1h.csv", 5, "close", "NaN")
    run = commanded("--strategy", "btc_basis", "--history", str(window), "--json")
    assert run.returncode == 1
    assert '"kind": "HistoryError"' in run.stdout
    assert "Traceback" not in run.stderr


def test_a_bar_is_walked_in_the_order_of_its_close_and_settlements_come_with_their_instant(tmp_path: Path) -> None:
    history = history_of(written(tmp_path / "window", days=4))
    path = list(points(history, START, START.replace(hour=9), Stress()))
    assert [point.at.minute for point in path] == [*SIXTIETHS] * 9
    assert [(point.at.hour, point.at.minute) for point in path if point.settled] == [(8, 0)]  # at 0:00: the lead-in's
    for bars in history.bars.values():
        for bar in (bar for bar in bars if START <= bar.opened < START.replace(hour=9)):
            walk = [next(iter(p.prices.values())) for p in path if p.at.hour == bar.opened.hour]
            inner = [bar.low, bar.high] if bar.close >= bar.open else [bar.high, bar.low]
            assert walk == [bar.open, *inner, bar.close]


def test_the_end_is_before_the_instant_that_was_told(tmp_path: Path) -> None:
    end = START.replace(hour=2, minute=30)
    path = list(points(history_of(written(tmp_path / "window", days=4)), START, end, Stress()))
    assert path[-1].at == START.replace(hour=2, minute=20)


def test_the_lead_in_ends_with_the_settlement_of_the_first_instant(tmp_path: Path) -> None:
    before = lead_in(history_of(written(tmp_path / "window", days=4)), START, Stress())
    assert before[-1].at == START
    assert before[-1].settled
    assert [point.at for point in before] == sorted(point.at for point in before)
    assert all(point.at < START for point in before if point.prices)


def _edit(file: Path, line: int, column: str, value: str) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    place = lines[0].split(",").index(column)
    cells = lines[line - 1].split(",")
    cells[place] = value
    lines[line - 1] = ",".join(cells)
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
