"""``basis-daemon demo``: market days through sandbox, ccxt and daemon as separate processes, judged and drawn."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from basis_daemon.cli.answers import ExitCode, JsonOption, answer
from basis_daemon.demo.faults import FaultLevel
from basis_daemon.demo.processes import tail_of
from basis_daemon.demo.progress import RichSpectator
from basis_daemon.demo.run import play
from basis_daemon.demo.stage import DemoOptions
from basis_daemon.demo.units import digits_of
from basis_daemon.engine.judgement import Outcome

app = typer.Typer()
WIDTH_OF_A_LOG = 160


@app.command(
    epilog="`basis-daemon demo --seed 7 --days 10 --report report.html` plays a generated market; "
    "`--history DIR --window 2024-03_funding_boom` a recorded one."
)
def demo(  # noqa: PLR0913 - one parameter per option of the command
    *,
    strategy: Annotated[
        list[str] | None, typer.Option(help="An instance in the configuration, btc_basis by default; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the generated market; equal seeds, equal markets.")] = 7,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=3650, help="Market days; else those of the story, or all that was recorded."),
    ] = None,
    history: Annotated[Path | None, typer.Option(help="Recorded hours instead of a generated market.")] = None,
    window: Annotated[str | None, typer.Option(help="A window of --history, with its dates.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a self-contained HTML report here.")] = None,
    faults: Annotated[
        FaultLevel | None, typer.Option(help="Let things go wrong while it plays, by a schedule of --seed.")
    ] = None,
    signals: Annotated[
        Path | None, typer.Option(help="Recorded predictions for a strategy that listens; else words of --seed.")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Run in this directory and keep logs and journal.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="What the daemon runs with; else that of its sandbox.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play market days through an exchange, or a chain, of our own and hold the book against what it says itself.

    Exit code 0 when every check holds, 1 when one does not; a market in which the gate rightly never opens trades
    nothing, says why, and is 0.
    """
    if window is not None and history is None:
        raise typer.BadParameter("--window names a part of --history, and that is not given")
    options = DemoOptions(
        strategies=tuple(strategy or ("btc_basis",)), seed=seed, history=history, window=window, config=config,
        days=days, keep=keep, report=report, faults=faults, signals=signals,
    )  # fmt: skip
    try:
        with RichSpectator(_progress_console(), options.days) as spectator:
            outcome = asyncio.run(play(options, spectator))
    except asyncio.CancelledError:  # SIGTERM
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    answer(outcome.document, as_json=as_json, shown=summary(outcome))
    if not outcome.is_good:
        said = "; ".join(f"{c.name}: found {c.found}, expected {c.expected}" for c in outcome.failed)
        where = Path(outcome.directory or "")
        typer.echo(f"failed: {said}\n{tail_of(where / 'daemon.log')}", err=True)
        typer.echo(f"everything about this run is in {where}", err=True)
        raise typer.Exit(ExitCode.FAILED_CHECK)


def _progress_console() -> Console:
    """Standard error, so that standard output holds the answer alone; a log gets lines that do not wrap."""
    return Console(file=sys.stderr, width=None if sys.stderr.isatty() else WIDTH_OF_A_LOG, highlight=False)


def summary(outcome: Outcome) -> RenderableType:
    """The closing tables: what was earned, what was run, what was checked."""
    said = outcome.document
    figures = Table.grid(padding=(0, 3))
    figures.add_column(style="dim")
    figures.add_column(justify="right")
    figures.add_column(style="dim")
    figures.add_column(justify="right")
    counts = _chain_counts(said) if "transactions" in said else _counts(said)
    for left, right in zip(_money(said), counts, strict=False):
        figures.add_row(*left, *right)
    each = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("strategy", "equity at end", "change", "funding", "fees", "fills", "z", "|delta|", "unexplained"):
        each.add_column(column, justify="left" if column == "strategy" else "right")
    for name, part in said["strategies"].items():
        each.add_row(name, *_part(part))
    checks = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("check", "", "found", "means"):
        checks.add_column(column, overflow="fold")
    for check in outcome.checks:
        verdict = Text("ok", style="green") if check.is_good else Text("FAILED", style="bold red")
        checks.add_row(check.name, verdict, Text(check.found), Text(check.means, style="dim"))
    market = f"{said['strategy']}  {said['market_start'][:10]} to {said['market_end'][:16].replace('T', ' ')}"
    parts: list[RenderableType] = [Rule(Text(market, style="bold"), align="left"), figures, Text()]
    parts += [each, Text(), checks] if len(said["strategies"]) > 1 else [checks]
    if not said["trades"]:
        parts += [Text(), Text(f"Nothing was traded, because: {said['why']}", style="yellow")]
    if said["report"]:
        parts += [Text(), Text(f"report: {said['report']}")]
    return Group(*parts)


def _part(part: dict[str, Any]) -> list[str]:
    """One strategy's row."""
    start, end = Decimal(part["equity_start"] or 0), Decimal(part["equity_end"] or 0)
    return [
        f"{end:,.2f}", f"{end - start:+,.2f}", f"{Decimal(part['funding']):+,.2f}", f"{Decimal(part['fees']):,.2f}",
        f"{part['trades']}", part["min_z"] or "-", f"{Decimal(part['max_abs_delta_frac']):.3%}", part["unexplained"],
    ]  # fmt: skip


def _money(said: dict[str, Any]) -> list[tuple[str, str]]:
    start, end = Decimal(said["equity_start"] or 0), Decimal(said["equity_end"] or 0)
    share = f" ({(end - start) / start:+.3%})" if start else ""
    digits = digits_of(said["numeraire"])
    moved = [("funding received", f"{Decimal(said['funding']):+,.2f}"), ("fees paid", f"{Decimal(said['fees']):,.2f}")]
    if "transactions" in said:
        earned = sum(Decimal(said["pnl"].get(cause, 0)) for cause in ("lending", "staking", "borrow"))
        gas = Decimal(said["pnl"].get("gas", 0))
        moved = [("interest and staking", f"{earned:+,.{digits}f}"), ("gas", f"{gas:+,.{digits}f}")]
    return [
        ("equity at start", f"{start:,.{digits}f} {said['numeraire']}"),
        ("equity at end", f"{end:,.{digits}f} {said['numeraire']}"),
        ("change", f"{end - start:+,.{digits}f}{share}"),
        *moved,
        ("unexplained", said["unexplained"]),
    ]


def _counts(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("fills", f"{said['trades']}"),
        ("orders sent / at venue", f"{said['orders_sent']} / {said['venue_orders']}"),
        ("largest |delta| of equity", f"{Decimal(said['max_abs_delta_frac']):.3%}"),
        ("longest unhedged", f"{Decimal(said['max_naked_seconds']):.3f} s"),
        ("worst leg risk of a group", f"{Decimal(said['worst_leg_risk_usdt_s']):,.0f} USDT s"),
        ("nearest liquidation z", f"{said['min_z'] or '-'}"),
        ("market seconds per second", f"{said['effective_speed']}"),
    ]


def _chain_counts(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("orders sent / on chain", f"{said['orders_sent']} / {said['venue_orders']}"),
        ("transactions", f"{said['transactions']}"),
        ("of them groups", f"{said['group_transactions']}"),
        ("least health factor", f"{said['min_health_factor'] or '-'}"),
        ("gas", f"{said['gas_eth']} ETH"),
        ("market seconds per second", f"{said['effective_speed']}"),
    ]
