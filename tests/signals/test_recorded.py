"""A file of recorded predictions speaks bar by bar, and what is wrong in it is named."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from basis_daemon.domain.errors import ConfigError
from basis_daemon.venues.signals.recorded import RecordedSignals
from tests.signals.support import BAR, START, Told, mark, word


def written(folder: Path, *lines: object) -> Path:
    file = folder / "signals.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return file


async def test_each_word_is_said_with_the_first_event_after_its_bar_has_closed(tmp_path: Path) -> None:
    told = Told()
    source = RecordedSignals(written(tmp_path, word(START + BAR, signal="short"), "", word(START)), told.intake())
    await source.start()
    assert source.see(mark(START + BAR - timedelta(seconds=1))) == []
    first = source.see(mark(START + BAR))
    assert [tick.prediction.signal for tick in first] == ["long"]
    assert source.see(mark(START + BAR + timedelta(seconds=30))) == []
    second = source.see(mark(START + 2 * BAR + timedelta(seconds=3)))
    assert [(tick.prediction.signal, tick.venue_time) for tick in second] == [
        ("short", START + 2 * BAR + timedelta(seconds=3))
    ]
    assert source.state() == {"source": "file", "waiting": 0, "words": {"accepted": 2}}


@pytest.mark.feature("M03")
async def test_words_that_the_market_has_left_behind_are_stale_and_a_recorded_nan_is_refused(tmp_path: Path) -> None:
    told = Told()
    nan = json.dumps(word(START + 2 * BAR)).replace('"0.8"', "NaN")
    source = RecordedSignals(written(tmp_path, word(START), word(START + BAR), nan), told.intake())
    await source.start()
    assert source.see(mark(START + 3 * BAR)) == []
    assert told.counted == ["stale", "stale", "not_finite"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "expected a JSON object"),
        ("[]", "no object with a bar_time"),
        ('{"bar_time": "noon"}', "bar_time 'noon'"),
        ('{"bar_time": "2026-01-05T12:00:00"}', "expected a time zone"),
    ],
)
async def test_a_line_without_a_bar_is_named_at_the_start(tmp_path: Path, line: str, expected: str) -> None:
    source = RecordedSignals(written(tmp_path, word(START), line), Told().intake())
    with pytest.raises(ConfigError, match=expected) as error:
        await source.start()
    assert "signals.jsonl:2" in str(error.value)


async def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a readable file"):
        await RecordedSignals(tmp_path / "none.jsonl", Told().intake()).start()
