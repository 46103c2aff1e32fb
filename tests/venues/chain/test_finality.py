"""What the second look at a transaction may say before its nonce is closed: the same, another block, or nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from eth_account import Account
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import pass_by
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.desk import SigningDesk
from basis_daemon.venues.chain.endpoint import ChainIdentity, Header
from basis_daemon.venues.chain.fees import FeePolicy
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.heads import Head
from basis_daemon.venues.chain.notes import ignore_note
from basis_daemon.venues.chain.recorder import TxRecorder
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.tracker import Tracker, TrackPolicy
from basis_daemon.venues.chain.transactions import Found, NonceRow, TxEvent, TxRecord
from tests.venues.chain.support import KEY, OWNER, MemoryTxJournal
from tests.venues.chain.test_nonces import row

S = OrderState
NOTHING: Any = {}
LANDED = Found("0xa0", 10, "0xb10", 1_767_571_800, True, 21_000, 1, (), receipt=NOTHING)  # noqa: FBT003 - it went through
MOVED = replace(LANDED, block=11, block_hash="0xb11")


class Told(RpcPool):
    """Nodes that have used one nonce: one of them shows where, and what two say alike is ``agreed_on``."""

    def __init__(self, scope: TaskTree) -> None:
        super().__init__([], ChainIdentity(1, "0x0"), SystemClock(), scope)
        self.agreed_on: Found | None = LANDED

    async def ask(self, what: str, question: Any) -> Any:  # noqa: ANN401 - a pool answers whatever it is asked
        return 1 if what.startswith(f"nonce of {OWNER}") else LANDED

    async def agreed(self, what: str, question: Any) -> Any:  # noqa: ANN401 - the same
        return self.agreed_on


class Followed:
    """A transaction that is in block 10, and a tracker that has every block confirmed at once."""

    def __init__(self, scope: TaskTree) -> None:
        self.pool, self.states = Told(scope), list[OrderState]()
        rows: list[TxRecord] = [NonceRow(address=OWNER, nonce=0, why="first start"), row(), row(state=S.BROADCAST)]
        recorder = TxRecorder(OWNER, MemoryTxJournal(rows), self.hear)
        desk = SigningDesk(KeySigner(SecretStr(KEY)), self.pool, recorder, pass_by, ignore_note)
        self.tracker = Tracker(
            Account.from_key(KEY).address, self.pool, recorder, desk, GasDesk(self.pool, FeePolicy()),
            TrackPolicy(confirmations=1), asyncio.Lock(), pass_by, ignore_note,
        )  # fmt: skip

    def hear(self, event: TxEvent) -> None:
        self.states.append(event.row.state)

    async def see(self, number: int, agreed_on: Found | None) -> list[OrderState]:
        """What is told at this head."""
        self.pool.agreed_on = agreed_on
        self.states.clear()
        block = BlockRef(number, f"0xb{number}", datetime(2026, 1, 5, tzinfo=UTC))
        await self.tracker.track(Head(Header(block, f"0xb{number - 1}", 1)))
        return list(self.states)


async def test_a_receipt_that_no_node_can_show_for_a_while_takes_no_booking_back() -> None:
    async with TaskTree("nodes") as scope:
        followed = Followed(scope)
        assert await followed.see(10, None) == [S.INCLUDED]
        assert await followed.see(11, LANDED) == [S.INCLUDED, S.FINAL]


async def test_a_receipt_in_another_block_takes_the_booking_back_and_books_anew() -> None:
    async with TaskTree("nodes") as scope:
        assert await Followed(scope).see(10, MOVED) == [S.INCLUDED, S.REORGED, S.INCLUDED]
