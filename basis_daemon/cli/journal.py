"""``basis-daemon journal verify|export|replay|backup|restore``: the book of record as a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from basis_daemon.cli.answers import ExitCode, JsonOption, answer, table
from basis_daemon.cli.exports import Format, export_rows, export_tables
from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.journal.backup import back_up
from basis_daemon.journal.backup import restore as restore_file
from basis_daemon.journal.reader import JournalReader
from basis_daemon.settings import Settings, load_settings
from basis_daemon.wiring_journal import journal_identity

Json = dict[str, Any]
Tell = Callable[[int, int | None], None]

JournalOption = Annotated[Path | None, typer.Option("--journal", help="The journal file; a daemon may be writing it.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The journal of this configuration.", envvar="BASIS_DAEMON_CONFIG"),
]


class What(StrEnum):
    """What an export holds."""

    ROWS = "rows"
    TRADES = "trades"
    FILLS = "fills"
    LOTS = "lots"
    POSTINGS = "postings"
    VALUATIONS = "valuations"
    ATTRIBUTION = "attribution"
    ALL = "all"


app = typer.Typer(
    no_args_is_help=True,
    help="The book of record as a file: verify it, read it out, decide it again, back it up, restore it.\n\n"
    "Verifying, exporting, replaying and backing up read only, and disturb no daemon that writes meanwhile.",
)


@app.command(
    epilog="`basis-daemon journal verify -c config/live.yaml` from cron: exit code 1 means do not start from it."
)
def verify(*, journal: JournalOption = None, config: ConfigFile = None, as_json: JsonOption = False) -> None:
    """Walk the hash chain from the first row (or what a pruning sealed) to the watermark; exit code 1 on damage."""
    path = path_of(journal, config)
    with JournalReader.open(path) as reader, _telling("verifying") as tell:
        extent = reader.extent()
        last = extent.last.sequence if extent.last else 0
        head = reader.verify(lambda sequence: tell(sequence, last))
    document = {
        "journal": str(path),
        "result": "whole",
        "schema": reader.header.schema_version,
        "book": reader.header.identity.book,
        "mode": reader.header.identity.mode.value,
        "rows": extent.rows,
        "generations": extent.generations,
        "first": extent.first.sequence if extent.first else None,
        "first_time": extent.first.wall_time.isoformat() if extent.first else None,
        "last": head.sequence,
        "last_time": extent.last.wall_time.isoformat() if extent.last else None,
        "pruned_through": extent.sealed_through,
        "decisions_emptied": extent.emptied,
        "head": head.chain.hex(),
    }
    _say(document, as_json=as_json)


@app.command(
    epilog="`basis-daemon journal export -c config/live.yaml --what fills --to fills.parquet`, "
    "`--what postings --to book.beancount` for accountants, `--what all --format parquet --to 2024-07` every table."
)
def export(
    to: Annotated[Path, typer.Option("--to", help="The file (of `all`: the directory) to write; it must not exist.")],
    *,
    what: Annotated[What, typer.Option("--what", help="Which table.")] = What.ROWS,
    as_: Annotated[
        Format | None, typer.Option("--format", help="Else by the file's ending: .csv, .parquet, .beancount, .jsonl.")
    ] = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Of `rows`: only those behind this sequence.")] = 0,
    journal: JournalOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Read the journal out, also while a daemon writes it: numbers exact, instants UTC.

    rows: every row as one JSON line. trades: all that moved by orders. fills: executions with price, arrival mid and
    slippage. lots: first in first out with realised gains, one pool for each coin and perp of a strategy. postings: the
    double-entry ledger, which sums to zero per event and asset; as beancount it is a file that accounting programs
    check. valuations: equity and share price. attribution: each interval's change of equity by source.

    CSV writes decimals in full and instants as ISO 8601. Parquet keeps decimals as text and says so in its schema. An
    empty cell is unknown, never zero.
    """
    path = path_of(journal, config)
    with JournalReader.open(path) as reader, _telling_errors(to):
        if what is What.ROWS:
            written: int | dict[str, int] = export_rows(reader, to, after, as_)
        else:
            written = export_tables(reader, path, what.value, to, as_)
    _say({"journal": str(path), "what": what.value, "to": str(to), "written": written}, as_json=as_json)


