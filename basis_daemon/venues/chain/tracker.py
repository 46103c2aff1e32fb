"""What every new head means for what was sent: in a block, taken back, missing, stuck, too late, or final."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from eth_typing import ChecksumAddress
from msgspec.structs import replace

from basis_daemon.domain.errors import BasisError, IntegrityError, VenueUnreachableError
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import KillPoint, Probe
from basis_daemon.rare_paths import Rarely, RarePath, never
from basis_daemon.venues.chain.desk import Draft, SigningDesk, draft_again, draft_cancel
from basis_daemon.venues.chain.errors import Refusal, foreign_nonce
from basis_daemon.venues.chain.fees import replacement
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.heads import Head
from basis_daemon.venues.chain.nonces import Slot
from basis_daemon.venues.chain.notes import Note
from basis_daemon.venues.chain.receipts import count_at, finalized, where_is, who_used
from basis_daemon.venues.chain.recorder import TxRecorder
from basis_daemon.venues.chain.rpc import Question, RpcPool
from basis_daemon.venues.chain.transactions import Attempt, Found, TxEvent, TxRow, steps_to

S = OrderState
_NONE_YET = -1


@dataclass(frozen=True, slots=True)
class TrackPolicy:
    """In blocks. ``confirmations`` counts the block itself; None waits for the chain's own `finalized` tag.

    A nonce that was used by a transaction which nobody knows is foreign after ``foreign_patience`` further blocks:
    some nodes count a block's transactions before they can show its receipts.
    """

    confirmations: int | None = None
    replace_after: int = 3
    rebroadcast_every: int = 2
    foreign_patience: int = 1
    rarely: Rarely = never


class Tracker:
    """Goes through the live nonces, lowest first, once per head."""

    def __init__(
        self,
        address: ChecksumAddress,
        rpc: RpcPool,
        recorder: TxRecorder,
        desk: SigningDesk,
        gas: GasDesk,
        policy: TrackPolicy,
        lock: asyncio.Lock,
        probe: Probe,
        note: Note,
    ) -> None:
        self._address, self._rpc, self._recorder, self._desk, self._gas = address, rpc, recorder, desk, gas
        self._policy, self._lock, self._probe, self._note = policy, lock, probe, note

    async def track(self, head: Head) -> None:
        """Raises VenueUnreachableError (look again later), IntegrityError (halt) and what the journal raises."""
        slots = self._recorder.book.live()
        if not slots:
            return
        if head.removed or head.is_gap or self._policy.rarely(RarePath.RECEIPT_SOUGHT_AGAIN):
            for slot in slots:
                slot.found = None
        used = await self._rpc.ask(f"nonce of {self._address}", count_at(self._address, head.block))
        final = await self._final_block(head)
        troubles: list[BasisError] = []
        for slot in slots:
            try:
                if slot.nonce < used:
                    await self._follow_used(slot, head, final)
                else:
                    await self._follow_waiting(slot, head, is_lowest=slot.nonce == used)
            except (VenueUnreachableError, IntegrityError) as error:  # the others are followed all the same
                troubles.append(error)
            if not slot.is_final:
                final = _NONE_YET  # nonces become final in their order, so that a start can trust the last one
        if troubles:
            raise min(troubles, key=lambda error: not isinstance(error, IntegrityError))

    async def _final_block(self, head: Head) -> int:
        if self._policy.confirmations is not None:
            return head.block.number - self._policy.confirmations + 1
        return await self._rpc.ask("finalized block", finalized)

    # ------------------------------------------------------------------------------------------- the nonce is used
    async def _follow_used(self, slot: Slot, head: Head, final: int) -> None:
        if slot.found is None:
            found = await self._rpc.ask(f"nonce {slot.nonce}: receipt", self._where_is(slot))
            if found is None:
                await self._miss(slot, head)
                return
            await self._book(slot, found)
        if slot.found is not None and slot.found.block <= final:
            await self._finish(slot, slot.found)

    async def _book(self, slot: Slot, found: Found) -> None:
        async with self._lock:
            held, row = slot.in_chain, slot.attempts[found.hash]
            if row.state is S.DROPPED:
                raise _mined_after_all(row, found)
            if row == _landed(row, found):
                self._recorder.tell(TxEvent(row, found.receipt))  # of an earlier run, which may not have told it
            else:
                gone = [] if held is None else [TxEvent(self._taken_back(held))]
                row = gone[0].row if held is not None and held.hash == row.hash else row
                *between, last = steps_to(row, _landed(row, found))
                await self._recorder.record(*gone, *between, TxEvent(last.row, found.receipt))
                self._probe(KillPoint.TX_INCLUDED)
            slot.found, slot.missing_since = found, 0

    async def _take_back(self, slot: Slot) -> None:
        async with self._lock:
            slot.found, slot.since = None, 0
            if (held := slot.in_chain) is not None:
                await self._recorder.record(TxEvent(self._taken_back(held)))

    def _taken_back(self, held: TxRow) -> TxRow:
        facts = {"hash": held.hash, "block": held.block, "block_hash": held.block_hash}
        self._note("transaction_reorged", facts)
        return replace(held, state=S.REORGED)

    async def _miss(self, slot: Slot, head: Head) -> None:
        slot.missing_since = slot.missing_since or head.block.number
        if head.block.number - slot.missing_since < self._policy.foreign_patience:
            return
        used = await self._rpc.agreed(f"nonce of {self._address}", count_at(self._address, head.block))
        found = await self._rpc.agreed(f"nonce {slot.nonce}: receipt", self._where_is(slot))
        if found is not None or used <= slot.nonce:
            return
        culprit = await self._rpc.agreed(f"nonce {slot.nonce}: user", who_used(self._address, slot.nonce, head.block))
        if culprit in slot.attempts:
            self._note("receipt_missing_alarm", {"hash": culprit, "nonce": slot.nonce})
            return
        await self._take_back(slot)
        raise foreign_nonce(self._address, slot.nonce, f"{culprit or 'used'}, none of {', '.join(slot.attempts)}")

    async def _finish(self, slot: Slot, found: Found) -> None:
        confirmed = await self._rpc.agreed(f"transaction {found.hash}: receipt", self._where_is(slot))
        if confirmed is None:  # not seen is no proof while its nonce is used: the next head looks for it once more
            slot.found = None
            return
        if confirmed != found:  # moved meanwhile, or what one endpoint told alone was not so
            await self._take_back(slot)
            await self._book(slot, confirmed)
            return
        async with self._lock:
            held = slot.attempts[found.hash]
            losers = [row for row in slot.attempts.values() if row.hash != held.hash and row.state is not S.DROPPED]
            ends = [TxEvent(replace(row, state=S.DROPPED, replaced_by=held.hash)) for row in losers]
            state = S.FINAL if held.state is S.INCLUDED else held.state
            await self._recorder.record(*ends, TxEvent(replace(held, state=state, is_final=True), found.receipt))

    # -------------------------------------------------------------------------------------------- the nonce is free
    async def _follow_waiting(self, slot: Slot, head: Head, *, is_lowest: bool) -> None:
        slot.missing_since = 0
        if slot.in_chain is not None:
            await self._take_back(slot)
        if not slot.since or (is_lowest and not slot.is_lowest):
            slot.since = head.block.number
        slot.is_lowest = is_lowest
        row = slot.newest
        if row is None:
            return
        if row.attempt is not Attempt.CANCEL and _is_too_late(row, head):
            await self.cancel(slot, head, "deadline passed")
        elif self._is_stuck(slot, row, head):
            await self._replace(slot, head)
        elif row.state is not S.BROADCAST or (head.block.number - slot.since) % self._policy.rebroadcast_every == 0:
            await self._offer_again(slot, row, head)

    async def _offer_again(self, slot: Slot, row: TxRow, head: Head) -> None:
        async with self._lock:  # an order that is just being sent is offered by its sender, who may also give it up
            refusal = await self._desk.offer(row) if slot.newest is row else None
        if refusal is Refusal.UNDERPRICED_REPLACEMENT and len(slot.attempts) == 1:
            raise foreign_nonce(self._address, slot.nonce, f"another transaction is pending beside {row.hash}")
        if refusal in {Refusal.FEE_TOO_LOW, Refusal.UNDERPRICED_REPLACEMENT}:
            await self._replace(slot, head)

    def _is_stuck(self, slot: Slot, row: TxRow, head: Head) -> bool:
        """Those behind the lowest nonce wait for that one, unless the base fee alone keeps them out."""
        waited = head.block.number - slot.since
        is_early = waited > 0 and self._policy.rarely(RarePath.FEE_RAISED_EARLY)
        if waited < self._policy.replace_after and not is_early:
            return False
        return slot.is_lowest or row.max_fee_wei < head.header.base_fee_wei

    async def _replace(self, slot: Slot, head: Head) -> None:
        row = slot.newest
        if row is None:
            return
        if row.attempt is Attempt.CANCEL:
            await self.cancel(slot, head, "cancel is stuck")
            return
        fees = replacement(row.fees, await self._gas.fresh(head.header), row.fee_cap_wei)
        if fees is None:
            await self.cancel(slot, head, f"fee cap of {row.fee_cap_wei} wei reached")
        else:
            self._note("transaction_replaced", {"hash": row.hash, "max_fee_wei": fees.max_fee_wei})
            await self._put_in_place(slot, head, draft_again(row, fees), row)

    async def cancel(self, slot: Slot, head: Head, why: str) -> None:
        """Free the nonce by a transaction of nothing, at a price of its own cap. Raises as ``track``."""
        row = slot.newest
        if row is None:
            return
        fees = replacement(row.fees, await self._gas.fresh(head.header), self._gas.policy.cancel_fee_max_wei)
        if fees is None:
            facts = {"hash": row.hash, "nonce": row.nonce, "max_fee_wei": row.max_fee_wei}
            self._note("transaction_stuck_alarm", facts)
            return
        self._note("transaction_cancelled", {"hash": row.hash, "order": row.order_id, "why": why})
        await self._put_in_place(slot, head, draft_cancel(row, fees), row)

    async def _put_in_place(self, slot: Slot, head: Head, draft: Draft, row: TxRow) -> None:
        async with self._lock:
            newest = slot.newest
            if slot.in_chain is None and newest is not None and newest.hash == row.hash:
                slot.since = head.block.number
                await self._desk.offer(await self._desk.sign(draft, instead_of=row))

    def _where_is(self, slot: Slot) -> Question[Found | None]:
        return where_is(self._address, list(reversed(slot.attempts)))


def _landed(row: TxRow, found: Found) -> TxRow:
    return replace(
        row,
        state=S.INCLUDED if found.is_success else S.REVERTED,
        block=found.block,
        block_hash=found.block_hash,
        block_time=found.block_time,
        gas_used=found.gas_used,
        gas_price_wei=found.gas_price_wei,
    )


def _mined_after_all(row: TxRow, found: Found) -> IntegrityError:
    return IntegrityError(
        f"order {row.order_id}: transaction {row.hash} was refused by every endpoint, and is in block {found.block} "
        f"nevertheless; its nonce {row.nonce} may have been given to another order"
    )


def _is_too_late(row: TxRow, head: Head) -> bool:
    return row.deadline is not None and head.block.time.timestamp() >= row.deadline
