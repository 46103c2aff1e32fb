"""Builders of valid pictures: instruments, ticks, memories, and whole scenes that a basis book can be asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from basis_daemon.domain.decision import Assessment, Exposure, ReasonCode, RiskView
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import Instrument, Kind, MarginTier, PositionKey
from basis_daemon.domain.market import Age, BookTick, DecisionIds, FundingSettled, Level, MarketSnapshot, MarkTick
from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.position import PositionBook
from basis_daemon.strategies.basis import BasisStrategy, BtcBasis, EthBasis
from basis_daemon.strategies.memory import BasisMemory, HourBar
from basis_daemon.strategies.parameters import BasisParameters, BasisVenue

D = Decimal
NOW = datetime(2024, 3, 1, 0, 0, 10, tzinfo=UTC)
SPOT = PositionKey("binance:spot:BTC")
CASH = PositionKey("binance:spot:USDT")
PERP = PositionKey("binanceusdm:perp:BTCUSDT")
MARGIN = PositionKey("binanceusdm:spot:USDT")
BINANCE = BasisVenue(name="binance", spot_account="binance", perp_account="binanceusdm")
BYBIT = BasisVenue(name="bybit", spot_account="bybit", perp_account="bybit")
FRESH = Age(D(0), D("0.1"), is_stale=False)
STALE = Age(D(30), D(30), is_stale=True)
RICH, POOR, NEGATIVE = D("0.0003"), D("0.00005"), D("-0.0003")


def _named(changes: Mapping[str, object]) -> dict[str, Any]:
    return dict(changes)


def signs(value: Decimal, digits: int = 8) -> str:
    """Significant digits as golden.py prints them."""
    text = f"{value:.{digits}g}"
    return format(D(text).normalize() + 0, "f")


def spot_instrument(key: PositionKey = SPOT, base: str = "BTC", **changes: object) -> Instrument:
    """A spot pair against USDT: steps of 1e-5, fee 10 bp."""
    instrument = Instrument(
        key=key,
        base=base,
        quote="USDT",
        quantity_step=D("0.00001"),
        price_tick=D("0.01"),
        quantity_min=D("0.00001"),
        quantity_max=D(9000),
        notional_min=D(5),
        taker_fee=D("0.0010"),
        maker_fee=D("0.0010"),
    )
    return replace(instrument, **_named(changes))


def perp_instrument(key: PositionKey = PERP, base: str = "BTC", mm: str = "0.01", **changes: object) -> Instrument:
    """A linear perp: steps of .001, fee 5 bp, one tier with this maintenance rate."""
    instrument = Instrument(
        key=key,
        base=base,
        quote="USDT",
        quantity_step=D("0.001"),
        price_tick=D("0.1"),
        quantity_min=D("0.001"),
        quantity_max=D(1000),
        notional_min=D(100),
        taker_fee=D("0.0005"),
        maker_fee=D("0.0002"),
        tiers=(MarginTier(D(0), D(10_000_000), D(mm), D(0), D(50)),),
    )
    return replace(instrument, **_named(changes))


def book_tick(
    key: PositionKey, price: Decimal, at: datetime = NOW, size: Decimal = D(100), half_spread: Decimal = D(0)
) -> BookTick:
    """A book around ``price``, ``size`` base units at the best price of either side."""
    bids: tuple[Level, ...] = ((price - half_spread, size),)
    asks: tuple[Level, ...] = ((price + half_spread, size),)
    return BookTick(key, at, 0, bids, asks)


def mark_tick(key: PositionKey, mark: Decimal, at: datetime = NOW, predicted: Decimal = RICH) -> MarkTick:
    """Mark and index at ``mark``."""
    return MarkTick(key, at, 0, mark, mark, predicted, at + timedelta(hours=8))


def settlements(key: PositionKey, rates: list[Decimal], last: datetime = NOW, hours: int = 8) -> list[FundingSettled]:
    """Settlements of these rates, oldest first, the last one at the interval before ``last``."""
    end = last.replace(minute=0, second=0, microsecond=0)
    count = len(rates)
    return [
        FundingSettled(key, end - timedelta(hours=hours * (count - 1 - place)), rate, hours)
        for place, rate in enumerate(rates)
    ]


@dataclass(frozen=True)
class Holding:
    """What one venue of a scene holds. ``entry`` is the price the short was sold at, by default the scene's."""

    cash: Decimal = D(0)
    margin_wallet: Decimal = D(0)
    base: Decimal = D(0)
    short: Decimal = D(0)
    entry: Decimal | None = None


