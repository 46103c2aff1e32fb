"""A restart with many transactions in the journal: the account's whole state out of the file, against a bare scan.

Each transaction has the four rows of its life (signed with its bytes, broadcast, included, final) and six rows of other
kinds around it. The last few are still waiting. The floor reads the same rows with SQLite alone and makes nothing of
them. What is timed is all that a start does before it asks the chain: read, check, fold.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop
from msgspec.structs import replace

from basis_daemon.clock import SystemClock
from basis_daemon.domain.trade import OrderState
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import BookState
from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import RecordKind
from basis_daemon.venues.chain.nonces import NonceBook
from basis_daemon.venues.chain.transactions import Attempt, TxRow
from basis_daemon.wiring_transactions import TransactionJournal
from tests.bench.measure import ROUNDS, Bound, Row, Target, settle_memory

NAME = "chain"
MANY, FEW, WAITING = 10_000, 1_000, 5
GROWTH_MAX, SCAN_AIM = 1.5, 12.0
OTHER_ROWS = 6
ADDRESS = "0x" + "5a" * 20
BYTES = "0x" + "c7" * 280
"""As long as a signed supply."""
_ONLY = "SELECT payload FROM record WHERE kind = 'transaction' ORDER BY sequence"


def measure(rounds: int = ROUNDS) -> list[Row]:
    """Rows for the report."""
    with TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as place:
        return uvloop.run(_measure(Path(place), rounds))


async def _measure(place: Path, rounds: int) -> list[Row]:
    many, few = [await _written(place / f"{count}.db", count) for count in (MANY, FEW)]
    size = (place / f"{MANY}.db").stat().st_size
    settle_memory()
    taken: dict[str, list[int]] = {"many": [], "few": [], "scan": []}
    for _ in range(rounds):
        taken["scan"].append(_scanned(place / f"{MANY}.db"))
        taken["many"].append(_recovered(many, MANY))
        taken["few"].append(_recovered(few, FEW))
    for journal in (many, few):
        await journal.close()
    pairs = zip(taken["many"], taken["few"], taken["scan"], strict=True)
    growth, over_scan = zip(*((one / other / (MANY / FEW), one / scan) for one, other, scan in pairs), strict=True)
    return [
        Row(NAME, f"recovery with {MANY:,} transactions", median(taken["many"]) / 1e6, "ms", max(taken["many"]) / 1e6,
            note=f"journal of {size / 1e6:.1f} MB, {MANY * (4 + OTHER_ROWS):,} rows; beside it the slowest round"),
        Row(NAME, "recovery / SQLite scan of the same rows", median(over_scan),
            target=Target(Bound.AT_MOST, SCAN_AIM, is_gate=False)),
        Row(NAME, f"recovery per transaction, {MANY:,} / {FEW:,}", median(growth),
            target=Target(Bound.AT_MOST, GROWTH_MAX), note="1 is linear, 10 quadratic"),
    ]  # fmt: skip


async def _written(file: Path, count: int) -> SqliteJournal:
    journal = SqliteJournal.open(file, Identity("bench", Mode.SANDBOX, "bench"), Run("bench", "bench"), SystemClock())
    recorder = Recorder(BookState(), journal)
    transactions = TransactionJournal(recorder, journal)
    for nonce in range(count):
        for row in _life(nonce, is_waiting=nonce >= count - WAITING):
            transactions.append(row)
        for _ in range(OTHER_ROWS):
            recorder.note(RecordKind.VALUATION, '{"unit_value":"1.0042","equity":"1000000.25"}', "bench")
        if nonce % 500 == 0:
            await journal.flush()
    await journal.flush()
    return journal


def _life(nonce: int, *, is_waiting: bool) -> list[TxRow]:
    signed = TxRow(
        order_id=f"{nonce:032x}", address=ADDRESS, nonce=nonce, hash=f"0x{nonce:064x}", state=OrderState.SIGNED,
        attempt=Attempt.ORIGINAL, max_fee_wei=30 * 10**9, tip_wei=10**9, fee_cap_wei=60 * 10**9, deadline=1_790_000_000,
        is_private=False, raw_hex=BYTES,
    )  # fmt: skip
    sent = replace(signed, state=OrderState.BROADCAST, raw_hex="")
    if is_waiting:
        return [signed, sent]
    mined = replace(
        sent, state=OrderState.INCLUDED, block=nonce + 1, block_hash=f"0x{nonce:064x}", block_time=1_780_000_000,
        gas_used=216_000, gas_price_wei=2 * 10**9,
    )  # fmt: skip
    return [signed, sent, mined, replace(mined, state=OrderState.FINAL, is_final=True)]


def _recovered(journal: SqliteJournal, count: int) -> int:
    """Nanoseconds, of a book that is looked into."""
    transactions = TransactionJournal(Recorder(BookState(), journal), journal)
    began = time.perf_counter_ns()
    book = NonceBook(ADDRESS, transactions.read(ADDRESS))
    taken = time.perf_counter_ns() - began
    if (book.next_nonce, len(book.live())) != (count, WAITING) or book.last_of(f"{0:032x}") is None:
        raise RuntimeError(f"recovered {len(book.live())} live and next nonce {book.next_nonce}")
    return taken


def _scanned(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        began = time.perf_counter_ns()
        connection.execute(_ONLY).fetchall()
        return time.perf_counter_ns() - began
