"""``basis-daemon replay``: recorded hours through the daemon's own engine in virtual time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.answers import ExitCode, JsonOption, answer, out_of_the_tree
from basis_daemon.clock import SystemClock

if TYPE_CHECKING:
    from basis_daemon.engine.judgement import Outcome
    from basis_daemon.simulation.path import Point
    from basis_daemon.simulation.replay import Asked, Told
    from basis_daemon.simulation.run import Span

app = typer.Typer()
WIDTH_OF_A_LOG = 160


@app.command(
    epilog="`basis-daemon replay --strategy btc_basis --history data/2024-03_funding_boom` plays one window, "
    "`--history data` every window below it, each as a book of its own."
)
def replay(  # noqa: PLR0913 - one parameter per option of the command
    *,
    strategy: Annotated[str, typer.Option(help="An instance of the configuration; the others rest.")],
    history: Annotated[Path, typer.Option(help="A window (candles_1h.csv and its like), or a folder of windows.")],
    start: Annotated[
        str | None, typer.Option("--from", help="First day or instant, UTC; else the window's own first day.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Last day, or the instant to end before; else the window's last day.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Mode paper: capital, fees, tiers, parameters, conventions.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a self-contained HTML report here; of several windows one each.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the journals here, a directory for each window, to ask `why` and `pnl`.")
    ] = None,
    signals: Annotated[
        Path | None, typer.Option(help="Recorded predictions, for a strategy that listens to a model.")
    ] = None,
    check_lookahead: Annotated[
        bool,
        typer.Option("--check-lookahead", help="Then play it again on history that is cut, and compare decisions."),
    ] = False,
    sweep: Annotated[
        list[str] | None, typer.Option(metavar="KEY=V1,V2", help="Play every combination of these values instead.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play recorded hours through the daemon's own engine, risk and ledger, against simulated venues.

    What came before --from teaches the strategy and nothing is traded on it. No bar is seen before its time: the path
    through it is open, low, high, close when it closes up, else open, high, low, close. Equal inputs give an equal
    decision_stream_sha256. Fees, slippage, depth and latency stand in the configuration (config/replay.yaml).

    Exit code 0 when every check holds (nothing liquidated, unexplained, in doubt or at odds with the venue), 1 when
    one does not. Where a series is missing the run says which, holds with STALE, and is 0.
    """
    from basis_daemon.simulation.replay import CONFIG, Asked  # noqa: PLC0415 - the whole engine, for this command alone
    from basis_daemon.simulation.replay import replay as play  # noqa: PLC0415 - the same
    from basis_daemon.simulation.windows import read_instant  # noqa: PLC0415 - the same

    asked = Asked(
        strategy=strategy, history=history, config=config or CONFIG, signals=signals,
        start=None if start is None else read_instant("--from", start),
        end=None if end is None else read_instant("--to", end, is_end=True),
    )  # fmt: skip
    console, noted = _progress_console(), _Noted(SystemClock())
    if sweep:
        _swept(asked, sweep, console, as_json=as_json)
        return
    with out_of_the_tree():
        outcome = play(asked, os.environ, _Spectator(console), noted)
    _write_down(noted.told, asked.strategy, report, keep, console)
    is_clean = not check_lookahead or _looked_ahead(noted.told, outcome.document, console)
    _tell(outcome, is_clean=is_clean, as_json=as_json)


def _tell(outcome: Outcome, *, is_clean: bool, as_json: bool) -> None:
    answer(outcome.document, as_json=as_json, shown=summary(outcome.document))
    if outcome.failed:
        said = "; ".join(f"{c.name}: found {c.found}, expected {c.expected} ({c.means})" for c in outcome.failed)
        typer.echo(f"failed: {said}", err=True)
    if outcome.failed or not is_clean:
        raise typer.Exit(ExitCode.FAILED_CHECK)


