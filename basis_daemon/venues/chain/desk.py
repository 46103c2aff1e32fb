"""Signs, journals, then offers: no byte leaves before it is on disk, and no nonce is signed for twice in vain."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.conversions import to_hex
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from msgspec.structs import replace

from basis_daemon.domain.errors import BasisError, IntegrityError, OutcomeUnknownError, VenueUnreachableError
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import KillPoint, Probe
from basis_daemon.venues.chain.endpoint import hex_of
from basis_daemon.venues.chain.errors import Refusal
from basis_daemon.venues.chain.fees import Fees
from basis_daemon.venues.chain.notes import Note
from basis_daemon.venues.chain.recorder import TxRecorder
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.signers import Signer, TxFields
from basis_daemon.venues.chain.transactions import Attempt, TxEvent, TxRequest, TxRow, broadcast, steps_to

S = OrderState
CANCEL_GAS = 21_000


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction before it is signed."""

    request: TxRequest
    nonce: int
    gas: int
    fees: Fees
    attempt: Attempt = Attempt.ORIGINAL


class SigningDesk:
    """One writer: callers hold the account's lock."""

    def __init__(self, signer: Signer, rpc: RpcPool, recorder: TxRecorder, probe: Probe, note: Note) -> None:
        self._signer, self._rpc, self._recorder = signer, rpc, recorder
        self._probe, self._note = probe, note
        self.closed: BasisError | None = None

    async def sign(self, draft: Draft, instead_of: TxRow | None = None) -> TxRow:
        """The signed transaction once it is on disk, together with the end of what it replaces.

        Raises IntegrityError when the signer signed something else, and the reason why the desk is closed.
        """
        if self.closed is not None:
            raise self.closed
        fields = self._fields(draft)
        raw = await self._signer.sign(fields)
        self._check(raw, fields)
        self._probe(KillPoint.TX_SIGNED)
        row = self._row(draft, raw)
        end = [] if instead_of is None else steps_to(instead_of, _replaced(instead_of, row.hash))
        await self._recorder.record(*end, TxEvent(row))
        self._probe(KillPoint.TX_JOURNALLED)
        return row

    async def offer(self, row: TxRow) -> Refusal | None:
        """Send these bytes, for the first time or again; None when they are in a pool, may be, or nobody was there."""
        try:
            refusal = await self._send(row)
        except OutcomeUnknownError as error:
            self._note("transaction_in_doubt", {"hash": row.hash, "why": str(error)})
            refusal = None
        except VenueUnreachableError as error:
            self._note("transaction_unsent", {"hash": row.hash, "why": str(error)})
            return None
        self._probe(KillPoint.TX_BROADCAST)
        if refusal is None and self._recorder.book.slot(row.nonce).attempts[row.hash].state is not S.BROADCAST:
            self._recorder.note(broadcast(row))
        return refusal

    async def _send(self, row: TxRow) -> Refusal | None:
        if row.is_private and row.attempt is Attempt.CANCEL and self._rpc.has_private:
            with suppress(OutcomeUnknownError, VenueUnreachableError):
                await self._rpc.send_raw(row.raw, row.hash, is_private=True)
            return await self._rpc.send_raw(row.raw, row.hash)  # a cancel hides nothing: whoever can may mine it
        return await self._rpc.send_raw(row.raw, row.hash, is_private=row.is_private)

    def _fields(self, draft: Draft) -> TxFields:
        return {
            "type": 2,
            "chainId": self._rpc.identity.chain_id,
            "nonce": draft.nonce,
            "to": to_checksum_address(draft.request.to),
            "value": draft.request.value,
            "data": to_hex(draft.request.data),
            "gas": draft.gas,
            "maxFeePerGas": draft.fees.max_fee_wei,
            "maxPriorityFeePerGas": draft.fees.tip_wei,
            "accessList": [],
        }

    def _check(self, raw: bytes, fields: TxFields) -> None:
        """What was signed is what was asked for, by the right key: a signer may be another machine."""
        unsigned = TypedTransaction.from_dict(dict(fields)).hash()
        signer = Account.recover_transaction(HexBytes(raw))
        if TypedTransaction.from_bytes(HexBytes(raw)).hash() != unsigned or signer != self._signer.address:
            raise IntegrityError(
                f"signer of {self._signer.address}: nonce {fields['nonce']} signed by {signer}, or other fields than "
                "asked for; nothing was sent"
            )

    def _row(self, draft: Draft, raw: bytes) -> TxRow:
        request = draft.request
        return TxRow(
            order_id=request.order_id,
            address=self._signer.address,
            nonce=draft.nonce,
            hash=hex_of(keccak(raw)),
            state=S.SIGNED,
            attempt=draft.attempt,
            max_fee_wei=draft.fees.max_fee_wei,
            tip_wei=draft.fees.tip_wei,
            fee_cap_wei=request.fee_cap_wei,
            deadline=request.deadline,
            is_private=request.is_private,
            raw_hex=to_hex(raw),
        )


def draft_again(row: TxRow, fees: Fees) -> Draft:
    """The same transaction with other fees, out of its own bytes."""
    fields = TypedTransaction.from_bytes(HexBytes(row.raw)).as_dict()
    request = _request(row, hex_of(fields["to"]), bytes(HexBytes(fields["data"])), int(fields["value"]))
    attempt = Attempt.CANCEL if row.attempt is Attempt.CANCEL else Attempt.REPLACEMENT
    return Draft(request, row.nonce, int(fields["gas"]), fees, attempt)


def draft_cancel(row: TxRow, fees: Fees) -> Draft:
    """Nothing, sent to ourselves, on the same nonce."""
    return Draft(_request(row, row.address, b"", 0), row.nonce, CANCEL_GAS, fees, Attempt.CANCEL)


def _request(row: TxRow, to: str, data: bytes, value: int) -> TxRequest:
    return TxRequest(row.order_id, to, data, value, row.fee_cap_wei, deadline=row.deadline, is_private=row.is_private)


def _replaced(row: TxRow, by: str) -> TxRow:
    return replace(row, state=S.REPLACED, replaced_by=by)
