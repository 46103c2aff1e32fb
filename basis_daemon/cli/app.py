"""The root command, and the one place where an error becomes an exit code."""

from __future__ import annotations

import platform
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from basis_daemon import __version__
from basis_daemon.cli import (
    book,
    config,
    demo,
    doctor,
    history,
    journal,
    kill_switch,
    repair,
    replay,
    report,
    risk,
    run,
    sandbox,
    simulate,
    transfers,
    wallet,
)
from basis_daemon.cli.answers import EXIT_CODES, ExitCode, JsonOption, answer, complain
from basis_daemon.domain.errors import BasisError

_HELP = """Holds delta-neutral books across exchanges, one event at a time.

Nothing trades with real money unless the file says `mode: live` and `live_trading_acknowledged: true`
and the command says `--arm`.
"""

_EPILOG = f"""**Examples**

`basis-daemon config check --config config/paper.yaml` is this file usable here?

`basis-daemon config show --config config/live.yaml` what counts, and who said so

`basis-daemon sandbox exchange --days 10 --seed 7` an exchange to practise on

Every command takes `--json`. **Exit codes:** {EXIT_CODES}.
"""


class _Root(TyperGroup):
    """Turns an error that was raised on purpose into a panel (or JSON) and its code, for every command below."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the type is private to typer
        as_json = "--json" in ctx.args  # only now: the sub-command takes them away
        try:
            return super().invoke(ctx)
        except BasisError as error:
            raise typer.Exit(complain(error, as_json=as_json)) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


app = typer.Typer(
    name="basis-daemon",
    cls=_Root,
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # it prints local variables, and those hold secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config.app, name="config")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(journal.app, name="journal")
app.add_typer(run.app)
app.add_typer(doctor.app)
app.add_typer(demo.app)
app.add_typer(replay.app)
app.add_typer(simulate.app)
app.add_typer(history.app, name="history")
app.add_typer(report.app)
app.add_typer(book.app)
app.add_typer(kill_switch.app)
app.add_typer(risk.app)
app.add_typer(repair.app)
app.add_typer(wallet.app, name="wallet")
app.add_typer(transfers.app, name="transfers")


@app.command()
def version(*, as_json: JsonOption = False) -> None:
    """Print the version of the daemon and of the Python that runs it."""
    found = {"basis_daemon": __version__, "python": platform.python_version()}
    answer(found, as_json=as_json, shown=Text(f"basis-daemon {__version__} (Python {found['python']})"))


def main() -> None:
    """Run the command line; ends the process with one of the exit codes."""
    app()
