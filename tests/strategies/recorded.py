"""Recorded hours driven through a basis book: strategies.md 6.0, one venue, Bybit's prices and funding.

A bar is the path open, low, high, close if it closes up, else open, high, low, close. Funding is booked at bar open
before the decision. Ladder and delta act at every point of the path, everything else at bar open. Fills are 1.5 bp
worse. A pair that is open from the start stands at the first bar's open, after that instant's settlement.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from basis_daemon.domain.decision import PlanEnded, ReasonCode
from basis_daemon.domain.instrument import round_down
from basis_daemon.domain.market import FundingSettled
from basis_daemon.domain.order import OrderOperation
from basis_daemon.domain.plan import PlanState
from basis_daemon.strategies.memory import BasisMemory
from basis_daemon.strategies.parameters import SHOCKS
from tests.builders import BINANCE, D, Holding, Scene, executed, mark_tick, parameters

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ANY_TIME = frozenset({ReasonCode.LIQ_TOPUP, ReasonCode.LIQ_REDUCE, ReasonCode.LIQ_EMERGENCY, ReasonCode.DELTA})
MINUTES = (0, 20, 40, 59)
SLIP_BP, CAPITAL = D("1.5"), D(100_000)
STEPS = {"BTC": "0.001", "ETH": "0.01"}


@dataclass(frozen=True)
class Point:
    """One point of a bar's path."""

    at: datetime
    spot: Decimal
    perp: Decimal
    is_open: bool


@dataclass
class Run:
    """What a window made of the book; money in USDT."""

    capital: Decimal = CAPITAL
    funding: Decimal = D(0)
    costs: Decimal = D(0)
    equity: Decimal = CAPITAL
    z_min: Decimal = D(100)
    delta_max: Decimal = D(0)
    opened_at: datetime | None = None
    acts: list[tuple[str, str]] = field(default_factory=list)

    def bp(self, amount: Decimal) -> Decimal:
        """Basis points of the capital."""
        return amount / self.capital * 10_000


def rows(window: str, name: str) -> Iterator[dict[str, str]]:
    with (DATA / window / name).open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@dataclass(frozen=True)
class Stress:
    """All prices times ``factor`` from an instant on: a squeeze worse than the recorded one."""

    factor: Decimal
    since: datetime


def candles(window: str, market: str, asset: str, stress: Stress | None) -> dict[datetime, tuple[Decimal, ...]]:
    found = {}
    for row in rows(window, "candles_1h.csv"):
        if (row["venue"], row["market"], row["symbol"]) == ("bybit", market, f"{asset}USDT"):
            at = moment(row["timestamp"])
            factor = stress.factor if stress is not None and at >= stress.since else D(1)
            found[at] = _path(*(D(row[name]) * factor for name in ("open", "high", "low", "close")))
    return found


def _path(first: Decimal, high: Decimal, low: Decimal, last: Decimal) -> tuple[Decimal, ...]:
    return (first, low, high, last) if last >= first else (first, high, low, last)


def settled(window: str, asset: str) -> dict[datetime, FundingSettled]:
    return {
        moment(row["timestamp"]): FundingSettled(
            BINANCE.perp_key(asset), moment(row["timestamp"]), D(row["funding_rate"]), int(row["interval_hours"])
        )
        for row in rows(window, "funding.csv")
        if (row["venue"], row["symbol"]) == ("bybit", f"{asset}USDT")
    }


