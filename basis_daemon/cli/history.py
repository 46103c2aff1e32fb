"""``basis-daemon history fetch``: what an exchange has recorded, as the files that a replay reads."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console

from basis_daemon.cli.answers import JsonOption, answer, out_of_the_tree, table
from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import ConfigError
from basis_daemon.wiring_exchanges import EXCHANGES

if TYPE_CHECKING:
    from basis_daemon.research.collect import Progress, Wanted
    from basis_daemon.venues.cex.network import SandboxNetwork

app = typer.Typer(no_args_is_help=True, help="Recorded history for `replay`, fetched from an exchange's public record.")
LEAD_IN = timedelta(days=14)
"""Before the first day: what moving averages need to have seen."""


class Kind(StrEnum):
    """What is fetched of a symbol."""

    SPOT = "spot"
    PERP = "perp"
    FUNDING = "funding"


@app.callback()
def history() -> None:
    """Recorded history for `replay`."""


@app.command(
    epilog="`basis-daemon history fetch data/2024-03 --symbol BTCUSDT --from 2024-03-01 --to 2024-03-31`, then "
    "`basis-daemon replay --strategy btc_basis --history data/2024-03`. Again after a break: it goes on where it stood."
)
def fetch(  # noqa: PLR0913 - one parameter per option of the command
    directory: Annotated[Path, typer.Argument(help="The window to fill; what is there already is kept and completed.")],
    *,
    start: Annotated[str, typer.Option("--from", help="First day or instant, UTC; 14 days before it are fetched too.")],
    end: Annotated[str, typer.Option("--to", help="Last day, or the instant to end before.")],
    symbol: Annotated[
        list[str] | None, typer.Option(help="The exchange's own symbol, such as BTCUSDT; repeatable.")
    ] = None,
    aave: Annotated[list[str] | None, typer.Option(help="A reserve of Aave, such as USDT; repeatable.")] = None,
    rpc: Annotated[
        Path | None, typer.Option(help="A file that holds the URL of an Ethereum node with the state of then.")
    ] = None,
    exchange: Annotated[str, typer.Option(help="Whose record; rows bear its name.")] = "binance",
    what: Annotated[
        list[Kind] | None, typer.Option(help="Spot bars, perp bars, settled funding; all by default.")
    ] = None,
    sandbox: Annotated[
        Path | None, typer.Option(help="Ready file of `sandbox exchange`: ask that one instead of the real exchange.")
    ] = None,
    sandbox_chain: Annotated[
        Path | None, typer.Option(help="Ready file of `sandbox chain`: ask that one instead of a real node.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch hourly candles and settled funding through ccxt, and Aave's reserves at each midnight through a node.

    Every page is written whole; a cut run is taken up. gaps.csv lists what the exchange does not have, and what it told
    twice. No key is needed. Numbers stand as the exchange wrote them.
    """
    from basis_daemon.research.collect import Collector, Wanted  # noqa: PLC0415 - ccxt takes a second
    from basis_daemon.venues.cex.history import HISTORIES, CEXHistory  # noqa: PLC0415 - the same

    if exchange not in HISTORIES:
        known = ", ".join(HISTORIES)
        raise ConfigError(f"--exchange {exchange}: found no such exchange; expected {known}; name one of them")
    if not symbol and not aave:
        raise ConfigError("found neither --symbol nor --aave; expected what to fetch; name BTCUSDT, or a reserve")
    since, last = _span(start, end)
    wanted = [Wanted(kind.value, name, since, last) for name in symbol or () for kind in what or list(Kind)]
    telling = _Telling(Console(file=sys.stderr, highlight=False), wanted)

    async def run() -> dict[str, int]:
        rows: dict[str, int] = {}
        if wanted:
            async with CEXHistory(EXCHANGES[exchange], SystemClock(), _network(sandbox)) as source:
                rows |= await Collector(directory, source, telling.see).collect(wanted)
        if aave:
            from basis_daemon.wiring_chain_history import fetch_reserves  # noqa: PLC0415 - web3 takes a second too

            node = (rpc, sandbox_chain)
            rows |= await fetch_reserves(directory, node, aave, (since, last), telling.see_day)
        return rows

    with out_of_the_tree():
        rows = asyncio.run(run())
    document = {"directory": str(directory), "exchange": exchange, "from": since.isoformat(), "to": last.isoformat(),
                "rows": rows, "fetched": telling.rows}  # fmt: skip
    answer(document, as_json=as_json, shown=table(("series", "rows"), [(n, f"{c:,}") for n, c in rows.items()]))


def _span(start: str, end: str) -> tuple[datetime, datetime]:
    """What is asked for with its lead-in. Raises ConfigError for a span without an hour."""
    from basis_daemon.simulation.windows import read_instant  # noqa: PLC0415 - the same

    first, last = read_instant("--from", start), read_instant("--to", end, is_end=True)
    if first >= last:
        raise ConfigError(f"--from {start} --to {end}: found a start that is not before the end; change one of them")
    return first - LEAD_IN, last


def _network(ready_file: Path | None) -> SandboxNetwork | None:
    from basis_daemon.venues.cex.network import sandbox_from_ready_file  # noqa: PLC0415 - the same

    if ready_file is None:
        return None
    try:
        return sandbox_from_ready_file(orjson.loads(ready_file.read_bytes()))
    except (OSError, ValueError, KeyError) as error:
        remedy = "start `basis-daemon sandbox exchange` and name its ready file"
        raise ConfigError(f"--sandbox {ready_file}: {type(error).__name__}; {remedy}") from error


class _Telling:
    """One line per page: which series, how far, how much of it."""

    def __init__(self, console: Console, wanted: list[Wanted]) -> None:
        self._console, self._wanted = console, wanted
        self.rows = 0

    def see_day(self, at: datetime) -> None:
        self._console.print(f"Aave: {_hour(at)}", style="dim")

    def see(self, progress: Progress) -> None:
        self.rows += progress.rows
        series, reached = progress.wanted, min(progress.reached, progress.wanted.end)
        share = (reached - series.start) / (series.end - series.start)
        place = f"{self._wanted.index(series) + 1}/{len(self._wanted)}"
        self._console.print(f"{place} {series.market} {series.symbol}: to {_hour(reached)}, {share:.0%}", style="dim")


def _hour(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
