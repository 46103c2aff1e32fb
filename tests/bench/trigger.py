"""A strategy that answers every tick with one small order: the shortest decision there is, on the real road."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.decision import Assessment, Exposure, PlanEnded, ReasonCode, RiskView
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import DecisionIds, MarketSnapshot
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side, TimeInForce
from basis_daemon.domain.order_ids import order_id

SPOT, CASH = PositionKey("binance:spot:BTC"), PositionKey("binance:spot:USDT")
QUANTITY = Decimal("0.001")


def small_order(ids: DecisionIds, price: Decimal, now: datetime) -> Order:
    """A bid that cannot trade: it comes back unfilled, and the book stays as it was.

    It calls itself a repair, because a daemon pauses new risk after a plan that came to nothing.
    """
    return Order(
        order_id=order_id(ids.book, ids.epoch, "trigger", ids.decision, 0, 0, 0),
        strategy="trigger",
        decision=ids.decision,
        leg=0,
        operation=OrderOperation.SPOT_TRADE,
        venue=SPOT.venue,
        instrument=SPOT,
        side=Side.BUY,
        amount=QUANTITY,
        order_type=OrderType.LIMIT,
        price=price,
        tif=TimeInForce.IOC,
        ref_price=price,
        ref_time=now,
        max_slippage_bp=Decimal(10),
        expected_deltas={SPOT: QUANTITY, CASH: -QUANTITY * price},
        reason=ReasonCode.DELTA,
        created_at=now,
        expires_at=now + timedelta(minutes=1),
    )


class Trigger:
    """Honours the strategy port; ``on_end`` hears that a plan has ended, and is the bench's, not the strategy's."""

    def __init__(self) -> None:
        self.on_end: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return "trigger"

    @property
    def instruments(self) -> frozenset[PositionKey]:
        return frozenset({SPOT})

    @property
    def declared_keys(self) -> frozenset[PositionKey]:
        return frozenset({SPOT, CASH})

    @property
    def decision_interval_s(self) -> Decimal:
        return Decimal(1)

    def initial_memory(self) -> object:
        return None

    def dump_memory(self, memory: object) -> str:
        del memory
        return "null"

    def load_memory(self, text: str) -> object:
        del text
        return None

    def fold(self, memory: object, event: object) -> object:
        if isinstance(event, PlanEnded):
            self.on_end()
        return memory

    def assess(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> Assessment:
        reason = ReasonCode.DELTA if trigger == "market" else ReasonCode.HOLD
        return Assessment(timestamp, self.name, trigger, reason, "a tick came", {}, {})

    def make_strategy_decision(
        self, timestamp: datetime, trigger: str, market: MarketSnapshot, exposure: Exposure, risk: RiskView
    ) -> list[Order]:
        return [small_order(market.ids, market.books[SPOT].bid, timestamp)]
