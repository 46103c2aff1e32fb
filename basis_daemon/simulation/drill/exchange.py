"""The far side of the wire: an exchange that outlives every daemon, and what happens on the way to it and back.

Its accounts are the paper venue's, which keep books of their own. A request that is on its way arrives even when nobody
waits for it any more, but never later than its window: so long after a send, absence is proof.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from basis_daemon.domain.errors import (
    ErrorClass,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.market import BookTick, MarketEvent, MarkTick, StreamChanged
from basis_daemon.domain.order import Order, OrderOperation, Side
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import AccountChanged, Evidence, FeedEvent, Finding, TradeSink
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.disk import KilledError
from basis_daemon.simulation.drill.loop import SeededLoop
from basis_daemon.venues.paper.exchange import PaperExchange
from basis_daemon.venues.paper.venue import PaperAccountSpec

WAY_S = (0.005, 0.15)
MOMENT = timedelta(microseconds=1)
ANSWER_S, WINDOW_S, LAG_S = 2.0, 5.0, 2.0
"""How long a client waits for an answer; within which a request may still arrive; by which a query may be behind."""
PROOF_S = WINDOW_S + LAG_S + 0.5
DOWN_S = (1.0, 6.0)
LATE_S = 3.0
DAWDLE_S = (0.0, 0.5)
"""From the intent on disk to the first byte on the wire, when the process is slow just there."""
PRIVATE, QUOTE = "private", "USDT"

Answer = tuple[Trade, ...] | OrderRejectedError
"""To a request: everything that its order has done so far, or why it was refused."""


class Watcher(Protocol):
    """Sees what the exchange sees, before the daemon does."""

    def requested(self, order: Order, connection: Connection) -> None:
        """A request left a daemon."""
        ...

    def accepted(self, order: Order, trades: Sequence[Trade], exchange: Exchange) -> None:
        """An exchange took an order; what it did at once."""
        ...


class Exchange:
    """What no crash of a daemon touches: one operator, its accounts and its books of them."""

    def __init__(
        self, accounts: frozenset[str], paper: PaperExchange, loop: SeededLoop, chance: Chance, watcher: Watcher
    ) -> None:
        self.accounts, self.paper = accounts, paper
        self.loop, self.chance, self.watcher = loop, chance, watcher
        self.connection: Connection | None = None
        self._seen_at: dict[str, float] = {}
        self.late = 0
        self.moved_at = 0.0
        self.doubts: dict[str, Order] = {}
        """Orders whose sender was given no answer, and no word of them since."""
        self.began = dict(paper.wallets.balances)
        self.paid: list[tuple[PositionKey, Decimal]] = []
        """What came and went beside orders and rows of the tape: over a chain."""
        self._lie: tuple[PositionKey, Decimal, float] | None = None

    def on_market(self, event: MarketEvent) -> None:
        """The market moves here, and what it does to the accounts is told."""
        self.tell(self.paper.on_market(event))

    def tell(self, events: Sequence[FeedEvent]) -> None:
        """Stream to whoever is connected. What comes after has a later time: its clock is finer than that of prices."""
        if events:
            self.moved_at = self.loop.time()
            self.paper.market.learn_time(self.paper.market.time + MOMENT)
        if self.connection is not None:
            self.connection.carry(events)

    def pay(self, key: PositionKey, amount: Decimal, why: str) -> None:
        """Coin comes over a chain, or goes (signed), and the account's stream tells of it."""
        self.paper.wallets.pay(key, amount)
        self.paid.append((key, amount))
        self.told_of(key, why)

    def told_of(self, key: PositionKey, why: str) -> None:
        """The stream says that a balance has changed beside any order."""
        changed = AccountChanged(key.venue, self.paper.tape.time(), why)
        self.tell([self.paper.report(key.venue, [key]), changed])

    def arrive(self, order: Order, share: Decimal) -> Answer:
        """A request comes in: what its order became, word by word."""
        try:
            events = self.paper.submit(order, share)
        except OrderRejectedError as refusal:
            return refusal
        self._seen_at[order.order_id] = self.loop.time() + self._lag()
        self.watcher.accepted(order, [event for event in events if isinstance(event, Trade)], self)
        self.tell(events)
        return self.paper.tape.trades_of(_target(order))

    def _lag(self) -> float:
        return self.chance.between(0.0, LAG_S) if self.chance.strikes(Fault.QUERY_LAGS) else 0.0

    def known(self, order: Order) -> Sequence[Trade]:
        """What a query is shown of an order: nothing before it has spread."""
        is_shown = self._seen_at.get(order.order_id, 0.0) <= self.loop.time()
        return self.paper.tape.trades_of(_target(order)) if is_shown else ()

    def lie(self, key: PositionKey, amount: Decimal, seconds: float) -> None:
        """For so long whoever asks is told that much more of this holding than there is."""
        self._lie = key, amount, self.loop.time() + seconds

    def told(self, account: str) -> AccountReport:
        """What it says of one of its accounts."""
        report = self.paper.report(account)
        if self._lie is None or self._lie[2] < self.loop.time() or not self.chance.is_on:
            return report
        key, amount, _ = self._lie
        held = report.holdings.get(key)
        return report if held is None else replace(report, holdings={**report.holdings, key: held + amount})

    def carries(self, key: PositionKey, quantity: Decimal) -> bool:
        """True where the account could pay all of that; an empty one opens nothing."""
        mark, cash = self.paper.market.mark(key), PositionKey.of(key.venue, Kind.SPOT, QUOTE)
        return mark is not None and self.paper.wallets.free(cash) >= quantity * mark

    def by_hand(self, key: PositionKey, side: Side, quantity: Decimal, client_id: str = "") -> Sequence[Trade]:
        """Somebody else trades on the account."""
        events = self.paper.trade_unasked(key, side, quantity, client_id=client_id)
        self.tell(events)
        return [event for event in events if isinstance(event, Trade)]


