"""Moves between the wallets of one exchange. Where no client id exists, doubt is ended by the venue's history alone.

A move is known by (asset, amount, direction) within a time window, and one move per route is under way at a time: two
equal moves could not be told apart. Amounts count as moved only when the venue says CONFIRMED.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from basis_daemon.domain.errors import (
    ErrorClass,
    InvalidOrderError,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.ports import Evidence, Finding, KillPoint, TradeSink
from basis_daemon.venues.cex.desk import Desk, MarketTime
from basis_daemon.venues.cex.frames import EPOCH, Foreign, exact, instant, milliseconds
from basis_daemon.venues.cex.limiter import Request
from basis_daemon.venues.cex.outcome import CallError
from basis_daemon.venues.cex.quantise import plain
from basis_daemon.venues.cex.quirks import AccountQuirks, Fate

NETWORK = "internal"
CONFIRMED, FAILED = "ok", "failed"
ROWS_LOOKED_AT = 100
WINDOW = timedelta(days=2)
"""How far back a history is read for a move of unknown fate."""
STAMP_SLACK = timedelta(seconds=5)
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the venue's transfer history."""

    number: str
    amount: Decimal
    status: str
    time: datetime


@dataclass(frozen=True, slots=True)
class _Sent:
    """What was true when a move left: its newest predecessor's number tells it from equal ones before."""

    sent_ns: int
    market_time: datetime
    known: frozenset[str]


