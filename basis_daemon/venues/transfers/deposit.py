"""From the wallet to an exchange: a transaction of the wallet, then the exchange's record of that very transaction.

The address is the address book's, and the exchange has to name the same one before anything is signed.
"""

from __future__ import annotations

from datetime import datetime

from basis_daemon.domain.errors import (
    ErrorClass,
    InvalidOrderError,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import DEAD, OrderState, Trade
from basis_daemon.domain.transfer import WALLET, RouteBook, TransferRow, TransferStep
from basis_daemon.ports import Evidence, ExecutionInterface, Finding, KillPoint, TradeSink
from basis_daemon.venues.transfers.crossing import Crossing, Surroundings, Terms
from basis_daemon.venues.transfers.ends import ChainEnd, Deposit, ExchangeEnd


class DepositInterface(Crossing):
    """Honours ports.ExecutionInterface for transfers of the wallet to one exchange account."""

    def __init__(
        self,
        exchange: ExchangeEnd,
        chain: ChainEnd,
        sender: ExecutionInterface,
        routes: RouteBook,
        terms: Terms,
        around: Surroundings,
        on_trade: TradeSink,
    ) -> None:
        """``sender`` makes the transaction: once for an order, whose money is then in transit."""
        super().__init__(exchange, chain, routes, terms, around, on_trade)
        self._sender = sender

    @property
    def account(self) -> str:
        """Where it leaves."""
        return WALLET

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says; returns while the money is on its way, which ``find_order`` then follows."""
        if (row := self._log.row(order.order_id)) is None:
            row = await self._submitted(order)
        try:
            trade = await self._sender.execute_order(self._inner(order, row), timestamp)
        except (InvalidOrderError, OrderRejectedError, VenueUnreachableError) as refusal:
            await self._step(order.order_id, TransferStep.FAILED, why=str(refusal))
            raise
        except OutcomeUnknownError as doubt:
            await self._step(order.order_id, TransferStep.UNKNOWN, why=str(doubt))
            raise
        return await self._sent(row, trade)

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """FOUND with the last step's trade: of the chain until the exchange has it."""
        row = self._log.row(order.order_id)
        if row is None:  # its row is on disk before anything is signed
            return Evidence(Finding.ABSENT)
        evidence = await self._sender.find_order(self._inner(order, row), sent_at)
        if evidence.finding is Finding.ABSENT:
            return await self._lost(order, row)
        if evidence.trade is None:
            return evidence
        trade = await self._sent(row, evidence.trade)
        if trade.order_state in DEAD:
            return Evidence(Finding.FOUND, trade)
        self._on_trade(trade)
        self._probe(KillPoint.TRANSFER_LEFT)
        return Evidence(Finding.FOUND, await self._followed(order, self._known(order.order_id), trade))

    async def cancel_order(self, order: Order) -> Evidence:
        """As the wallet says: its nonce may still be given to nothing."""
        row = self._known(order.order_id)
        await self._sender.cancel_order(self._inner(order, row))
        return await self.find_order(order, self._clock.wall())

    async def _submitted(self, order: Order) -> TransferRow:
        """Everything that must be so before money leaves; raises OrderRejectedError, VenueUnreachableError."""
        route = self._admitted(order).route
        way = await self._exchange.way(route.coin)
        if not way.deposits:
            self._refuse(order, f"deposits of {route.coin} are closed at {route.target}, expected open", "way")
        address = await self._exchange.deposit_address(route.coin)
        if address.lower() != route.address.lower():
            facts = {"order_id": order.order_id, "exchange": address, "book": route.address}
            self._note("transfer_address_alarm", facts)
            self._refuse(order, f"{route.target} names {address}, expected {route.address} of the book", "address")
        held = await self._chain.balance(route.coin), await self._exchange.balance(route.coin)
        row = await self._submitting(order, held)
        self._probe(KillPoint.TRANSFER_SUBMITTING)
        return row

    async def _sent(self, row: TransferRow, trade: Trade) -> Trade:
        """The chain's trade, its transaction noted; the end of the transfer when it did nothing."""
        if trade.order_state in DEAD:
            await self._step(row.order_id, TransferStep.FAILED, why=f"the transaction is {trade.order_state}")
        elif trade.tx is not None:
            await self._step(row.order_id, TransferStep.ONCHAIN, tx_id=trade.tx.hash)
        return trade

    async def _lost(self, order: Order, row: TransferRow) -> Evidence:
        """Nothing was signed, or what was signed can no longer be included."""
        await self._step(row.order_id, TransferStep.FAILED, why="no transaction of it is or will be in the chain")
        if row.step in {TransferStep.SUBMITTING, TransferStep.UNKNOWN, TransferStep.FAILED}:
            return Evidence(Finding.ABSENT)
        name = f"{WALLET}:{row.order_id}:lost"
        ended = self._trade(order, WALLET, name, OrderState.REJECTED, self._clock.wall(), {})
        return Evidence(Finding.FOUND, ended)

    async def _followed(self, order: Order, row: TransferRow, left: Trade) -> Trade:
        if not self._is_time(order.order_id):
            return left
        found = [one for one in await self._exchange.deposits(row.coin, row.tx_id) if _is_of(row, one)]
        credited = next((one for one in found if one.is_credited), None)
        if not self._known(order.order_id).is_open:  # a person has closed it meanwhile
            return left
        if credited is None:
            return left.model_copy(update={"order_state": await self._waits(row)})
        self._probe(KillPoint.TRANSFER_ARRIVED)
        name = f"{row.target}:deposit:{row.tx_id}"
        trade = self._arrived(order, row, name, credited.amount, credited.time)
        self._on_trade(trade)
        await self._step(row.order_id, TransferStep.DONE, venue_id=credited.number)
        return trade

    def _inner(self, order: Order, row: TransferRow) -> Order:
        """The same order in the words of the wallet: over its chain, and no more than may go now."""
        return order.model_copy(update={"network": self._chain.network, "amount": row.amount})

    @staticmethod
    def _refuse(order: Order, why: str, code: str) -> None:
        raise OrderRejectedError(f"transfer {order.order_id}: {why}", ErrorClass.BAD_PARAMS, code)


def _is_of(row: TransferRow, found: Deposit) -> bool:
    return found.tx_id.lower() == row.tx_id.lower() and found.address.lower() == row.address.lower()
