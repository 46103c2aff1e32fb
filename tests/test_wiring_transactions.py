"""Rows of transactions in the journal: none goes that somebody may still ask for, and trades are found again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from basis_daemon.domain.order import Order, Side
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.engine.codec import TradeRow
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.engine.upkeep import Upkeep
from basis_daemon.journal.pruning import Retention
from basis_daemon.journal.writer import Limits
from basis_daemon.ports import RecordKind
from basis_daemon.venues.chain.nonces import NonceBook
from basis_daemon.venues.chain.transactions import NonceRow, TxRecord
from basis_daemon.wiring_journal import HeldBack
from basis_daemon.wiring_transactions import BookedTrades, TransactionJournal
from tests.bench.stack import silent
from tests.journal.builders import NOON, open_journal
from tests.venues.chain.support import OWNER
from tests.venues.chain.test_nonces import row
from tests.venues.paper_support import COIN, trade_order

S = OrderState
AT_ONCE = Limits(retention=Retention(timedelta(0), timedelta(0), snapshots=1))
SNAPSHOT_ROWS = 10


class Life:
    """One life of a book whose retention keeps nothing that it need not keep."""

    def __init__(self, file: Path) -> None:
        self.journal = open_journal(file, limits=AT_ONCE)
        self.recorder = Recorder(recover(self.journal), self.journal)
        self.recorder.see_time(NOON)
        self.transactions = TransactionJournal(self.recorder, self.journal)
        self.book = NonceBook(OWNER, self.transactions.read(OWNER))
        held_back = HeldBack(self.journal, [lambda: None, self.transactions.needed_from])
        self._upkeep = Upkeep(self.recorder, silent, SNAPSHOT_ROWS, held_back)

    async def goes_on(self) -> int:
        """Long enough for several snapshots; the rows of transactions that are left."""
        for number in range(5 * SNAPSHOT_ROWS):
            self.recorder.note(RecordKind.VALUATION, f'{{"n":{number}}}', "test")
            self._upkeep.look()
            await self.recorder.flush()
        return len(self.transactions.read(OWNER))

    async def order(self) -> Order:
        """Sent, and nobody knows yet what became of it."""
        wish = trade_order(COIN, Side.BUY, "1")
        await self.recorder.intents([wish])
        self.recorder.move(wish, S.SUBMITTED, NOON)
        return wish

    async def keep(self, *records: TxRecord) -> None:
        await self.transactions.append_durable(records)


@asynccontextmanager
async def life(directory: Path) -> AsyncIterator[Life]:
    one = Life(directory / "journal.db")
    yield one
    await one.journal.close()


@pytest.mark.feature("X01", part="pruning")
@pytest.mark.feature("H02", part="pruning")
async def test_a_transaction_that_waits_keeps_its_bytes_however_old_its_rows_are(tmp_path: Path) -> None:
    async with life(tmp_path) as first:
        await first.keep(row(0), row(0, state=S.BROADCAST))
        assert await first.goes_on() == 2
    async with life(tmp_path) as second:
        (slot,) = second.book.live()
        assert slot.newest is not None
        assert slot.newest.raw == b"\x02"
        assert await second.goes_on() == 2
        second.transactions.append(row(0, state=S.FINAL))
        assert await second.goes_on() == 0, "nobody will ask for it any more"


@pytest.mark.feature("X01", part="pruning")
@pytest.mark.feature("O04", part="pruning")
async def test_a_final_transaction_stays_until_its_order_has_ended(tmp_path: Path) -> None:
    async with life(tmp_path) as first:
        wish = await first.order()
        steps = [row(0, state=state, order_id=wish.order_id) for state in (S.SIGNED, S.BROADCAST, S.INCLUDED, S.FINAL)]
        await first.keep(*steps)
        assert await first.goes_on() == 4
    async with life(tmp_path) as second:
        assert second.recorder.state.in_doubt() == (wish.order_id,)
        last = second.book.last_of(wish.order_id)
        assert last is not None, "without its rows it would pass for one that was never sent"
        assert last.is_final
        assert await second.goes_on() == 4
        second.recorder.move(wish, S.NEVER_ACCEPTED)
        assert await second.goes_on() == 0


@pytest.mark.parametrize(
    "end",
    [
        [row(0, state=S.DROPPED)],
        [NonceRow(address=OWNER, nonce=1, why="an operator's word")],
        [row(1), row(1, state=S.FINAL)],
    ],
)
async def test_what_was_dropped_adopted_or_overtaken_holds_nothing_back(tmp_path: Path, end: list[TxRecord]) -> None:
    async with life(tmp_path) as one:
        await one.keep(row(0), row(0, "b"), row(0, "b", state=S.DROPPED))
        assert await one.goes_on() == 3
        await one.keep(*end)
        assert await one.goes_on() == 0


async def test_a_trade_of_an_earlier_run_is_found_by_its_id(tmp_path: Path) -> None:
    async with life(tmp_path) as first:
        for number in range(3):
            first.recorder.record(TradeRow(booked(f"0xa{number}:7286d475:0"), None), "test")
        await first.recorder.flush()
    async with life(tmp_path) as second:
        recall = BookedTrades(second.journal)
        assert recall("0xa1:7286d475:0") == booked("0xa1:7286d475:0")
        assert recall("0xa9:7286d475:0") is None


def booked(name: str) -> Trade:
    return Trade(
        trade_id=name, order_id="", account=COIN.venue, instrument=COIN, status=TradeStatus.FILLED,
        order_state=S.FILLED, venue_time=NOON, recv_time=NOON, deltas={COIN: Decimal("1.5")},
    )  # fmt: skip
