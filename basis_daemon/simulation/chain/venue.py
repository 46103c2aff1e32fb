"""The simulated chain as the engine sees it: who executes at each venue, who reports, what its blocks tell.

An order is tried out, waits for its block, and is included or comes to nothing; who asks later is told the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import ErrorClass
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.position import AccountFigures, AccountReport
from basis_daemon.domain.trade import Trade
from basis_daemon.ports import AccountChanged, Clock, Evidence, FeedEvent, Finding, TradeSink
from basis_daemon.simulation.chain.books import decimals_of
from basis_daemon.simulation.chain.ledger import Amounts, ChainLedger
from basis_daemon.simulation.chain.liquidation import liquidated
from basis_daemon.simulation.chain.operations import TABLE
from basis_daemon.simulation.chain.scene import refuse, symbol_in, units_asked
from basis_daemon.simulation.chain.trades import forced, trade_of, trades_of
from basis_daemon.simulation.chain.world import BLOCK_S
from basis_daemon.venues.chain.tokens import AAVE, WALLET, amount_of

COVERED = {
    WALLET: frozenset({Kind.TOKEN, Kind.LST}),
    AAVE: frozenset({Kind.ATOKEN, Kind.VDEBT}),
    "lido": frozenset({Kind.CLAIM}),
    "etherfi": frozenset({Kind.CLAIM}),
    "eigenlayer": frozenset({Kind.SHARE, Kind.CLAIM}),
}
"""What a report of each account speaks for."""
NETWORK = "simulated"
GWEI = 10**9
ASKED_S = 0.05
"""Process seconds that a question takes."""


@dataclass(frozen=True, slots=True)
class GasCaps:
    """Highest price per unit of gas, wei: defence may pay more than ordinary work."""

    ordinary_wei: int
    emergency_wei: int


@dataclass(frozen=True, slots=True)
class Payment:
    """What the wallet paid to an account of ours elsewhere, and when."""

    coin: str
    amount: Decimal
    at: datetime


@dataclass(slots=True)
class SimulatedChain:
    """One wallet. ``accounts`` are those that somebody declared; trades and figures go to ``sink`` as they happen.

    ``payments`` are those to the ``recipients``, by transaction.
    """

    ledger: ChainLedger
    accounts: Sequence[str]
    clock: Clock
    caps: GasCaps
    recipients: frozenset[str] = frozenset()
    sink: Callable[[FeedEvent], None] | None = None
    on_trade: TradeSink | None = None
    on_moved: Callable[[Amounts], None] = lambda _: None
    trades: dict[str, Trade] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    _liquidations: int = 0
    _last_told: int = 0
    _most_told: int = 0

    @property
    def is_partial(self) -> bool:
        """True while something that was told before is not known any more."""
        return self._last_told < self._most_told

    def reach(self, at: datetime, ether: Decimal | None) -> None:
        """A block at a point of market time; what follows from it is told."""
        if at > self.ledger.world.block.time:
            self.ledger.reach(at, ether)
        if self.sink is not None:
            for event in self._forced():
                self.sink(event)
        self.tell()

    def tell(self) -> None:
        """Figures and market at the newest block, in one breath."""
        if self.sink is None:
            return
        events = self._told()
        self._last_told = len(events)
        self._most_told = max(self._most_told, self._last_told)
        for event in events:
            self.sink(event)

    def _told(self) -> list[FeedEvent]:
        world = self.ledger.world
        claims, report = world.claims(), world.report()
        figures = [
            AccountFigures(
                account,
                world.block.time,
                report if account == AAVE else None,
                {key: claim for key, claim in claims.items() if key.venue == account},
            )
            for account in self.accounts
        ]
        return [*figures, *world.events(self.clock.monotonic_ns())]

    def source(self, account: str) -> ChainAccountSource:
        """The chain's word on one account."""
        return ChainAccountSource(self, account)

    def interfaces(self) -> list[ChainInterface]:
        """Who executes at each venue; payments have a door of their own."""
        doors = [ChainInterface(self, venue, frozenset(table)) for venue, table in TABLE.items()]
        return [*doors, ChainInterface(self, WALLET, frozenset({OrderOperation.TRANSFER}))]

    # -------------------------------------------------------------------------------------------------- execution
    async def execute(self, orders: Sequence[Order]) -> tuple[Trade, ...]:
        """The trades of one transaction. Raises OrderRejectedError when it is refused: then nothing of it lives."""
        if orders[0].order_id in self.trades:
            return tuple(self.trades[order.order_id] for order in orders)
        self._check_price(orders)
        is_payment = orders[0].operation is OrderOperation.TRANSFER
        if not is_payment:
            self.ledger.try_out(orders)
        await self.clock.sleep(BLOCK_S)
        found = (self._paid(orders[0]),) if is_payment else self._included(orders)
        self.trades |= {trade.order_id: trade for trade in found}
        self._tell(found[0])
        return found

    def _included(self, orders: Sequence[Order]) -> tuple[Trade, ...]:
        receipt, now = self.ledger.include(orders), self.clock.wall()
        return (trade_of(orders[0], receipt, now),) if len(orders) == 1 else trades_of(orders, receipt, now)

    def _paid(self, order: Order) -> Trade:
        if order.recipient not in self.recipients:
            known = ", ".join(sorted(self.recipients)) or "nobody"
            refuse(order, f"recipient {order.recipient}, expected one of {known}", "recipient", ErrorClass.AUTH)
        symbol = symbol_in(order)
        units = units_asked(order, symbol)
        receipt = self.ledger.pay(order, symbol, units)
        self.payments[receipt.tx_hash] = Payment(symbol, amount_of(units, decimals_of(symbol)), receipt.block.time)
        return trade_of(order, receipt, self.clock.wall())

    def _check_price(self, orders: Sequence[Order]) -> None:
        """Raises OrderRejectedError while inclusion costs more than the most that one of them may pay."""
        sample = self.ledger.world.gas
        caps = [self.caps.emergency_wei if order.is_hurried else self.caps.ordinary_wei for order in orders]
        if sample is not None and sample.base_wei + sample.tip_wei > max(caps):
            price = sample.base_wei + sample.tip_wei
            refuse(orders[0], f"gas at {price} wei, expected at most {max(caps)}", "fee_too_low", ErrorClass.RETRYABLE)

    def _tell(self, trade: Trade) -> None:
        """The booking first, then what the block of it tells: what was said before says nothing any more."""
        if self.on_trade is not None:
            self.on_trade(trade)
        self.on_moved(self.ledger.receipts[trade.order_id].deltas)
        if self.sink is not None:
            for account in self.accounts:
                self.sink(AccountChanged(account, self.clock.wall(), "our transaction"))
            self.tell()

    def _forced(self) -> list[FeedEvent]:
        deltas = liquidated(self.ledger.world)
        if not deltas:
            return []
        self._liquidations += 1
        return [forced(deltas, self._liquidations, self.ledger.world.block.time)]


