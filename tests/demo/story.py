"""A day of a book, written by hand: holds while funding is poor, enters, earns one settlement, and holds the pair."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from basis_daemon.domain.caps import Caps, Dimension
from basis_daemon.domain.instrument import Kind
from basis_daemon.domain.ledger import CashFlow, Cause, entry_of_opening
from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.plan import PlanState
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.risk_book import PerpRisk, RiskBook, RiskTerms
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeStatus
from basis_daemon.domain.valuation import Posted, Valuation, attribute
from basis_daemon.engine.book_view import BookView
from basis_daemon.engine.codec import DecisionRow, GroupRow, GuardRow, GuardState, PlanRow, TradeRow, dump
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.engine.valuation import MarginRow, ValuationRow
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import Journal, RecordKind
from tests.builders import CASH, MARGIN, NOW, PERP, POOR, SPOT, D, Scene, idle, paired, perp_instrument, spot_instrument
from tests.journal.builders import StandingClock

BOOK = "btc_basis"
PLAN = f"{BOOK}:1:2"
FUNDING = D("21.35")
ENTRY_PRICE, CLOSING_PRICE = D(60_000), D(61_000)


@dataclass
class Story:
    """Writes rows as the daemon would. ``orders`` are those of the entry, in order."""

    journal: Journal
    recorder: Recorder
    orders: list[Order]
    last: Valuation | None = None

    async def tell(self) -> Story:
        """All of it, from the opening balance to the last hold."""
        self.open()
        self.value(NOW, ENTRY_PRICE, ENTRY_PRICE)
        self.decide(1, idle(rates={"binance": (POOR,) * 30}))
        await self._enter()
        self.value(NOW + timedelta(hours=1), ENTRY_PRICE, ENTRY_PRICE + 30)
        self.fund()
        self.value(NOW + timedelta(hours=8), CLOSING_PRICE, CLOSING_PRICE + 12)
        self.decide(3, paired(D("1.186")))
        await self.recorder.flush()
        return self

    def open(self) -> None:
        """All capital as USDT on the spot account."""
        self.recorder.see_time(NOW)
        report = AccountReport("binance", NOW, 0, {CASH: D(100_000)}, frozenset({Kind.SPOT}))
        self.recorder.opening(entry_of_opening(report, {}), report.account)

    def decide(self, number: int, scene: Scene, orders: tuple[str, ...] = (), denied: tuple[str, ...] = ()) -> None:
        """Store what the strategy thinks of this scene."""
        row = DecisionRow(BOOK, number, scene.assess(), orders, denied)
        self.recorder.record(row, f"{BOOK}:1:{number}", "market")

    async def _enter(self) -> None:
        ids = tuple(order.order_id for order in self.orders)
        self.decide(2, idle(), ids)
        reason = idle().assess().reason
        for state in (PlanState.ACCEPTED, PlanState.RUNNING):
            self.recorder.record(PlanRow(PLAN, BOOK, 2, reason, state, ids), PLAN)
        for number, order in enumerate(self.orders):
            await self.fill(order, number)
        group = str(self.orders[1].group_id)
        self.recorder.record(GroupRow(group, BOOK, D(24_990), D("0.25"), "hedged", D("6247.5")), group, PLAN)
        self.recorder.record(PlanRow(PLAN, BOOK, 2, reason, PlanState.DONE, ids), PLAN)

    async def fill(self, order: Order, number: int) -> None:
        """Intent, send and the whole fill of one order."""
        recorder = self.recorder
        await recorder.intents([order])
        recorder.move(order, OrderState.SUBMITTED, at=NOW)
        trade = filled(order, number)
        entry = recorder.state.entry_of(trade)
        recorder.record(TradeRow(trade, entry), order.order_id, trade.trade_id)

    def fund(self) -> None:
        """One settlement in favour of the short."""
        at = NOW + timedelta(hours=8)
        self.recorder.see_time(at)
        self.recorder.record(CashFlow("funding:1", MARGIN, FUNDING, Cause.FUNDING, at, PERP), "funding:1")

    def value(self, at: datetime, price: Decimal, mark: Decimal) -> None:
        """A valuation at these prices, split against the one before."""
        ledger = self.recorder.state.ledger
        now = Valuation(
            time=at,
            holdings=ledger.holdings(),
            open_notional=ledger.open_notionals(),
            prices={"USDT": D(1), "BTC": price},
            marks={PERP: mark},
            bases={PERP: "BTC"},
            posted=tuple(Posted(c, a, s, amount) for (c, a, s), amount in ledger.totals().items()),
        )
        parts = attribute(self.last, now) if self.last else {}
        unit = now.equity / 100_000
        row = ValuationRow(
            strategy=BOOK, accounts=("binance", "binanceusdm"), capital_usdt=now.equity, time=at,
            equity_usdt=now.equity, prices=now.prices, marks=now.marks, holdings=now.holdings,
            open_notional=now.open_notional, net_delta=now.net_delta(), bases=now.bases, posted=now.posted,
            margins=(_margin(now),), components=parts, units=D(100_000), unit_value=unit,
            unit_value_high=max(unit, D(1)),
        )  # fmt: skip
        self.last = now
        self.recorder.see_time(at)
        self.recorder.note(RecordKind.VALUATION, dump(row), BOOK)
        self.recorder.note(RecordKind.RISK, dump(risk_of(now)), BOOK)

    def halt(self, why: str) -> None:
        """The guard's latch."""
        self.recorder.record(GuardRow(GuardState.HALTED, why), "guard")

    @property
    def view(self) -> BookView:
        """Folded from the journal's first row."""
        return BookView().fold(self.journal.read())


