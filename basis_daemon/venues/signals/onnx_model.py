"""An ONNX artefact computed here: the very file that was configured, on the features that it was trained on; no pickle.

It takes ``features`` (1 x 4) and gives ``probabilities`` of long, short and neutral (1 x 3) and ``sd`` (1 x 1); its
metadata name ``feature_schema`` and ``model_version``, and hold ``feature_means`` and ``feature_deviations`` of the
rows that it was trained on (JSON), against which drift is told.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import MarketEvent, MarkTick
from basis_daemon.domain.prediction import PredictionTick, Signal
from basis_daemon.signals import PredictionSink
from basis_daemon.venues.signals.features import CLOSES, DRIFT_ROWS, FEATURE_SCHEMA, FEATURES, Drift, features
from basis_daemon.venues.signals.intake import Bars, Intake, fault_of

SIZE_MAX = 64 * 1024 * 1024
FAILED = "model_failed"
DRIFT_MAX = 3.0
"""Deviations of the training rows by which the mean of a feature may lie off before it is told."""
SIDES = (Signal.LONG, Signal.SHORT, Signal.NEUTRAL)
_INPUT, _OUTPUTS = "features", ("probabilities", "sd")
_FAULTS = (
    ort.Fail,
    ort.InvalidArgument,
    ort.InvalidGraph,
    ort.InvalidProtobuf,
    ort.NotImplemented,
    ort.RuntimeException,
)
_STEP = Decimal("1e-6")
"""A word is rounded before it is believed: what was recorded is what was traded on."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """Which file, by its hash, and which version it says that it is."""

    file: Path
    sha256: str
    version: str


class OnnxSignals:
    """One word per closed bar, from marks of the contract. Bars without a gap only: after one it listens anew."""

    def __init__(self, artefact: Artefact, intake: Intake) -> None:
        self._artefact, self._intake = artefact, intake
        self._bars = Bars(intake.hearing.listening.bar)
        self._closes: deque[float] = deque(maxlen=CLOSES)
        self._before: datetime | None = None
        self._last: MarkTick | None = None
        self._session: onnxruntime.InferenceSession | None = None
        self._drift: Drift | None = None
        self._has_drifted = False

    @property
    def strategy(self) -> str:
        """The instance that listens."""
        return self._intake.hearing.strategy

    @property
    def instrument(self) -> PositionKey:
        """Whose market events it is shown."""
        return self._intake.hearing.instrument

    async def start(self) -> None:
        """Load and check the artefact. Raises ConfigError for another file, schema, version or shape."""
        self._session = opened(self._artefact)
        self._drift = drift_of(f"model {self._artefact.file}", self._session)

    def see(self, event: MarketEvent) -> Sequence[PredictionTick]:
        """The word on a bar with the first mark after its close."""
        if not isinstance(event, MarkTick):
            return ()
        bar = self._bars.closed(event.venue_time)
        found = () if bar is None else self._close(bar, event.venue_time)
        self._last = event
        return found

    def _close(self, bar: datetime, now: datetime) -> Sequence[PredictionTick]:
        is_next = self._before is not None and bar - self._before == self._intake.hearing.listening.bar
        if not is_next:
            self._closes.clear()
        self._before = bar
        if self._last is None or self._last.venue_time < bar:  # the whole bar went by unseen
            self._closes.clear()
            return ()
        self._closes.append(float(self._last.mark))
        if len(self._closes) < CLOSES:
            return ()
        tick = self._word(bar, now)
        return () if tick is None else (tick,)

    def _word(self, bar: datetime, now: datetime) -> PredictionTick | None:
        try:
            row = features(self._closes)
            self._watch(row)
            probabilities, sd = infer(self._session, row)
        except (*_FAULTS, ValueError) as error:
            self._intake.refuse(FAILED, f"bar {bar.isoformat()}: {type(error).__name__}")
            return None
        best = max(range(len(SIDES)), key=lambda place: probabilities[place])
        said = {
            "symbol": self._intake.hearing.listening.symbol,
            "bar_time": bar,
            "signal": SIDES[best],
            "confidence": _rounded(probabilities[best]),
            "sd": _rounded(sd),
            "model_version": self._artefact.version,
        }
        return self._intake.take(said, now)

    def _watch(self, row: Sequence[float]) -> None:
        """Tell once when the market is no longer the one that the model has seen."""
        if self._drift is None:
            return
        self._drift.see(row)
        is_far = self._drift.rows >= DRIFT_ROWS and self._drift.worst > DRIFT_MAX
        if is_far and not self._has_drifted:
            self._intake.warn("features have drifted from training", f"{self._drift.worst:.2f}, limit {DRIFT_MAX:g}")
        self._has_drifted = is_far

    async def run(self, sink: PredictionSink) -> None:
        """Nothing comes by itself."""

    async def close(self) -> None:
        """Nothing is open."""

    def state(self) -> Mapping[str, object]:
        """What speaks, and what was taken and refused."""
        told = {"source": "onnx", "sha256": self._artefact.sha256, "model_version": self._artefact.version}
        return {**told, "bars_known": len(self._closes), "words": dict(self._intake.counts),
                "drift": None if self._drift is None else f"{self._drift.worst:.3f}"}  # fmt: skip


def opened(artefact: Artefact) -> onnxruntime.InferenceSession:
    """The session of a checked artefact: one thread, no other file. Raises ConfigError."""
    where = f"model {artefact.file}"
    try:
        size = artefact.file.stat().st_size
        if size > SIZE_MAX:
            raise fault_of(where, f"{size} bytes", f"at most {SIZE_MAX}")
        content = artefact.file.read_bytes()
    except OSError as error:
        raise fault_of(where, str(error.strerror), "a readable ONNX file") from error
    found = hashlib.sha256(content).hexdigest()
    if found != artefact.sha256:
        raise fault_of(where, f"sha256 {found}", f"{artefact.sha256}, as the configuration says")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _FAULTS as error:
        raise fault_of(where, type(error).__name__, "an ONNX model that this runtime can load") from error
    _check_model(where, session, artefact.version)
    return session


def _check_model(where: str, session: onnxruntime.InferenceSession, version: str) -> None:
    said = session.get_modelmeta().custom_metadata_map
    takes = {(row.name, row.type, tuple(row.shape)) for row in session.get_inputs()}
    gives = {row.name for row in session.get_outputs()}
    for what, found, expected in (
        ("feature_schema", said.get("feature_schema"), FEATURE_SCHEMA),
        ("model_version", said.get("model_version"), version),
        ("inputs", takes, {(_INPUT, "tensor(float)", (1, len(FEATURES)))}),
        ("outputs", gives, set(_OUTPUTS)),
    ):
        if found != expected:
            raise fault_of(f"{where}: {what}", str(found), str(expected))


def drift_of(where: str, session: onnxruntime.InferenceSession) -> Drift:
    """A meter against the rows that a model was trained on. Raises ConfigError where it does not tell of them."""
    said = session.get_modelmeta().custom_metadata_map
    read = []
    for name in ("feature_means", "feature_deviations"):
        try:
            numbers = [float(number) for number in json.loads(said.get(name, ""))]
        except (TypeError, ValueError) as error:
            raise fault_of(f"{where}: {name}", str(said.get(name)), "a JSON list of numbers") from error
        if len(numbers) != len(FEATURES) or not all(map(math.isfinite, numbers)):
            raise fault_of(f"{where}: {name}", str(numbers), f"{len(FEATURES)} finite numbers")
        read.append(numbers)
    if min(read[1]) <= 0:
        raise fault_of(f"{where}: feature_deviations", str(read[1]), "numbers above zero")
    return Drift(read[0], read[1])


def infer(session: onnxruntime.InferenceSession | None, row: Sequence[float]) -> tuple[list[float], float]:
    """(probabilities of long, short and neutral; sd). Raises ValueError for an answer of another shape."""
    if session is None:
        raise ValueError("no session, expected start before see")
    answers = session.run(list(_OUTPUTS), {_INPUT: np.asarray([row], dtype=np.float32)})
    probabilities, sd = (np.asarray(answer, dtype=np.float64).ravel().tolist() for answer in answers)
    if len(probabilities) != len(SIDES) or len(sd) != 1:
        raise ValueError(f"{len(probabilities)} probabilities and {len(sd)} sd, expected {len(SIDES)} and 1")
    return probabilities, sd[0]


def _rounded(number: float) -> Decimal:
    """Six decimals; what is no number stays none, for the intake to refuse."""
    return Decimal(repr(number)).quantize(_STEP) if math.isfinite(number) else Decimal(repr(number))