@contextmanager
def _telling_errors(to: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise ConfigError(f"{to} exists and is not overwritten; name another file") from error
    except OSError as error:
        raise ConfigError(f"{to}: {error.strerror}; name a file that can be written") from error


@app.command(epilog="`basis-daemon journal backup -c config/live.yaml --to /backup/btc_basis-$(date +%F).sqlite`")
def backup(
    to: Annotated[Path, typer.Option("--to", help="The copy; it must not exist. Its watermark is written beside it.")],
    *,
    journal: JournalOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the journal while the daemon writes it, and verify the copy. Only a copy that holds gets the name."""
    path = path_of(journal, config)
    with _telling("copying") as tell, _telling("verifying") as tell_rows:
        copy = back_up(path, to, tell, lambda sequence: tell_rows(sequence, None))
    document = {"journal": str(path), "backup": str(to), "rows_to": copy.head.sequence, "generation": copy.generation,
                "last_time": copy.last.wall_time.isoformat() if copy.last else None, "head": copy.head.chain.hex(),
                "result": "whole"}  # fmt: skip
    _say(document, as_json=as_json)


@app.command(epilog="`basis-daemon journal restore /backup/btc_basis.sqlite -c config/live.yaml`, then `run` as usual.")
def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="A file that `journal backup` has made.")],
    *,
    to: Annotated[Path | None, typer.Option("--to", help="The journal to make, if not that of --config.")] = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make the journal from a backup; never over a file that is there. First see that the lost daemon is really dead.

    With --config the backup must be of that very book, mode and accounts. Order ids never repeat: the restored journal
    goes on in a generation that the lost one cannot have reached. The next start fetches fills and funding since the
    backup from the venues and books them as external, because the intents behind them are lost.
    """
    settings = _settings(config) if config is not None else None
    if to is None and settings is None:
        raise ConfigError("restore where to? name the journal with --config FILE or --to FILE")
    place = to or (settings.journal_file if settings else Path())
    if settings is not None and to is None:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = journal_identity(settings) if settings else None
    with _telling("copying") as tell, _telling("verifying") as tell_rows:
        copy = restore_file(source, place, SystemClock(), identity, tell, lambda sequence: tell_rows(sequence, None))
    since = copy.last.record.market_time.isoformat() if copy.last else ""
    document = {"backup": str(source), "journal": str(place), "rows_to": copy.head.sequence,
                "next_generation": copy.generation, "refetched_since": since,
                "result": "whole; the next start fetches fills and funding since then from the venues"}  # fmt: skip
    _say(document, as_json=as_json)


@app.command(
    epilog="`basis-daemon journal replay data/journal.sqlite` has the code changed a decision? "
    "`-c config/other.yaml` would other thresholds have?"
)
def replay(
    journal: Annotated[Path, typer.Argument(metavar="FILE", help="The journal; a daemon may be writing it.")],
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Decide as this file says; else as each process was told.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take every decision again with the code of today, on what it was taken on, and name the first that differs.

    Exit code 0 when the stream of decisions is identical, 1 when it is not or nothing can be taken again. The market,
    the book and the risk gate's verdicts stand as journalled; memories, exposure and reasons are worked out anew. Where
    retention emptied decisions, or a version before sights wrote them, it starts behind them and says where.
    """
    from basis_daemon.cli.incident import show  # noqa: PLC0415 - the strategies, for this command alone
    from basis_daemon.simulation.incident import IDENTICAL, by_terms, replay_incident  # noqa: PLC0415 - the same

    with JournalReader.open(journal) as reader, _telling("deciding") as tell:
        extent = reader.extent()
        last = extent.last.sequence if extent.last else 0
        after = max(reader.seal.through, reader.seal.decisions_through)
        subjects = by_terms(_settings(config) if config is not None else None, str(journal))
        incident = replay_incident(reader.rows(after), subjects, lambda sequence: tell(sequence, last))
    document = {
        "journal": str(journal),
        "config": str(config) if config is not None else None,
        "starts_behind": after,
        **incident.document(),
    }
    answer(document, as_json=as_json, shown=show(document))
    if incident.result != IDENTICAL:
        raise typer.Exit(ExitCode.FAILED_CHECK)


def path_of(journal: Path | None, config: Path | None) -> Path:
    """The file that is named, or that of the configuration. Raises ConfigError for neither."""
    if journal is not None:
        return journal
    if config is None:
        raise ConfigError("which journal? name it with --journal FILE, or its configuration with --config FILE")
    return _settings(config).journal_file


def _settings(config: Path) -> Settings:
    return load_settings(config, os.environ, with_secrets=False).settings


def _say(document: Json, *, as_json: bool) -> None:
    rows = [(name.replace("_", " "), str(value)) for name, value in document.items() if value is not None]
    answer(document, as_json=as_json, shown=table(("", ""), rows))


@contextmanager
def _telling(what: str) -> Iterator[Tell]:
    """A bar on a terminal, nothing in a pipe; the whole may be unknown."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None, visible=False)

        def tell(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        yield tell
