"""Every step of every transaction passes here: on disk first, then into the book, then told to whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from basis_daemon.domain.errors import BasisError, IntegrityError
from basis_daemon.domain.trade import OrderState, advance
from basis_daemon.venues.chain.nonces import NonceBook
from basis_daemon.venues.chain.transactions import NonceRow, TxEvent, TxJournal, TxRow, broadcast

TxSink = Callable[[TxEvent], None]
"""Takes every step, in order; never blocks."""


class TxRecorder:
    """The only writer of the journal for one address."""

    def __init__(self, address: str, journal: TxJournal, sink: TxSink) -> None:
        self._journal, self._sink = journal, sink
        self.book = NonceBook(address, journal.read(address))
        self._waiting: list[asyncio.Future[None]] = []
        self._failed: BasisError | None = None

    async def record(self, *events: TxEvent) -> None:
        """Return once all are on disk, together. Raises IllegalTransitionError, before anything is written."""
        self._check([event.row for event in events])
        await self._journal.append_durable([self._written(event.row) for event in events])
        for event in events:
            self._take(event)

    def note(self, row: TxRow) -> None:
        """Record what the chain will tell again should it get lost. Raises IllegalTransitionError."""
        self._check([row])
        self._journal.append(self._written(row))
        self._take(TxEvent(row))

    def tell(self, event: TxEvent) -> None:
        """Repeat to the sink what an earlier run recorded and may not have told."""
        self._sink(event)

    async def give_up(self, rows: Sequence[TxRow], why: str) -> None:
        """Record that these attempts will never be in the chain."""
        events = []
        for row in rows:
            if row.is_in_chain:
                events.append(TxEvent(replace(row, state=OrderState.REORGED)))
            if row.state is not OrderState.DROPPED:
                events.append(TxEvent(replace(broadcast(row), state=OrderState.DROPPED, why=why)))
        await self.record(*events)

    async def adopt(self, nonce: int, why: str) -> None:
        """Record that all below ``nonce`` is settled, whoever used it."""
        record = NonceRow(address=self.book.address, nonce=nonce, why=why)
        await self._journal.append_durable([record])
        self.book.fold(record)

    async def until(self, order_id: str, is_reached: Callable[[TxRow], bool]) -> TxRow:
        """The order's last row once that is as wished. Raises what ended the account meanwhile."""
        while (row := self.book.last_of(order_id)) is None or not is_reached(row):
            if self._failed is not None:
                raise self._failed
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(change)
            await change
        return row

    def fail(self, error: BasisError) -> None:
        """Whoever waits, waits in vain."""
        self._failed = error
        self._wake()

    def _take(self, event: TxEvent) -> None:
        self.book.fold(event.row)
        self._sink(event)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():
                change.set_result(None)

    def _check(self, rows: list[TxRow]) -> None:
        states: dict[str, OrderState] = {}
        for row in rows:
            known = self.book.slot(row.nonce).attempts.get(row.hash)
            before = states.get(row.hash, known.state if known is not None else None)
            if before is None and row.state is not OrderState.SIGNED:
                raise IntegrityError(f"transaction {row.hash}: first row is {row.state}, expected SIGNED")
            if before is not None and before is not row.state:
                advance(row.order_id, before, row.state)
            states[row.hash] = row.state

    @staticmethod
    def _written(row: TxRow) -> TxRow:
        return row if row.state is OrderState.SIGNED else replace(row, raw_hex="")
