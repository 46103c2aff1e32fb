"""Transactions in the daemon's own journal: kept and read back, found again by trade, and not pruned while needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from basis_daemon.domain.errors import JournalError
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.engine.codec import TradeRow, load
from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Journal, RecordKind
from basis_daemon.venues.chain.names import order_of
from basis_daemon.venues.chain.transactions import NonceRow, TxRecord, TxRow

TRADES_FOUND_AGAIN = 10_000
"""The newest ones: a reorganisation reaches back some blocks, never so far."""
_RECORDS: msgspec.json.Decoder[TxRecord] = msgspec.json.Decoder(TxRecord)


@dataclass(frozen=True, slots=True)
class _Begun:
    """Where a transaction's rows begin, whose it is, and on which nonce."""

    sequence: int
    order_id: str
    nonce: int


class TransactionJournal:
    """Honours the chain's journal port over the daemon's own: one row per step of one transaction."""

    def __init__(self, recorder: Recorder, journal: Journal) -> None:
        self._recorder, self._journal = recorder, journal
        self._live: dict[str, _Begun] = {}
        self._over: dict[str, _Begun] = {}

    async def append_durable(self, records: Sequence[TxRecord]) -> None:
        """Return once they are on disk."""
        self._note(records, self._recorder.state.sequence)
        await self._recorder.keep(RecordKind.TRANSACTION, [(_text(record), _about(record)) for record in records])

    def append(self, record: TxRecord) -> None:
        """Queue one."""
        self._note((record,), self._recorder.state.sequence)
        self._recorder.note(RecordKind.TRANSACTION, _text(record), _about(record))

    def read(self, address: str) -> Sequence[TxRecord]:
        """Those of one address, oldest first. Raises JournalError for a row that cannot be read."""
        found = []
        for row in self._journal.read(kinds=frozenset({RecordKind.TRANSACTION})):
            record = _record(row.record.payload)
            if record.address == address:
                self._note((record,), row.sequence - 1)
                found.append(record)
        return found

    def needed_from(self) -> int | None:
        """Sequence of the oldest row that somebody may still ask for, None for none.

        A transaction that is not final needs its bytes; and as long as its order is open somebody asks what became of
        it, and to find nothing would mean that it was never sent.
        """
        open_ids = {life.order.order_id for life in self._recorder.state.open_orders()}
        self._over = {tx_hash: begun for tx_hash, begun in self._over.items() if begun.order_id in open_ids}
        return min((begun.sequence for kept in (self._live, self._over) for begun in kept.values()), default=None)

    def _note(self, records: Sequence[TxRecord], before: int) -> None:
        for sequence, record in enumerate(records, before + 1):
            if isinstance(record, NonceRow):
                self._end_below(record.nonce)
                continue
            known = self._live.pop(record.hash, None) or self._over.pop(record.hash, None)
            begun = known or _Begun(sequence, order_of(record.order_id), record.nonce)
            (self._over if record.state is OrderState.DROPPED else self._live)[record.hash] = begun
            if record.is_final:  # nonces become so in their order
                self._end_below(record.nonce + 1)

    def _end_below(self, nonce: int) -> None:
        for tx_hash in [tx_hash for tx_hash, begun in self._live.items() if begun.nonce < nonce]:
            self._over[tx_hash] = self._live.pop(tx_hash)


class BookedTrades:
    """Trades of earlier runs by their id, to take them back by. The journal is read when the first is asked for."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._texts: dict[str, str] | None = None

    def __call__(self, trade_id: str) -> Trade | None:
        if self._texts is None:
            rows = deque(self._journal.read(kinds=frozenset({RecordKind.TRADE})), TRADES_FOUND_AGAIN)
            self._texts = {_NAMES.decode(row.record.payload).trade.trade_id: row.record.payload for row in rows}
        text = self._texts.get(trade_id)
        return None if text is None else load(TradeRow, text).trade


class _Named(msgspec.Struct):
    trade_id: str


class _NamedRow(msgspec.Struct):
    trade: _Named


_NAMES: msgspec.json.Decoder[_NamedRow] = msgspec.json.Decoder(_NamedRow)


def _text(record: TxRecord) -> str:
    return msgspec.json.encode(record).decode()


def _about(record: TxRecord) -> str:
    return record.order_id if isinstance(record, TxRow) else record.address


def _record(text: str) -> TxRecord:
    try:
        found = _RECORDS.decode(text)
    except msgspec.ValidationError as error:
        raise JournalError(f"transaction row {text[:200]}: {error}") from error
    return found