def replay(
    window: str, start: datetime, *, opened: bool = False, asset: str = "BTC", stress: Stress | None = None
) -> Run:
    """The window from ``start`` on, after its lead-in has taught funding and marks."""
    spot, perp = (candles(window, market, asset, stress) for market in ("spot", "perp"))
    funding, chosen = settled(window, asset), parameters(asset=asset, uses_prediction=False)
    holdings = {"binance": Holding(cash=CAPITAL)}
    scene = Scene(chosen, holdings, rates={"binance": ()}, perp_step=STEPS[asset])
    memory, run = scene.strategy.initial_memory(), Run()
    for stamp in sorted(set(spot) & set(perp)):
        if stamp < start:
            memory = _taught(scene, memory, stamp, perp[stamp], funding.get(stamp))
            continue
        if stamp == start and opened:
            scene = _opened(scene, spot[stamp][0], perp[stamp][0])
            run.opened_at = start
        for place, minute in enumerate(MINUTES):
            point = Point(stamp + timedelta(minutes=minute), spot[stamp][place], perp[stamp][place], place == 0)
            settlement = funding.get(stamp) if point.is_open else None
            scene, memory = _step(scene, memory, point, settlement, run)
    return run


def _taught(
    scene: Scene, memory: BasisMemory, stamp: datetime, path: tuple[Decimal, ...], settlement: FundingSettled | None
) -> BasisMemory:
    if settlement is not None:
        memory = scene.strategy.fold(memory, settlement)
    for minute, mark in zip(MINUTES, path, strict=True):
        memory = scene.strategy.fold(
            memory, mark_tick(BINANCE.perp_key(scene.asset), mark, stamp + timedelta(minutes=minute))
        )
    return memory


def _opened(scene: Scene, spot: Decimal, perp: Decimal) -> Scene:
    """The pair at m* as if it had always stood, without the cost of an entry."""
    quantity = round_down(CAPITAL / D("1.4") / spot, D(scene.perp_step))
    margin = D("0.4") * quantity * perp
    held = Holding(CAPITAL - quantity * spot - margin, margin, quantity, quantity, perp)
    return scene.but(holdings={"binance": held})


def _step(
    scene: Scene, memory: BasisMemory, point: Point, settlement: FundingSettled | None, run: Run
) -> tuple[Scene, BasisMemory]:
    held = scene.holdings["binance"]
    strategy = scene.strategy
    if settlement is not None:
        cash = held.short * point.perp * settlement.rate if point.at != run.opened_at else D(0)
        run.funding += cash
        scene = scene.holding(margin_wallet=held.margin_wallet + cash)
        memory = strategy.fold(memory, settlement)
    memory = strategy.fold(memory, mark_tick(BINANCE.perp_key(scene.asset), point.perp, point.at))
    known = memory
    scene = scene.but(time=point.at, price=point.spot, mark=point.perp, remember=lambda _: known)
    _measure(scene, run)
    scene, memory = _decided(scene, memory, point, run)
    _measure(scene, run)
    return scene, memory


def _decided(scene: Scene, memory: BasisMemory, point: Point, run: Run) -> tuple[Scene, BasisMemory]:
    found = scene.assess()
    if found.reason not in ANY_TIME and not point.is_open:
        return scene, memory
    orders = scene.orders()
    if not orders:
        return scene, memory
    run.acts.append((found.reason.value, point.at.strftime("%m-%d %H:%M")))
    for order in orders:
        if order.operation is not OrderOperation.TRANSFER and order.ref_price is not None:
            fee = scene.market.instruments[order.instrument].taker_fee
            run.costs += order.quantity * order.ref_price * (fee + SLIP_BP / 10_000)
    after = executed(scene, orders, SLIP_BP)
    ended = PlanEnded(scene.strategy.name, 1, found.reason, PlanState.DONE, point.at, found.targets, found.weights)
    return after, scene.strategy.fold(memory, ended)


def _measure(scene: Scene, run: Run) -> None:
    exposure = scene.exposure
    assert exposure.equity_usdt is not None
    run.equity = exposure.equity_usdt
    share = exposure.net_delta.get(scene.asset, D(0)) * scene.price / exposure.equity_usdt
    run.delta_max = max(run.delta_max, abs(share))
    for state in exposure.margins:
        if state.quantity:
            z = ((1 + state.margin / state.notional) / (1 + state.maintenance_rate) - 1) / SHOCKS[scene.asset]
            run.z_min = min(run.z_min, z)
