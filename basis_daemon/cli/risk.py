"""``basis-daemon risk``: what can be liquidated, how near it is, and what stands in the way. Of a daemon, or a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from basis_daemon.cli import risk_tables, stress_tables
from basis_daemon.cli.answers import JsonOption, answer
from basis_daemon.cli.book import ConfigFile, JournalOption, SocketOption, source
from basis_daemon.domain.stress import Grid
from basis_daemon.engine.plan_view import journal_plan
from basis_daemon.engine.risk_views import journal_risk
from basis_daemon.engine.stress_view import journal_stress
from basis_daemon.settings import load_settings
from basis_daemon.settings.risk import StressSettings

app = typer.Typer()


@app.command(epilog="`basis-daemon risk -c config/live.yaml`, `basis-daemon risk --stress --journal FILE --json`")
def risk(
    *,
    stress: Annotated[
        bool, typer.Option("--stress", help="Every cell of risk.stress: what is left, who survives, who falls first.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="What each threat needs, and which cash would cover it; nothing is sent.")
    ] = False,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """The nearest liquidation over every exchange account and every loan, the binding one first.

    Distance is the adverse move of the driver, z the same in shocks. Hours to liquidation: `drain` with prices as they
    are, by funding and interest alone; `drift` with a price that moves against the position in a straight line by
    risk.drift_shocks_per_day. What a position earns is never counted; what is not known is unknown, never safe.
    """
    if stress and plan:
        raise typer.BadParameter("--stress and --plan are two questions: ask one of them")
    asked = source(journal, socket, config)
    if plan:
        found = asked.ask("/risk/plan", journal_plan)
        answer(found, as_json=as_json, shown=risk_tables.plan(found))
    elif stress:
        grid = _grid(config)
        found = asked.ask("/risk/stress", lambda view: journal_stress(view, grid))
        answer(found, as_json=as_json, shown=stress_tables.stress(found))
    else:
        found = asked.ask("/risk", journal_risk)
        answer(found, as_json=as_json, shown=risk_tables.risk(found))


def _grid(config: Path | None) -> Grid:
    """Of the file that is named, for a journal; a daemon has its own."""
    if config is None:
        return StressSettings().grid()
    return load_settings(config, os.environ, with_secrets=False).settings.risk.stress.grid()
