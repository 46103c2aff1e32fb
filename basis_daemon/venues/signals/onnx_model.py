"""An ONNX artefact computed here: the very file that was configured, on the features that it was trained on; no pickle.

It takes ``features`` (1 x 4) and gives ``probabilities`` of long, short and neutral (1 x 3) and ``sd`` (1 x 1); its
metadata name ``feature_schema`` and ``model_version``.
"""

from __future__ import annotations

import hashlib
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
from basis_daemon.venues.signals.features import CLOSES, FEATURE_SCHEMA, FEATURES, features
from basis_daemon.venues.signals.intake import Bars, Intake, fault_of

SIZE_MAX = 64 * 1024 * 1024
FAILED = "model_failed"
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
            probabilities, sd = infer(self._session, features(self._closes))
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

    async def run(self, sink: PredictionSink) -> None:
        """Nothing comes by itself."""

    async def close(self) -> None:
        """Nothing is open."""

    def state(self) -> Mapping[str, object]:
        """What speaks, and what was taken and refused."""
        told = {"source": "onnx", "sha256": self._artefact.sha256, "model_version": self._artefact.version}
        return {**told, "bars_known": len(self._closes), "words": dict(self._intake.counts)}


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
