"""The daemon's exchange client, ccxt and aiohttp as they come, against the sandbox exchange."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path

from basis_daemon.engine.recorder import Recorder
from basis_daemon.ports import Probe
from basis_daemon.sandbox.exchange.faults import PRICES
from basis_daemon.sandbox.exchange.faults import Fault as Misbehaviour
from basis_daemon.sandbox.exchange.options import ExchangeOptions
from basis_daemon.sandbox.exchange.server import SandboxExchange
from basis_daemon.settings import Settings, load_settings
from basis_daemon.simulation.drill.lives import Life, MakeVenues
from basis_daemon.simulation.drill.world import CONVERGE_S
from basis_daemon.simulation.full_stack.watch import ExchangeWatch
from basis_daemon.simulation.full_stack.world import START, StackWorld
from basis_daemon.strategies.charter import BookStrategy
from basis_daemon.tasks import TaskTree
from basis_daemon.wiring_book import Daemon, Venue
from basis_daemon.wiring_exchanges import SANDBOX_KEY, SANDBOX_SECRET
from basis_daemon.wiring_venues import make_venues

BOOK = Path(__file__).parent / "pair.yaml"
FRAME_S = 2.0
CLIP, TARGET = Decimal(5_000), Decimal(71_429)
STEP_S, DAY_S, DAYS_MIN = 3_600, 86_400, 3
"""Of market time with every frame: a settlement comes every sixteen seconds."""
LATE_S = (0.5, 4.5)
FAULTS_MAX, NEVER_SHARE = 0.6, 0.3
"""Misbehaviours per second that a seed may draw at most; the share of kinds that it leaves out altogether."""
MISBEHAVIOURS = (
    "accept_then_drop", "late_request", "delay_response_s", "unavailable", "executed_unknown", "bad_gateway", "garbage",
    "stale_account", "close_ws", "stall_ws", "gap_ws", "duplicate_ws", "reorder_ws", "price_ws", "duplicate_fill",
    "drop_fill", "expire_listen_key",
)  # fmt: skip
QUIET_S = 11.0
"""Since the exchange last moved: its stream may be down, and then the next look of the rhythm tells."""


class _Scripted:
    """What the exchange does wrong, armed one after the other: which kinds, and how many, is the seed's."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"exchange {seed}")
        self._rate = self._dice.random() * FAULTS_MAX
        self._kinds = [kind for kind in MISBEHAVIOURS if self._dice.random() > NEVER_SHARE]

    def next(self) -> Misbehaviour | None:
        """One second's; None for most of them."""
        if self._dice.random() >= self._rate or not self._kinds:
            return None
        kind, text = self._dice.choice(self._kinds), self._dice.choice(PRICES)
        method = self._dice.choice(("", "POST", "POST"))
        return Misbehaviour(kind, method=method, seconds=self._dice.uniform(*LATE_S), text=text)


class ExchangeWorld(StackWorld):
    """One pair at one exchange."""

    profile = "pair"
    secrets = (SANDBOX_SECRET,)
    watch: ExchangeWatch

    @asynccontextmanager
    async def opened(self, place: Path) -> AsyncIterator[Settings]:
        options = ExchangeOptions(place, mode="manual", step_s=STEP_S, days=self._days(), seed=self.seed, start=START)
        self._scripted, self._exchange = _Scripted(self.seed), SandboxExchange(options)
        account = self._exchange.venue.accounts[SANDBOX_KEY]
        self.watch = ExchangeWatch(
            self.loop, self.secrets, exchange=self._exchange, account=account, clip=CLIP, target=TARGET
        )
        async with self._exchange:
            self.watch.begin()
            given = {"BASIS_DAEMON__SANDBOX__READY_FILE": str(self._exchange.options.ready_file)}
            self._settings = load_settings(BOOK, given, with_secrets=False).settings
            yield self._settings

    def _days(self) -> int:
        """Of market: enough for every second that this seed may last."""
        return DAYS_MIN + int((self.chaos_s + 2 * CONVERGE_S) / FRAME_S * STEP_S / DAY_S)

    async def keep_moving(self) -> None:
        while True:
            await asyncio.sleep(FRAME_S)
            await self._exchange.advance(STEP_S)

    def misbehave(self) -> None:
        if (misbehaviour := self._scripted.next()) is not None:
            self._exchange.faults.arm(misbehaviour)

    def heal(self) -> None:
        self._exchange.faults.clear()

    def unsettled(self, daemon: Daemon) -> str:
        del daemon
        return "has just moved" if self.loop.time() - self.watch.moved_at < QUIET_S else ""

    def struck(self) -> Mapping[str, int]:
        return self._exchange.faults.injected

    @property
    def naked_max(self) -> Decimal:
        return self.watch.naked_max

    async def venues(self, life: Life, tree: TaskTree, probe: Probe) -> MakeVenues:
        del tree
        alarm, rarely = partial(self.lives.alarm, life), self.chance.rarely

        def made(strategies: list[BookStrategy], recorder: Recorder) -> list[Venue]:
            return make_venues(self._settings, strategies, recorder.state, self.clock, alarm, probe, rarely)

        return made