def filled(order: Order, number: int) -> Trade:
    """The order's whole fill at its reference price, as its venue reports it."""
    price = order.ref_price
    base = order.quantity if order.side is not None else D(0)
    fees: tuple[Fee, ...] = ()
    deltas = dict(order.expected_deltas)
    if order.operation is OrderOperation.SPOT_TRADE:
        fees = (Fee(asset="BTC", quantity=base - deltas[SPOT]),)
    elif order.operation is OrderOperation.PERP_TRADE:
        fees = (Fee(asset="USDT", quantity=-deltas[MARGIN]),)
    is_trade = order.side is not None
    return Trade(
        trade_id=f"fill-{number}", order_id=order.order_id, account=order.venue, instrument=order.instrument,
        status=TradeStatus.FILLED, order_state=OrderState.FILLED, price=price if is_trade else None, qty_base=base,
        liquidity="taker" if is_trade else None, fees=fees, venue_time=NOW, recv_time=NOW, cum_filled=base,
        deltas=deltas,
    )  # fmt: skip


def _margin(now: Valuation) -> MarginRow:
    quantity, mark = now.holdings.get(PERP, D(0)), now.marks[PERP]
    margin = now.holdings.get(MARGIN, D(0)) + quantity * mark - now.open_notional.get(PERP, D(0))
    notional = abs(quantity) * mark
    if not notional:
        return MarginRow("binanceusdm", margin, notional, None, None, None, 0)
    ratio = margin / notional
    distance = (1 + ratio) / D("1.01") - 1
    return MarginRow("binanceusdm", margin, notional, ratio, distance, distance / D("0.2"), 0)


def risk_of(now: Valuation) -> RiskBook:
    """The short that can be liquidated, as the daemon keeps it beside a valuation."""
    row, quantity = _margin(now), now.holdings.get(PERP, D(0))
    short = PerpRisk(
        row.account, PERP, "BTC", quantity, now.marks[PERP], row.margin, D("0.01"), perp_instrument().tiers,
        D("0.0001") / 8,
    )  # fmt: skip
    caps = Caps({Dimension.VENUE: {"binance": D(1)}}, {"binance": "binance", "binanceusdm": "binance"})
    terms = RiskTerms(shocks={"BTC": D("0.20")}, caps=caps)
    held = {key: amount for key, amount in now.holdings.items() if amount}
    prices = {"BTC": now.prices["BTC"], "USDT": D(1)}
    return RiskBook(BOOK, terms, now.time, now.equity, (), (short,) if quantity else (), (), held, prices)


def story_on(journal: Journal) -> Story:
    """A story that nobody has told yet."""
    state = BookState()
    state.sequence = len(journal.read())
    state.instruments = {SPOT: spot_instrument(), PERP: perp_instrument()}
    return Story(journal, Recorder(state, journal), idle(decision=2).orders())


async def told() -> Story:
    """The whole story in memory."""
    return await story_on(MemoryJournal(StandingClock(NOW))).tell()


def venue_books(view: BookView, **changes: object) -> dict[str, Any]:
    """What the sandbox's control port would say of the same story, in its own form."""
    fills: dict[str, list[dict[str, str]]] = {"spot": [], "usdm": [], "coinm": []}
    orders: dict[str, list[dict[str, str]]] = {"spot": [], "usdm": [], "coinm": []}
    for life in view.state.orders.values():
        if life.order.side is not None:
            market = "spot" if life.order.instrument.kind is Kind.SPOT else "usdm"
            orders[market].append({"clientOrderId": life.order.order_id, "side": Side(life.order.side).value})
            fills[market].append({"orderId": life.order.order_id})
    held = view.state.ledger.holdings()
    book: dict[str, Any] = {
        "orders": orders,
        "fills": fills,
        "positions": {"BTCUSDT": str(held.get(PERP, 0))},
        "balances": {
            "spot": {"USDT": str(held[CASH]), "BTC": str(held.get(SPOT, 0))},
            "usdm": {"USDT": str(held.get(MARGIN, 0))},
        },
        "income": {"FUNDING_FEE": str(FUNDING)},
        "coinm": {"positions": {}, "income": {}},
    }
    return {"accounts": {"sandbox-key": orjson.loads(orjson.dumps(book)) | dict(changes)}}
