"""``basis-daemon config``: is a configuration usable, what does it amount to, and which keys are there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from basis_daemon.cli.answers import JsonOption, answer, table
from basis_daemon.settings import config_hash, effective, json_schema, known_keys, load_settings

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", help="The one complete YAML file.", envvar="BASIS_DAEMON_CONFIG", show_envvar=True),
]

app = typer.Typer(
    no_args_is_help=True,
    help="Check, show and explain the configuration. Any key `a.b` can be overridden by `BASIS_DAEMON__A__B`.",
)


@app.command(
    epilog="`basis-daemon config check -c config/live.yaml` lists everything to repair, missing secret files included."
)
def check(config: ConfigOption, *, as_json: JsonOption = False) -> None:
    """Report every fault at once: key, value found, what is expected, what to do. Exit code 1 if there is one."""
    loaded = load_settings(config, os.environ)
    settings, digest = loaded.settings, config_hash(loaded.settings)
    found = {"ok": True, "mode": settings.mode, "book": settings.book.name, "config_hash": digest}
    words = f"{config} is usable: mode {settings.mode}, book {settings.book.name}, hash {digest[:12]}"
    answer(found, as_json=as_json, shown=Text(words))


@app.command(
    epilog="`BASIS_DAEMON__RISK__PRICE_BAND_BP=80 basis-daemon config show -c config/paper.yaml` shows the override."
)
def show(config: ConfigOption, *, as_json: JsonOption = False) -> None:
    """Show every effective value with its source (default, file, env); secrets are masked and secret files not read."""
    loaded = load_settings(config, os.environ, with_secrets=False)
    rows, digest = effective(loaded), config_hash(loaded.settings)
    document = {
        "config_hash": digest,
        "settings": [{"key": row.key, "value": row.value, "source": row.source} for row in rows],
    }
    shown = table(("key", "value", "source"), ((row.key, row.value, row.source) for row in rows))
    answer(document, as_json=as_json, shown=Group(shown, Text(f"\nconfig hash {digest}")))


@app.command(epilog="`basis-daemon config schema --json > schema.json` gives an editor completion and checking.")
def schema(*, as_json: JsonOption = False) -> None:
    """List every key with what it takes, its default and why; with --json the JSON schema."""
    rows = ((row.key, row.takes, row.default, row.why) for row in known_keys())
    answer(json_schema(), as_json=as_json, shown=table(("key", "takes", "default", "why"), rows))
