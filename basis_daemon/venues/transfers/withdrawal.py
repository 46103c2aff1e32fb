"""From an exchange to the wallet: asked for once under our id, followed by its record, booked when the chain has it.

A withdrawal bears our id, but no exchange promises to refuse a second one with it. So an answer that did not come is
never asked for again: the record is, by id, then by what it must look like, then the balance is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import Fee, OrderState, Trade
from basis_daemon.domain.transfer import TransferRow, TransferStep
from basis_daemon.ports import Evidence, Finding, KillPoint
from basis_daemon.venues.transfers.crossing import Crossing
from basis_daemon.venues.transfers.ends import Progress, Way, Withdrawal

STAMP_SLACK = timedelta(minutes=2)
SECOND_NS = 1_000_000_000
_STEPS = {Progress.WAITING: TransferStep.SUBMITTED, Progress.SENDING: TransferStep.APPROVED}


class WithdrawalInterface(Crossing):
    """Honours ports.ExecutionInterface for transfers out of one exchange account."""

    @property
    def account(self) -> str:
        """The exchange account."""
        return self._exchange.account

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says; returns while the money is on its way, which ``find_order`` then follows."""
        if self._log.row(order.order_id) is not None:
            raise InvalidOrderError(f"transfer {order.order_id}: was sent before, expected a new id")
        admission = self._admitted(order)
        route = admission.route
        check_way(order, await self._exchange.way(route.coin), admission.amount)
        held = await self._exchange.balance(route.coin), await self._chain.balance(route.coin)
        row = await self._submitting(order, held)
        self._probe(KillPoint.TRANSFER_SUBMITTING)
        try:
            number = await self._exchange.withdraw(order.order_id, route.coin, row.amount, route.address)
        except (OrderRejectedError, VenueUnreachableError) as refusal:
            await self._step(order.order_id, TransferStep.FAILED, why=str(refusal))
            raise
        except OutcomeUnknownError as doubt:
            await self._step(order.order_id, TransferStep.UNKNOWN, why=str(doubt))
            raise
        self._probe(KillPoint.AFTER_ACK)
        await self._step(order.order_id, TransferStep.SUBMITTED, venue_id=number)
        try:
            evidence = await self.find_order(order, self._clock.wall())
        except VenueUnreachableError as silence:
            raise OutcomeUnknownError(f"transfer {order.order_id} left as {number}, then: {silence}") from silence
        if evidence.trade is None:
            raise OutcomeUnknownError(f"transfer {order.order_id} left as {number}, and is not in the record yet")
        return evidence.trade

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """FOUND with the last step's trade; ABSENT when nothing left, or nothing can be hidden any longer."""
        row = self._log.row(order.order_id)
        if row is None or row.step is TransferStep.FAILED:  # its row is on disk before anything leaves
            return Evidence(Finding.ABSENT)
        if not self._is_time(order.order_id):
            return Evidence(Finding.NOT_YET)
        found = await self._found(row)
        if found is None:
            return await self._absence(row)
        return Evidence(Finding.FOUND, await self._followed(order, row, found))

    async def cancel_order(self, order: Order) -> Evidence:
        """A withdrawal is not called back; what became of it is the answer."""
        return await self.find_order(order, self._clock.wall())

    async def _found(self, row: TransferRow) -> Withdrawal | None:
        named = await self._exchange.withdrawals(row.coin, row.order_id)
        mine = [one for one in named if one.client_id == row.order_id]
        if not mine:
            everything = await self._exchange.withdrawals(row.coin, None)
            mine = [one for one in everything if row.venue_id and one.number == row.venue_id]
            others = {one.venue_id for one in self._log.rows() if one.order_id != row.order_id}
            free = [one for one in everything if one.number not in others]
            mine = mine or _alike(row, free, self._exchange.now())
        if len(mine) > 1:
            self._note("transfer_twice_alarm", {"order_id": row.order_id, "numbers": [one.number for one in mine]})
        return mine[-1] if mine else None

    async def _absence(self, row: TransferRow) -> Evidence:
        """ABSENT once the request can be neither accepted nor hidden any more, and the money is still there."""
        if row.step not in {TransferStep.SUBMITTING, TransferStep.UNKNOWN}:  # it had a number: the record is late
            return Evidence(Finding.NOT_YET)
        now_ns = self._clock.monotonic_ns()
        since_ns = self._doubted_ns.setdefault(row.order_id, now_ns)
        if now_ns - since_ns < max(self._terms.absence_s, self._exchange.absence_proof_s) * SECOND_NS:
            return Evidence(Finding.NOT_YET)
        held = await self._exchange.balance(row.coin)
        booked = self._log.held(PositionKey.of(row.source, Kind.SPOT, row.coin))
        if held <= booked - row.amount / 2:
            facts = {"order_id": row.order_id, "held": str(held), "booked": str(booked), "amount": str(row.amount)}
            self._note("transfer_missing_alarm", facts)
            return Evidence(Finding.NOT_YET)
        await self._step(row.order_id, TransferStep.FAILED, why="not in the record, and the money is still there")
        return Evidence(Finding.ABSENT)

    async def _followed(self, order: Order, row: TransferRow, found: Withdrawal) -> Trade:
        """The trade of the last step; that of the first is told before."""
        if found.gross != row.amount or found.address.lower() != row.address.lower():
            facts = {"order_id": row.order_id, "asked": str(row.amount), "taken": str(found.gross), "to": found.address}
            self._note("transfer_differs_alarm", facts)
        step = TransferStep.ONCHAIN if found.tx_id else _STEPS.get(found.progress, TransferStep.APPROVED)
        row = await self._step(
            row.order_id, step, venue_id=found.number, tx_id=found.tx_id, fee=found.fee, amount=found.gross
        )
        left = self._left(order, row, found)
        if not row.is_open:  # a person has closed it meanwhile
            return left
        self._on_trade(left)
        self._probe(KillPoint.TRANSFER_LEFT)
        if found.progress is Progress.RETURNED:
            return await self._given_back(order, row, left)
        arrival = await self._chain.arrival(row.coin, found.tx_id, found.amount) if found.tx_id else None
        is_here = arrival is not None and arrival.confirmations >= self._terms.confirmations
        if arrival is not None and is_here and self._known(order.order_id).is_open:
            self._probe(KillPoint.TRANSFER_ARRIVED)
            trade = self._arrived(order, row, f"{self.account}:arrival:{found.tx_id}", arrival.amount, arrival.time)
            self._on_trade(trade)
            await self._step(row.order_id, TransferStep.DONE)
            return trade
        return left.model_copy(update={"order_state": await self._waits(row)})

    def _left(self, order: Order, row: TransferRow, found: Withdrawal) -> Trade:
        deltas = {
            PositionKey.of(row.source, Kind.SPOT, row.coin): -found.gross,
            PositionKey.of(row.source, Kind.TRANSIT, row.coin): found.amount,
        }
        fees = (Fee(asset=row.coin, quantity=found.fee),) if found.fee else ()
        return self._trade(order, row.source, self._name(found.number), OrderState.PENDING, found.time, deltas, fees)

    async def _given_back(self, order: Order, row: TransferRow, left: Trade) -> Trade:
        """The exchange did not send it: everything is where it was, the fee too."""
        back = left.model_copy(
            update={
                "trade_id": f"{left.trade_id}:returned",
                "order_state": OrderState.REJECTED,
                "deltas": {key: -amount for key, amount in left.deltas.items()},
                "fees": tuple(Fee(asset=fee.asset, quantity=-fee.quantity) for fee in left.fees),
            }
        )
        self._on_trade(back)
        await self._step(row.order_id, TransferStep.RETURNED, why="the exchange gave it back")
        return back

    def _name(self, number: str) -> str:
        return f"{self.account}:withdrawal:{number}"


def check_way(order: Order, way: Way, amount: Decimal) -> None:
    """Raises OrderRejectedError for an amount that the exchange would not take, or while it takes none."""
    why = ""
    if not way.withdraws:
        why = "withdrawals are closed at the exchange, expected open"
    elif not way.least <= amount <= way.most:
        why = f"{amount}, expected {way.least} to {way.most}"
    elif amount % way.multiple:
        why = f"{amount}, expected a multiple of {way.multiple}"
    elif amount <= way.fee:
        why = f"{amount}, expected more than the fee of {way.fee}"
    if why:
        raise OrderRejectedError(f"transfer {order.order_id}: {why}", ErrorClass.BAD_PARAMS, "way")


def _alike(row: TransferRow, found: Sequence[Withdrawal], now: datetime) -> list[Withdrawal]:
    """Withdrawals without any id that look like this one, and are no older than it: of those that are nobody's yet."""
    return [
        one
        for one in found
        if not one.client_id
        and one.gross == row.amount
        and one.address.lower() == row.address.lower()
        and one.time >= min(row.at, now) - STAMP_SLACK
    ]
