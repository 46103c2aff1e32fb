"""Directional books bar by bar: a model speaks, the book decides, fills are at the mid and at their cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.decision import Assessment, Exposure, PlanEnded, RiskView
from basis_daemon.domain.directional import inverse_pnl
from basis_daemon.domain.exposure import build_exposure
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import DecisionIds, MarketSnapshot
from basis_daemon.domain.order import Order
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import PositionBook
from basis_daemon.domain.prediction import Prediction, PredictionTick, Signal
from basis_daemon.strategies.directional import Directional, MlBtcDirectional, MlUsdtDirectional
from basis_daemon.strategies.ml_memory import DirectionalMemory
from basis_daemon.strategies.ml_parameters import DirectionalParameters
from tests.builders import BINANCE, FRESH, STALE, D, book_tick, mark_tick, perp_instrument
from tests.strategies.chain_scenes import nothing_wrong

BAR = timedelta(minutes=5)
START = datetime(2025, 5, 6, 12, 0, tzinfo=UTC)
LINEAR, INVERSE = PositionKey("binanceusdm:perp:BTCUSDT"), PositionKey("binanceusdm:perp:BTCUSD")
COIN = PositionKey("binanceusdm:spot:BTC")
CASH = PositionKey("binanceusdm:spot:USDT")


@dataclass
class MlRun:
    """``said`` speaks of the bar that has just closed; ``step`` decides now and does what was decided."""

    strategy: Directional
    holdings: dict[PositionKey, Decimal]
    price: Decimal = D(60_000)
    time: datetime = START
    entry: Decimal = D(0)
    risk: RiskView = field(default_factory=nothing_wrong)
    stale: frozenset[str] = frozenset()
    predicted: Decimal = D("0.0001")
    memory: object = None
    acts: list[tuple[Assessment, list[Order]]] = field(default_factory=list)
    decision: int = 0

    def __post_init__(self) -> None:
        """Begins without a memory."""
        self.memory = self.strategy.initial_memory()

    @property
    def p(self) -> DirectionalParameters:
        """Parameters."""
        return self.strategy.parameters

    @property
    def key(self) -> PositionKey:
        """The contract."""
        return INVERSE if self.p.is_inverse else LINEAR

    @property
    def instrument(self) -> Instrument:
        """As its venue describes it."""
        linear = perp_instrument(self.key, "BTC")
        if not self.p.is_inverse:
            return linear
        return replace(linear, quote="USD", contract_value=D(100), quantity_step=D(1), quantity_min=D(1))

    @property
    def held(self) -> Decimal:
        """The position."""
        return self.holdings.get(self.key, D(0))

    @property
    def market(self) -> MarketSnapshot:
        """Book and mark, aged as ``stale`` says."""
        key = self.key
        names = [f"book:{key}", f"mark:{key}", "account:binanceusdm"]
        return MarketSnapshot(
            time=self.time,
            ids=DecisionIds("test-book", 3, self.decision),
            instruments={key: self.instrument},
            books={key: book_tick(key, self.price, self.time, D(100))},
            marks={key: mark_tick(key, self.price, self.time, self.predicted)},
            ages={name: STALE if name in self.stale else FRESH for name in names},
            memory=self.memory,
        )

    @property
    def exposure(self) -> Exposure:
        """As the engine builds it."""
        cost = {self.key: self.held * self.instrument.unit_worth(self.entry)} if self.held else {}
        return build_exposure(PositionBook(1, self.time, dict(self.holdings), cost), self.market)

    @property
    def known(self) -> DirectionalMemory:
        """What it remembers."""
        assert isinstance(self.memory, DirectionalMemory)
        return self.memory

    def fold(self, event: object) -> None:
        """It learns of an event."""
        self.memory = self.strategy.fold(self.memory, event)

    def said(self, signal: Signal, confidence: str = "0.8", sd: str = "0.0045", **changes: object) -> MlRun:
        """The model speaks of the bar that closed last."""
        seconds = int(self.time.timestamp()) // 300 * 300
        bar = datetime.fromtimestamp(seconds, UTC) - BAR
        row = {"symbol": self.p.symbol, "bar_time": bar, "signal": signal, "confidence": D(confidence), "sd": D(sd)}
        word = Prediction.model_validate({**row, "model_version": "v7", **changes})
        self.fold(PredictionTick(word, self.time))
        return self

    def assess(self) -> Assessment:
        """The reasons now."""
        return self.strategy.assess(self.time, "market", self.market, self.exposure, self.risk)

    def orders(self) -> list[Order]:
        """The orders now."""
        return self.strategy.make_strategy_decision(self.time, "market", self.market, self.exposure, self.risk)

    def later(self, bars: int = 1, price: str | None = None) -> MlRun:
        """So many bars pass."""
        self.time += bars * BAR
        self.price = self.price if price is None else D(price)
        return self

    def step(self, filled: Decimal = D(1)) -> str:
        """Decide and do: a share of every order is filled at the mid."""
        self.decision += 1
        found, orders = self.assess(), self.orders()
        if orders:
            self.acts.append((found, orders))
            for order in orders:
                self._fill(order, order.signed_quantity * filled)
            state = PlanState.DONE if filled == 1 else PlanState.ABORTED
            self.fold(PlanEnded(self.strategy.name, self.decision, found.reason, state, self.time, found.targets))
        return found.reason.value

    def _fill(self, order: Order, quantity: Decimal) -> None:
        before, after = self.held, self.held + quantity
        is_more = before * quantity >= 0
        closed = D(0) if is_more else min(abs(quantity), abs(before)) * (1 if before > 0 else -1)
        purse = COIN if self.p.is_inverse else CASH
        if closed:
            linear = closed * (self.price - self.entry)
            gain = inverse_pnl(closed, D(100), self.entry, self.price) if self.p.is_inverse else linear
            self.holdings[purse] += gain
        if is_more:
            worth = self.instrument.unit_worth
            cost = quantity * worth(self.price) + (before * worth(self.entry) if before else 0)
            self.entry = self.instrument.price_of(cost / after)
        elif before * after < 0:
            self.entry = self.price
        self.holdings[order.instrument] = after


def _given(changes: dict[str, object]) -> dict[str, object]:
    return {"venues": (BINANCE,), "models": ("v7",), **changes}


def linear(capital: str = "100000", **changes: object) -> MlRun:
    """USDT on a futures account."""
    p = DirectionalParameters.model_validate(_given(changes))
    return MlRun(MlUsdtDirectional(p), {CASH: D(capital)})


def inverse(coins: str = "2", **changes: object) -> MlRun:
    """BTC on one of coin margin."""
    p = DirectionalParameters.model_validate(_given({"share_class": "BTC", **changes}))
    return MlRun(MlBtcDirectional(p), {COIN: D(coins)})


def long(run: MlRun) -> MlRun:
    """The book an instant after it went long."""
    run.said(Signal.LONG)
    assert run.step() == "SIGNAL"
    return run
