"""The engine's real parts around a paper venue, a clock that moves when told, and a journal in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.market import BookTick
from basis_daemon.domain.order import ExecutionMode, OnFail, Order, OrderOperation, Side
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.engine.guard import Guard
from basis_daemon.engine.guard_watch import WatchLimits
from basis_daemon.engine.last_hop import Collars, LastHop
from basis_daemon.engine.leg_group import LegBudget
from basis_daemon.engine.mailbox import Mailbox
from basis_daemon.engine.order_life import OrderLife
from basis_daemon.engine.order_runner import OrderRunner
from basis_daemon.engine.position_monitor import PositionMonitor
from basis_daemon.engine.position_update_handler import PositionUpdateHandler
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState, recover
from basis_daemon.engine.venue_interface_manager import VenueInterfaceManager
from basis_daemon.engine.venue_manager import VenueManager
from basis_daemon.journal.memory import MemoryJournal
from basis_daemon.ports import Evidence, ExecutionInterface, FeedEvent
from basis_daemon.venues.paper.venue import PaperTerms
from tests.venues.paper_support import (
    COIN,
    PERP,
    PERP_BTC,
    SPOT_BTC,
    START,
    D,
    Stage,
    stamp,
    trade_order,
)

BUDGET = LegBudget(
    clip_usdt=D(25_000),
    depth_share=D("0.1"),
    depth_band_bp=D(20),
    unhedged_max_s=D(20),
    slippage_emergency_bp=D(100),
)

COLLARS = Collars(
    order_notional_max_usdt=D(1_000_000),
    orders_per_minute_max=300,
    notional_per_minute_max_usdt=D(10_000_000),
    price_collar_bp=D(500),
    source_max_s=D(5),
)


BNB, USDC = PositionKey("binance:spot:BNB"), PositionKey("binance:spot:USDC")
WATCH = WatchLimits(
    z_reducing=D("0.20"),
    z_halted=D("0.10"),
    drawdown_reducing=D("0.08"),
    drawdown_halted=D("0.12"),
    silent_max_s=D(60),
    break_max_s=D(60),
    fee_coins=(BNB,),
    fee_coin_min_usdt=D(20),
    gross_notional_max_usdt=D(1_000_000),
    usdt_proxy=None,
    usdt_floor=D("0.985"),
    shocks={"BTC": D("0.20")},
)


class Witness:
    """An interface that notes what was durable in the journal at the moment it was asked to send."""

    def __init__(self, inner: ExecutionInterface, journal: MemoryJournal) -> None:
        self._inner = inner
        self._journal = journal
        self.sent: list[Order] = []
        self.durable_at_send: list[OrderState | None] = []

    @property
    def account(self) -> str:
        return self._inner.account

    @property
    def operations(self) -> frozenset[OrderOperation]:
        return self._inner.operations

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        life = recover(self._journal.after_crash()).orders.get(order.order_id)
        self.sent.append(order)
        self.durable_at_send.append(life.state if life else None)
        return await self._inner.execute_order(order, timestamp)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        return await self._inner.find_order(order, sent_at)

    async def cancel_order(self, order: Order) -> Evidence:
        return await self._inner.cancel_order(order)


class Rig:
    """Recorder, handler, runner and manager of one book on a ``Stage``. ``journal`` continues an earlier life."""

    def __init__(
        self,
        *,
        terms: PaperTerms | None = None,
        budget: LegBudget = BUDGET,
        stage: Stage | None = None,
        journal: MemoryJournal | None = None,
        collars: Collars = COLLARS,
    ) -> None:
        self.stage = stage or Stage(terms=terms)
        self.clock, self.faults = self.stage.clock, self.stage.faults
        self.journal = journal or MemoryJournal(self.clock)
        self.state = recover(self.journal)
        self.state.instruments.update({COIN: SPOT_BTC, PERP: PERP_BTC})
        self.recorder = Recorder(self.state, self.journal)
        self.monitor, self.mailbox = PositionMonitor(), Mailbox()
        self.alarms: list[tuple[str, Mapping[str, str]]] = []
        self.probes: list[str] = []
        self.handler = PositionUpdateHandler(self.recorder, self.monitor, self.alarm)
        self.witnesses = {name: Witness(a, self.journal) for name, a in self.stage.venue.accounts.items()}
        self.guard = Guard(self.recorder, self.alarm)
        self.last_hop = LastHop(self.recorder, self.guard, self.clock, self.alarm, collars, self.mailbox)
        self.interfaces = VenueInterfaceManager(self.witnesses.values(), let_out=self.last_hop.let_out)
        self.runner = OrderRunner(
            self.recorder, self.handler, self.interfaces, self.clock, self.alarm, self.probes.append
        )
        self.manager = VenueManager(
            recorder=self.recorder,
            runner=self.runner,
            interfaces=self.interfaces,
            clock=self.clock,
            budget=budget,
            book="test",
            quotes=self.mailbox.books,
            is_halted=self.guard.forbids,
        )
        self.stage.venue.connect(self.hear)
        for key in (COIN, PERP):
            self.quote(key)

    @classmethod
    def adopted(cls, *, terms: PaperTerms | None = None, budget: LegBudget = BUDGET, collars: Collars = COLLARS) -> Rig:
        """A rig whose book holds what the venue holds."""
        rig = cls(terms=terms, budget=budget, collars=collars)
        for account in rig.stage.venue.accounts:
            rig.handler.adopt(rig.stage.venue.exchange.report(account))
        return rig

    def hear(self, event: FeedEvent) -> None:
        """What the supervisor does with the events of an account."""
        if isinstance(event, Trade):
            self.handler.process_trades([event])
        elif isinstance(event, AccountReport):
            self.handler.observe(event, is_settled=False)

    def quote(self, key: PositionKey, mid: int | str = 60_000, size: str = "10", at_s: float = 0) -> None:
        """The same book for the venue and for the engine."""
        self.stage.quote(key, mid, size, at_s)
        middle, quantity = D(mid), D(size)
        bids, asks = (tuple((middle + s * gap, quantity) for gap in (D("0.5"), D(10))) for s in (-1, 1))
        self.mailbox.put(BookTick(key, stamp(at_s), self.clock.monotonic_ns(), bids, asks))

    async def run(self, order: Order) -> OrderLife:
        return await self.runner.run(order, START)

    @property
    def sent(self) -> list[Order]:
        return [order for witness in self.witnesses.values() for order in witness.sent]

    def held(self, key: PositionKey) -> Decimal:
        return self.state.ledger.holding(key)

    async def report(self, account: str) -> AccountReport:
        return await self.stage.venue.accounts[account].fetch_report()

    def alarm(self, what: str, values: Mapping[str, str]) -> None:
        self.alarms.append((what, values))


def pair(quantity: str = "1", **fields: object) -> list[Order]:
    """Buy coin and short as much of it, as one parallel group; the coin leads."""
    group = {"group_id": "pair", "execution_mode": ExecutionMode.PARALLEL, "on_fail": OnFail.COMPLETE_MARKETABLE}
    band: dict[str, object] = {"max_slippage_bp": D(10)}
    lead = trade_order(COIN, Side.BUY, quantity, **band | group | fields)
    follow = trade_order(PERP, Side.SELL, quantity, **band | group | {"sequence_in_group": 1, "leg": 1} | fields)
    return [lead, follow]


def agrees(rig: Rig) -> bool:
    """True when the book holds to the last digit what the venue holds."""
    wallets = rig.stage.venue.exchange.wallets
    ours = {key: held for key, held in rig.state.ledger.holdings().items() if held}
    return ours == {key: held for key, held in wallets.balances.items() if held} and rig.state.ledger.open_notional(
        PERP, "USDT"
    ) == wallets.cost(PERP)


def rows_of(rig: Rig) -> Sequence[str]:
    """Kinds of the journal's rows, in order."""
    return [row.record.kind.value for row in rig.journal.read()]


def folded(rig: Rig) -> BookState:
    """A state folded from the journal's rows from the first one, past every snapshot."""
    state = BookState()
    for row in rig.journal.read():
        state.apply(row)
    return state
