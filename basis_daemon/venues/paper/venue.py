"""The paper venue as the engine sees it: per account an interface that executes and a source that reports.

Requests take process time to arrive and to be answered. What the exchange says goes to the sink at the moment at which
it happens, before the answer, as on a real venue; with no sink connected it is lost, as on a closed stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from basis_daemon.domain.errors import ConfigError, ErrorClass, OutcomeUnknownError, VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, Kind, PositionKey
from basis_daemon.domain.ledger import CashFlow
from basis_daemon.domain.market import MarketEvent
from basis_daemon.domain.order import PROTECTIVE, Order, OrderOperation, Side
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Origin, Trade, TradeStatus
from basis_daemon.ports import Clock, Evidence, FeedEvent, Finding
from basis_daemon.venues.paper.exchange import PaperExchange
from basis_daemon.venues.paper.faults import Fault, FaultKind, FaultPlan
from basis_daemon.venues.paper.matching import reject

EventSink = Callable[[FeedEvent], None]


@dataclass(frozen=True, slots=True)
class PaperAccountSpec:
    """One wallet: a spot wallet, a derivatives wallet, or both in one where the venue is unified."""

    name: str
    trades_spot: bool
    trades_perps: bool

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """What it executes."""
        traded = {OrderOperation.SPOT_TRADE: self.trades_spot, OrderOperation.PERP_TRADE: self.trades_perps}
        protective = PROTECTIVE if self.trades_perps else frozenset[OrderOperation]()
        always = {OrderOperation.TRANSFER, OrderOperation.CANCEL}
        return frozenset({op for op, does in traded.items() if does} | always | protective)


@dataclass(frozen=True, slots=True)
class PaperTerms:
    """Process seconds a request needs there and back; the window within which one may still arrive; fee as fraction.

    ``leverage`` is the one set on every perp: initial margin is the notional over it.

    ``proof_s`` after the send an unknown id proves that the order was never accepted.
    """

    uplink_s: float = 0.0
    downlink_s: float = 0.0
    proof_s: Decimal = Decimal(5)
    liquidation_fee: Decimal = Decimal("0.0125")
    leverage: Decimal = Decimal(125)


class PaperVenue:
    """Accounts that share one market and one transfer desk. Opening ``balances`` hold perp quantities too.

    ``open_notional`` is what those perps cost (short negative), so that a restart goes on where the journal ended.
    """

    def __init__(
        self,
        accounts: Sequence[PaperAccountSpec],
        clock: Clock,
        balances: Mapping[PositionKey, Decimal],
        *,
        open_notional: Mapping[PositionKey, Decimal] | None = None,
        terms: PaperTerms | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        terms = terms or PaperTerms()
        if terms.proof_s <= Decimal(str(terms.uplink_s)):
            raise ConfigError(f"paper proof_s {terms.proof_s}, expected more than uplink_s {terms.uplink_s}")
        covers = {a.name: frozenset({Kind.SPOT, Kind.PERP} if a.trades_perps else {Kind.SPOT}) for a in accounts}
        foreign = sorted(key for key in balances if key.venue not in covers)
        if foreign:
            raise ConfigError(f"paper balance {foreign[0]} is in none of the accounts {', '.join(covers)}")
        self.exchange = PaperExchange(
            covers, balances, open_notional or {}, clock, terms.liquidation_fee, terms.leverage
        )
        self.faults = faults or FaultPlan()
        self.clock = clock
        self._sink: EventSink | None = None
        self.accounts = {spec.name: PaperAccount(self, spec, terms) for spec in accounts}

    def list_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Trade those that belong to one of the accounts; raises ConfigError for a perp without margin tiers."""
        for instrument in instruments:
            if instrument.key.venue in self.accounts:
                self.exchange.wallets.list_instrument(instrument)

    def connect(self, sink: EventSink | None) -> None:
        """Where account events go from now on; None disconnects."""
        self._sink = sink

    def tell(self, events: Iterable[FeedEvent]) -> None:
        """Hand events to the sink, if one is connected."""
        if self._sink is not None:
            for event in events:
                self._sink(event)

    def on_market(self, event: MarketEvent) -> None:
        """Let the market move: what follows for orders and positions goes to the sink."""
        if said := self.exchange.on_market(event):
            self.tell(said)

    def trade_by_hand(self, key: PositionKey, side: Side, quantity: Decimal, origin: Origin = Origin.ORDER) -> None:
        """Somebody else trades on the account, or the venue itself."""
        self.tell(self.exchange.trade_unasked(key, side, quantity, origin))

    def deposit(self, key: PositionKey, amount: Decimal) -> None:
        """Somebody else brings money (+) or takes it away (-)."""
        self.tell(self.exchange.move_money(key, amount))