@dataclass(frozen=True)
class Scene:
    """A question to a basis book. Everything has a calm default; change it with ``scene.but(...)``."""

    parameters: BasisParameters
    holdings: Mapping[str, Holding]
    time: datetime = NOW
    price: Decimal = D(60_000)
    mark: Decimal | None = None
    rates: Mapping[str, tuple[Decimal, ...]] = field(default_factory=dict)
    predicted: Decimal = RICH
    depth: Decimal = D(100)
    half_spread: Decimal = D(0)
    stale: frozenset[str] = frozenset()
    mm: str = "0.01"
    wallet: Decimal = D(0)
    extra: Mapping[PositionKey, Decimal] = field(default_factory=dict)
    risk: RiskView = field(default_factory=lambda: RiskView(sites=(), unit_value=D(1), unit_value_high=D(1)))
    remember: Callable[[BasisMemory], BasisMemory] = lambda memory: memory
    decision: int = 7
    perp_step: str = "0.001"

    def but(self, **changes: object) -> Scene:
        """The same scene with changes."""
        return replace(self, **_named(changes))

    def holding(self, venue: str = "binance", **changes: object) -> Scene:
        """The same scene with another holding at one venue."""
        known = self.holdings.get(venue, Holding())
        return replace(self, holdings={**self.holdings, venue: replace(known, **_named(changes))})

    def risky(self, **changes: object) -> Scene:
        """The same scene with another risk view."""
        return replace(self, risk=replace(self.risk, **_named(changes)))

    @property
    def asset(self) -> str:
        """What is held and shorted."""
        return self.parameters.asset

    @property
    def strategy(self) -> BasisStrategy:
        """The book that is asked."""
        kinds: dict[str, type[BasisStrategy]] = {"BTC": BtcBasis, "ETH": EthBasis}
        return kinds[self.asset](self.parameters)

    @property
    def memory(self) -> BasisMemory:
        """What the settlements of ``rates`` (default: 30 rich ones) leave, then ``remember``."""
        strategy = self.strategy
        memory = strategy.initial_memory()
        for venue in self.parameters.venues:
            rates = self.rates.get(venue.name, (RICH,) * 30)
            for event in settlements(venue.perp_key(self.asset), list(rates), self.time):
                memory = strategy.fold(memory, event)
        return self.remember(memory)

    @property
    def book(self) -> PositionBook:
        """Holdings of all venues."""
        held: dict[PositionKey, Decimal] = {PositionKey("wallet:token:USDT"): self.wallet, **self.extra}
        cost: dict[PositionKey, Decimal] = {}
        for venue in self.parameters.venues:
            at = self.holdings.get(venue.name, Holding())
            held[venue.spot_key(self.asset)] = at.base
            held[venue.perp_key(self.asset)] = -at.short
            held[venue.cash_key] = held.get(venue.cash_key, D(0)) + at.cash
            held[venue.margin_key] = held.get(venue.margin_key, D(0)) + at.margin_wallet
            cost[venue.perp_key(self.asset)] = -at.short * (self.price if at.entry is None else at.entry)
        return PositionBook(1, self.time, held, cost)

    @property
    def market(self) -> MarketSnapshot:
        """Books and marks of every venue, aged as ``stale`` says."""
        instruments: dict[PositionKey, Instrument] = {}
        books: dict[PositionKey, BookTick] = {}
        marks: dict[PositionKey, MarkTick] = {}
        names: list[str] = ["account:wallet"]
        mark = self.price if self.mark is None else self.mark
        for venue in self.parameters.venues:
            spot, perp = venue.spot_key(self.asset), venue.perp_key(self.asset)
            instruments[spot] = spot_instrument(spot, self.asset)
            instruments[perp] = perp_instrument(perp, self.asset, self.mm, quantity_step=D(self.perp_step))
            books[spot] = book_tick(spot, self.price, self.time, self.depth, self.half_spread)
            books[perp] = book_tick(perp, mark, self.time, self.depth, self.half_spread)
            marks[perp] = mark_tick(perp, mark, self.time, self.predicted)
            names += [f"book:{spot}", f"book:{perp}", f"mark:{perp}"]
            names += [f"account:{venue.spot_account}", f"account:{venue.perp_account}"]
        ages = {name: STALE if name in self.stale else FRESH for name in names}
        ids = DecisionIds("test-book", 3, self.decision)
        return MarketSnapshot(self.time, ids, instruments, books, marks, ages, self.memory)

    @property
    def exposure(self) -> Exposure:
        """Of the book at the market."""
        return build_exposure(self.book, self.market)

    def assess(self) -> Assessment:
        """The book's assessment."""
        market = self.market
        return self.strategy.assess(self.time, "market", market, build_exposure(self.book, market), self.risk)

    def orders(self) -> list[Order]:
        """The book's orders."""
        market = self.market
        exposure = build_exposure(self.book, market)
        return self.strategy.make_strategy_decision(self.time, "market", market, exposure, self.risk)


def parameters(*venues: BasisVenue, **changes: object) -> BasisParameters:
    """One venue takes the whole book unless told otherwise."""
    chosen = venues or (BINANCE,)
    defaults: dict[str, Any] = {"venue_cap": D(1)} if len(chosen) == 1 else {}
    return BasisParameters(venues=chosen, **{**defaults, **changes})


