"""Inside the peer's own environment: nautilus_trader on the quotes of a file, with an order at every n-th of them.

Prints one JSON object: nanoseconds of processor and of wall time from the first quote to the last, the fills' digest
and number, and the final position. Knows nothing of this project but the rule and the file's form.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from array import array
from decimal import Decimal
from pathlib import Path

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("PAPER")
PAIR = InstrumentId(Symbol("BTCUSDT"), VENUE)
QUANTITY = Quantity.from_str("0.001")
STEP_NS = 1_000_000
START_NS = 1_778_328_000_000_000_000


class EveryNth(Strategy):  # type: ignore[misc]  # its types are in the other environment
    """Buys and sells in turn, counted from the second quote; 0 never trades."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every
        self.number = -2

    def on_start(self) -> None:
        self.subscribe_quote_ticks(PAIR)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        del tick
        self.number += 1
        if self.every and self.number > 0 and self.number % self.every == 0:
            side = OrderSide.BUY if self.number // self.every % 2 else OrderSide.SELL
            self.submit_order(self.order_factory.market(PAIR, side, QUANTITY))


def pair() -> CurrencyPair:
    """Without fees, as on the other side."""
    nothing = Decimal(0)
    return CurrencyPair(
        instrument_id=PAIR, raw_symbol=PAIR.symbol, base_currency=BTC, quote_currency=USDT, price_precision=2,
        size_precision=3, price_increment=Price.from_str("0.01"), size_increment=QUANTITY, ts_event=0, ts_init=0,
        maker_fee=nothing, taker_fee=nothing, margin_init=nothing, margin_maint=nothing,
    )  # fmt: skip


def ticks(file: Path) -> list[QuoteTick]:
    """Made before the clock is read."""
    cents = array("q")
    cents.frombytes(file.read_bytes())
    price: dict[int, Price] = {}
    size = Quantity.from_str("100.000")
    made = []
    for number, bid in enumerate(cents):
        low = price.setdefault(bid, Price(bid / 100, 2))
        high = price.setdefault(bid + 1, Price((bid + 1) / 100, 2))
        at = START_NS + number * STEP_NS
        made.append(QuoteTick(PAIR, low, high, size, size, at, at))
    return made


def play(file: Path, every: int) -> dict[str, object]:
    """One run in a fresh engine."""
    config = BacktestEngineConfig(
        trader_id=TraderId("BENCH-001"),
        logging=LoggingConfig(bypass_logging=True),
        risk_engine=RiskEngineConfig(bypass=True),
    )
    engine = BacktestEngine(config)
    money = [Money(100_000, USDT), Money(0, BTC)]
    engine.add_venue(VENUE, OmsType.NETTING, AccountType.CASH, money, base_currency=None)
    engine.add_instrument(pair())
    engine.add_data(ticks(file))
    engine.add_strategy(EveryNth(every))
    began, began_cpu = time.perf_counter_ns(), time.process_time_ns()
    engine.run()
    took, took_cpu = time.perf_counter_ns() - began, time.process_time_ns() - began_cpu
    orders = sorted(engine.cache.orders(), key=lambda order: order.ts_init)
    lines = [f"{order.side_string()},{order.avg_px:.2f},{order.filled_qty}" for order in orders]
    sign = {"BUY": 1, "SELL": -1}
    position = sum((sign[o.side_string()] * o.filled_qty.as_decimal() for o in orders), Decimal(0))
    engine.dispose()
    return {
        "wall_ns": took,
        "cpu_ns": took_cpu,
        "fills": len(lines),
        "fills_sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "position": f"{position:.3f}",
    }


if __name__ == "__main__":
    print(json.dumps(play(Path(sys.argv[1]), int(sys.argv[2]))))
