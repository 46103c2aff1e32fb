"""``basis-daemon run``: the daemon itself, in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer
import uvloop
from rich.text import Text

from basis_daemon.cli.answers import JsonOption, answer, out_of_the_tree
from basis_daemon.cli.config import ConfigOption
from basis_daemon.settings import load_settings, may_arm

app = typer.Typer()


@app.command(
    epilog="`basis-daemon run -c config/sandbox.yaml --arm` trades on the sandbox; SIGTERM drains, twice hurries."
)
def run(
    config: ConfigOption,
    *,
    arm: Annotated[bool, typer.Option("--arm", help="Trade. Without it the daemon reconciles and watches.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Hold the book of one configuration. Starts disarmed unless told otherwise; the exit code is 0 after a drain."""
    settings = load_settings(config, os.environ).settings
    from basis_daemon.wiring import run_daemon  # noqa: PLC0415 - ccxt takes a second to load, and no other command waits for it

    is_armed = may_arm(settings, arm=arm) and arm
    with out_of_the_tree(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(run_daemon(settings, arm=is_armed))
    document = {"book": settings.book.name, "exit_code": code}
    answer(document, as_json=as_json, shown=Text(f"{settings.book.name}: drained and stopped"))
    raise typer.Exit(code)