class _Noted:
    """Every window that was played, each with the seconds that it took."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock, self._began_ns = clock, clock.monotonic_ns()
        self.told: list[tuple[Told, float]] = []

    def __call__(self, window: Told) -> None:
        now_ns = self._clock.monotonic_ns()
        self.told.append((window, (now_ns - self._began_ns) / 1_000_000_000))
        self._began_ns = now_ns


def _looked_ahead(told: list[tuple[Told, float]], document: dict[str, Any], console: Console) -> bool:
    """Adds what the check found to the document, window by window; False when a decision knew what came later."""
    from basis_daemon.simulation.lookahead import check  # noqa: PLC0415 - for who asks for it

    found = {}
    for window, _ in told:
        if window.book is not None and window.recorded is not None and window.settings is not None:

            def tell(run: str, name: str = window.window.name) -> None:
                console.print(f"{name}: {run}", style="dim")

            with out_of_the_tree():
                found[window.window.name] = check(window.settings, window.recorded, window.book[0], tell)
    document["lookahead"] = found
    return all(part["is_clean"] for part in found.values())


def _swept(asked: Asked, sweeps: list[str], console: Console, *, as_json: bool) -> None:
    from basis_daemon.cli import sweep  # noqa: PLC0415 - for who asks for it

    document = sweep.sweep(asked, sweep.axes_of(sweeps, asked), console)
    answer(document, as_json=as_json, shown=sweep.shown(document))


def _write_down(
    told: list[tuple[Told, float]], strategy: str, report: Path | None, keep: Path | None, console: Console
) -> None:
    """Reports and journals of what was played."""
    from basis_daemon.cli import replay_report  # noqa: PLC0415 - the page and its charts, for who wants one
    from basis_daemon.simulation import keep as keeping  # noqa: PLC0415 - the same

    for window, took_s in told:
        if window.book is None:
            continue
        if report is not None:
            file = replay_report.report_file(report, window.window.name, are_many=len(told) > 1)
            replay_report.write(file, window, took_s)
            console.print(f"report: {file}", style="dim")
        if keep is not None:
            rows = window.book[0].rows
            file = keeping.keep(keep / window.window.name, f"{strategy}_replay", "", rows)
            console.print(f"journal: {file}", style="dim")


def _progress_console() -> Console:
    """Standard error, so that standard output holds the answer alone; a log gets lines that do not wrap."""
    return Console(file=sys.stderr, width=None if sys.stderr.isatty() else WIDTH_OF_A_LOG, highlight=False)


class _Spectator:
    """One line per window, and on a terminal the day that is being played."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._day: datetime | None = None
        self._days = ""

    def begin(self, window: str, span: Span) -> None:
        self._days = f"{span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}"
        self._console.print(f"{window}: {self._days}", style="dim")

    def see(self, point: Point, daemon: object) -> None:
        day = point.at.replace(hour=0, minute=0)
        if self._console.is_terminal and day != self._day:
            self._day = day
            self._console.print(f"  {day:%Y-%m-%d}", style="dim", end="\r")


def summary(document: dict[str, Any]) -> RenderableType:
    """A table of the windows, what was done in each, and what was not there."""
    parts: list[RenderableType] = []
    figures = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("window", "result bp", "a year", "funding bp", "cost bp", "drawdown", "min z", "fills", "checks"):
        figures.add_column(column, justify="left" if column == "window" else "right", no_wrap=True)
    for part in document["windows"]:
        verdict = Text("ok", style="green") if part["ok"] else Text("FAILED", style="bold red")
        figures.add_row(
            part["window"], part["result_bp"], f"{float(part['net_apr']):+.2%}", part["funding_bp"], part["cost_bp"],
            f"{float(part['max_drawdown']):.3%}", part["min_z"] or "-", str(part["fills"]), verdict,
        )  # fmt: skip
    parts += [Rule(Text(f"{document['strategy']} replayed", style="bold"), align="left"), figures]
    for part in document["windows"]:
        parts += [Text(), Text(part["window"], style="bold"), *_story(part)]
    parts += _ahead(document.get("lookahead", {}))
    parts += [Text(), Text(f"decision_stream_sha256 {document['decision_stream_sha256']}", style="dim")]
    return Group(*parts)


def _ahead(found: dict[str, Any]) -> Iterator[RenderableType]:
    """What cutting history showed, window by window."""
    for window, part in found.items():
        yield Text()
        if part["is_clean"]:
            cuts = ", ".join(cut["cut"][5:13].replace("T", " ") + "h" for cut in part["cuts"])
            yield Text(f"{window}: no decision knew what came later (cut at {cuts})", style="green")
        for cut in part["cuts"]:
            if (first := cut["first_difference"]) is not None:
                whole, short = (_decision(first[side]) for side in ("whole", "cut"))
                said = f"{window}: cut at {cut['cut']}, decision {first['number']} is {short}; uncut it is {whole}"
                yield Text(f"LOOK-AHEAD {said}", style="bold red")
        if (memory := part["memory"]) is not None:
            said = f"on what came after {memory['since'][:10]} alone, {memory['other_deeds']} do something else"
            yield Text(f"  {said}", style="dim")


def _decision(told: dict[str, str] | None) -> str:
    return "missing" if told is None else f"{told['reason']} at {told['market_time']}: {told['note']}"


def _story(part: dict[str, Any]) -> list[RenderableType]:
    if part["missing"]:
        said = f"holds with STALE, because there are no rows of: {', '.join(part['missing'])}"
        if any(" spot " in name for name in part["missing"]):
            said += "; replay.spot_stand_in may name a venue whose spot rows stand for it"
        return [Text(said, style="yellow")]
    if not part["acts"]:
        return [Text(f"Nothing was traded, because: {part['why']}", style="yellow")]
    acts = Table.grid(padding=(0, 2))
    for act in part["acts"]:
        acts.add_row(act["at"][5:16].replace("T", " "), Text(act["reason"], style="bold"), act["why"])
    told = ", ".join(f"{what} {times}" for what, times in part["alarms"].items())
    return [acts, Text(f"alarms: {told}", style="yellow")] if told else [acts]
