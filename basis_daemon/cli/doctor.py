"""``basis-daemon doctor``: everything that must hold before a book is armed, one line each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Group
from rich.text import Text

from basis_daemon.cli.answers import ExitCode, JsonOption, answer
from basis_daemon.cli.config import ConfigOption
from basis_daemon.domain.check import Check, Light
from basis_daemon.settings import SettingsError, load_settings
from basis_daemon.wiring_logs import logged

app = typer.Typer()
_NAME_WIDTH = 24


@app.command(epilog="`basis-daemon doctor -c config/live.yaml --json` before a first start, and after every change.")
def doctor(config: ConfigOption, *, as_json: JsonOption = False) -> None:
    """Check host, journal, key and venues without changing anything; exit code 0 when every line is green, else 1.

    A daemon told to --arm runs the same checks first and refuses to start on a red line; yellow ones it reports.
    """
    checks = _checks(config)
    is_green = all(check.light is Light.GREEN for check in checks)
    document = {
        "ok": is_green,
        "checks": [
            {"check": c.name, "light": c.light, "found": c.found, "expected": c.expected, "remedy": c.remedy}
            for c in checks
        ],
    }
    answer(document, as_json=as_json, shown=Group(*map(_line, checks), _sum(checks)))
    raise typer.Exit(ExitCode.OK if is_green else ExitCode.FAILED_CHECK)


def _checks(config: Path) -> list[Check]:
    from basis_daemon.preflight import examine, refused  # noqa: PLC0415 - ccxt takes a second to load, and no other command waits for it

    try:
        settings = load_settings(config, os.environ).settings
    except SettingsError as error:
        return refused(error.faults)
    with logged(settings):
        return asyncio.run(examine(settings))


def _line(check: Check) -> Text:
    line = Text(f"{check.light.value:<7}", style=f"bold {check.light.value}")
    line.append(f"{check.name:<{_NAME_WIDTH}}{check.found}", style="default")
    if check.light is not Light.GREEN:
        indent = " " * (7 + _NAME_WIDTH)
        line.append(f"\n{indent}expected {check.expected}\n{indent}{check.remedy}", style="default")
    return line


def _sum(checks: Sequence[Check]) -> Text:
    counts = {light: sum(check.light is light for check in checks) for light in Light}
    return Text("\n" + ", ".join(f"{count} {light.value}" for light, count in counts.items() if count))
