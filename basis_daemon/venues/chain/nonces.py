"""Which nonce belongs to which order, as the journal tells it. Pure: a fold of records, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.chain.transactions import Found, NonceRow, TxRecord, TxRow


@dataclass(slots=True)
class Slot:
    """One nonce and every attempt on it, oldest first.

    ``since`` is the block from which the newest attempt is waited for, ``missing_since`` that from which the nonce is
    used and none of them seen; 0 for not. ``found`` is what was booked in this run, None when it has to be looked for.
    ``taken_back`` are inclusions that were undone, oldest first.
    """

    nonce: int
    attempts: dict[str, TxRow] = field(default_factory=dict)
    since: int = 0
    is_lowest: bool = False
    found: Found | None = None
    missing_since: int = 0
    taken_back: list[TxRow] = field(default_factory=list)

    @property
    def newest(self) -> TxRow | None:
        """The attempt that should be in the pools now; None when every one was given up."""
        return next((row for row in reversed(self.attempts.values()) if row.state is not OrderState.DROPPED), None)

    @property
    def is_free(self) -> bool:
        """True when nothing that was signed for it can still be mined, as far as every endpoint said."""
        return all(row.state is OrderState.DROPPED for row in self.attempts.values())

    @property
    def in_chain(self) -> TxRow | None:
        """The attempt that a block holds."""
        return next((row for row in self.attempts.values() if row.is_in_chain), None)

    @property
    def is_final(self) -> bool:
        """True once nothing about this nonce will change."""
        return any(row.is_final for row in self.attempts.values())

    def fold(self, row: TxRow) -> None:
        """Take the next row of one of its attempts; the bytes stay although only the first row holds them."""
        before = self.attempts.get(row.hash)
        kept = replace(row, raw_hex=before.raw_hex) if before is not None and not row.raw_hex else row
        self.attempts[row.hash] = kept
        if row.state is OrderState.REORGED:
            self.taken_back.append(row)

    @property
    def undone(self) -> list[TxRow]:
        """Inclusions that no longer count: all that were taken back, but for the block that holds it now."""
        held = self.in_chain
        where = None if held is None else (held.hash, held.block_hash)
        return [row for row in self.taken_back if (row.hash, row.block_hash) != where]


class NonceBook:
    """The live nonces of one address, and the last word on every order."""

    def __init__(self, address: str, records: Iterable[TxRecord] = ()) -> None:
        self.address = address
        self.is_new = True
        self.next_nonce = 0
        self._settled_below = 0
        self._slots: dict[int, Slot] = {}
        self._nonces: dict[str, int] = {}
        self._ends: dict[str, TxRow] = {}
        for record in records:
            self.fold(record)

    def fold(self, record: TxRecord) -> None:
        """Take a record, of now or of an earlier run."""
        self.is_new = False
        if isinstance(record, NonceRow):
            self._adopt(record)
        elif record.nonce >= self._settled_below:
            self._step(record)

    def live(self) -> list[Slot]:
        """Nonces that something signed waits for or holds, and that are not final: lowest first."""
        return [slot for _, slot in sorted(self._slots.items()) if not slot.is_free]

    def undone(self) -> list[TxRow]:
        """Inclusions of nonces that are not final which no longer count, lowest nonce first."""
        return [row for _, slot in sorted(self._slots.items()) for row in slot.undone]

    def slot(self, nonce: int) -> Slot:
        """The slot of a nonce that is not final; a new one where nothing was signed for it."""
        return self._slots.get(nonce) or Slot(nonce)

    def slot_of(self, order_id: str) -> Slot | None:
        """The live slot of an order, None where there is none or it is final."""
        return self._slots.get(self._nonces.get(order_id, -1))

    def last_of(self, order_id: str) -> TxRow | None:
        """The last word on an order: what the chain holds of it, else its newest attempt; None when never signed."""
        if (slot := self.slot_of(order_id)) is None:
            return self._ends.get(order_id)
        rows = [row for row in slot.attempts.values() if row.order_id == order_id]
        return next((row for row in rows if row.is_in_chain), rows[-1])

    def signed_for(self, order_id: str) -> frozenset[str]:
        """Hashes of every attempt of an order, and once its nonce is final of the one that was mined."""
        if (slot := self.slot_of(order_id)) is not None:
            return frozenset(row.hash for row in slot.attempts.values() if row.order_id == order_id)
        end = self._ends.get(order_id)
        return frozenset() if end is None else frozenset({end.hash})

    @property
    def has_pending(self) -> bool:
        """True while a transaction of ours waits for a block."""
        return any(slot.in_chain is None for slot in self.live())

    def check_against(self, chain_nonce: int) -> None:
        """Raises IntegrityError where the chain's count and the journal cannot both be of this address."""
        if chain_nonce < self._settled_below:
            raise IntegrityError(
                f"address {self.address}: chain nonce {chain_nonce}, but all below {self._settled_below} are final in "
                "the journal; this is another chain, or one that began anew: use the journal that belongs to it"
            )
        known = {slot.nonce for slot in self.live()}
        gaps = [nonce for nonce in range(max(chain_nonce, self._settled_below), self.next_nonce) if nonce not in known]
        if gaps:
            raise IntegrityError(f"address {self.address}: no transaction in the journal for nonces {gaps}")

    def _step(self, row: TxRow) -> None:
        slot = self._slots.setdefault(row.nonce, Slot(row.nonce))
        slot.fold(row)
        self._nonces[row.order_id] = row.nonce
        if slot.is_final:
            self._settle(slot)
        elif not slot.is_free:
            self.next_nonce = max(self.next_nonce, row.nonce + 1)
        elif row.nonce + 1 == self.next_nonce:  # refused by everyone, so the next order may have it
            self.next_nonce = row.nonce

    def _adopt(self, record: NonceRow) -> None:
        for slot in [slot for nonce, slot in self._slots.items() if nonce < record.nonce]:
            self._settle(slot)
        self._settled_below = max(self._settled_below, record.nonce)
        self.next_nonce = max(self.next_nonce, record.nonce)

    def _settle(self, slot: Slot) -> None:
        for row in slot.attempts.values():
            if (last := self.last_of(row.order_id)) is not None:
                self._ends[row.order_id] = replace(last, raw_hex="")  # one per order for as long as the process lives
        for row in slot.attempts.values():
            self._nonces.pop(row.order_id, None)
        del self._slots[slot.nonce]
        self._settled_below = max(self._settled_below, slot.nonce + 1)
        self.next_nonce = max(self.next_nonce, slot.nonce + 1)
