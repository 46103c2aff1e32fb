"""``basis-daemon version``."""

from __future__ import annotations

import platform

import typer
from rich.text import Text

from basis_daemon import __version__
from basis_daemon.cli.answers import JsonOption, answer

app = typer.Typer()


@app.command()
def version(*, as_json: JsonOption = False) -> None:
    """Print the version of the daemon and of the Python that runs it."""
    found = {"basis_daemon": __version__, "python": platform.python_version()}
    answer(found, as_json=as_json, shown=Text(f"basis-daemon {__version__} (Python {found['python']})"))