class Connection:
    """One daemon's streams. Honours ``ports.Feed``; events keep their order, some come twice, late, or never."""

    def __init__(
        self, exchange: Exchange, instruments: Mapping[PositionKey, Instrument], past: Sequence[MarketEvent]
    ) -> None:
        self.exchange, self._instruments, self._past = exchange, instruments, past
        self._accounts = sorted(exchange.accounts)
        self._chance, self._loop = exchange.chance, exchange.loop
        self.heard_at: dict[PositionKey, float] = {}
        self._arrived: asyncio.Queue[FeedEvent] = asyncio.Queue()
        self._listens = False
        self._next_at = 0.0
        self._down_until = 0.0
        self.is_dead = False
        self.is_armed, self.born_at = True, self._loop.time()

    async def start(self) -> Mapping[PositionKey, Instrument]:
        self.check()
        return self._instruments

    async def history(self) -> Sequence[MarketEvent]:
        return self._past

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        self._listens, self.exchange.connection = True, self
        self._back()
        try:
            while True:
                event = await self._arrived.get()
                self.check()
                sink(event)
        finally:
            self._listens = False

    async def close(self) -> None:
        self._listens = False

    def check(self) -> None:
        """Raises KilledError in a daemon that is dead."""
        if self.is_dead:
            raise KilledError

    def carry(self, events: Sequence[FeedEvent]) -> None:
        """Bring these over; while the private stream is down they are lost, as at any exchange."""
        if not self._listens or self._loop.time() < self._down_until:
            return
        if self._chance.strikes(Fault.STREAM_DROPS):
            self._drop()
            return
        late_s = self._chance.between(0.0, LATE_S) if self._chance.strikes(Fault.FILL_LATE) else 0.0
        self._next_at = max(self._next_at, self._loop.time() + self._chance.between(*WAY_S) + late_s)
        for event in events:
            for _ in range(2 if isinstance(event, Trade) and self._chance.strikes(Fault.FILL_TWICE) else 1):
                self._loop.call_at(self._next_at, self._deliver, event)

    def show(self, event: MarketEvent) -> None:
        """A tick of the public stream."""
        self._loop.call_later(self._chance.between(*WAY_S), self._deliver, event)

    def _drop(self) -> None:
        """The private stream breaks, and comes back some time later."""
        down_s = self._chance.between(*DOWN_S)
        self._down_until = self._loop.time() + down_s
        for account in self._accounts:
            self._deliver(StreamChanged(account, PRIVATE, is_up=False, received_ns=self._loop.now_ns, why="dropped"))
        self._loop.call_later(down_s, self._back)

    def _back(self) -> None:
        for account in self._accounts:
            self._deliver(StreamChanged(account, PRIVATE, is_up=True, received_ns=self._loop.now_ns))

    def _deliver(self, event: FeedEvent) -> None:
        if not self._listens or self.is_dead:
            return
        if isinstance(event, BookTick | MarkTick | AccountReport):
            event = replace(event, received_ns=self._loop.now_ns)
        if isinstance(event, BookTick):
            self.heard_at[event.instrument] = self._loop.time()
        if isinstance(event, Trade):
            self.exchange.doubts.pop(event.order_id, None)
        self._arrived.put_nowait(event)


