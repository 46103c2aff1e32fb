"""A chain as a stream: at every new head what is watched is read at that block and told in one breath."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.domain.instrument import Instrument, PositionKey
from basis_daemon.domain.market import MarketEvent, StreamChanged
from basis_daemon.ports import AccountChanged, Clock, FeedEvent, TaskScope
from basis_daemon.venues.chain.account import ChainAccount
from basis_daemon.venues.chain.eye import ChainEye
from basis_daemon.venues.chain.heads import Head, HeadStream
from basis_daemon.venues.chain.notes import Note
from basis_daemon.venues.chain.peg import PegWatch
from basis_daemon.venues.chain.rpc import RpcPool

HEADS = "heads"
SILENT_S = 60.0
"""Without a head that could be read: then the accounts are told to be down."""


class ChainFeed:
    """Starts what lives on the chain, follows its heads, and tells what they changed."""

    def __init__(
        self,
        accounts: Sequence[str],
        rpc: RpcPool,
        eye: ChainEye,
        account: ChainAccount,
        scope: TaskScope,
        clock: Clock,
        note: Note,
    ) -> None:
        self._accounts, self._rpc, self._eye, self._account = accounts, rpc, eye, account
        self._scope, self._clock, self._note = scope, clock, note
        self._pegs = PegWatch(note)
        self._news = asyncio.Event()
        self._is_up = self._has_moved = False

    async def start(self) -> Mapping[PositionKey, Instrument]:
        """Connect, compare the transactions journalled with the chain, and follow it from here.

        Raises ConfigError, VenueUnreachableError, and what keeps the account from signing.
        """
        await self._account.start()
        heads = HeadStream(self._rpc, self._clock, self._scope, self._on_head, note=self._note)
        self._scope.spawn("chain:endpoints", self._rpc.run())
        self._scope.spawn("chain:heads", heads.run())
        self._scope.spawn("chain:transactions", self._account.run())
        return {}

    async def history(self) -> Sequence[MarketEvent]:
        """Nothing: a chain's past is not kept by every endpoint."""
        return ()

    async def run(self, sink: Callable[[FeedEvent], None]) -> None:
        """Tell of every head that can be read, until cancelled."""
        self._news.set()
        while True:
            try:
                async with asyncio.timeout(SILENT_S):
                    await self._news.wait()
                self._news.clear()
                self._tell_moves(sink)
                events: list[FeedEvent] = [*await self._eye.figures(self._accounts), *await self._eye.market()]
            except (TimeoutError, VenueUnreachableError) as error:
                self._turn(sink, is_up=False, why=str(error) or f"no head for {SILENT_S:g} s")
                continue
            self._turn(sink, is_up=True)
            self._pegs.see(events)
            for event in events:
                sink(event)

    async def close(self) -> None:
        """Leave nothing open."""
        await self._rpc.close()

    def look_again(self) -> None:
        """A transaction of ours was booked: what the accounts said before it says nothing any more."""
        self._has_moved = True
        self._news.set()

    def _tell_moves(self, sink: Callable[[FeedEvent], None]) -> None:
        if self._has_moved:
            self._has_moved = False
            for account in self._accounts:
                sink(AccountChanged(account, self._clock.wall(), "our transaction"))

    def _on_head(self, head: Head) -> None:
        self._eye.on_head(head)
        self._account.on_head(head)
        self._news.set()

    def _turn(self, sink: Callable[[FeedEvent], None], *, is_up: bool, why: str = "") -> None:
        if is_up is self._is_up:
            return
        self._is_up = is_up
        for account in self._accounts:
            sink(StreamChanged(account, HEADS, is_up, self._clock.monotonic_ns(), why))