class PaperAccount:
    """One account: honours ``ports.ExecutionInterface`` and ``ports.AccountSource``."""

    def __init__(self, venue: PaperVenue, spec: PaperAccountSpec, terms: PaperTerms) -> None:
        self._venue = venue
        self._exchange = venue.exchange
        self._spec = spec
        self._terms = terms

    @property
    def account(self) -> str:
        return self._spec.name

    @property
    def operations(self) -> frozenset[OrderOperation]:
        return self._spec.operations

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says; every fill of this moment has reached the sink before the answer comes."""
        if order.venue != self.account or order.operation not in self.operations:
            why = f"{order.operation} at {order.venue} came to {self.account}"
            raise reject(order, why, ErrorClass.BAD_PARAMS, "ACCOUNT")
        fault = self._venue.faults.next_execute()
        kind = fault.kind if fault else None
        if kind is FaultKind.UNREACHABLE:
            raise VenueUnreachableError(
                f"order {order.order_id}: {self.account} could not be reached, nothing was sent"
            )
        await self._venue.clock.sleep(self._terms.uplink_s)
        if kind is FaultKind.LOST_BEFORE_ACCEPT:
            raise OutcomeUnknownError(f"order {order.order_id}: no answer from {self.account}")
        last = self._take(order, fault)
        await self._venue.clock.sleep(self._terms.downlink_s)
        if kind is FaultKind.LOST_AFTER_ACCEPT:
            raise OutcomeUnknownError(f"order {order.order_id}: no answer from {self.account}")
        return _acknowledgement(last) if kind is FaultKind.FILL_BEFORE_ACK else last

    def _take(self, order: Order, fault: Fault | None) -> Trade:
        """The order reaches the exchange; its last known trade."""
        kind = fault.kind if fault else None
        if fault is not None and kind is FaultKind.REJECT:
            raise reject(order, f"refused by plan as {fault.error_class}", fault.error_class, "FAULT")
        share = fault.share if fault is not None and kind is FaultKind.PARTIAL else Decimal(1)
        events = self._exchange.submit(order, share)
        if kind is not FaultKind.LOST_AFTER_ACCEPT:
            self._venue.tell(events)
        if kind is FaultKind.DUPLICATE_FILL:
            self._venue.tell(event for event in events if isinstance(event, Trade))
        return self._exchange.tape.trades_of(_target_of(order))[-1]

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        await self._ask(f"order {order.order_id}")
        return self._evidence(order, sent_at)

    async def cancel_order(self, order: Order) -> Evidence:
        """What is left once the order is out of the book; NOT_YET for an unknown id, which may still arrive."""
        await self._ask(f"order {order.order_id}")
        self._venue.tell(self._exchange.cancel(_target_of(order)))
        return self._evidence(order, self._venue.clock.wall())

    @property
    def accrues(self) -> bool:
        """False: whatever comes has a row of its own."""
        return False

    async def fetch_report(self) -> AccountReport:
        await self._ask(self.account)
        if self._exchange.wallets.perps(self.account) is None:
            raise VenueUnreachableError(f"{self.account}: a position has no mark yet, expected one from the market")
        return self._exchange.report(self.account)

    async def fetch_trades(self, since: datetime) -> Sequence[Trade]:
        await self._ask(self.account)
        return self._exchange.tape.fills(self.account, since)

    async def fetch_transfers(self, since: datetime) -> Sequence[Trade]:
        """None: nobody else moves money between paper accounts, and ours are known by their orders."""
        return ()

    def hurry(self) -> None:
        """Nothing: its answers cost nobody anything."""

    async def fetch_cash_flows(self, since: datetime) -> Sequence[CashFlow]:
        await self._ask(self.account)
        return self._exchange.tape.flows(self.account, since)

    def _evidence(self, order: Order, sent_at: datetime) -> Evidence:
        trades = self._exchange.tape.trades_of(_target_of(order))
        if trades:
            self._venue.tell(trade for trade in trades if trade.is_fill)
            return Evidence(Finding.FOUND, trades[-1])
        is_late = (self._venue.clock.wall() - sent_at).total_seconds() > float(self._terms.proof_s)
        return Evidence(Finding.ABSENT if is_late else Finding.NOT_YET)

    async def _ask(self, what: str) -> None:
        """A question's way there and back, or VenueUnreachableError."""
        await self._venue.clock.sleep(self._terms.uplink_s + self._terms.downlink_s)
        if self._venue.faults.next_query_is_silent():
            raise VenueUnreachableError(f"{what}: {self.account} gave no answer")


def _target_of(order: Order) -> str:
    """Whose fate is asked about: a cancel order names its target in ``memo``."""
    return (order.memo or "") if order.operation is OrderOperation.CANCEL else order.order_id


def _acknowledgement(last: Trade) -> Trade:
    """A bare acknowledgement that tells less than the stream already did."""
    nothing = {"qty_base": Decimal(0), "qty_quote": Decimal(0), "cum_filled": Decimal(0), "price": None}
    return last.model_copy(
        update={
            **nothing,
            "trade_id": f"{last.order_id}-ack",
            "status": TradeStatus.PENDING,
            "order_state": OrderState.ACKED,
            "remaining": last.cum_filled + last.remaining,
            "fees": (),
            "deltas": {},
            "realised_pnl": None,
            "liquidity": None,
        }
    )
