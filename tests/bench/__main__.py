"""`python -m tests.bench`: what the daemon costs, as ratios to a floor measured in the same run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.bench import beside, chain, durable, engine, frame_to_order, loopback, orders, soak
from tests.bench.measure import Row, as_plain

BENCHES: Mapping[str, Callable[[], list[Row]]] = {
    engine.NAME: engine.measure,
    orders.NAME: orders.measure,
    durable.NAME: durable.measure,
    frame_to_order.NAME: frame_to_order.measure,
    loopback.NAME: loopback.measure,
    chain.NAME: chain.measure,
    beside.NAME: beside.measure,
}
EXIT_MISSED = 1
WIDTH_IN_A_FILE = 160


def main(
    only: Annotated[list[str] | None, typer.Option(help="Run this bench alone; may be given several times.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of process time for the soak; 30 for a release.")] = 2.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the rows to this file.")] = None,
) -> None:
    """Exit 0 when every gate holds, 1 when one is missed. Aims are reported and never judged."""
    benches: Mapping[str, Callable[[], list[Row]]] = {**BENCHES, soak.NAME: partial(soak.measure, minutes)}
    unknown = sorted(set(only or ()) - benches.keys())
    if unknown:
        raise typer.BadParameter(f"no bench is called {', '.join(unknown)}; there are {', '.join(benches)}")
    rows = [row for name, measure in benches.items() if not only or name in only for row in measure()]
    _print(rows)
    if json_file is not None:
        json_file.write_text(json.dumps([as_plain(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    raise typer.Exit(EXIT_MISSED if any(row.verdict == "MISSED" for row in rows) else 0)


def _print(rows: list[Row]) -> None:
    table = Table(title="one interleaved run; medians, p99 beside them", title_justify="left")
    for column in ("bench", "what", "value", "p99", "target", "verdict", "note"):
        table.add_column(column, justify="right" if column in {"value", "p99"} else "left", overflow="fold")
    for row in rows:
        target = f"{row.target.bound} {row.target.value:g}" if row.target else ""
        style = {"passed": "green", "met": "green", "MISSED": "bold red"}.get(row.verdict, "yellow")
        p99 = _number(row.p99, row.unit) if row.p99 is not None else ""
        verdict = f"[{style}]{row.verdict}[/]" if row.verdict else ""
        table.add_row(row.bench, row.what, _number(row.value, row.unit), p99, target, verdict, row.note)
    Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE).print(table)


def _number(value: float, unit: str) -> str:
    return f"{value:,.2f}{unit}" if unit == "x" else f"{value:,.0f} {unit}"


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
