"""A small paper market: one spot wallet, one derivatives wallet, BTC in both, and builders of ticks and orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from basis_daemon.clock import ManualClock
from basis_daemon.domain.instrument import Instrument, MarginTier, PositionKey
from basis_daemon.domain.ledger import Ledger, entry_of_cash_flow, entry_of_opening, entry_of_trade
from basis_daemon.domain.market import BookTick, FundingSettled, Level, MarkTick
from basis_daemon.domain.order import Order, OrderOperation, OrderType, Side, TimeInForce
from basis_daemon.domain.order_ids import order_id
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import FeedEvent
from basis_daemon.venues.paper.faults import FaultPlan
from basis_daemon.venues.paper.venue import PaperAccount, PaperAccountSpec, PaperTerms, PaperVenue

T = TypeVar("T")
D = Decimal
START = datetime(2024, 3, 1, tzinfo=UTC)
WALLET, FUTURES = "binance", "binanceusdm"
COIN, CASH = PositionKey("binance:spot:BTC"), PositionKey("binance:spot:USDT")
PERP, MARGIN = PositionKey("binanceusdm:perp:BTCUSDT"), PositionKey("binanceusdm:spot:USDT")

SPOT_BTC = Instrument(
    key=COIN,
    base="BTC",
    quote="USDT",
    quantity_step=D("0.001"),
    price_tick=D("0.1"),
    quantity_min=D("0.001"),
    quantity_max=D(100),
    notional_min=D(5),
    taker_fee=D("0.001"),
    maker_fee=D("0.0008"),
)
PERP_BTC = Instrument(
    key=PERP,
    base="BTC",
    quote="USDT",
    quantity_step=D("0.001"),
    price_tick=D("0.1"),
    quantity_min=D("0.001"),
    quantity_max=D(1000),
    notional_min=D(5),
    taker_fee=D("0.0005"),
    maker_fee=D("0.0002"),
    tiers=(
        MarginTier(D(0), D(50_000), D("0.004"), D(0), D(125)),
        MarginTier(D(50_000), D(250_000), D("0.005"), D(50), D(100)),
        MarginTier(D(250_000), D(3_000_000), D("0.01"), D(1300), D(50)),
    ),
)
SPECS = (
    PaperAccountSpec(WALLET, trades_spot=True, trades_perps=False),
    PaperAccountSpec(FUTURES, trades_spot=False, trades_perps=True),
)


class Tape:
    """Everything a sink was told, in order."""

    def __init__(self) -> None:
        self.events: list[FeedEvent] = []

    def __call__(self, event: FeedEvent) -> None:
        self.events.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def trades(self) -> list[Trade]:
        return self.of(Trade)


class Stage:
    """A paper venue with its clock, a sink that listens, and a book in both markets."""

    def __init__(
        self,
        balances: Mapping[PositionKey, Decimal] | None = None,
        *,
        open_notional: Mapping[PositionKey, Decimal] | None = None,
        terms: PaperTerms | None = None,
        specs: Sequence[PaperAccountSpec] = SPECS,
        instruments: Sequence[Instrument] = (SPOT_BTC, PERP_BTC),
    ) -> None:
        self.clock = ManualClock(START)
        self.tape = Tape()
        self.faults = FaultPlan()
        held = {CASH: D(100_000), MARGIN: D(50_000)} if balances is None else balances
        self.venue = PaperVenue(specs, self.clock, held, open_notional=open_notional, terms=terms, faults=self.faults)
        self.venue.list_instruments(instruments)
        self.venue.connect(self.tape)
        self.quote(COIN)
        self.quote(PERP)

    @property
    def wallet(self) -> PaperAccount:
        return self.venue.accounts[WALLET]

    @property
    def futures(self) -> PaperAccount:
        return self.venue.accounts[FUTURES]

    def balance(self, key: PositionKey) -> Decimal:
        return self.venue.exchange.wallets.holding(key)

    def quote(self, key: PositionKey, mid: int | str = 60_000, size: str = "10", at_s: float = 0) -> None:
        """A book of two levels a side: half a unit and ten units around ``mid``."""
        middle, quantity = D(mid), D(size)
        bids = tuple((middle - gap, quantity) for gap in (D("0.5"), D(10)))
        asks = tuple((middle + gap, quantity) for gap in (D("0.5"), D(10)))
        self.venue.on_market(tick(key, bids, asks, at_s))

    def mark(self, price: int | str, at_s: float = 0, next_funding_s: float = 28_800) -> None:
        self.venue.on_market(mark(price, at_s, next_funding_s))

    def settle(self, rate: str, at_s: float) -> None:
        self.venue.on_market(FundingSettled(PERP, stamp(at_s), D(rate), 8))


def stamp(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def tick(key: PositionKey, bids: tuple[Level, ...], asks: tuple[Level, ...], at_s: float = 0) -> BookTick:
    return BookTick(key, stamp(at_s), int(at_s * 1_000_000_000), bids, asks)


def mark(price: int | str, at_s: float = 0, next_funding_s: float = 28_800) -> MarkTick:
    return MarkTick(PERP, stamp(at_s), int(at_s * 1e9), D(price), D(price), D("0.0001"), stamp(next_funding_s))


_numbers = iter(range(1_000_000))


def new_id() -> str:
    return order_id("test", 1, "test", next(_numbers), 0, 0, 0)


def trade_order(key: PositionKey, side: Side, amount: str | Decimal, **fields: object) -> Order:
    """A market order within 100 bp of 60,000 unless ``fields`` say otherwise; a limit order when they hold a price."""
    is_perp, quantity = key == PERP, D(amount)
    basics: dict[str, object] = {
        "order_id": new_id(),
        "strategy": "test",
        "decision": 1,
        "leg": 0,
        "operation": OrderOperation.PERP_TRADE if is_perp else OrderOperation.SPOT_TRADE,
        "venue": key.venue,
        "instrument": key,
        "side": side,
        "amount": quantity,
        "order_type": OrderType.LIMIT if "price" in fields else OrderType.MARKET,
        "ref_price": D(60_000),
        "ref_time": START,
        "max_slippage_bp": None if "price" in fields else D(100),
        "expected_deltas": {key: quantity * side.sign},
        "reason": "test",
        "created_at": START,
    }
    return Order.model_validate(basics | fields)


def limit_order(
    key: PositionKey, side: Side, amount: str, price: str, tif: TimeInForce = TimeInForce.GTC, **fields: object
) -> Order:
    return trade_order(key, side, amount, price=D(price), tif=tif, **fields)


def transfer_order(source: PositionKey, recipient: str, amount: str, **fields: object) -> Order:
    basics: dict[str, object] = {
        "order_id": new_id(),
        "strategy": "test",
        "decision": 1,
        "leg": 0,
        "operation": OrderOperation.TRANSFER,
        "venue": source.venue,
        "instrument": source,
        "amount": D(amount),
        "token_in": source,
        "recipient": recipient,
        "network": "internal",
        "expected_deltas": {source: -D(amount)},
        "reason": "test",
        "created_at": START,
    }
    return Order.model_validate(basics | fields)


def cancel_order(target: Order) -> Order:
    return Order(
        order_id=new_id(),
        strategy="test",
        decision=1,
        leg=0,
        operation=OrderOperation.CANCEL,
        venue=target.venue,
        instrument=target.instrument,
        amount=D(1),
        memo=target.order_id,
        reason="test",
        created_at=START,
    )


def ledger_of(opening: Mapping[PositionKey, Decimal], stage: Stage) -> Ledger:
    """A ledger folded from nothing but what the accounts' sources report."""
    ledger, instruments = Ledger(), {COIN: SPOT_BTC, PERP: PERP_BTC}
    for account in stage.venue.accounts:
        mine = {key: amount for key, amount in opening.items() if key.venue == account}
        report = AccountReport(account, START, 0, mine, frozenset())
        ledger.apply(entry_of_opening(report, {PERP: "USDT"}))
    tape = stage.venue.exchange.tape
    for account in stage.venue.accounts:
        for trade in tape.fills(account):
            held, cost = ledger.holding(trade.instrument), ledger.open_notional(trade.instrument, "USDT")
            ledger.apply(entry_of_trade(trade, held, cost, instruments.get(trade.instrument)))
        for flow in tape.flows(account):
            ledger.apply(entry_of_cash_flow(flow))
    return ledger
