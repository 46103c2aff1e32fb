"""Off its peg on a real pool or at a real oracle, a token is told of once, while nobody has to ask."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from basis_daemon.clock import SystemClock
from basis_daemon.domain.chain import LstTick
from basis_daemon.ports import FeedEvent
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.endpoint import newest_header
from basis_daemon.venues.chain.eye import ChainEye, Watch
from basis_daemon.venues.chain.feed import ChainFeed
from basis_daemon.venues.chain.gas import GasDesk
from basis_daemon.venues.chain.heads import Head
from tests.venues.chain.support import Notes
from tests.venues.chain.trader import POLICY, Trader

D = Decimal
TOKEN, QUOTED = "weETH", D(10)
OFF, BACK = "lst_off_peg_alarm", "lst_at_peg"


class Listening:
    """The feed of a wallet that watches one token, and what it told."""

    def __init__(self, trader: Trader, tree: TaskTree) -> None:
        self.trader, self.notes = trader, Notes()
        self.ticks: list[LstTick] = []
        self._heard = asyncio.Event()
        clock, account = SystemClock(), trader.account
        self.eye = ChainEye(
            trader.rpc, trader.book, account.address, Watch(staked={TOKEN: QUOTED}), GasDesk(trader.rpc, POLICY.fees),
            clock, trader.ledger.holdings,
        )  # fmt: skip
        self.feed = ChainFeed(("wallet",), trader.rpc, self.eye, account, tree, clock, self.notes)
        tree.spawn("feed", self.feed.run(self._hear))

    def _hear(self, event: FeedEvent) -> None:
        if isinstance(event, LstTick):
            self.ticks.append(event)
            self._heard.set()

    async def look(self) -> None:
        """The newest block reaches it and is read."""
        self._heard.clear()
        self.eye.on_head(Head(await self.trader.rpc.ask("newest block", newest_header)))
        self.feed.look_again()
        await self._heard.wait()

    async def told(self, event: str) -> str:
        """The facts of the next such note; what was told before is forgotten."""
        await self.look()
        await self.notes.until(event)
        (facts,) = [str(facts) for name, facts in self.notes.told if name == event]
        self.notes.told.clear()
        return facts


@pytest.mark.feature("D06", part="chain")
@pytest.mark.parametrize("moved", ["market", "oracle"])
async def test_a_token_off_its_peg_is_told_once_and_once_that_it_is_back(trader: Trader, moved: str) -> None:
    controls = trader.actor.controls

    async def shift(factor: str) -> None:
        if moved == "market":
            await controls.pool_price(f"{TOKEN}/WETH", D(factor))
        else:
            await controls.price(TOKEN, factor=D(factor))

    async with TaskTree("feed") as tree:
        listening = Listening(trader, tree)
        await listening.look()
        await shift("0.97" if moved == "oracle" else "0.975")
        why = await listening.told(OFF)
        assert f"the {'market pays' if moved == 'market' else 'oracle says'}" in why
        assert f"{listening.ticks[-1].rate:.6f}" in why
        await shift("0.972" if moved == "oracle" else "0.977")
        await listening.look()
        assert listening.notes.told == [], "it is off its peg still, and that was told"
        await shift("1")
        assert TOKEN in await listening.told(BACK)
        tree.cancel_all("done")
