"""A group to the chain and back: compiled on one block, allowed exactly, tried, sent once in private, booked whole."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from eth_utils.address import to_checksum_address

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import (
    ErrorClass,
    IntegrityError,
    OrderRejectedError,
    OutcomeUnknownError,
    VenueUnreachableError,
)
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.ports import Evidence, Finding
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.account import TxHandle
from basis_daemon.venues.chain.atomic import GroupCall, GroupCompiler
from basis_daemon.venues.chain.atomic_bookings import GroupBookings
from basis_daemon.venues.chain.atomic_legs import EntryLegs
from basis_daemon.venues.chain.atomic_permit import permit_for
from basis_daemon.venues.chain.atomic_receiver import receiver_artifact, receiver_deployment, receiver_immutables
from basis_daemon.venues.chain.atomic_safe import Treasury, batch_of, safe_call, signature_of_sender
from basis_daemon.venues.chain.atomic_scene import SceneReader
from basis_daemon.venues.chain.atomic_simulation import reason_of, simulate
from basis_daemon.venues.chain.chain_execution import ChainDesk, ChainExecution
from basis_daemon.venues.chain.contracts.artifact import verify_code
from basis_daemon.venues.chain.erc20 import APPROVE
from basis_daemon.venues.chain.errors import SimulationRevertedError
from basis_daemon.venues.chain.multicall import CallResult
from basis_daemon.venues.chain.names import APPROVAL
from basis_daemon.venues.chain.reverts import Revert, decoded
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.signers import Signer
from basis_daemon.venues.chain.transactions import TxRequest, TxRow


@dataclass(frozen=True, slots=True)
class GroupSetup:
    """``morpho`` is the second lender, ``treasury`` a Safe that owns the position and whose key the account is.

    ``permits`` signs for the account's aTokens, so that an exit needs no allowance before it; None for a transaction of
    its own each time.
    """

    morpho: str | None = None
    treasury: Treasury | None = None
    permits: Signer | None = None


class ConfirmedReader:
    """What two endpoints tell alike: a lie about it could have us allow our money to another contract."""

    def __init__(self, rpc: RpcPool) -> None:
        self._rpc = rpc

    async def call_at(self, block: BlockRef, calls: Sequence[tuple[str, bytes]]) -> Sequence[CallResult]:
        return await self._rpc.confirmed_read(block, calls)

    async def code(self, address: str) -> bytes:
        checked = to_checksum_address(address)
        return bytes(await self._rpc.agreed(f"code of {address}", lambda eth: eth.get_code(checked)))


class AtomicExecutionInterface(ChainExecution):
    """Honours ports.GroupExecution. ``desk.bookings`` has to be the given ones, and the account's sink."""

    def __init__(self, desk: ChainDesk, bookings: GroupBookings, setup: GroupSetup) -> None:
        super().__init__("atomic", {}, desk)
        self._bookings, self._setup = bookings, setup
        self._owner = desk.account.address if setup.treasury is None else setup.treasury.safe
        self.receiver = receiver_deployment(desk.book, setup.morpho).address
        self._compiler = GroupCompiler(desk.book, self.receiver, self._owner)
        self._scene = SceneReader(desk.rpc, desk.book, self._owner, setup.morpho)
        self._is_verified = False

    async def execute_group(self, orders: Sequence[Order], timestamp: datetime) -> tuple[Trade, ...]:
        """As the port says; a group that was sent before is only waited for."""
        first = orders[0]
        self._bookings.expect_group(orders)
        handle = self._desk.account.find(first.order_id) or await self._begin(orders)
        row = await self._in_chain(first, handle)
        if not row.is_in_chain:
            why = row.why or "not included in time"
            raise OrderRejectedError(
                f"group {first.group_id}: transaction {row.hash} was given up: {why}", ErrorClass.RETRYABLE, "dropped"
            )
        try:
            return await self._trades(row)
        except VenueUnreachableError as silence:  # it has left: the same group must not go again
            raise OutcomeUnknownError(f"group {first.group_id} is in block {row.block}, then: {silence}") from silence

    async def find_group(self, orders: Sequence[Order], sent_at: datetime) -> tuple[Evidence, ...]:
        """As the port says: what was never signed was never sent, so absence needs no waiting."""
        self._bookings.expect_group(orders)
        handle = self._desk.account.find(orders[0].order_id)
        if handle is None or (handle.row.state is OrderState.DROPPED and not handle.row.is_in_chain):
            return tuple(Evidence(Finding.ABSENT) for _ in orders)
        if not handle.row.is_in_chain:
            return tuple(Evidence(Finding.NOT_YET) for _ in orders)
        return tuple(Evidence(Finding.FOUND, trade) for trade in await self._trades(handle.row))

    async def verify(self) -> None:
        """Once, before the first use. Raises IntegrityError for a receiver that is not ours, VenueUnreachableError."""
        if not self._is_verified:
            expected = receiver_immutables(self._desk.book, self._setup.morpho)
            await verify_code(ConfirmedReader(self._desk.rpc), self.receiver, receiver_artifact(), expected)
            self._is_verified = True

    async def _begin(self, orders: Sequence[Order]) -> TxHandle:
        """Everything up to the send. Raises PlanRefusedError or OrderRejectedError: then nothing of the group lives."""
        try:
            await self.verify()
        except IntegrityError as stranger:
            why = f"group {orders[0].group_id}: nothing was signed: {stranger}"
            raise OrderRejectedError(why, ErrorClass.AUTH, "receiver") from stranger
        block = (await self._situation()).block
        group = await self._compiled(orders, block)
        if self._setup.treasury is not None:
            calls = batch_of(group)
            await self._try(orders[0], calls)  # the Safe itself would not say why
            signature = signature_of_sender(self._desk.account.address)
            return await self._send(group, safe_call(self._setup.treasury, calls, signature))
        missing = await self._scene.missing(block, group.allowances)
        if group.before or missing:
            allowed = (APPROVE(need.token, need.spender, need.units) for need, _ in missing)
            await self._try(orders[0], (*group.before, *allowed, group.call))
        for place, call in enumerate(group.before):
            await self._settled(
                orders[0], await self._submit(orders[0], f"{orders[0].order_id}{APPROVAL}-{place}", call)
            )
        for need in group.allowances:
            await self._allow(orders[0], need)
        return await self._send(group, group.call)

    async def _compiled(self, orders: Sequence[Order], block: BlockRef) -> GroupCall:
        scene = await self._scene.read(block, orders)
        group = self._compiler.compile(orders, scene)
        if self._setup.permits is None or self._setup.treasury is not None or isinstance(group.legs, EntryLegs):
            return group
        reader, due = ConfirmedReader(self._desk.rpc), int(group.deadline.timestamp())
        permit = await permit_for(self._setup.permits, reader, block, group.allowances[0], due)
        return self._compiler.compile(orders, replace(scene, permit=permit))

    async def _try(self, order: Order, calls: Sequence[Call]) -> None:
        """Raises OrderRejectedError when the group would revert after its preparations: then not even they are sent.

        A node that cannot try several calls stops nothing: they are harmless, and the group is tried again alone.
        """
        with suppress(VenueUnreachableError):
            for tried in await simulate(self._desk.rpc, self._owner, calls):
                if not tried.is_ok:
                    raise reason_of(tried.data).rejection(order.order_id, f"group {order.group_id}")

    async def _send(self, group: GroupCall, call: Call) -> TxHandle:
        first = group.orders[0]
        request = TxRequest(
            order_id=first.order_id,
            to=call.to,
            data=call.data,
            value=call.value_wei,
            fee_cap_wei=max(self._desk.gas.wei(order) for order in group.orders),
            gas_limit=first.gas_limit,
            deadline=int(group.deadline.timestamp()),
            is_private=True,
        )
        try:
            return await self._desk.account.submit(request)
        except SimulationRevertedError as refusal:
            raise reason_of(refusal.revert_data).rejection(first.order_id, f"group {first.group_id}") from refusal

    async def _settled(self, order: Order, handle: TxHandle) -> None:
        row = await self._in_chain(order, handle)
        if row.state not in {OrderState.INCLUDED, OrderState.FINAL}:
            raise OrderRejectedError(
                f"order {order.order_id}: what the group needs before it is {row.state}, expected it included",
                ErrorClass.RETRYABLE,
                "before",
            )

    async def _trades(self, row: TxRow) -> tuple[Trade, ...]:
        receipt = await self._receipt(row)
        why = None if receipt.is_success else await self._reason(row)
        try:
            return self._bookings.group_trades(row, receipt, why)
        except IntegrityError as misfit:
            raise VenueUnreachableError(f"transaction {row.hash}: no usable answer: {misfit}") from misfit

    async def _reason(self, row: TxRow) -> Revert:
        try:
            return reason_of(await self._desk.account.revert_data(await self._signed(row)))
        except VenueUnreachableError:
            return decoded(b"")
