"""Recorded weeks of Aave, token and gas as a chain that a book can live on: strategies.md 6.0.

Rows of Aave are midnight snapshots that hold until the next one, the token's rate with them: the hourly column is drawn
between two of them and would look a day ahead. Discounts are hourly; a sale costs its discount and 5 bp; a flash loan
is free, as it was at the lenders of those weeks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.chain import LstTick, RateCurve, ReserveTick, RewardTick
from basis_daemon.domain.instrument import PositionKey
from tests.builders import D
from tests.strategies.chain_scenes import (
    A_USDT,
    A_WEETH,
    A_WETH,
    WEETH,
    Chain,
    block,
    emode_tick,
    lst_tick,
    reserve_tick,
)
from tests.strategies.recorded import DATA, moment, rows
from tests.strategies.staking_scenes import EIGEN

HOUR = timedelta(hours=1)
POOL_FEE = D("0.0005")
FACTORS = {"USDT": D("0.10"), "WETH": D("0.15"), "weETH": D("0.45")}
KEYS = {"USDT": A_USDT, "WETH": A_WETH, "weETH": A_WEETH}


@dataclass(frozen=True)
class Hour:
    """One hour of the record."""

    at: datetime
    chain: Chain
    debt_index: Decimal


def hours(window: str) -> Iterator[Hour]:
    """Every hour of the window from its first row of Aave on; without a row of the token there is none."""
    aave = {(moment(row["timestamp"]), row["asset"]): row for row in rows(window, "aave_daily.csv")}
    tokens = {moment(row["timestamp"]): row for row in _any_rows(window, "lst_market.csv") if row["asset"] == "weETH"}
    days = sorted({at for at, _ in aave})
    gas, rewards = _gas(window), _rewards(window)
    for day in days:
        found = {asset: aave[day, asset] for asset in KEYS if (day, asset) in aave}
        reserves = {KEYS[asset]: _reserve(KEYS[asset], row) for asset, row in found.items()}
        for hour in range(24):
            at = day + hour * HOUR
            token = tokens.get(at)
            lsts = {WEETH: _token(token, D(found["weETH"]["rate_vs_weth"]))} if token is not None else {}
            emodes = {A_WEETH: emode_tick()} if lsts else {}
            chain = Chain(
                reserves=reserves, lsts=lsts, emodes=emodes, rewards=rewards.get(at, {}), gwei=gas.get(at, 10)
            )
            yield Hour(at, _at_rate(chain), D(found["WETH"]["variable_borrow_index"]))


def _reserve(key: PositionKey, row: dict[str, str]) -> ReserveTick:
    debt, supplied = D(row["total_variable_debt"]), D(row["total_supply"])
    u, rate = D(row["utilisation"]), D(row["variable_borrow_rate"])
    tick = reserve_tick(key)
    return replace(
        tick,
        supply_rate=D(row["supply_rate"]),
        borrow_rate=rate,
        liquidity_index=D(row["liquidity_index"]),
        debt_index=D(row["variable_borrow_index"]),
        idle=supplied - debt,
        debt=debt,
        supplied=supplied,
        reserve_factor=FACTORS[row["asset"]],
        curve=RateCurve(D(0), D("0.95"), rate * D("0.95") / u if u else D(0), D("0.8")),
        price=D(row["price_usd"]),
        flash_fee=D(0),
    )


def _token(row: dict[str, str], rate: Decimal) -> LstTick:
    sale = rate * (1 + D(row["discount_pct"]) / 100 - POOL_FEE)
    return lst_tick(rate=rate, pool_price=sale, pool_price_buy=rate * D("1.01"), quoted_size=D(100_000))


def _at_rate(chain: Chain) -> Chain:
    """The oracle follows the exchange rate, hour by hour."""
    if WEETH not in chain.lsts or A_WEETH not in chain.reserves:
        return chain
    return chain.reserve(A_WEETH, price=chain.reserves[A_WETH].price * chain.lsts[WEETH].rate)


def _gas(window: str) -> dict[datetime, int]:
    """Gwei by the hour, the last sample standing for at most three."""
    found: dict[datetime, int] = {}
    for row in rows(window, "gas.csv"):
        hour = moment(row["timestamp"]).replace(minute=0, second=0, microsecond=0)
        found |= {hour + ahead * HOUR: max(int(D(row["gas_price_gwei"])), 1) for ahead in range(3)}
    return found


def _rewards(window: str) -> dict[datetime, dict[PositionKey, RewardTick]]:
    """EIGEN by the hour, with what the last week that had ended then brought per eETH."""
    weeks = [
        (moment(f"{row['period_end']}T00:00:00Z") + 24 * HOUR, D(row["eigen_per_eeth_published"]))
        for row in _any_rows(window, "eigen_weekly.csv")
    ]
    found = {}
    for row in _any_rows(window, "reward_tokens_1h.csv"):
        at = moment(row["timestamp"]) + HOUR
        known = [amount for end, amount in weeks if end <= at]
        if row["symbol"] == "EIGENWETH" and known:
            found[at] = {EIGEN: RewardTick(EIGEN, block(at), 0, known[-1], D(row["close"]))}
    return found


def _any_rows(window: str, name: str) -> Iterator[dict[str, str]]:
    """Of a file that not every window has."""
    yield from rows(window, name) if (DATA / window / name).is_file() else ()
