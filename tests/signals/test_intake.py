"""What a model says is believed only when it is whole, on time, new, and of a model that may speak."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.venues.signals.intake import TEXT_MAX, Bars, exact_json
from tests.signals.support import BAR, START, Told, word

NOW = START + BAR + timedelta(seconds=10)


@pytest.mark.feature("M03")
@pytest.mark.parametrize(
    ("changes", "counted_as"),
    [
        ({"confidence": Decimal("NaN")}, "not_finite"),
        ({"sd": Decimal("Infinity")}, "not_finite"),
        ({"confidence": "1.01"}, "out_of_range"),
        ({"confidence": "-0.1"}, "out_of_range"),
        ({"sd": "0"}, "out_of_range"),
        ({"signal": "buy"}, "schema"),
        ({"schema_version": 2}, "schema"),
        ({"bar_time": START.replace(tzinfo=None).isoformat()}, "schema"),
        ({"note": "surplus"}, "schema"),
        ({"symbol": "ETHUSDT"}, "symbol"),
        ({"model_version": "other"}, "model"),
        ({"bar_time": (START + BAR).isoformat()}, "early"),
        ({"bar_time": (START - BAR).isoformat()}, "stale"),
        ({"bar_time": (START + timedelta(seconds=7)).isoformat()}, "misaligned"),
    ],
)
def test_a_doubtful_word_is_as_if_absent_and_counted(changes: dict[str, object], counted_as: str) -> None:
    told = Told()
    intake = told.intake()
    assert intake.take(word(**changes), NOW) is None
    assert told.counted == [counted_as]
    assert told.alarms == [("prediction refused", counted_as)]


@pytest.mark.feature("M03")
def test_a_good_word_comes_through_exactly_and_a_second_one_of_its_bar_does_not() -> None:
    told = Told()
    intake = told.intake()
    tick = intake.take(word(), NOW)
    assert tick is not None
    assert tick.prediction.confidence == Decimal("0.8")
    assert intake.take(word(signal="short"), NOW) is None
    assert told.counted == ["accepted", "duplicate"]


@pytest.mark.feature("M03")
def test_a_word_past_its_time_to_live_is_stale_though_its_bar_is_still_the_last() -> None:
    told = Told()
    intake = told.intake(ttl=timedelta(seconds=30))
    assert intake.take(word(), START + BAR + timedelta(seconds=31)) is None
    assert told.counted == ["stale"]
    assert intake.take(word(), START + BAR + timedelta(seconds=30)) is not None


def test_every_kind_of_refusal_is_told_once_until_a_word_was_accepted() -> None:
    told = Told()
    intake = told.intake()
    for _ in range(3):
        intake.take(word(symbol="ETHUSDT"), NOW)
        intake.take("nonsense", NOW)
    assert [kind for _, kind in told.alarms] == ["symbol", "schema"]
    intake.take(word(), NOW)
    intake.take(word(symbol="ETHUSDT"), NOW)
    assert [kind for _, kind in told.alarms] == ["symbol", "schema", "symbol"]
    assert intake.counts == {"symbol": 4, "schema": 3, "accepted": 1}


def test_numbers_are_read_by_their_text_and_what_no_number_is_stays_none() -> None:
    said = exact_json(b'{"a": 0.1, "b": NaN, "c": -Infinity}')
    assert isinstance(said, dict)
    assert said["a"] == Decimal("0.1")
    assert said["b"].is_nan()
    assert said["c"] == Decimal("-Infinity")
    with pytest.raises(ValueError, match="expected at most"):
        exact_json(b" " * (TEXT_MAX + 1))


@pytest.mark.feature("M03")
@given(said=st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists) | st.dictionaries(
    st.sampled_from(sorted(word())), st.text() | st.floats() | st.integers()))  # fmt: skip
@pytest.mark.slow
def test_whatever_is_said_either_holds_the_schema_or_is_counted(said: object) -> None:
    told = Told()
    tick = told.intake().take(said, NOW)
    assert (tick is None) == (told.counted != ["accepted"])
    assert len(told.counted) == 1


def test_a_bar_closes_once_with_the_first_event_after_it() -> None:
    bars = Bars(BAR)
    assert bars.closed(START + timedelta(seconds=1)) is None
    assert bars.closed(START + BAR - timedelta(seconds=1)) is None
    assert bars.closed(START + BAR) == START
    assert bars.closed(START + BAR + timedelta(seconds=1)) is None
    assert bars.closed(START + 4 * BAR) == START + 3 * BAR
    assert bars.closed(START + 3 * BAR) is None
