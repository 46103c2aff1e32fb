"""How every command answers: results on stdout, errors as one panel, JSON on request, and a stable exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from basis_daemon.domain.errors import BasisError, ModeMismatchError, OutcomeUnknownError, PlanRefusedError
from basis_daemon.domain.settings_faults import LiveTradingRefusedError, SettingsError

JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]

_WIDTH_OF_A_PIPE = 160


class ExitCode(IntEnum):
    """What a script may rely on."""

    OK = 0
    FAILED_CHECK = 1
    USAGE = 2
    REFUSED = 3
    UNKNOWN_OUTCOME = 4
    STALLED = 5
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """In words, for the help text."""
        return self.name.lower().replace("_", " ")


EXIT_CODES = ", ".join(f"{code.value} {code.meaning}" for code in ExitCode)

_CODE_OF: Sequence[tuple[type[BasisError], ExitCode]] = (
    (OutcomeUnknownError, ExitCode.UNKNOWN_OUTCOME),
    (PlanRefusedError, ExitCode.REFUSED),
    (LiveTradingRefusedError, ExitCode.REFUSED),
    (ModeMismatchError, ExitCode.REFUSED),
    (BasisError, ExitCode.FAILED_CHECK),
)


@contextmanager
def out_of_the_tree() -> Iterator[None]:
    """An error raised on purpose comes out of a task tree as itself, to be told."""
    told: list[BasisError] = []
    try:
        yield
    except* BasisError as group:
        told += _leaves(group)
    if told:
        raise told[0]


def _leaves(group: BaseExceptionGroup[BasisError]) -> list[BasisError]:
    found: list[BasisError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def exit_code_of(error: BasisError) -> ExitCode:
    """The code that tells a script what to do next."""
    return next(code for kind, code in _CODE_OF if isinstance(error, kind))


def answer(document: dict[str, Any], *, as_json: bool, shown: RenderableType) -> None:
    """Print a result: the document for machines, ``shown`` for people."""
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False, default=str))
    else:
        _console().print(shown)


def complain(error: BasisError, *, as_json: bool) -> ExitCode:
    """Print an error, never a traceback, and return the exit code. JSON goes to stdout, where a script reads."""
    code = exit_code_of(error)
    faults = error.faults if isinstance(error, SettingsError) else ()
    if as_json:
        told: dict[str, Any] = {"kind": type(error).__name__, "message": str(error), "exit_code": int(code)}
        if faults:
            told["faults"] = [
                {"key": f.key, "found": f.found, "expected": f.expected, "remedy": f.remedy, "where": f.where}
                for f in faults
            ]
        typer.echo(json.dumps({"error": told}, ensure_ascii=False))
        return code
    body: RenderableType = Text(str(error))
    if faults:
        body = Group(*(line for fault in faults for line in _fault_lines(fault.key, fault.where, str(fault))))
    title = f"{len(faults)} to repair" if faults else type(error).__name__
    _console(stderr=True).print(Panel(body, title=title, border_style="red", title_align="left"))
    return code


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; the first column is never cut."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        drawn.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _fault_lines(key: str, where: str, whole: str) -> Iterable[Text]:
    head = Text(key or "the file", style="bold")
    if where:
        head.append(f"  {where}", style="dim")
    yield head
    yield Text("  " + whole.partition(": ")[2])


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDTH_OF_A_PIPE, highlight=False)
