"""The root command, and the one place where an error becomes an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from basis_daemon.cli.answers import EXIT_CODES, ExitCode, complain
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


_OF_ITS_OWN = ("config", "sandbox", "journal", "history", "wallet", "transfers")
"""Groups, each a file by its name; of every other file the commands stand at the top."""

_FILES: Mapping[str, str] = {
    **{name: name for name in ("version", "config", "sandbox", "journal", "run", "doctor", "demo", "replay")},
    **{name: name for name in ("simulate", "history", "report")},
    **dict.fromkeys(("status", "positions", "orders", "trades", "pnl", "why", "withdraw"), "book"),
    **dict.fromkeys(("halt", "reduce", "flatten", "rearm"), "kill_switch"),
    **{name: name for name in ("risk", "repair", "wallet", "transfers")},
}
"""Commands in the order of the help, and the file of each: it is loaded when its command is asked for."""


class _Root(TyperGroup):
    """Turns an error that was raised on purpose into a panel (or JSON) and its code, for every command below."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - the type is private to typer
        """All of them, in order."""
        return list(_FILES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
        """One of them; an unknown name loads all, so that the nearest can be named."""
        for name in [cmd_name] if cmd_name in _FILES else _FILES:
            if name not in self.commands:
                self.commands.update(_commands_of(_FILES[name]))
        return self.commands.get(cmd_name)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as above
        as_json = "--json" in ctx.args  # only now: the sub-command takes them away
        try:
            return super().invoke(ctx)
        except BasisError as error:
            raise typer.Exit(complain(error, as_json=as_json)) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def _commands_of(file: str) -> Mapping[str, Any]:
    holder = typer.Typer(rich_markup_mode="markdown")
    holder.add_typer(import_module(f"basis_daemon.cli.{file}").app, name=file if file in _OF_ITS_OWN else None)
    return typer.main.get_group(holder).commands


app = typer.Typer(
    name="basis-daemon",
    cls=_Root,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # it prints local variables, and those hold secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(help=_HELP, epilog=_EPILOG)
def root() -> None:
    """Commands are loaded by name; only a group looks for one."""


def main() -> None:
    """Run the command line; ends the process with one of the exit codes."""
    app()
