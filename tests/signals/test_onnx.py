"""An ONNX artefact speaks when it is the very file that was configured; trained and traded features are the same."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import ConfigError
from basis_daemon.domain.prediction import PredictionTick
from basis_daemon.venues.signals.features import CLOSES, DRIFT_ROWS, features
from basis_daemon.venues.signals.onnx_model import Artefact, OnnxSignals, infer, opened
from tests.signals.support import BAR, START, VERSION, Told, mark
from tests.signals.training import closes, model_bytes, samples, trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def content() -> bytes:
    return model_bytes()


def artefact(folder: Path, content: bytes, version: str = VERSION) -> Artefact:
    file = folder / "model.onnx"
    file.write_bytes(content)
    return Artefact(file, hashlib.sha256(content).hexdigest(), version)


def spoken(source: OnnxSignals, marks: Sequence[float], first: int = 0) -> list[PredictionTick]:
    """What it says while each bar closes at its mark."""
    said: list[PredictionTick] = []
    for bar, price in enumerate(marks, first):
        said += source.see(mark(START + bar * BAR + timedelta(seconds=299), price))
    return said + list(source.see(mark(START + (first + len(marks)) * BAR)))


@pytest.mark.feature("M02")
async def test_it_speaks_of_every_bar_once_it_knows_enough_of_them(tmp_path: Path, content: bytes) -> None:
    told = Told()
    source = OnnxSignals(artefact(tmp_path, content), told.intake())
    await source.start()
    said = spoken(source, closes(11, CLOSES + 5))
    assert len(said) == 6
    assert told.counted == ["accepted"] * 6
    assert {tick.prediction.model_version for tick in said} == {VERSION}
    assert all(tick.prediction.confidence.as_tuple().exponent == -6 for tick in said)


@pytest.mark.feature("M04", part="parity")
async def test_what_it_says_live_is_what_training_computes_for_the_same_bars(tmp_path: Path, content: bytes) -> None:
    marks = closes(12, CLOSES + 20)
    source = OnnxSignals(artefact(tmp_path, content), Told().intake())
    await source.start()
    said = spoken(source, marks)
    rows, _, _ = samples([*marks, marks[-1]])
    weights, bias, _ = trained(7)
    scores = rows @ weights + bias
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert len(said) == len(rows)
    for tick, row in zip(said, chances, strict=True):
        assert float(tick.prediction.confidence) == pytest.approx(row.max(), abs=2e-6)
        assert tick.prediction.signal == ("long", "short", "neutral")[int(row.argmax())]


async def test_after_a_gap_it_listens_anew(tmp_path: Path, content: bytes) -> None:
    source = OnnxSignals(artefact(tmp_path, content), Told().intake())
    await source.start()
    assert spoken(source, closes(3, CLOSES)) != []
    assert spoken(source, closes(3, CLOSES - 1), first=CLOSES + 3) == []


@pytest.mark.feature("M01")
@pytest.mark.parametrize(
    ("made", "version", "expected"),
    [
        (lambda: model_bytes(version="other"), VERSION, "model_version: found other, expected softmax-1"),
        (lambda: model_bytes(schema="returns_v2"), VERSION, "feature_schema: found returns_v2, expected returns_v1"),
        (lambda: b"no model", VERSION, "expected an ONNX model"),
        (lambda: pickle.dumps({"weights": [1]}), VERSION, "expected an ONNX model"),
    ],
)
async def test_an_artefact_of_another_making_stops_the_start(
    tmp_path: Path, made: object, version: str, expected: str
) -> None:
    assert callable(made)
    with pytest.raises(ConfigError, match=expected):
        opened(artefact(tmp_path, made(), version))


@pytest.mark.feature("M01")
async def test_a_file_that_is_not_the_hashed_one_stops_the_start(tmp_path: Path, content: bytes) -> None:
    wanted = artefact(tmp_path, content)
    wanted.file.write_bytes(content + b"\0")
    with pytest.raises(ConfigError, match=f"expected {wanted.sha256}"):
        opened(wanted)


@pytest.mark.feature("M03")
async def test_a_model_that_says_nan_is_not_believed(tmp_path: Path) -> None:
    told = Told()
    source = OnnxSignals(artefact(tmp_path, model_bytes(sd=math.nan)), told.intake())
    await source.start()
    assert spoken(source, closes(5, CLOSES)) == []
    assert told.counted == ["not_finite"]


@pytest.mark.feature("M01")
def test_the_training_script_makes_the_same_bytes_again(content: bytes) -> None:
    assert model_bytes() == content


@pytest.mark.feature("M04", part="parity")
@given(st.lists(st.floats(min_value=1, max_value=1e6), min_size=CLOSES, max_size=CLOSES))
def test_features_are_finite_for_all_prices_and_do_not_depend_on_their_unit(marks: list[float]) -> None:
    row = features(marks)
    assert all(math.isfinite(value) for value in row)
    assert features([price * 2 for price in marks]) == pytest.approx(row, abs=1e-9)


def test_an_answer_without_a_session_is_refused() -> None:
    with pytest.raises(ValueError, match="no session"):
        infer(None, [0.0] * 4)


@pytest.mark.feature("M04", part="drift")
async def test_a_market_unlike_the_trained_one_is_told_once_and_a_like_one_is_not(
    tmp_path: Path, content: bytes
) -> None:
    told = Told()
    source = OnnxSignals(artefact(tmp_path, content), told.intake())
    await source.start()
    spoken(source, closes(21, CLOSES + DRIFT_ROWS + 5))
    assert told.alarms == []
    assert float(str(source.state()["drift"])) < 1
    wild = [60_000 * (1.05 if bar % 2 else 1.0) for bar in range(CLOSES + 3 * DRIFT_ROWS)]
    spoken(source, wild, first=2 * CLOSES + DRIFT_ROWS)
    assert [what for what, _ in told.alarms] == ["features have drifted from training"]
    assert float(str(source.state()["drift"])) > 3
