"""Aave's reserves at every midnight of a window, as rows of aave_daily.csv; a run that was cut is taken up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from basis_daemon.research.collect import Shelf, stamp_of
from basis_daemon.research.windows import AAVE, AAVE_COLUMNS
from basis_daemon.venues.chain.aave_history import ReserveState

DAY = timedelta(days=1)
WETH, DOLLAR = "WETH", "USDT"
_SHARE = Decimal("1e-10")


class AaveSource(Protocol):
    """Whose past it is; raises VenueUnreachableError."""

    async def newest(self) -> datetime:
        """Nothing later has happened yet."""
        ...

    async def reserves_at(self, at: datetime, symbols: Sequence[str]) -> Sequence[ReserveState]:
        """These reserves as they were; none before there was anything."""
        ...


async def collect_reserves(
    directory: Path,
    source: AaveSource,
    symbols: Sequence[str],
    span: tuple[datetime, datetime],
    on_day: Callable[[datetime], None] = lambda _: None,
) -> Mapping[str, int]:
    """Fetches the midnights in [start, end] that are not there yet, and writes after each; rows by asset.

    WETH is always among them: what a staking token is worth is counted in it.
    """
    shelf = Shelf(directory / AAVE, AAVE_COLUMNS, 2)
    shelf.load()
    wanted = [*dict.fromkeys([*symbols, WETH])]
    newest = await source.newest()
    for at in _midnights(*span):
        stamp = stamp_of(at)
        if at > newest or all((stamp, symbol) in shelf.rows for symbol in wanted):
            continue
        found = await source.reserves_at(at, wanted)
        ether = next((state.price for state in found if state.asset == WETH), None)
        for state in found:
            shelf.add((stamp, state.asset, *_words(state, ether)))
        shelf.write()
        on_day(at)
    return {f"aave:{symbol}": len(shelf.series(symbol)) for symbol in wanted}


def _midnights(start: datetime, end: datetime) -> Iterator[datetime]:
    at = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while at <= end:
        if at >= start:
            yield at
        at += DAY


def _words(state: ReserveState, ether: Decimal | None) -> tuple[str, ...]:
    used = (state.debt / state.supplied).quantize(_SHARE) if state.supplied else Decimal(0)
    is_priced_in_ether = ether and state.asset != DOLLAR
    rate = (state.price / ether).normalize() if is_priced_in_ether and ether else None
    numbers = (
        state.liquidity_index, state.supply_rate, state.debt_index, state.borrow_rate, state.supplied, state.debt, used,
        state.price,
    )  # fmt: skip
    return str(state.block.number), *(f"{number:f}" for number in numbers), "" if rate is None else f"{rate:f}"
