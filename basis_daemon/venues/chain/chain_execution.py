"""An order to the chain and back: checked at one block, allowed exactly, simulated, sent once, booked from receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from eth_utils.conversions import to_hex
from msgspec.structs import replace

from basis_daemon.domain.errors import (
    ErrorClass,
    IntegrityError,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.order import Order, OrderOperation
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.ports import Evidence, Finding
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.account import ChainAccount, TxHandle
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.bookings import Bookings
from basis_daemon.venues.chain.chain_trades import receipt_of
from basis_daemon.venues.chain.deltas import Receipt
from basis_daemon.venues.chain.endpoint import newest_header
from basis_daemon.venues.chain.erc20 import ALLOWANCE, Allowance, approvals
from basis_daemon.venues.chain.errors import SimulationRevertedError
from basis_daemon.venues.chain.names import APPROVAL
from basis_daemon.venues.chain.prepared import Preparation, Situation
from basis_daemon.venues.chain.receipts import bytes_of, where_is
from basis_daemon.venues.chain.refusals import misfit
from basis_daemon.venues.chain.reverts import Revert, decoded
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.transactions import TxRequest, TxRow

GWEI = 10**9


@dataclass(frozen=True, slots=True)
class GasCaps:
    """Highest price per unit of gas, gwei: defence may pay more than ordinary work."""

    ordinary_gwei: int = 60
    emergency_gwei: int = 400

    def wei(self, order: Order) -> int:
        """The bound of an order; its own ``max_fee`` (wei) where that is lower."""
        cap = (self.emergency_gwei if order.is_hurried else self.ordinary_gwei) * GWEI
        return cap if order.max_fee is None else min(cap, order.max_fee)


@dataclass(frozen=True, slots=True)
class ChainDesk:
    """What every interface of one account shares."""

    book: AddressBook
    account: ChainAccount
    rpc: RpcPool
    bookings: Bookings
    gas: GasCaps = GasCaps()
    _spending: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)

    def spending(self, need: Allowance) -> asyncio.Lock:
        """Held by who needs this allowance: it is exact, so two orders cannot have it at once."""
        return self._spending.setdefault((need.token, need.spender), asyncio.Lock())


class ChainExecution:
    """Honours ports.ExecutionInterface for one venue on the chain, out of its table of preparations."""

    def __init__(
        self,
        venue: str,
        preparations: Mapping[OrderOperation, Preparation],
        desk: ChainDesk,
        private: frozenset[OrderOperation] = frozenset(),
    ) -> None:
        """``private`` operations go to the relays alone, where there are any."""
        self._venue, self._preparations, self._desk, self._private = venue, preparations, desk, private

    @property
    def account(self) -> str:
        """The venue of its orders."""
        return self._venue

    @property
    def operations(self) -> frozenset[OrderOperation]:
        """What it can execute."""
        return frozenset(self._preparations)

    async def execute_order(self, order: Order, timestamp: datetime) -> Trade:
        """As the port says; an order that was sent before is only waited for.

        An allowance that is missing is a transaction of its own before it, whose gas is told as a trade of this order.
        """
        if order.operation not in self._preparations or order.venue != self._venue:
            misfit(order, f"{self._venue} cannot, it does {', '.join(sorted(self.operations))}")
        if order.on_behalf_of not in {None, self._desk.account.address}:
            misfit(order, f"on_behalf_of {order.on_behalf_of}, expected {self._desk.account.address} or nobody")
        self._desk.bookings.expect(order)
        row = await self._run(order)
        if not row.is_in_chain:
            raise OrderRejectedError(
                f"order {order.order_id}: transaction {row.hash} was given up: {row.why or 'not included in time'}",
                ErrorClass.RETRYABLE,
                "dropped",
            )
        try:
            return self._desk.bookings.trade(row) or await self._booked(row)
        except VenueUnreachableError as silence:  # it has left: the same order must not go again
            raise OutcomeUnknownError(f"order {order.order_id} is in block {row.block}, then: {silence}") from silence

    async def _run(self, order: Order) -> TxRow:
        """From the order to its transaction in a block, or given up; raises as ``execute_order`` does."""
        handle = self._desk.account.find(order.order_id)
        if handle is not None:
            return await self._in_chain(order, handle)
        prepared = await self._preparations[order.operation](order, await self._situation())
        need = prepared.allowance
        if need is None:
            return await self._in_chain(order, await self._submit(order, order.order_id, prepared.call))
        lock = self._desk.spending(need)
        try:
            async with asyncio.timeout(float(order.timeout_s)):
                await lock.acquire()
        except TimeoutError:
            why = f"order {order.order_id}: another order needs {need.symbol} for {need.spender} longer than this waits"
            raise OrderRejectedError(why, ErrorClass.RETRYABLE, "allowance") from None
        try:
            await self._allow(order, need)
            return await self._in_chain(order, await self._submit(order, order.order_id, prepared.call))
        finally:
            lock.release()

    async def find_order(self, order: Order, sent_at: datetime) -> Evidence:
        """As the port says: what was never signed was never sent, so absence needs no waiting."""
        self._desk.bookings.expect(order)
        handle = self._desk.account.find(order.order_id)
        if handle is None or (handle.row.state is OrderState.DROPPED and not handle.row.is_in_chain):
            return Evidence(Finding.ABSENT)
        if not handle.row.is_in_chain:
            return Evidence(Finding.NOT_YET)
        return Evidence(Finding.FOUND, await self._booked(handle.row))

    async def cancel_order(self, order: Order) -> Evidence:
        """As the port says: its nonce is given to a transaction of nothing, and one of the two is included."""
        await self._desk.account.cancel(order.order_id)
        return await self.find_order(order, order.created_at)

    async def _situation(self) -> Situation:
        newest = await self._desk.rpc.ask("newest block", newest_header)
        return Situation(self._desk.book, self._desk.account.address, self._desk.rpc, newest.block)

    async def _allow(self, order: Order, need: Allowance) -> None:
        """Have the allowance be exactly what is needed, one transaction after the other."""
        at, questions = await self._situation(), Questions()
        allowed = questions.ask(ALLOWANCE, need.token, at.owner, need.spender)
        await questions.put(at.reader, at.block)
        for place, call in enumerate(approvals(need, allowed.value)):
            handle = await self._submit(order, f"{order.order_id}{APPROVAL}{place}", call)
            row = await self._in_chain(order, handle)
            if row.state not in {OrderState.INCLUDED, OrderState.FINAL}:
                raise OrderRejectedError(
                    f"order {order.order_id}: allowance of {need.symbol} for {need.spender} is {row.state}, "
                    f"expected it included",
                    ErrorClass.RETRYABLE,
                    "approve",
                )

    async def _submit(self, order: Order, tx_order_id: str, call: Call) -> TxHandle:
        """Raises OrderRejectedError with the contract's reason when the simulation reverts; nothing was signed then."""
        request = TxRequest(
            order_id=tx_order_id,
            to=call.to,
            data=call.data,
            value=call.value_wei,
            fee_cap_wei=self._desk.gas.wei(order),
            gas_limit=order.gas_limit if tx_order_id == order.order_id else None,
            deadline=int(order.deadline.timestamp()) if order.deadline is not None else None,
            is_private=order.operation in self._private and tx_order_id == order.order_id,
        )
        try:
            return await self._desk.account.submit(request)
        except SimulationRevertedError as refusal:
            _reject(order, refusal)

    async def _in_chain(self, order: Order, handle: TxHandle) -> TxRow:
        """The order's last row once a block holds it or it is given up.

        Raises OutcomeUnknownError when that takes long, or when the account is halted: what it signed may be mined.
        """
        try:
            async with asyncio.timeout(float(order.timeout_s)):
                return await handle.in_chain()
        except TimeoutError:
            raise OutcomeUnknownError(
                f"order {order.order_id}: transaction {handle.row.hash} is {handle.row.state} after {order.timeout_s} s"
            ) from None
        except IntegrityError as halt:
            raise OutcomeUnknownError(
                f"order {order.order_id}: transaction {handle.row.hash} is {handle.row.state} and not followed: {halt}"
            ) from halt

    async def _booked(self, row: TxRow) -> Trade:
        receipt = await self._receipt(row)
        why = None if receipt.is_success else await self._reason(row)
        return self._desk.bookings.book(row, receipt, why)

    async def _receipt(self, row: TxRow) -> Receipt:
        """As it was told in this run; asked for again, of two endpoints, when an earlier one was told."""
        if (told := self._desk.bookings.receipt(row)) is not None:
            return told
        where = where_is(self._desk.account.address, [row.hash])
        found = await self._desk.rpc.agreed(f"transaction {row.hash}: receipt", where)
        if found is None or found.block_hash != row.block_hash:
            at = "nowhere" if found is None else found.block_hash
            raise VenueUnreachableError(f"transaction {row.hash}: is {at}, expected in block {row.block_hash}")
        return receipt_of(await self._signed(row), found.receipt)

    async def _signed(self, row: TxRow) -> TxRow:
        """The row with the bytes that were signed; of a final one only the chain has them."""
        if row.raw_hex:
            return row
        raw = await self._desk.rpc.ask(f"transaction {row.hash}: bytes", bytes_of(row.hash))
        return replace(row, raw_hex=to_hex(raw))

    async def _reason(self, row: TxRow) -> Revert:
        """What the contract said; unknown when no endpoint can tell any more."""
        try:
            return decoded(await self._desk.account.revert_data(await self._signed(row)))
        except VenueUnreachableError:
            return decoded(b"")


def _reject(order: Order, refusal: SimulationRevertedError) -> NoReturn:
    raise decoded(refusal.revert_data).rejection(order.order_id, f"{order.operation} at {order.venue}") from refusal