def idle(capital: Decimal = D(100_000), **changes: object) -> Scene:
    """All capital as USDT on the spot account."""
    return Scene(parameters(), {"binance": Holding(cash=capital)}).but(**changes)


def paired(
    quantity: Decimal = D(1),
    price: Decimal = D(60_000),
    m: Decimal = D("0.40"),
    cash: Decimal = D(0),
    *,
    entry: Decimal | None = None,
    **changes: object,
) -> Scene:
    """A pair of ``quantity`` on Binance whose margin ratio is ``m`` at ``price``."""
    entry = price if entry is None else entry
    unrealised = -quantity * (price - entry)
    wallet = m * quantity * price - unrealised
    held = Holding(cash=cash, margin_wallet=wallet, base=quantity, short=quantity, entry=entry)
    return Scene(parameters(), {"binance": held}, price=price).but(**changes)


def calm_day(
    memory: BasisMemory, end: datetime = NOW, price: Decimal = D(60_000), spread: Decimal = D("0.02")
) -> BasisMemory:
    """The memory with 25 hourly bars at every venue whose high lies ``spread`` above the low."""
    start = end.replace(minute=0, second=0, microsecond=0) - timedelta(hours=24)
    bars = tuple(HourBar(start + timedelta(hours=hour), price, price * (1 + spread), price) for hour in range(25))
    venues = {name: replace(known, bars=bars, variance=D("0.0001")) for name, known in memory.venues.items()}
    return replace(memory, venues=venues)


def why_not(assessment: Assessment, rule: ReasonCode) -> str:
    """The comparison that stopped a rule; empty when it was not looked at."""
    return "; ".join(item.why for item in assessment.rejected if item.rule is rule)


def trades_of(orders: list[Order]) -> list[tuple[str, str, Decimal]]:
    """(operation, side or target, amount) of every order, in order."""
    return [
        (order.operation.value, order.side.value if order.side else str(order.recipient), order.quantity)
        for order in orders
    ]


def executed(scene: Scene, orders: list[Order], slip_bp: Decimal = D(0)) -> Scene:
    """The scene after every order filled ``slip_bp`` worse than its reference, fees taken in the bought coin."""
    holdings = dict(scene.holdings)
    wallet = scene.wallet
    by_account = {v.spot_account: v for v in scene.parameters.venues} | {
        v.perp_account: v for v in scene.parameters.venues
    }
    for order in orders:
        venue = by_account.get(order.venue)
        if order.operation is OrderOperation.TRANSFER:
            wallet = _moved(holdings, by_account, order, wallet)
        elif venue is not None:
            holdings[venue.name] = _filled(scene, holdings.get(venue.name, Holding()), order, slip_bp)
    return scene.but(holdings=holdings, wallet=wallet)


def _filled(scene: Scene, at: Holding, order: Order, slip_bp: Decimal) -> Holding:
    assert order.side is not None
    assert order.ref_price is not None
    price = order.ref_price * (1 + order.side.sign * slip_bp / 10_000)
    market = scene.market.instruments[order.instrument]
    value, quantity = order.quantity * price, order.quantity
    if order.instrument.kind is Kind.SPOT:
        if order.side is Side.BUY:
            return replace(at, base=at.base + quantity * (1 - market.taker_fee), cash=at.cash - value)
        return replace(at, base=at.base - quantity, cash=at.cash + value * (1 - market.taker_fee))
    entry = scene.price if at.entry is None else at.entry
    fee = value * market.taker_fee
    if order.side is Side.SELL:
        short = at.short + quantity
        return replace(at, short=short, entry=(at.short * entry + value) / short, margin_wallet=at.margin_wallet - fee)
    realised = quantity * (entry - price)
    return replace(at, short=at.short - quantity, entry=entry, margin_wallet=at.margin_wallet + realised - fee)


def _moved(
    holdings: dict[str, Holding], by_account: Mapping[str, BasisVenue], order: Order, wallet: Decimal
) -> Decimal:
    amount = order.quantity
    source = by_account.get(order.venue)
    if source is None:
        wallet -= amount
    else:
        at = holdings.get(source.name, Holding())
        is_margin = order.venue == source.perp_account and not source.is_unified
        holdings[source.name] = (
            replace(at, margin_wallet=at.margin_wallet - amount) if is_margin else replace(at, cash=at.cash - amount)
        )
    to = by_account.get(str(order.recipient))
    if to is None:
        return wallet + amount
    at = holdings.get(to.name, Holding())
    is_margin = order.recipient == to.perp_account and not to.is_unified
    holdings[to.name] = (
        replace(at, margin_wallet=at.margin_wallet + amount) if is_margin else replace(at, cash=at.cash + amount)
    )
    return wallet
