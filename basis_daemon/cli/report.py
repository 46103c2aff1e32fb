"""``basis-daemon report``: how a book fared, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from basis_daemon.cli.answers import JsonOption, answer
from basis_daemon.cli.exports import nothing_valued
from basis_daemon.cli.instants import EndOption, StartOption, span
from basis_daemon.cli.journal import ConfigFile, JournalOption, path_of
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine.attribution import Asked, courses_of, refuse_nothing
from basis_daemon.engine.book_view import BookView
from basis_daemon.journal.reader import JournalReader

app = typer.Typer()


@app.command(
    epilog="`basis-daemon report -c config/live.yaml --output tearsheet.html` of a living daemon's journal; "
    "`basis-daemon replay ... --keep kept` and `--journal kept/WINDOW/journal.sqlite` of a replay."
)
def report(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write; what is there is replaced.")],
    journal: JournalOption = None,
    config: ConfigFile = None,
    start: StartOption = None,
    end: EndOption = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a tear sheet: one HTML page that opens in any browser and asks no other host for anything.

    Equity, share price, drawdown, returns by day and month, Sharpe, Sortino, Calmar and volatility, what was earned by
    source, funding, costs, exposure and distance to liquidation, for each share class and strategy. Statistics are of
    the share price, which deposits and withdrawals do not move: daily returns in UTC, 365 days a year, against a rate
    of zero; a dash where there are too few days. `--json` answers with the same figures.
    """
    from basis_daemon.demo.report import plotly_script, write_page  # noqa: PLC0415 - for who wants a page
    from basis_daemon.tearsheet.content import document, sheets  # noqa: PLC0415 - the same
    from basis_daemon.tearsheet.page import Source, render  # noqa: PLC0415 - the same

    path, asked = path_of(journal, config), Asked(*span(start, end), None, strategy)
    script = plotly_script()
    with JournalReader.open(path) as reader:
        view, identity = BookView().fold(reader.rows()), reader.header.identity
    rows = [valued.row for valued in view.history.valuations]
    if not rows:
        raise ConfigError(nothing_valued(path))
    refuse_nothing(courses_of(rows), asked)
    found = sheets(view, asked)
    write_page(output, render(found, Source(str(path), identity.book, identity.mode.value), script), "--output")
    said = {"journal": str(path), "output": str(output), "book": identity.book, **document(found)}
    told = sum(len(sheet.whole.steps) for sheet in found)
    answer(said, as_json=as_json, shown=Text(f"{output}: {identity.book}, {told:,} intervals between valuations"))
