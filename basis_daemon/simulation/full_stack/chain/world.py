"""The daemon's own chain client, web3 and aiohttp as they come, against two nodes of an oracle's chain."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Probe
from basis_daemon.sandbox.chain.rpc_port import RpcPort, Slip
from basis_daemon.settings import Settings, load_settings
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.lives import Life, MakeVenues
from basis_daemon.simulation.full_stack.chain.front import Front
from basis_daemon.simulation.full_stack.chain.oracle import Oracle
from basis_daemon.simulation.full_stack.chain.places import GENESIS_HASH, KEY, book
from basis_daemon.simulation.full_stack.chain.watch import ChainWatch
from basis_daemon.simulation.full_stack.world import START, StackWorld
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.endpoint import EndpointOptions
from basis_daemon.venues.chain.rpc import PoolPolicy
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.venues.chain.venue import Chain, ChainOptions
from basis_daemon.wiring_book import Daemon, Venue
from basis_daemon.wiring_chain import Purse, chain_venue
from basis_daemon.wiring_venues import note_to

BOOK = Path(__file__).parent / "lending.yaml"
NODES = {"first": 8_545, "second": 8_546}
TIMEOUT_S, CONNECT_S = 1.5, 0.5
CONFIRMATIONS = 4
"""One block more than are ever taken back."""
BLOCK_S, BLOCK = 2.0, timedelta(seconds=12)
LEAP_ONE_IN, LEAP_H = 2, 30
"""Where nothing is on its way, one block in some is hours later than the one before."""
SLIPS_MAX, NEVER_SHARE = 0.15, 0.3
"""Of the answers that a seed may have go wrong at most; the share of kinds that it leaves out altogether."""
STILL_S = 40.0
"""Without a new block: every account was looked at again by then."""


class _Slips:
    """What goes wrong between a node and the daemon: which kinds, and how often, is the seed's."""

    def __init__(self, seed: int, chance: Chance) -> None:
        self._dice, self._chance = random.Random(f"nodes {seed}"), chance
        self._rate = self._dice.random() * SLIPS_MAX
        self._kinds = [kind for kind in Slip if self._dice.random() > NEVER_SHARE]
        self.struck: Counter[str] = Counter()

    def next(self, method: str) -> tuple[Slip, bool] | None:
        """Of one answer: what happens to it, and whether what was asked has been done."""
        if method == "eth_sendRawTransaction" and self._chance.strikes(Fault.SEND_UNHEARD):
            return Slip.UNHEARD, True
        is_hit, is_done = self._dice.random() < self._rate, self._dice.random() < 0.5  # noqa: PLR2004 - as often as not
        if self._chance.strikes(Fault.RPC_FAILS) and self._chance.is_on:
            return Slip.UNAVAILABLE, False
        if not is_hit or not self._chance.is_on or not self._kinds:
            return None
        return self._struck(self._dice.choice(self._kinds), is_done=is_done)

    def _struck(self, slip: Slip, *, is_done: bool) -> tuple[Slip, bool]:
        self.struck[slip] += 1
        return slip, is_done


class ChainWorld(StackWorld):
    """One wallet that lends."""

    profile = "chain"
    secrets = (KEY, KEY.removeprefix("0x"))
    watch: ChainWatch

    @asynccontextmanager
    async def opened(self, place: Path) -> AsyncIterator[Settings]:
        del place
        self._signer = KeySigner(SecretStr(KEY))
        self.watch = ChainWatch(self.loop, self.secrets)
        self._oracle = Oracle(self._signer.address, START, self.chance, self.watch)
        self._slips, self._at, self._still_since = _Slips(self.seed, self.chance), START, -1.0
        self._ports: dict[str, RpcPort] = {}
        async with AsyncExitStack() as stack:
            for name, number in NODES.items():
                front = Front(self._oracle, self.chance, self.watch.unknown)
                port = self._ports[name] = RpcPort(front.answer, self._slips.next)
                await port.start(number)
                stack.push_async_callback(port.stop)
            yield load_settings(BOOK, {}, with_secrets=False).settings

    async def keep_moving(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_S)
            if self._still_since >= 0:
                continue
            leaps = self.chance.is_on and not self._oracle.pool and not self.chance.below(LEAP_ONE_IN)
            self._at += timedelta(hours=1 + self.chance.below(LEAP_H)) if leaps else BLOCK
            self._oracle.tick(self._at)

    def misbehave(self) -> None:
        """Every answer throws its own dice."""

    def heal(self) -> None:
        self._oracle.weather.calm()

    def unsettled(self, daemon: Daemon) -> str:
        """The book is compared at a block that nothing follows, for what is lent grows with every one."""
        if self._oracle.pool:
            return "transactions are pending"
        now = self.loop.time()
        if self._still_since < 0:
            self._still_since = now
        if now - self._still_since > STILL_S or not any(self.watch.differences(self._oracle, daemon)):
            self.watch.compare(self._oracle, daemon)
            return ""
        return "the last block has not been looked at"

    def unsteady(self) -> None:
        self._still_since = -1.0

    def struck(self) -> Mapping[str, int]:
        return self._slips.struck

    @property
    def reorgs(self) -> int:
        return self._oracle.reorgs

    async def venues(self, life: Life, tree: TaskTree, probe: Probe) -> MakeVenues:
        """The chain has to answer, and its contracts to be those of the book, before anything is assembled."""
        alarm = partial(self.lives.alarm, life)
        chain = await Chain.open(self._options(), self.clock, tree, note_to(alarm))
        purse = Purse(chain, self._signer)

        def made(strategies: list[BookStrategy], recorder: Recorder) -> list[Venue]:
            return [chain_venue(purse, strategies, recorder, life.disk, self.clock, tree, alarm, probe)]

        return made

    def _options(self) -> ChainOptions:
        endpoints = [
            EndpointOptions(name, SecretStr(port.url), is_local=True, timeout_s=TIMEOUT_S, connect_timeout_s=CONNECT_S)
            for name, port in self._ports.items()
        ]
        policy = AccountPolicy(track=TrackPolicy(confirmations=CONFIRMATIONS, rarely=self.chance.rarely))
        return ChainOptions(endpoints, book(), GENESIS_HASH, PoolPolicy(rarely=self.chance.rarely), policy)
