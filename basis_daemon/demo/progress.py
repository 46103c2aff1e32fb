"""What a spectator of a demo sees, on standard error: a live line on a terminal, one line per market day elsewhere."""

from __future__ import annotations

from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from basis_daemon.demo.stage import Moment
from basis_daemon.demo.units import digits_of

Json = dict[str, Any]
STEPS = 1000


class RichSpectator:
    """Draws progress while used as a context manager."""

    def __init__(self, console: Console, days: int | None) -> None:
        self._console = console
        self._days = days
        self._told_day = -1
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(),
                TimeElapsedColumn(), console=console, expand=True, transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("starting", total=STEPS)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, what: str) -> None:
        self._console.print(what, style="dim")

    def see(self, moment: Moment) -> None:
        clock = moment.clock
        days = self._days or clock["days"]
        line = f"{_day(clock)}/{days:.0f}  {clock['market_time'][:16].replace('T', ' ')}  {_book(moment.book)}"
        if self._bar is not None:
            self._bar.update(self._task, completed=STEPS * clock["days_done"] / days, description=line)
        elif int(clock["days_done"]) != self._told_day:
            self._told_day = int(clock["days_done"])
            self._console.print(line)


def _day(clock: Json) -> str:
    return f"market day {int(clock['days_done']) + (not clock['done'])}"


def _book(book: Json) -> str:
    """Equity, short, z, fills and the last reason, as far as the daemon has told."""
    if not book or book.get("equity_usdt") is None:
        return "no valuation yet"
    unit = book["numeraire"]
    said = [f"equity {Decimal(book['equity_usdt']):,.{digits_of(unit)}f} {unit}"]
    said += [f"net {asset} {Decimal(quantity):+.4f}" for asset, quantity in book["net_delta"].items()]
    said += [f"z {Decimal(margin['z']):.2f}" for margin in book["margins"] if margin.get("z") is not None]
    said.append(f"{book['trades']} fills")
    said += [strategy["reason"] for strategy in book["strategies"]]
    return "  ".join(said)
