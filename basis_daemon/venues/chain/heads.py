"""The chain's newest block, and what became of those before it: pushed where an endpoint pushes, else asked for.

A push only says that there is a block. Whether it continues what was seen is found by its parent's hash, and what was
missed is fetched, because no node replays it and not every node says which blocks it took back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eth_typing import HexStr
from web3.eth import AsyncEth
from web3.exceptions import BlockNotFound

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.errors import VenueUnreachableError
from basis_daemon.ports import Clock, TaskScope
from basis_daemon.venues.chain.endpoint import SECOND_NS, Header, header_of, newest_header
from basis_daemon.venues.chain.notes import Note, ignore_note
from basis_daemon.venues.chain.push import listen_for_heads
from basis_daemon.venues.chain.rpc import Question, RpcPool


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block; ``removed`` and ``added`` since the head before it, oldest first, ``added`` ending with it.

    ``is_gap``: more was missed than is fetched, so ``added`` begins late and everything that depends on blocks has to
    be looked at again.
    """

    header: Header
    removed: tuple[BlockRef, ...] = ()
    added: tuple[BlockRef, ...] = ()
    is_gap: bool = False

    @property
    def block(self) -> BlockRef:
        return self.header.block


HeadSink = Callable[[Head], None]
"""Takes every new head, in order; never blocks."""


@dataclass(frozen=True, slots=True)
class HeadOptions:
    """``poll_s`` between questions without a push; a push silent for ``silence_s`` is asked about all the same.

    ``backfill_max`` blocks are fetched after a pause, ``known_max`` are remembered to find where a fork began.
    """

    poll_s: float = 2.0
    silence_s: float = 30.0
    backfill_max: int = 128
    known_max: int = 256


class ChainWalk:
    """What was seen of the chain, and how a new head follows from it."""

    def __init__(self, rpc: RpcPool, options: HeadOptions) -> None:
        self._rpc, self._options = rpc, options
        self._known: OrderedDict[str, Header] = OrderedDict()

    @property
    def tip(self) -> Header | None:
        """The newest block that was told of."""
        return next(reversed(self._known.values()), None)

    async def step_to(self, header: Header) -> Head | None:
        """How this block follows; None for one that was told of, or that a late endpoint still takes for the newest.

        Raises VenueUnreachableError when the blocks in between cannot be read.
        """
        tip = self.tip
        if header.block.hash in self._known:
            return None
        if tip is None:
            return self._told(Head(header, (), (header.block,)), [header])
        missed = await self._missed(header, tip)
        if missed is None:
            removed = () if await self._is_canonical(tip) else tuple(known.block for known in self._known.values())
            self._known.clear()
            return self._told(Head(header, removed, (header.block,), is_gap=True), [header])
        path = [*missed, header]
        removed = self._forget_after(path[0].parent_hash)
        return self._told(Head(header, removed, tuple(one.block for one in path)), path)

    async def _missed(self, header: Header, tip: Header) -> Sequence[Header] | None:
        """The blocks between ours and this one, oldest first; None when they are too many or meet none of ours.

        Each is a question of its own: all in one would take longer than an endpoint may, and with every head longer.
        """
        if header.block.number - tip.block.number > self._options.backfill_max:
            return None
        oldest = next(iter(self._known.values())).block.number
        path: list[Header] = []
        first = header
        while first.parent_hash not in self._known:
            if len(path) == self._options.backfill_max or first.block.number <= oldest:
                return None  # it forks off before anything that is known here
            first = await self._rpc.ask(f"block before {first.block.number}", _block_of(first.parent_hash))
            path.append(first)
        return path[::-1]

    async def _is_canonical(self, header: Header) -> bool:
        async def ask(eth: AsyncEth) -> Header:
            return header_of(await eth.get_block(header.block.number))

        try:
            found = await self._rpc.ask(f"block {header.block.number}", ask)
        except BlockNotFound:  # the chain is shorter now
            return False
        return found.block.hash == header.block.hash

    def _forget_after(self, fork: str) -> tuple[BlockRef, ...]:
        removed = []
        while (last := next(reversed(self._known))) != fork:
            removed.append(self._known.pop(last).block)
        return tuple(reversed(removed))

    def _told(self, head: Head, path: Sequence[Header]) -> Head:
        self._known.update({header.block.hash: header for header in path})
        while len(self._known) > self._options.known_max:
            self._known.popitem(last=False)
        return head


def _block_of(block_hash: str) -> Question[Header]:
    async def ask(eth: AsyncEth) -> Header:
        return header_of(await eth.get_block(HexStr(block_hash)))

    return ask


class HeadStream:
    """Tells a sink of every new head until cancelled; while it works on one, only the newest of the next waits."""

    def __init__(
        self,
        rpc: RpcPool,
        clock: Clock,
        scope: TaskScope,
        sink: HeadSink,
        options: HeadOptions | None = None,
        note: Note = ignore_note,
    ) -> None:
        self._rpc, self._clock, self._scope, self._sink, self._note = rpc, clock, scope, sink, note
        self._options = options or HeadOptions()
        self._walk = ChainWalk(rpc, self._options)
        self._newest: Header | None = None
        self._news = asyncio.Event()
        self._pushed_ns: int | None = None

    @property
    def tip(self) -> Header | None:
        """The newest block that the sink was told of."""
        return self._walk.tip

    async def run(self) -> None:
        """Lives until cancelled."""
        self._scope.spawn("heads:poll", self._poll())
        if self._rpc.pushing():
            self._scope.spawn("heads:push", self._listen())
        while True:
            await self._news.wait()
            self._news.clear()
            if (header := self._newest) is not None:
                await self._step_to(header)

    async def _step_to(self, header: Header) -> None:
        try:
            head = await self._walk.step_to(header)
        except (VenueUnreachableError, BlockNotFound) as error:  # the next head fetches what this one could not
            self._note("heads_unreadable", {"block": header.block.number, "why": str(error)})
            return
        if head is not None:
            if head.removed:
                self._note("reorganised", {"block": head.block.number, "removed": len(head.removed)})
            self._sink(head)

    def _hear(self, header: Header) -> None:
        self._newest = header
        self._news.set()

    def _hear_push(self, header: Header) -> None:
        self._pushed_ns = self._clock.monotonic_ns()
        self._hear(header)

    async def _poll(self) -> None:
        while True:
            if not self._is_pushed_to:
                await self._ask_newest()
            await self._clock.sleep(self._options.poll_s)

    @property
    def _is_pushed_to(self) -> bool:
        silence_ns = int(self._options.silence_s * SECOND_NS)
        return self._pushed_ns is not None and self._clock.monotonic_ns() - self._pushed_ns < silence_ns

    async def _ask_newest(self) -> None:
        try:
            self._hear(await self._rpc.ask("newest block", newest_header))
        except (VenueUnreachableError, BlockNotFound) as error:
            self._note("heads_unreadable", {"why": str(error)})

    async def _listen(self) -> None:
        turn = 0
        while True:
            endpoints = self._rpc.pushing()
            if endpoints:
                endpoint = endpoints[turn % len(endpoints)]
                why = await listen_for_heads(
                    endpoint, self._rpc.identity, self._ask_newest, self._hear_push, self._options.silence_s
                )
                self._note("heads_push_ended", {"endpoint": endpoint.name, "why": why})
            turn += 1
            self._pushed_ns = None
            await self._clock.sleep(self._options.poll_s)
