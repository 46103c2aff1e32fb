"""``basis-daemon repair``: what a stopped book lacks of its venues' word, shown first and booked only when told to."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from basis_daemon.cli.answers import ExitCode, JsonOption, answer
from basis_daemon.cli.config import ConfigOption
from basis_daemon.cli.figures import grid
from basis_daemon.engine.repair import Repair, document
from basis_daemon.settings import load_settings
from basis_daemon.wiring_logs import logged

Json = dict[str, Any]
app = typer.Typer()


@app.command(epilog="`basis-daemon repair -c config/live.yaml` shows, `--apply` books; the daemon must be stopped.")
def repair(
    config: ConfigOption,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Book what is shown, without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare book and venues while no daemon runs, and book what is missing; the venues are asked and never touched.

    Fills, funding and transfers that were never booked come first, each from the venue's own row; what is then still
    off is corrected by a posting of its own. Exit code 0 when nothing is off or it was booked, 1 when only shown.
    """
    from basis_daemon.wiring_repair import repair_book  # noqa: PLC0415 - ccxt takes a second to load, and no other command waits for it

    settings = load_settings(config, os.environ).settings
    may_ask = not (apply or as_json) and sys.stdin.isatty()

    def agrees(found: Repair) -> bool:
        if may_ask:
            Console(stderr=True).print(shown(_told(found, is_booked=False)))
            return typer.confirm("book this?", err=True)
        return apply

    with logged(settings):
        found, is_booked = asyncio.run(repair_book(settings, agrees))
    told = _told(found, is_booked=is_booked)
    answer(told, as_json=as_json, shown=shown(told))
    if not (is_booked or found.is_empty):
        raise typer.Exit(ExitCode.FAILED_CHECK)


def _told(found: Repair, *, is_booked: bool) -> Json:
    return {"is_reconciled": found.is_empty, "is_booked": is_booked, **document(found)}


def shown(told: Json) -> RenderableType:
    """The evidence, then the corrections with their postings."""
    if told["is_reconciled"]:
        return Text("book and venues agree: nothing to repair", style="green")
    trades = [(t["time"], t["trade_id"], t["order_id"] or t["origin"], _moves(t["deltas"])) for t in told["trades"]]
    flows = [(f["time"], f["flow_id"], f["key"], f["amount"], f["cause"]) for f in told["flows"]]
    breaks = [
        (b["key"], b["kind"], b["expected"], b["actual"], b["difference"], _postings(b["postings"]))
        for b in told["breaks"]
    ]
    tables = (
        (("time", "missed fill or transfer", "of", "moves"), trades),
        (("time", "missed flow", "key", "amount", "cause"), flows),
        (("key", "kind", "book", "venue", "difference", "posting"), breaks),
    )
    verdict = "booked" if told["is_booked"] else "nothing was booked: say --apply"
    style = "green" if told["is_booked"] else "yellow"
    return Group(*(grid(head, rows) for head, rows in tables if rows), Text(verdict, style=style))


def _moves(deltas: Json) -> str:
    return ", ".join(f"{key} {amount}" for key, amount in deltas.items())


def _postings(lines: list[Json]) -> str:
    real = [line for line in lines if not line["account"].startswith("nominal:")]
    return ", ".join(f"{line['amount']} {line['asset']} ({line['cause']})" for line in real)
