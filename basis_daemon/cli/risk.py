"""``basis-daemon risk``: what can be liquidated, how near it is, and what stands in the way. Of a daemon, or a file."""

from __future__ import annotations

import typer

from basis_daemon.cli import risk_tables
from basis_daemon.cli.answers import JsonOption, answer
from basis_daemon.cli.book import ConfigFile, JournalOption, SocketOption, source
from basis_daemon.engine.risk_views import journal_risk

app = typer.Typer()


@app.command(epilog="`basis-daemon risk -c config/live.yaml --json` for a script")
def risk(
    *,
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
    found = source(journal, socket, config).ask("/risk", journal_risk)
    answer(found, as_json=as_json, shown=risk_tables.risk(found))
