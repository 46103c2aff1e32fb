"""What was recorded of a chain, and what of it is known at an instant: never a row that comes later.

Rows of Aave are midnight snapshots that hold until the next one, the rate of a staking token with them: the hourly
rate of the record is drawn between two of them and would look a day ahead. Its discount is the hourly row's. A bar's
close is known an hour after its open, a week's rewards a day after its end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from basis_daemon.simulation.rows import Row, rows_of

AAVE, LST, GAS, REWARDS, WEEKS = (
    "aave_daily.csv", "lst_market.csv", "gas.csv", "reward_tokens_1h.csv", "eigen_weekly.csv",
)  # fmt: skip
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HELD = timedelta(hours=3)
"""How long an hourly or two-hourly row stands for those that are missing behind it."""
DISCOUNT_MAX, RATE_MAX = Decimal("0.5"), Decimal(10)
GWEI = Decimal(10**9)
EIGEN_POOL = "EIGENWETH"

_AAVE_COLUMNS = (
    "timestamp", "asset", "liquidity_index", "supply_rate", "variable_borrow_index", "variable_borrow_rate",
    "total_supply", "total_variable_debt", "price_usd", "rate_vs_weth",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReserveRow:
    """One reserve at a midnight; rates a year, amounts in tokens, ``rate`` ETH per token of a staking token."""

    at: datetime
    liquidity_index: Decimal
    debt_index: Decimal
    supply_rate: Decimal
    borrow_rate: Decimal
    supplied: Decimal
    debt: Decimal
    price: Decimal
    rate: Decimal | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """What a market paid for a staking token beside its rate, as a fraction: negative below it.

    ``drawn`` is the hour's rate on a line between two midnights, ETH per token: it looks up to a day ahead.
    """

    at: datetime
    premium: Decimal
    drawn: Decimal


@dataclass(frozen=True, slots=True)
class GasRow:
    """A sampled block, wei per unit of gas."""

    at: datetime
    base_wei: int
    tip_wei: int


@dataclass(frozen=True, slots=True)
class PriceRow:
    """ETH per reward token; ``at`` is when the bar had closed."""

    at: datetime
    price: Decimal


@dataclass(frozen=True, slots=True)
class WeekRow:
    """EIGEN per ETH of a week; ``at`` is when it could be known. ``paid`` counts all ether, ``published`` may not."""

    at: datetime
    published: Decimal
    paid: Decimal


_R = TypeVar("_R", ReserveRow, TokenRow, GasRow, PriceRow, WeekRow)


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """Rows by asset, oldest first. Questions give the newest row that was known then, None where it is too old."""

    directory: Path
    reserves: Mapping[str, Sequence[ReserveRow]] = field(default_factory=dict)
    tokens: Mapping[str, Sequence[TokenRow]] = field(default_factory=dict)
    gas: Sequence[GasRow] = ()
    rewards: Mapping[str, Sequence[PriceRow]] = field(default_factory=dict)
    weeks: Sequence[WeekRow] = ()

    def reserve(self, asset: str, at: datetime) -> ReserveRow | None:
        """Its last midnight, however long ago: indices go on."""
        return _newest(self.reserves.get(asset, ()), at, None)

    def token(self, asset: str, at: datetime) -> TokenRow | None:
        """Its last hour."""
        return _newest(self.tokens.get(asset, ()), at, HELD)

    def gas_at(self, at: datetime) -> GasRow | None:
        """The last sample."""
        return _newest(self.gas, at, HELD)

    def reward(self, pool: str, at: datetime) -> PriceRow | None:
        """The last closed bar."""
        return _newest(self.rewards.get(pool, ()), at, HOUR)

    def week(self, at: datetime) -> WeekRow | None:
        """The last week that could be known."""
        return _newest(self.weeks, at, None)

    @property
    def stamps(self) -> tuple[datetime, datetime] | None:
        """First and last midnight of any reserve; None without one."""
        rows = [known for known in self.reserves.values() if known]
        return (min(known[0].at for known in rows), max(known[-1].at for known in rows)) if rows else None


def is_current(row: ReserveRow, at: datetime) -> bool:
    """False once the next midnight should have come: what is not known any more is not told."""
    return at - row.at < DAY


def _newest(rows: Sequence[_R], at: datetime, held: timedelta | None) -> _R | None:
    place = bisect_right(rows, at, key=lambda row: row.at)
    row = rows[place - 1] if place else None
    return None if row is None or (held is not None and at - row.at > held) else row


# ----------------------------------------------------------------------------------------------------------- files
def read_record(directory: Path) -> ChainRecord:
    """Everything of the chain that the directory holds; a file that is not there has no rows. Raises HistoryError."""
    return ChainRecord(
        directory,
        _by(directory / AAVE, _AAVE_COLUMNS, "asset", _reserve),
        _by(directory / LST, ("timestamp", "asset", "discount_pct", "rate_interpolated"), "asset", _token),
        _by(directory / GAS, ("timestamp", "base_fee_gwei", "gas_price_gwei"), None, _gas).get("", []),
        _by(directory / REWARDS, ("timestamp", "symbol", "close"), "symbol", _price),
        _by(directory / WEEKS, ("period_end", "eigen_per_eeth_published", "eigen_per_eeth_computed"), None, _week).get(
            "", []
        ),
    )


def _by(file: Path, columns: Sequence[str], name: str | None, read: Callable[[Row], _R]) -> dict[str, list[_R]]:
    found: dict[str, list[_R]] = {}
    if not file.is_file():
        return found
    for row in rows_of(file, columns):
        known, new = found.setdefault(row[name] if name else "", []), read(row)
        if known and new.at <= known[-1].at:
            before = known[-1].at.isoformat()
            raise row.fault(columns[0], f"a stamp behind {before}", "sort the file by its stamps, each of them once")
        known.append(new)
    return found


def _reserve(row: Row) -> ReserveRow:
    return ReserveRow(
        row.stamp(),
        row.price("liquidity_index"),
        row.price("variable_borrow_index"),
        _rate(row, "supply_rate"),
        _rate(row, "variable_borrow_rate"),
        row.price("total_supply"),
        _positive(row, "total_variable_debt"),
        row.price("price_usd"),
        row.price("rate_vs_weth") if row.has("rate_vs_weth") else None,
    )


def _token(row: Row) -> TokenRow:
    premium = row.number("discount_pct") / 100
    if abs(premium) > DISCOUNT_MAX:
        raise row.fault("discount_pct", "percent of the rate, negative below it", "half of the rate is 50")
    return TokenRow(row.stamp(), premium, row.price("rate_interpolated"))


def _gas(row: Row) -> GasRow:
    base, whole = _positive(row, "base_fee_gwei"), _positive(row, "gas_price_gwei")
    return GasRow(row.stamp(), int(base * GWEI), int(max(whole - base, Decimal(0)) * GWEI))


def _price(row: Row) -> PriceRow:
    return PriceRow(row.stamp() + HOUR, row.price("close"))


def _week(row: Row) -> WeekRow:
    published, paid = (_positive(row, f"eigen_per_eeth_{name}") for name in ("published", "computed"))
    return WeekRow(row.day("period_end") + DAY, published, paid)


def _rate(row: Row, column: str) -> Decimal:
    value = _positive(row, column)
    if value > RATE_MAX:
        raise row.fault(column, "a fraction a year", "ten per cent are 0.10")
    return value


def _positive(row: Row, column: str) -> Decimal:
    value = row.number(column)
    if value < 0:
        raise row.fault(column, "no negative number", "correct the number")
    return value