class TransferExecutionInterface:
    """Transfers with network ``internal`` from ``order.token_in.venue`` to ``order.recipient``: wallets of one key."""

    def __init__(
        self, desk: Desk, wallets: Sequence[AccountQuirks], market_time: MarketTime, on_trade: TradeSink
    ) -> None:
        self._desk, self._market_time, self._on_trade = desk, market_time, on_trade
        self._wallets: Mapping[str, AccountQuirks] = {wallet.name: wallet for wallet in wallets}
        self._under_way: dict[tuple[str, str, str], str] = {}
        self._sent: dict[str, _Sent] = {}
        self._claimed: dict[str, str] = {}

    @property
    def account(self) -> str:
        """The wallet whose key signs transfers."""
        return self._desk.name

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """Transfers only."""
        return frozenset({OrderOperation.TRANSFER})

    @property
    def absence_proof_s(self) -> float:
        """As of the orders of the same account."""
        options = self._desk.options
        return (self._desk.venue.receive_window_ms + options.skew_alarm_ms) / 1000 + options.read_lag_s

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says. Refused while another move of the same route is in doubt, and for play money altogether."""
        source, target, asset = route = self._route(order)
        if not self._desk.options.is_live_api:
            msg = f"transfer {order.order_id}: play money is not moved between wallets, fund {target} by hand"
            raise OrderRejectedError(msg, ErrorClass.BAD_PARAMS)
        if (other := self._under_way.get(route)) not in {None, order.order_id}:
            msg = f"transfer {order.order_id}: {other} is under way from {source} to {target} in {asset}, expected none"
            raise OrderRejectedError(msg, ErrorClass.RETRYABLE)
        self._under_way[route] = order.order_id
        await self._remember(order)
        arguments = (asset, plain(order.quantity), self._code(source), self._code(target))
        request = Request(is_urgent=True, wait_max_s=self._desk.options.limiter_wait_s)
        try:
            number = await self._desk.ask(self._desk.orders, "transfer", *arguments, read=_number, request=request)
        except CallError as fault:
            raise self._after_fault(order, fault) from fault
        except VenueUnreachableError:  # our own budget kept it back
            self._release(order)
            raise
        self._desk.options.probe(KillPoint.AFTER_ACK)
        return await self._confirmed(order, number)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """FOUND once the history holds the move; ABSENT once it could not be late any more."""
        moves = [move for move in await self._history(order, sent_at) if self._is_of(order, move)]
        if moves:
            return Evidence(Finding.FOUND, self._trade(order, moves[0]))
        if self._elapsed_s(order, sent_at) < self.absence_proof_s:
            return Evidence(Finding.NOT_YET)
        self._release(order)
        return Evidence(Finding.ABSENT)

    async def cancel_order(self, order: Order) -> Evidence:
        """A transfer cannot be called back; what became of it is the answer."""
        return await self.find_order(order, self._desk.clock.wall())

    async def _remember(self, order: Order) -> None:
        """Note what the history holds before the send. Raises VenueUnreachableError: nothing left then."""
        try:
            known = frozenset(move.number for move in await self._history(order, self._desk.clock.wall()))
        except VenueUnreachableError:
            self._release(order)
            raise
        self._sent[order.order_id] = _Sent(self._desk.clock.monotonic_ns(), self._market_time.newest, known)

    async def _confirmed(self, order: Order, number: str) -> Trade:
        """The trade of an accepted move, once the history confirms it. Raises OutcomeUnknownError when it does not."""
        self._claimed[number] = order.order_id
        for attempt in range(self._desk.options.fill_queries_max):
            try:
                moves = await self._history(order, self._desk.clock.wall())
            except VenueUnreachableError as fault:
                self._desk.note("transfer_unanswered", {"order_id": order.order_id, "text": str(fault)})
                moves = ()
            found = next((move for move in moves if move.number == number), None)
            if found is not None and found.status == CONFIRMED:
                return self._trade(order, found)
            if found is not None and found.status == FAILED:
                self._release(order)
                raise OrderRejectedError(f"transfer {order.order_id}: {number} failed", ErrorClass.RETRYABLE)
            await self._desk.clock.sleep(self._desk.options.retry_pause_s * (attempt + 1))
        msg = (
            f"transfer {order.order_id}: {self.account} took it as {number} and does not confirm it; ask, never resend"
        )
        raise OutcomeUnknownError(msg)

    def _after_fault(self, order: Order, fault: CallError) -> Exception:
        if fault.fate is Fate.NOT_SENT:
            self._release(order)
            return VenueUnreachableError(f"transfer {order.order_id} did not leave: {fault.text}")
        if fault.fate in {Fate.REJECTED, Fate.SKEWED}:
            self._release(order)
            return OrderRejectedError(f"transfer {order.order_id}: {fault.text}", fault.error_class, fault.code)
        sent = self._sent[order.order_id]  # a process that was halted may have signed it only now
        self._sent[order.order_id] = replace(sent, sent_ns=self._desk.clock.monotonic_ns())
        return OutcomeUnknownError(f"transfer {order.order_id} at {self.account}: {fault.text}; ask, never resend")

    async def _history(self, order: Order, sent_at: datetime) -> Sequence[Move]:
        """Recent moves of the order's route and asset, newest first. Raises VenueUnreachableError."""
        source, target, asset = self._route(order)
        since = self._since(order, sent_at)
        accounts = {"fromAccount": self._code(source), "toAccount": self._code(target)}
        arguments = (asset, milliseconds(since), ROWS_LOOKED_AT, accounts)
        return await self._desk.learn("fetch_transfers", *arguments, read=moves_of)

    def _since(self, order: Order, sent_at: datetime) -> datetime:
        """Where to begin. The history bears market stamps: those of the send if it was ours, else of the decision.

        Live, market time is real time; in a sandbox it is not, and a bound beyond the newest stamp must be real time.
        """
        if (sent := self._sent.get(order.order_id)) is not None and sent.market_time > EPOCH:
            return sent.market_time - STAMP_SLACK
        since = min(order.created_at, sent_at) - STAMP_SLACK
        newest = self._market_time.newest
        return newest - WINDOW if self._market_time.is_known() and since > newest else since

    def _is_of(self, order: Order, move: Move) -> bool:
        if (claimant := self._claimed.get(move.number)) is not None:
            return claimant == order.order_id
        sent = self._sent.get(order.order_id)
        is_new = sent is None or move.number not in sent.known
        return is_new and move.amount == order.quantity

    def _trade(self, order: Order, move: Move) -> Trade:
        source, target, asset = self._route(order)
        self._claimed[move.number] = order.order_id
        status, state = TradeStatus.PENDING, OrderState.PENDING
        deltas: dict[PositionKey, Decimal] = {}
        if move.status == CONFIRMED:
            status, state = TradeStatus.FILLED, OrderState.SETTLED
            deltas = {
                PositionKey.of(source, Kind.SPOT, asset): -move.amount,
                PositionKey.of(target, Kind.SPOT, asset): move.amount,
            }
        elif move.status == FAILED:
            status, state = TradeStatus.FAILED, OrderState.REJECTED
        trade = Trade(
            trade_id=transfer_id(self.account, move.number),
            order_id=order.order_id,
            account=self.account,
            instrument=order.instrument,
            status=status,
            order_state=state,
            venue_time=move.time,
            recv_time=self._desk.clock.wall(),
            cum_filled=move.amount if deltas else Decimal(0),
            remaining=Decimal(0) if deltas else move.amount,
            deltas=deltas,
        )
        if state is not OrderState.PENDING:
            self._release(order)
        if deltas:
            self._on_trade(trade)
        return trade

    def _release(self, order: Order) -> None:
        route = self._route(order)
        if self._under_way.get(route) == order.order_id:
            del self._under_way[route]

    def _route(self, order: Order) -> tuple[str, str, str]:
        """(source wallet, target wallet, asset). Raises InvalidOrderError for what is no internal transfer."""
        if order.network != NETWORK or order.token_in is None or order.recipient is None:
            msg = f"transfer {order.order_id}: network {order.network}, expected {NETWORK} with token_in and recipient"
            raise InvalidOrderError(msg)
        source, target = order.token_in.venue, order.recipient
        if source == target or not {source, target} <= set(self._wallets):
            msg = f"transfer {order.order_id}: {source} to {target}, expected two of {', '.join(self._wallets)}"
            raise InvalidOrderError(msg)
        return source, target, order.token_in.symbol

    def _code(self, wallet: str) -> str:
        return self._wallets[wallet].wallet_code

    def _elapsed_s(self, order: Order, sent_at: datetime) -> float:
        if (sent := self._sent.get(order.order_id)) is not None:
            return (self._desk.clock.monotonic_ns() - sent.sent_ns) / SECOND_NS
        return (self._desk.clock.wall() - sent_at).total_seconds()


def _number(row: Foreign) -> str:
    if not row.get("id"):
        raise ValueError("transfer answered without an id, expected one")
    return str(row["id"])


def transfer_id(account: str, number: str) -> str:
    """The trade id of a move, whoever asked for it."""
    return f"{account}:transfer:{number}"


def moves_of(rows: Foreign) -> Sequence[Move]:
    """Moves of a unified transfer history, newest first."""
    moves = [
        Move(str(row["id"]), exact(row["amount"]), str(row["status"]).lower(), instant(row["timestamp"]))
        for row in rows
    ]
    return sorted(moves, key=lambda move: (move.time, move.number), reverse=True)
