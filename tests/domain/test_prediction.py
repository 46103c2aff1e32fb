"""A model's word: what no schema takes, and what is as if it had not been said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from basis_daemon.domain.prediction import Listening, Prediction, PredictionTick, Signal
from tests.builders import D

BAR = timedelta(minutes=5)
OPENED = datetime(2025, 5, 6, 12, 0, tzinfo=UTC)
CLOSED = OPENED + BAR
EARS = Listening("BTCUSDT", frozenset({"v7"}))
ROW = {
    "symbol": "BTCUSDT",
    "bar_time": OPENED.isoformat(),
    "signal": "long",
    "confidence": 0.72,
    "sd": 0.0045,
    "model_version": "v7",
}


def said(**changes: object) -> Prediction:
    return Prediction.model_validate(ROW | changes)


def refusal(at: datetime = CLOSED, last: datetime | None = None) -> str | None:
    return EARS.refusal(PredictionTick(said(), at), last)


def test_a_word_is_read_exactly_as_its_text_says() -> None:
    found = Prediction.model_validate_json(json.dumps(ROW))
    assert (found.confidence, found.sd, found.signal.sign) == (D("0.72"), D("0.0045"), 1)
    assert found.bar_time == OPENED
    assert [signal.sign for signal in Signal] == [1, -1, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": float("nan")},
        {"confidence": float("inf")},
        {"confidence": 1.01},
        {"confidence": -0.01},
        {"sd": float("nan")},
        {"sd": 0},
        {"sd": -0.001},
        {"sd": 1},
        {"signal": "buy"},
        {"symbol": "btcusdt"},
        {"bar_time": "2025-05-06T12:00:00"},
        {"schema_version": 2},
        {"model_version": ""},
        {"stop_loss": float("nan")},
        {"mood": "good"},
    ],
)
def test_what_no_schema_takes_is_refused_where_it_arrives(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        said(**changes)


@pytest.mark.parametrize("name", ["symbol", "bar_time", "signal", "confidence", "sd", "model_version"])
def test_nothing_of_a_word_has_a_default(name: str) -> None:
    with pytest.raises(ValidationError):
        Prediction.model_validate({key: value for key, value in ROW.items() if key != name})


@pytest.mark.parametrize(
    ("at", "changes", "why"),
    [
        (CLOSED, {"symbol": "ETHUSDT"}, "symbol ETHUSDT, expected BTCUSDT"),
        (CLOSED, {"model_version": "v8"}, "model v8, expected one of v7"),
        (CLOSED + timedelta(minutes=2), {"bar_time": OPENED + timedelta(minutes=1)}, "multiple of a bar"),
        (CLOSED - timedelta(seconds=1), {}, "is not closed"),
        (CLOSED + BAR, {}, "is not the last one closed"),
    ],
)
def test_a_word_that_does_not_count_says_why(at: datetime, changes: dict[str, object], why: str) -> None:
    assert why in (EARS.refusal(PredictionTick(said(**changes), at), None) or "")


def test_the_word_of_the_last_closed_bar_counts_once() -> None:
    assert refusal() is None
    assert refusal(CLOSED + BAR - timedelta(seconds=1)) is None
    assert "not newer" in (refusal(last=OPENED) or "")
    assert "not newer" in (refusal(last=OPENED + BAR) or "")
    assert refusal(last=OPENED - BAR) is None


@given(st.integers(-3600, 3600), st.integers(-12, 12))
def test_only_within_the_bar_after_its_own_and_only_if_newer(seconds: int, bars: int) -> None:
    at, last = CLOSED + timedelta(seconds=seconds), OPENED + bars * BAR
    assert (refusal(at, last) is None) is (0 <= seconds < BAR.total_seconds() and bars < 0)


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_whatever_a_model_computes_only_probabilities_and_spreads_come_through(confidence: float, sd: float) -> None:
    try:
        found = said(confidence=confidence, sd=sd)
    except ValidationError:
        assert not (0 <= confidence <= 1 and 0 < sd < 1)
    else:
        assert 0 <= found.confidence <= 1
        assert 0 < found.sd < 1
        assert isinstance(found.sd, Decimal)
