"""``basis-daemon status|positions|orders|trades|pnl|why|withdraw``: of a daemon, or of a journal file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from basis_daemon.cli import tables, tables_of_profit
from basis_daemon.cli.answers import ExitCode, JsonOption, answer
from basis_daemon.cli.health import judge
from basis_daemon.cli.instants import EndOption, StartOption, span
from basis_daemon.domain.errors import ConfigError
from basis_daemon.engine import views
from basis_daemon.engine.attribution import Asked, By
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.profit import pnl as pnl_of
from basis_daemon.engine.why import why as why_of
from basis_daemon.journal.reader import JournalReader
from basis_daemon.settings import load_settings
from basis_daemon.web.client import LocalClient

Json = dict[str, Any]

JournalOption = Annotated[Path | None, typer.Option("--journal", help="Read this journal file; no daemon is needed.")]
SocketOption = Annotated[Path | None, typer.Option("--socket", help="Ask the daemon that listens at this socket.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Ask the daemon of this configuration.", envvar="BASIS_DAEMON_CONFIG"),
]
LastOption = Annotated[int | None, typer.Option("--last", "-n", min=1, help="Only so many, from the end.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; it is kept in the journal.")]

app = typer.Typer()


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer comes from: exactly one of a journal file and a daemon's socket."""

    journal: Path | None
    socket: Path

    def ask(self, path: str, view: Callable[[BookView], Json], **query: str) -> Json:
        """The view, folded here from a file or there by the daemon. Raises BasisError with what to do about it."""
        if self.journal is None:
            return asyncio.run(self._get(path, query))
        with JournalReader.open(self.journal) as reader:
            return view(BookView().fold(reader.rows()))

    def command(self, path: str, reason: str, **asked: object) -> Json:
        """What the daemon did; a journal at rest takes no commands."""
        found = asyncio.run(self._post(path, {"reason": reason, **asked}))
        if not found["durable"]:
            typer.echo("done, but NOT YET ON DISK: a restart may forget it", err=True)
        return found

    def question(self, path: str) -> Json:
        """What only a daemon that runs can answer."""
        return asyncio.run(self._get(path, {}))

    def health(self) -> Json:
        """What the process knows of itself; nothing is read from the journal."""
        return asyncio.run(self._get("/health", {}))

    async def _get(self, path: str, query: dict[str, str]) -> Json:
        async with LocalClient.at_socket(self.socket) as client:
            return await client.get(path, **query)

    async def _post(self, path: str, body: dict[str, object]) -> Json:
        async with LocalClient.at_socket(self.socket) as client:
            return await client.post(path, body)


def source(journal: Path | None, socket: Path | None, config: Path | None) -> Source:
    """A file when one is named, else a named socket, else that of the configuration. Raises ConfigError for none."""
    if journal is not None and socket is not None:
        raise typer.BadParameter("--journal reads a file and --socket asks a daemon: name one of them")
    if journal is not None or socket is not None:
        return Source(journal, socket or Path())
    if config is None:
        raise ConfigError(
            "whose book? name a daemon with --config FILE or --socket PATH, or read a journal with --journal FILE"
        )
    return Source(None, load_settings(config, os.environ, with_secrets=False).settings.control_socket)


@app.command(
    epilog="`basis-daemon status -c config/live.yaml --json` for a monitor, "
    "`basis-daemon status -c config/live.yaml --healthy` for a container's HEALTHCHECK."
)
def status(
    *,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    healthy: Annotated[bool, typer.Option("--healthy", help="Only: 0 reconciled and moving, else 1.")] = False,
    trading: Annotated[bool, typer.Option("--trading", help="Only: 0 also armed, with nothing in its way.")] = False,
    as_json: JsonOption = False,
) -> None:
    """How the book stands: equity, doubt, breaks, guard, distance to liquidation, last decisions."""
    if healthy or trading:
        health = judge(source(None, socket, config).health())
        answer(health.document, as_json=as_json, shown=Text(health.sentence))
        is_good = health.is_good and not (trading and health.hindrances)
        raise typer.Exit(ExitCode.OK if is_good else ExitCode.FAILED_CHECK)
    found = source(journal, socket, config).ask("/status", views.status)
    answer(found, as_json=as_json, shown=tables.status(found))


