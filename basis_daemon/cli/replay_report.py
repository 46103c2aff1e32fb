"""A replay's report: the page of a demo, over a book that was played in virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from basis_daemon.demo.exchange_report import EXCHANGE
from basis_daemon.demo.outcome import part_of, risk_of, sent_ids
from basis_daemon.demo.report import write_report
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.judgement import Check, Outcome
from basis_daemon.simulation.replay import Told

Json = dict[str, Any]
SECONDS_A_DAY = 86_400
_VENUE = "the simulated venue"


def report_file(file: Path, window: str, *, are_many: bool) -> Path:
    """The file itself, or of several windows one each: ``report.html`` becomes ``report-WINDOW.html``."""
    return file.with_name(f"{file.stem}-{window}{file.suffix}") if are_many else file


def write(file: Path, told: Told, took_s: float) -> None:
    """Writes one window's page; ``took_s`` are real seconds. Raises ConfigError, also for a window that was held."""
    if told.book is None:
        missing = ", ".join(told.outcome.document["missing"])
        raise ConfigError(f"--report {file}: nothing was played in {told.window.name}, which lacks {missing}")
    played, view = told.book
    look = replace(EXCHANGE, venue=_VENUE, market=lambda said: f"replayed market {said['window']}", footer=_footer)
    write_report(file, _as_demo(told, took_s), view, played.rows, look)


def _as_demo(told: Told, took_s: float) -> Outcome:
    said = told.outcome.document
    view = told.book[1] if told.book is not None else None
    if view is None:
        raise ConfigError(f"nothing was played in {told.window.name}")
    name, sent = said["strategy"], len(sent_ids(view))
    document: Json = {
        **said,
        **risk_of(view),
        "seed": None,
        "numeraire": "USDT",
        "trades": said["fills"],
        "orders_sent": sent,
        "venue_orders": sent,
        "duplicate_orders": 0,
        "min_z": said["min_z"],
        "days": round(float(said["days"])),
        "effective_speed": str(float(said["days"]) * SECONDS_A_DAY / max(took_s, 1e-3)),
        "strategies": {name: part_of(view, name, trades=said["fills"], orders_sent=sent)},
    }
    return Outcome(document, tuple(Check(c.name, c.found, c.expected, c.means) for c in told.outcome.checks))


def _footer(said: Json) -> list[str]:
    cost = f"fees {said['fees']} and slippage {said['slippage']} USDT are modelled, as configured; holes are left open"
    return [cost, "all times UTC; the path through an hourly bar is an assumption"]