class ChainInterface:
    """One venue on the chain. Honours ports.ExecutionInterface."""

    def __init__(self, chain: SimulatedChain, venue: str, operations: frozenset[OrderOperation]) -> None:
        self._chain, self._venue, self._operations = chain, venue, operations

    @property
    def account(self) -> str:
        """The venue of its orders."""
        return self._venue

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """What it can execute."""
        return self._operations

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says."""
        del timestamp
        return (await self._chain.execute([order]))[0]

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """What was never included was never sent."""
        del sent_at
        trade = self._chain.trades.get(order.order_id)
        return Evidence(Finding.ABSENT) if trade is None else Evidence(Finding.FOUND, trade)

    async def cancel_order(self, order: Order) -> Evidence:
        """Nothing waits in a pool here."""
        return await self.find_order(order, order.created_at)


class ChainGroups:
    """Atomic groups. Honours ports.GroupExecution."""

    def __init__(self, chain: SimulatedChain) -> None:
        self._chain = chain

    async def execute_group(self, orders: Sequence[Order], timestamp: datetime) -> Sequence[Trade]:
        """As the port says."""
        del timestamp
        return await self._chain.execute(orders)

    async def find_group(self, orders: Sequence[Order], sent_at: datetime) -> Sequence[Evidence]:
        """One transaction answers for all."""
        del sent_at
        trades = [self._chain.trades.get(order.order_id) for order in orders]
        return [Evidence(Finding.ABSENT) if t is None else Evidence(Finding.FOUND, t) for t in trades]


class ChainAccountSource:
    """One account. Honours ports.AccountSource: rows and report are of the newest block."""

    def __init__(self, chain: SimulatedChain, account: str) -> None:
        self._chain, self._account = chain, account
        self._pinned: AccountReport | None = None

    @property
    def account(self) -> str:
        """The venue part of its keys."""
        return self._account

    @property
    def accrues(self) -> bool:
        """True: interest and rebases."""
        return True

    async def fetch_report(self) -> AccountReport:
        """As the port says, of the block of its newest rows."""
        pinned, self._pinned = self._pinned, None
        if pinned is None:
            await self._chain.clock.sleep(ASKED_S)
        return pinned or self._report()

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        """As the port says."""
        await self._chain.clock.sleep(ASKED_S)
        self._pinned = self._report()
        flows = reversed(self._chain.ledger.flows)
        return [*_since(flows, since, self._account)][::-1]

    def _report(self) -> AccountReport:
        world = self._chain.ledger.world
        held = world.held.items()
        return AccountReport(
            account=self._account,
            observed_at=world.block.time,
            received_ns=self._chain.clock.monotonic_ns(),
            holdings={key: amount for key, amount in held if key.venue == self._account and amount},
            covers=COVERED[self._account],
        )

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        """None: ours are told as they happen."""
        del since
        return ()

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        """None; see ``fetch_trades``."""
        del since
        return ()

    def hurry(self) -> None:
        """Nothing: its answers cost nobody anything."""


def _since(newest_first: Iterable[CashFlow], since: datetime, account: str) -> Iterable[CashFlow]:
    for flow in newest_first:
        if flow.venue_time < since:
            return
        if flow.key.venue == account:
            yield flow


def chain_accounts(keys: Iterable[PositionKey]) -> tuple[str, ...]:
    """The accounts among these keys that a chain speaks for."""
    return tuple(sorted({key.venue for key in keys} & COVERED.keys()))