@app.command()
def positions(
    *,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """What is held under every key, at the newest valuation."""
    found = source(journal, socket, config).ask("/positions", views.positions)
    answer(found, as_json=as_json, shown=tables.positions(found))


@app.command()
def orders(
    *,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    last: LastOption = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Orders from intent to end, oldest first."""
    query = {"open": "1"} if only_open else {}
    query |= {"last": str(last)} if last else {}
    found = source(journal, socket, config).ask(
        "/orders", lambda view: views.orders(view, only_open=only_open, last=last), **query
    )
    answer(found, as_json=as_json, shown=tables.orders(found))


@app.command()
def trades(
    *,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    last: LastOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fills and transfers, oldest first, each with the reason behind it."""
    query = {"last": str(last)} if last else {}
    found = source(journal, socket, config).ask("/trades", lambda view: views.trades(view, last=last), **query)
    answer(found, as_json=as_json, shown=tables.trades(found))


@app.command(
    epilog="`basis-daemon pnl -c config/live.yaml --by day --from 2024-03-01 --to 2024-03-31` one line a day; "
    "`--by strategy` one line each; `--json` all digits, every source, every valuation."
)
def pnl(
    *,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    start: StartOption = None,
    end: EndOption = None,
    by: Annotated[By | None, typer.Option("--by", help="One line for each of these.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="Only this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What the book earned, by source, and the price of a share; the sources sum to the change of equity.

    Sources: funding, basis, staking, lending, borrow, rewards, price, fees, slippage, gas, flash_fee, transfer,
    rounding, liquidation, correction, flows (deposits and withdrawals) and unexplained, which must be 0. Each is what
    the venues' own balances and marks changed by between two valuations. A share price and the return are those of a
    book that nobody paid into or out of. An interval between valuations counts where it ends.
    """
    asked = Asked(*span(start, end), by, strategy)
    query = {"from": asked.start, "to": asked.end, "by": by, "strategy": strategy}
    words = {
        name: said.isoformat() if isinstance(said, datetime) else str(said)
        for name, said in query.items()
        if said is not None
    }
    found = source(journal, socket, config).ask("/pnl", lambda view: pnl_of(view, asked), **words)
    answer(found, as_json=as_json, shown=tables_of_profit.pnl(found))


@app.command(epilog="`basis-daemon why btc_basis -c config/live.yaml` explains why it does not trade now.")
def why(
    asked: Annotated[str, typer.Argument(metavar="ID", help="An order, trade or plan id, or a strategy's name.")],
    *,
    journal: JournalOption = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """The decision behind an order, a trade, a plan, or (by a strategy's name) behind its last hold."""
    path = f"/why/{quote(asked, safe='')}"
    found = source(journal, socket, config).ask(path, lambda view: why_of(view, asked))
    answer(found, as_json=as_json, shown=tables.why(found))


@app.command(epilog="`basis-daemon withdraw 10000 -c config/live.yaml --id 2024-07-fees --reason 'fees of July'`")
def withdraw(
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="USDT, such as 10000 or 2500.50.")],
    *,
    reason: ReasonOption,
    wish_id: Annotated[str, typer.Option("--id", help="Names this wish: asked for again under it, it is one wish.")],
    strategy: Annotated[
        str | None, typer.Option("--strategy", help="Whose capital; needed where there are several.")
    ] = None,
    socket: SocketOption = None,
    config: ConfigFile = None,
    as_json: JsonOption = False,
) -> None:
    """Free investor capital: from cash, else from every leg alike; it then waits in the spot wallet for you to take it.

    The exchange's record of your withdrawal is booked as a flow, which leaves drawdown and share price as they are.
    """
    asked: dict[str, object] = {"amount_usdt": amount, "id": wish_id, "strategy": strategy}
    found = source(None, socket, config).command("/withdraw", reason, **asked)
    answer(found, as_json=as_json, shown=tables.withdrawal(found))
