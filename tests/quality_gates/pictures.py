"""Pictures to show a strategy: the same market with good carry, with none, and gone quiet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.decision import Exposure, RiskView
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import Instrument, Kind, MarginTier, PositionKey
from basis_daemon.domain.market import Age, BookTick, DecisionIds, FundingSettled, MarketSnapshot, MarkTick
from basis_daemon.domain.position import PositionBook
from basis_daemon.ports import Strategy
from tests.quality_gates.examples import NOON

Question = tuple[datetime, str, MarketSnapshot, Exposure, RiskView]
"""What `assess` and `make_strategy_decision` are asked, in their order."""

PRICE = {"BTC": Decimal(60_000), "ETH": Decimal(3_000)}
CAPITAL_USDT = Decimal(100_000)
SETTLEMENTS, INTERVAL_H = 30, 8
RICH, POOR = Decimal("0.0004"), Decimal("0.00001")
SPREAD_BP = Decimal("0.5")
FRESH, OLD = Age(Decimal(0), Decimal("0.2"), is_stale=False), Age(Decimal(90), Decimal(90), is_stale=True)
_TIER = MarginTier(Decimal(0), Decimal(50_000_000), Decimal("0.004"), Decimal(0), Decimal(50))


@dataclass(frozen=True, slots=True)
class Picture:
    """One question, and whether orders are an answer to it."""

    name: str
    question: Question
    has_orders: bool


def basis_pictures(strategy: Strategy) -> list[Picture]:
    """Cash alone, with funding that pays, with funding that does not, and with every input past its limit."""
    rich = _market(strategy, RICH)
    quiet = replace(rich, ages=dict.fromkeys(rich.ages, OLD))
    return [
        Picture("enter", _question(strategy, rich), has_orders=True),
        Picture("hold", _question(strategy, _market(strategy, POOR)), has_orders=False),
        Picture("stale", _question(strategy, quiet), has_orders=False),
    ]


def _question(strategy: Strategy, market: MarketSnapshot) -> Question:
    holdings = _cash(strategy)
    exposure = build_exposure(PositionBook(1, market.time, holdings, {}), market)
    risk = RiskView(sites=(), unit_value=Decimal(1), unit_value_high=Decimal(1))
    return market.time, "market", market, exposure, risk


def _cash(strategy: Strategy) -> dict[PositionKey, Decimal]:
    """The capital in the spot account of the first venue that trades the pair."""
    spot = min(key for key in strategy.instruments if key.kind is Kind.SPOT)
    return {PositionKey.of(spot.venue, Kind.SPOT, "USDT"): CAPITAL_USDT}


def _market(strategy: Strategy, rate: Decimal) -> MarketSnapshot:
    now = NOON + timedelta(hours=SETTLEMENTS * INTERVAL_H)
    books = {key: _book(key, now) for key in strategy.instruments}
    marks = {key: _mark(key, now, rate) for key in strategy.instruments if key.kind is Kind.PERP}
    names = [f"book:{key}" for key in books] + [f"mark:{key}" for key in marks]
    names += [f"account:{key.venue}" for key in strategy.declared_keys]
    return MarketSnapshot(
        time=now,
        ids=DecisionIds("gates", 1, 1),
        instruments={key: _instrument(key) for key in strategy.instruments},
        books=books,
        marks=marks,
        ages=dict.fromkeys(names, FRESH),
        memory=_memory(strategy, marks, rate),
    )


def _memory(strategy: Strategy, marks: Mapping[PositionKey, MarkTick], rate: Decimal) -> object:
    """What ten days of settlements at one rate leave behind."""
    memory = strategy.initial_memory()
    for number in range(SETTLEMENTS):
        at = NOON + timedelta(hours=number * INTERVAL_H)
        for key, mark in marks.items():
            memory = strategy.fold(memory, replace(mark, venue_time=at))
            memory = strategy.fold(memory, FundingSettled(key, at, rate, INTERVAL_H))
    return memory


def _asset(key: PositionKey) -> str:
    return next(asset for asset in PRICE if key.symbol.startswith(asset))


def _book(key: PositionKey, now: datetime) -> BookTick:
    price = PRICE[_asset(key)]
    half = price * SPREAD_BP / 10_000
    depth = [(half * (1 + level), Decimal(5)) for level in range(10)]
    bids, asks = tuple((price - d, q) for d, q in depth), tuple((price + d, q) for d, q in depth)
    return BookTick(key, now, 0, bids, asks)


def _mark(key: PositionKey, now: datetime, rate: Decimal) -> MarkTick:
    price = PRICE[_asset(key)]
    return MarkTick(key, now, 0, price, price, rate, now + timedelta(hours=INTERVAL_H))


def _instrument(key: PositionKey) -> Instrument:
    step, tick = Decimal("0.0001"), Decimal("0.1")
    is_perp = key.kind is Kind.PERP
    return Instrument(
        key=key,
        base=_asset(key),
        quote="USDT",
        quantity_step=step,
        price_tick=tick,
        quantity_min=step,
        quantity_max=Decimal(1000),
        notional_min=Decimal(5),
        taker_fee=Decimal("0.0005") if is_perp else Decimal("0.001"),
        maker_fee=Decimal("0.0002") if is_perp else Decimal("0.001"),
        tiers=(_TIER,) if is_perp else (),
    )
