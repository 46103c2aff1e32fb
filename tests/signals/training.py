"""Trains the small model that proves the path: softmax regression on seeded marks, written as ONNX, nothing pickled."""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from basis_daemon.venues.signals.features import CLOSES, FEATURE_SCHEMA, FEATURES, features

VERSION = "softmax-1"
BARS = 3_000
STEPS = 400
EDGE = 0.001
Matrix = npt.NDArray[np.float64]


def closes(seed: int, bars: int = BARS) -> list[float]:
    """Marks with some momentum, so that there is something to learn."""
    dice, price, drift, found = random.Random(seed), 60_000.0, 0.0, []  # noqa: S311 - seeded, so that a run repeats
    for _ in range(bars):
        drift = 0.9 * drift + dice.gauss(0, 0.0006)
        price *= 1 + drift + dice.gauss(0, 0.0008)
        found.append(price)
    return found


def samples(marks: list[float]) -> tuple[Matrix, npt.NDArray[np.int64], float]:
    """(features, class of the bar that follows, deviation of its return): classes long, short, neutral."""
    rows, classes, moves = [], [], []
    for end in range(CLOSES, len(marks)):
        move = marks[end] / marks[end - 1] - 1
        rows.append(features(marks[end - CLOSES : end]))
        classes.append(0 if move > EDGE else 1 if move < -EDGE else 2)
        moves.append(move)
    return np.asarray(rows), np.asarray(classes), float(np.std(moves))


def trained(seed: int) -> tuple[Matrix, Matrix, float]:
    """(weights, bias, sd) after plain gradient descent."""
    rows, classes, sd = samples(closes(seed))
    scale = rows.std(axis=0)
    shown, wanted = rows / scale, np.eye(3)[classes]
    weights, bias = np.zeros((len(FEATURES), 3)), np.zeros(3)
    for _ in range(STEPS):
        scores = shown @ weights + bias
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        gap = chances / chances.sum(axis=1, keepdims=True) - wanted
        weights -= 0.5 * shown.T @ gap / len(rows)
        bias -= 0.5 * gap.mean(axis=0)
    return weights / scale[:, None], bias, sd


def model_bytes(seed: int = 7, version: str = VERSION, schema: str = FEATURE_SCHEMA, sd: float | None = None) -> bytes:
    """The artefact; equal arguments give equal bytes."""
    weights, bias, found = trained(seed)
    constants = {
        "weights": weights.astype(np.float32),
        "bias": bias.astype(np.float32)[None, :],
        "deviation": np.asarray([[found if sd is None else sd]], dtype=np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("Identity", ["deviation"], ["sd"]),
        ],
        "softmax",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, len(FEATURES)])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("sd", TensorProto.FLOAT, [1, 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    rows, _, _ = samples(closes(seed))
    statistics = {"feature_means": rows.mean(axis=0), "feature_deviations": rows.std(axis=0)}
    told = {name: json.dumps(values.tolist()) for name, values in statistics.items()}
    helper.set_model_props(model, {"feature_schema": schema, "model_version": version, **told})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def main() -> None:
    """Write the artefact and say its hash."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("file", type=Path)
    words.add_argument("--seed", type=int, default=7)
    given = words.parse_args()
    content = model_bytes(given.seed)
    given.file.write_bytes(content)
    print(f"sha256: {hashlib.sha256(content).hexdigest()}\nmodel_version: {VERSION}")  # noqa: T201 - this is a command


if __name__ == "__main__":
    main()
