"""One address and its only writer: every nonce is given out here, and what becomes of it is followed here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from eth_utils.address import to_checksum_address

from basis_daemon.domain.errors import BasisError, ErrorClass, IntegrityError, OrderRejectedError, VenueUnreachableError
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import Clock, Probe, pass_by
from basis_daemon.venues.chain.desk import Draft, SigningDesk, draft_again
from basis_daemon.venues.chain.endpoint import Header, newest_header
from basis_daemon.venues.chain.errors import Refusal, foreign_nonce
from basis_daemon.venues.chain.fees import FeePolicy, Fees, capped, replacement, unlike
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.heads import Head
from basis_daemon.venues.chain.notes import Note, ignore_note
from basis_daemon.venues.chain.receipts import count_at, where_is
from basis_daemon.venues.chain.recorder import TxRecorder, TxSink
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.signers import Signer
from basis_daemon.venues.chain.tracker import Tracker, TrackPolicy
from basis_daemon.venues.chain.transactions import TxEvent, TxJournal, TxRequest, TxRow

_CLASSES: dict[Refusal, ErrorClass] = {
    Refusal.INSUFFICIENT: ErrorClass.INSUFFICIENT,
    Refusal.FEE_TOO_LOW: ErrorClass.RETRYABLE,
    Refusal.POOL_FULL: ErrorClass.RETRYABLE,
}
LOOK_AGAIN_S = 1.0
HALTED = "account_halted"
"""Code of an order that a halted account did not sign."""


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """How fees are found and how transactions are followed."""

    fees: FeePolicy = field(default_factory=FeePolicy)
    track: TrackPolicy = field(default_factory=TrackPolicy)


@dataclass(frozen=True, slots=True)
class Adopted:
    """The nonce that is ours next, how many below it another hand used, and the orders that lost theirs to it."""

    nonce: int
    foreign: int
    orders: tuple[str, ...]


class TxHandle:
    """What became of one order, for whoever sent it."""

    def __init__(self, order_id: str, recorder: TxRecorder) -> None:
        self.order_id = order_id
        self._recorder = recorder

    @property
    def row(self) -> TxRow:
        """The last word: what the chain holds, else the newest attempt. Raises IntegrityError when there is none."""
        row = self._recorder.book.last_of(self.order_id)
        if row is None:
            raise IntegrityError(f"order {self.order_id}: no transaction, expected one")
        return row

    async def in_chain(self) -> TxRow:
        """Once a block holds it (reverted and cancelled too), or it is given up; a reorganisation may undo that.

        The caller sets the time-out. Raises what halted the account.
        """
        return await self._recorder.until(self.order_id, lambda row: row.is_in_chain or row.state is OrderState.DROPPED)

    async def final(self) -> TxRow:
        """Once nothing about it will change; as ``in_chain`` otherwise."""
        return await self._recorder.until(self.order_id, lambda row: row.is_final or row.state is OrderState.DROPPED)


class ChainAccount:
    """Everybody who wants a transaction of this address asks here, and nobody else signs for it."""

    def __init__(
        self,
        signer: Signer,
        rpc: RpcPool,
        journal: TxJournal,
        clock: Clock,
        sink: TxSink,
        policy: AccountPolicy | None = None,
        probe: Probe = pass_by,
        note: Note = ignore_note,
    ) -> None:
        policy = policy or AccountPolicy()
        self.address = to_checksum_address(signer.address)
        self._rpc, self._clock, self._note = rpc, clock, note
        self._lock = asyncio.Lock()
        self._recorder = TxRecorder(self.address, journal, sink)
        self._gas = GasDesk(rpc, policy.fees)
        self._desk = SigningDesk(signer, rpc, self._recorder, probe, note)
        self._tracker = Tracker(
            self.address, rpc, self._recorder, self._desk, self._gas, policy.track, self._lock, probe, note
        )
        self._head: Head | None = None
        self._news = asyncio.Event()

    # ------------------------------------------------------------------------------------------------ its life
    async def start(self) -> None:
        """Compare journal and chain, then go on with what was left.

        Raises ForeignNonceError, IntegrityError (another chain, a gap), VenueUnreachableError.
        """
        header = await self._rpc.ask("newest block", newest_header)
        used = await self._rpc.agreed(f"nonce of {self.address}", count_at(self.address, header.block))
        book = self._recorder.book
        if book.is_new:
            await self._recorder.adopt(used, "first start")
        if used > book.next_nonce:
            raise foreign_nonce(self.address, book.next_nonce, f"the chain is at {used}")
        book.check_against(used)
        for row in book.undone():  # that it was taken back is on disk, that its booking was undone may not be
            self._recorder.tell(TxEvent(row))
        self._head = Head(header, is_gap=True)
        if not await self.follow(self._head):
            self._news.set()
        if self.halted is not None:
            raise self.halted

    async def run(self) -> None:
        """Follow every transaction from head to head, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            head = self._head
            if head is not None and not await self.follow(head):
                await self._clock.sleep(LOOK_AGAIN_S)
                self._news.set()

    def on_head(self, head: Head) -> None:
        """A ``HeadSink``: the newest waits, and with it what those before it took back."""
        missed = self._news.is_set() and self._head is not None and (self._head.removed or self._head.is_gap)
        self._head = Head(head.header, head.removed, head.added, is_gap=True) if missed else head
        self._news.set()

    async def adopt(self, why: str) -> Adopted:
        """Take the chain's nonce as ours, on an operator's word, instead of ``start``.

        Orders whose nonce was used by another are given up. Where every nonce is ours nothing is recorded. Raises
        VenueUnreachableError.
        """
        header = await self._rpc.ask("newest block", newest_header)
        used = await self._rpc.agreed(f"nonce of {self.address}", count_at(self.address, header.block))
        book, lost = self._recorder.book, []
        for slot in book.live():
            where = where_is(self.address, list(slot.attempts))
            if slot.nonce < used and await self._rpc.agreed(f"nonce {slot.nonce}: receipt", where) is None:
                lost.append(list(slot.attempts.values()))
        foreign = len(lost) + max(0, used - book.next_nonce)
        if foreign:
            for rows in lost:
                await self._recorder.give_up(rows, why)
            await self._recorder.adopt(used, why)
        return Adopted(used, foreign, tuple(rows[-1].order_id for rows in lost))

    def is_busy(self) -> bool:
        """True while something that was signed is in no block yet, as far as is known."""
        return self._recorder.book.has_pending

    @property
    def halted(self) -> BasisError | None:
        """Why nothing more is signed, None while all is well."""
        return self._desk.closed

    async def follow(self, head: Head) -> bool:
        """Look after every transaction in the light of this head; False when the chain could not be read."""
        try:
            await self._tracker.track(head)
        except VenueUnreachableError as error:
            self._note("chain_unreadable", {"block": head.block.number, "why": str(error)})
            return False
        except IntegrityError as error:
            self._halt(error)
        return True

    def _halt(self, error: BasisError) -> None:
        if self._desk.closed is None:
            self._desk.closed = error
            self._note("account_halted_alarm", {"address": self.address, "why": str(error)})
            self._recorder.fail(error)

    # -------------------------------------------------------------------------------------------------- orders
    def find(self, order_id: str) -> TxHandle | None:
        """What is known of an order; None for one that was never signed, so never sent."""
        return None if self._recorder.book.last_of(order_id) is None else TxHandle(order_id, self._recorder)

    def signed_for(self, order_id: str) -> frozenset[str]:
        """Hashes of the transactions that may carry this order out, a replacement's before it is mined."""
        return self._recorder.book.signed_for(order_id)

    async def submit(self, request: TxRequest) -> TxHandle:
        """Simulate, sign, journal, send; the same order again only returns what is known of it.

        Raises SimulationRevertedError or OrderRejectedError when nothing lives, as at a halted account, and
        VenueUnreachableError when nothing was signed. A send in doubt raises nothing: it is offered again.
        """
        if (known := self.find(request.order_id)) is not None:
            return known
        self._refuse_when_halted(request)
        if self._head is None:
            raise VenueUnreachableError(
                f"order {request.order_id}: address {self.address} is not started, its nonce unknown"
            )
        gas = await self._gas.simulated(
            self.address, request, "pending" if self._recorder.book.has_pending else "latest"
        )
        async with self._lock:
            if (known := self.find(request.order_id)) is not None:
                return known
            self._refuse_when_halted(request)
            fees = await self._fees(request, self._head.header)
            row = await self._signed(Draft(request, self._recorder.book.next_nonce, gas, fees))
            refusal = await self._desk.offer(row)
            if refusal is Refusal.FEE_TOO_LOW:
                row, refusal = await self._offered_dearer(row)
            if refusal is not None:
                await self._refused(row, refusal)
        return TxHandle(request.order_id, self._recorder)

    async def cancel(self, order_id: str) -> TxHandle | None:
        """Try to free the order's nonce; its handle tells which of the two was mined. None for an order never signed.

        A halted account signs no cancel either. Raises VenueUnreachableError.
        """
        slot, head = self._recorder.book.slot_of(order_id), self._head
        if slot is not None and head is not None and slot.in_chain is None and not slot.is_free and not self.halted:
            try:
                await self._tracker.cancel(slot, head, "asked for")
            except IntegrityError as error:
                self._halt(error)
        return self.find(order_id)

    async def revert_data(self, row: TxRow) -> bytes:
        """What the contract said when this transaction reverted, by a replay; raises VenueUnreachableError."""
        return await self._gas.revert_data(self.address, draft_again(row, row.fees).request, row.block)

    def _refuse_when_halted(self, request: TxRequest) -> None:
        if self.halted is not None:
            raise OrderRejectedError(
                f"order {request.order_id}: nothing was signed, the account is halted: {self.halted}",
                ErrorClass.AUTH,
                code=HALTED,
            )

    async def _signed(self, draft: Draft) -> TxRow:
        """A signer that signs something else is not trusted again."""
        try:
            return await self._desk.sign(draft)
        except IntegrityError as error:
            self._halt(error)
            self._refuse_when_halted(draft.request)
            raise

    async def _fees(self, request: TxRequest, header: Header) -> Fees:
        fees = capped(await self._gas.fresh(header), request.fee_cap_wei)
        if fees.max_fee_wei < header.base_fee_wei + fees.tip_wei:
            raise OrderRejectedError(
                f"order {request.order_id}: base fee {header.base_fee_wei} wei and tip {fees.tip_wei} wei, expected at "
                f"most {request.fee_cap_wei}; nothing was signed",
                ErrorClass.RETRYABLE,
                code=Refusal.FEE_TOO_LOW,
            )
        refused = self._recorder.book.slot(self._recorder.book.next_nonce).attempts.values()
        return unlike(fees, {attempt.fees for attempt in refused})

    async def _offered_dearer(self, row: TxRow) -> tuple[TxRow, Refusal | None]:
        """Once more on the same nonce, at the price of the block that is the newest now: the fee has outrun our head.

        The first attempt stands as replaced, for nobody knows what a node that calls it too cheap does with it.
        """
        try:
            header = await self._rpc.ask("newest block", newest_header)
            fees = replacement(row.fees, await self._gas.fresh(header), row.fee_cap_wei)
        except VenueUnreachableError:
            return row, Refusal.FEE_TOO_LOW
        if fees is None or fees.max_fee_wei < header.base_fee_wei + fees.tip_wei:
            return row, Refusal.FEE_TOO_LOW
        self._note("transaction_replaced", {"hash": row.hash, "max_fee_wei": fees.max_fee_wei})
        try:
            dearer = await self._desk.sign(draft_again(row, fees), instead_of=row)
        except IntegrityError as error:
            self._halt(error)
            return row, Refusal.FEE_TOO_LOW
        return dearer, await self._desk.offer(dearer)

    async def _refused(self, row: TxRow, refusal: Refusal) -> None:
        """Every endpoint refused a first attempt: its nonce goes to the next order, unless it is no longer ours."""
        if refusal in {Refusal.NONCE_TOO_LOW, Refusal.UNDERPRICED_REPLACEMENT}:
            try:
                is_foreign = await self._is_foreign(row, refusal)
            except VenueUnreachableError as silence:
                self._note("transaction_in_doubt", {"hash": row.hash, "why": f"{refusal}, then: {silence}"})
                return  # it may be mined: the next heads tell
            if is_foreign:
                self._halt(foreign_nonce(self.address, row.nonce, f"{refusal} for {row.hash}"))
                await self._give_up(row, refusal)
                raise OrderRejectedError(f"order {row.order_id}: {self.halted}", ErrorClass.AUTH, code=HALTED)
            return  # mined already, or the node is behind: the next heads tell
        await self._give_up(row, refusal)
        raise OrderRejectedError(
            f"order {row.order_id}: transaction {row.hash} was refused by every endpoint: {refusal}",
            _CLASSES.get(refusal, ErrorClass.BAD_PARAMS),
            code=refusal,
        )

    async def _give_up(self, row: TxRow, why: str) -> None:
        """Of every attempt that this order made on its nonce."""
        made = self._recorder.book.slot(row.nonce).attempts.values()
        await self._recorder.give_up([attempt for attempt in made if attempt.order_id == row.order_id], why)

    async def _is_foreign(self, row: TxRow, refusal: Refusal) -> bool:
        """True when the refusal of this nonce can only be of another hand. Raises VenueUnreachableError."""
        header = await self._rpc.ask("newest block", newest_header)
        used = await self._rpc.agreed(f"nonce of {self.address}", count_at(self.address, header.block))
        hashes = [attempt.hash for attempt in self._recorder.book.slot(row.nonce).attempts.values()]
        found = await self._rpc.agreed(f"nonce {row.nonce}: receipt", where_is(self.address, hashes))
        return found is None and (used > row.nonce if refusal is Refusal.NONCE_TOO_LOW else len(hashes) == 1)