class WiredAccount:
    """One account over the wire. Honours ``ports.ExecutionInterface`` and ``ports.AccountSource`` for one daemon.

    ``operations`` are those that it takes: transfers have a door of their own, as at any exchange.
    """

    def __init__(self, connection: Connection, spec: PaperAccountSpec, operations: frozenset[OrderOperation]) -> None:
        self._exchange = exchange = connection.exchange
        self._connection, self._spec = connection, spec
        self._chance, self._loop = exchange.chance, exchange.loop
        self._operations = operations
        self._asked_at: dict[str, float] = {}
        self.on_trade: TradeSink = _nobody
        self.capital: Callable[[datetime], Sequence[CashFlow]] = _nothing
        """What others brought over a chain since then, as the exchange's record of deposits tells."""

    @property
    def account(self) -> str:
        return self._spec.name

    @property
    def operations(self) -> frozenset[OrderOperation]:
        return self._operations

    @property
    def accrues(self) -> bool:
        return False

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says."""
        self._connection.check()
        if self._chance.strikes(Fault.DAWDLES):
            await self._sleep(self._chance.between(*DAWDLE_S))
            self._connection.check()
        self._exchange.watcher.requested(order, self._connection)
        if self._chance.strikes(Fault.UNREACHABLE):
            raise VenueUnreachableError(f"order {order.order_id}: nothing left")
        if self._chance.strikes(Fault.REFUSED):
            raise OrderRejectedError(f"order {order.order_id}: too busy", ErrorClass.RETRYABLE, "BUSY")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        if not self._chance.strikes(Fault.REQUEST_LOST):
            self._loop.call_later(self._way(Fault.REQUEST_LATE), self._arrive, order, answer)
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await answer
        except TimeoutError:
            self._exchange.doubts[order.order_id] = order
            raise OutcomeUnknownError(f"order {order.order_id}: no answer in {ANSWER_S} s") from None
        self._connection.check()
        if isinstance(found, OrderRejectedError):
            raise found
        return self._last(found)

    def _last(self, trades: Sequence[Trade]) -> Trade:
        """The last word; every fill before it goes where a venue's interface sends it."""
        for trade in trades[:-1]:
            self.on_trade(trade)
        return trades[-1]

    def _arrive(self, order: Order, answer: asyncio.Future[Answer]) -> None:
        share = Decimal(1)
        if self._chance.strikes(Fault.PARTIAL):
            share = Decimal(self._chance.below(10)) / 10
        found = self._exchange.arrive(order, share)
        self._exchange.late += answer.done()
        if not self._chance.strikes(Fault.ANSWER_LOST):
            self._loop.call_later(self._chance.between(*WAY_S), _answer, answer, found)

    def _way(self, late: Fault) -> float:
        if self._chance.strikes(late):
            return self._chance.between(WAY_S[1], WINDOW_S)
        return self._chance.between(*WAY_S)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """As the port says; time is counted from the first question of this life, on a clock that nobody sets."""
        del sent_at
        asked_at = self._asked_at.setdefault(order.order_id, self._loop.time())
        await self._ask(f"order {order.order_id}")
        return self._evidence(order, asked_at)

    async def cancel_order(self, order: Order) -> Evidence:
        asked_at = self._asked_at.setdefault(order.order_id, self._loop.time())
        await self._ask(f"order {order.order_id}")
        self._exchange.tell(self._exchange.paper.cancel(_target(order)))
        return self._evidence(order, asked_at)

    def _evidence(self, order: Order, asked_at: float) -> Evidence:
        trades = self._exchange.known(order)
        is_proof = self._loop.time() - asked_at > PROOF_S
        if trades or is_proof:
            self._exchange.doubts.pop(order.order_id, None)
        if trades:
            return Evidence(Finding.FOUND, self._last(trades))
        return Evidence(Finding.ABSENT if is_proof else Finding.NOT_YET)

    async def fetch_report(self) -> AccountReport:
        """Taken when the question arrives, told when the answer does."""
        self._connection.check()
        await self._sleep(self._chance.between(*WAY_S))
        paper = self._exchange.paper
        if paper.wallets.perps(self.account) is None:
            raise VenueUnreachableError(f"{self.account}: a position has no mark yet")
        report = self._exchange.told(self.account)
        await self._ask(self.account)
        return replace(report, received_ns=self._loop.now_ns)

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        await self._ask(self.account)
        trades = self._exchange.paper.tape.fills(self.account, since)
        for trade in trades:
            self._exchange.doubts.pop(trade.order_id, None)
        return trades

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        await self._ask(self.account)
        return [*self._exchange.paper.tape.flows(self.account, since), *self.capital(since)]

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        del since
        return ()

    def hurry(self) -> None: ...

    async def _ask(self, what: str) -> None:
        self._connection.check()
        await self._sleep(self._chance.between(*WAY_S))
        self._connection.check()
        if self._chance.strikes(Fault.QUERY_FAILS):
            raise VenueUnreachableError(f"{what}: {self.account} gave no answer")

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _nobody(_: Trade) -> None:
    """Nothing is routed yet."""


def _nothing(_: datetime) -> Sequence[CashFlow]:
    """Nobody brings coin."""
    return ()


def _answer(answer: asyncio.Future[Answer], found: Answer) -> None:
    if not answer.done():
        answer.set_result(found)


def _target(order: Order) -> str:
    return (order.memo or "") if order.operation is OrderOperation.CANCEL else order.order_id
