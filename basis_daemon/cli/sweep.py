"""``basis-daemon replay --sweep KEY=V1,V2``: the same hours under every combination of values, each in a process."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from basis_daemon.domain.errors import ConfigError
from basis_daemon.settings.environment import variable_of
from basis_daemon.simulation.replay import Asked, replay, settings_for
from basis_daemon.simulation.workers import workers

Json = dict[str, Any]
RUNS_MAX = 500
_BEST_FIRST = "net_apr"


@dataclass(frozen=True, slots=True)
class Axis:
    """One key of the configuration and the values that it is given; ``name`` is as it was asked for."""

    name: str
    key: str
    values: tuple[str, ...]


class _Unseen:
    def begin(self, window: str, span: object) -> None: ...

    def see(self, point: object, daemon: object) -> None: ...


def axes_of(sweeps: Sequence[str], asked: Asked) -> list[Axis]:
    """Raises ConfigError for what is no KEY=V1,V2. A name without a dot is a parameter of the strategy."""
    found = []
    for text in sweeps:
        name, equals, values = text.partition("=")
        given = tuple(value.strip() for value in values.split(",") if value.strip())
        if not equals or not name or not given:
            example = "m_star=0.35,0.40 or replay.slippage_bp=1,3"
            raise ConfigError(f"--sweep {text}: found no KEY=V1,V2; expected {example}; write it like that")
        key = name if "." in name else f"strategies.{asked.strategy}.params.{name}"
        found.append(Axis(name, key, given))
    if (runs := len(list(itertools.product(*(axis.values for axis in found))))) > RUNS_MAX:
        raise ConfigError(f"--sweep: found {runs} combinations; expected at most {RUNS_MAX}; give fewer values")
    return found


def sweep(asked: Asked, axes: Sequence[Axis], console: Console) -> Json:
    """Every combination, best first. Raises ConfigError before anything is played, for keys that no file can have."""
    combinations = list(_combinations(axes))
    for environ, _ in combinations:
        settings_for(asked, environ)
    runs: list[Json] = []
    with workers(min(os.cpu_count() or 1, len(combinations))) as pool:
        jobs = [(asked, environ, values) for environ, values in combinations]
        for run in pool.map(_run, jobs):
            runs.append(run)
            said = " ".join(f"{name}={value}" for name, value in run["values"].items())
            console.print(f"{len(runs)}/{len(jobs)} {said}: net APR {run['net_apr']}", style="dim")
    runs.sort(key=lambda run: (not run["ok"], -Decimal(run[_BEST_FIRST]), list(run["values"].values())))
    return {"strategy": asked.strategy, "keys": {axis.name: axis.key for axis in axes}, "runs": runs}


def _combinations(axes: Sequence[Axis]) -> Iterator[tuple[Mapping[str, str], Mapping[str, str]]]:
    """(environment of one run, values by name)."""
    for values in itertools.product(*(axis.values for axis in axes)):
        over = {variable_of(axis.key): value for axis, value in zip(axes, values, strict=True)}
        yield {**os.environ, **over}, {axis.name: value for axis, value in zip(axes, values, strict=True)}


def _run(job: tuple[Asked, Mapping[str, str], Mapping[str, str]]) -> Json:
    """In a process of its own; what people compare, and the stream to repeat it by."""
    asked, environ, values = job
    said = replay(asked, environ, _Unseen(), lambda _: None).document
    return {
        "values": dict(values),
        "result_bp": str(sum(Decimal(window["result_bp"]) for window in said["windows"])),
        "net_apr": said["net_apr"],
        "max_drawdown": said["max_drawdown"],
        "min_z": said["min_z"],
        "fills": sum(window["fills"] for window in said["windows"]),
        "actions": said["actions"],
        "ok": said["ok"],
        "decision_stream_sha256": said["decision_stream_sha256"],
    }


def shown(document: Json) -> RenderableType:
    """A table, best first; what fails a check stands last."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    names = list(document["keys"])
    for column in (*names, "result bp", "a year", "drawdown", "min z", "fills", "checks"):
        drawn.add_column(column, justify="left" if column in names else "right", no_wrap=True)
    for run in document["runs"]:
        verdict = Text("ok", style="green") if run["ok"] else Text("FAILED", style="bold red")
        figures = [f"{Decimal(run['result_bp']):+.2f}", f"{Decimal(run['net_apr']):+.3%}",
                   f"{Decimal(run['max_drawdown']):.3%}", run["min_z"] or "-", str(run["fills"])]  # fmt: skip
        drawn.add_row(*run["values"].values(), *figures, verdict)
    keys = ", ".join(f"{name} is {key}" for name, key in document["keys"].items() if name != key)
    return Group(drawn, Text(keys, style="dim")) if keys else drawn
