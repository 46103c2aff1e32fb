"""``basis-daemon halt|reduce|flatten|rearm``: the operator's latch over a daemon that runs; no restart loosens it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from basis_daemon.cli import tables
from basis_daemon.cli.answers import ExitCode, JsonOption, answer
from basis_daemon.cli.book import ConfigFile, ReasonOption, SocketOption, Source, source
from basis_daemon.cli.figures import BAD, GOOD, facts, grid, money
from basis_daemon.cli.risk_tables import unwind_table
from basis_daemon.domain.errors import BasisError

Json = dict[str, Any]
app = typer.Typer()


@app.command(epilog="`basis-daemon halt -c config/live.yaml --reason 'exchange maintenance'`")
def halt(
    *, reason: ReasonOption, socket: SocketOption = None, config: ConfigFile = None, as_json: JsonOption = False
) -> None:
    """Latch the guard at HALTED: nothing but urgent defence leaves until `rearm`; a flattening stops where it is."""
    found = source(None, socket, config).command("/halt", reason)
    answer(found, as_json=as_json, shown=tables.command(found))


@app.command(epilog="`basis-daemon reduce -c config/live.yaml --reason 'no new risk over the weekend'`")
def reduce(
    *, reason: ReasonOption, socket: SocketOption = None, config: ConfigFile = None, as_json: JsonOption = False
) -> None:
    """Latch the guard at REDUCING: only what reduces risk leaves until `rearm`; a guard that is HALTED stays so."""
    found = source(None, socket, config).command("/reduce", reason)
    answer(found, as_json=as_json, shown=tables.command(found))


@app.command(
    epilog="`basis-daemon flatten -c config/live.yaml --reason 'leaving the venue'` shows, `--yes` closes; "
    "`basis-daemon status` tells what is left."
)
def flatten(
    *,
    reason: ReasonOption,
    is_meant: Annotated[bool, typer.Option("--yes", help="Close everything, without asking.")] = False,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Close the whole book, both legs of every pair together in clips; shown with its cost first, done with --yes.

    It is latched over restarts, waits for what is stale, in doubt or in dispute while it closes the rest, and goes on
    until every strategy is flat; `halt` stops it where it is. Exit code 0 once begun, 1 when only shown.
    """
    daemon = source(None, socket, config)
    plan = _plan(daemon, is_needed=not is_meant)
    if not is_meant:
        answer(plan | {"begun": False}, as_json=as_json, shown=Group(planned(plan), Text("nothing was sent: --yes")))
        raise typer.Exit(ExitCode.FAILED_CHECK)
    found = daemon.command("/flatten", reason) | {"plan": plan, "begun": True}
    answer(found, as_json=as_json, shown=Group(planned(plan), tables.command(found)))


@app.command(epilog="`basis-daemon rearm -c config/live.yaml --reason 'checked the break of 14:20'`")
def rearm(
    *,
    reason: ReasonOption,
    is_unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also while a flattening has not come to its end.")
    ] = False,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Set the guard back to ACTIVE; refused in doubt, with breaks open, and before a flattening is flat."""
    found = source(None, socket, config).command("/rearm", reason, unfinished=is_unfinished)
    answer(found, as_json=as_json, shown=tables.command(found))


def _plan(daemon: Source, *, is_needed: bool) -> Json:
    """What the daemon would do; one that cannot say so is closed all the same, once that is meant."""
    try:
        return daemon.question("/flatten")
    except BasisError as error:
        if is_needed:
            raise
        return {"strategies": [], "unwind": None, "fault": str(error)}


def planned(plan: Json) -> RenderableType:
    """What would leave first, strategy by strategy, and what all of it costs."""
    if plan["unwind"] is None:
        return Text(f"the plan is not known: {plan['fault']}", style=BAD)
    parts = [part for strategy in plan["strategies"] for part in _of(strategy)]
    found = plan["unwind"]
    cost = "unknown" if found["cost_usdt"] is None else f"{money(found['cost_usdt'])} USDT"
    bp = found["bp_of_equity"]
    share = f", {Decimal(bp):,.1f} bp of equity" if bp is not None else ""
    return Group(*parts, unwind_table(found), facts([("closing everything now", f"{cost}{share}")]), Text())


def _of(strategy: Json) -> Iterator[RenderableType]:
    clip = strategy["clip_usdt_max"]
    style = GOOD if strategy["is_flat"] else BAD if not strategy["orders"] else ""
    yield Text(f"{strategy['name']}: {strategy['note']}", style=style)
    cells = [
        (
            row["instrument"] if row["venue"] in row["instrument"] else f"{row['instrument']} at {row['venue']}",
            " ".join(filter(None, (row["operation"], row["side"], "reduce-only" if row["reduce_only"] else ""))),
            f"{row['amount']}",
            "-" if row["value_usdt"] is None else money(row["value_usdt"]),
            row["slippage_bp_max"] or "-",
            row["mode"],
        )
        for row in strategy["orders"]
    ]
    if cells:
        yield grid(("first to leave", "how", "amount", "USDT", "bp at most", "group"), cells, right=(2, 3, 4))
        yield Text(f"pairs leave in clips of at most {money(clip)} USDT, both legs of each before the next")
    yield Text()
