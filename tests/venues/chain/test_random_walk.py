"""Everything at once, by seed: whatever faults, crashes and reorganisations, every order is mined once or never."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from basis_daemon.domain.errors import BasisError
from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import KillPoint
from basis_daemon.sandbox.chain.node import ChainError
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.tracker import TrackPolicy
from tests.chain_support import BareChain
from tests.venues.chain.proxy import ProxyNode
from tests.venues.chain.support import GWEI, KilledError, Rig, endpoint, request, rig_on

POLICY = AccountPolicy(track=TrackPolicy(confirmations=5, replace_after=2, rebroadcast_every=1))
TX_POINTS = [point for point in KillPoint if point.startswith("tx_")]
STEPS, HEALING_BLOCKS = 40, 60
SEND = "eth_sendRawTransaction"


class Walk:
    """One life of an account that nothing is spared. An order's value is its number, so that the chain tells it."""

    def __init__(self, rig: Rig, proxy: ProxyNode, seed: int) -> None:
        self.rig, self.proxy = rig, proxy
        self.chance = random.Random(seed)  # noqa: S311 - a seed that can be run again, not a secret
        self.orders = 0
        self.trace: list[str] = []

    async def live(self) -> None:
        acts = [self.order] * 4 + [self.mine] * 4 + [self.drop, self.reorganise, self.crash, self.kill, self.cancel]
        acts += [self.spoil, self.spoil, self.heal, self.raise_base_fee]
        for _ in range(STEPS):
            act = self.chance.choice(acts)
            self.trace.append(act.__name__)
            try:
                await act()
            except KilledError:
                await self.crash()
            except BasisError as error:
                self.trace.append(type(error).__name__)
            if self.rig.account.halted is not None:
                pytest.fail(f"{self.rig.account.halted} after {self.trace}")
        await self.heal()
        await self.crash()
        await self.rig.mine(HEALING_BLOCKS)

    async def order(self) -> None:
        self.orders += 1
        await self.rig.account.submit(request(f"order-{self.orders}", value=self.orders))

    async def mine(self) -> None:
        await self.rig.mine(self.chance.randint(1, 2))

    async def drop(self) -> None:
        await self.rig.chain.rpc("anvil_dropAllTransactions")

    async def reorganise(self) -> None:
        head = await self.rig.follow()
        with suppress(ChainError):  # this node cannot always go back over a reorganisation
            await self.rig.chain.rpc("anvil_reorg", min(self.chance.randint(1, 3), head.block.number), [])
        await self.rig.follow()

    async def crash(self) -> None:
        self.rig.killer.point = None
        await self.rig.restart()

    async def kill(self) -> None:
        self.rig.killer.point = self.chance.choice(TX_POINTS)

    async def cancel(self) -> None:
        if self.orders:
            await self.rig.account.cancel(f"order-{self.chance.randint(1, self.orders)}")

    async def spoil(self) -> None:
        spoil = self.chance.choice(["take", "lose", "refuse", "hide"])
        if spoil == "take":
            self.proxy.breaks(SEND, is_taken=True)
        elif spoil == "lose":
            self.proxy.breaks(SEND, is_taken=False)
        elif spoil == "refuse":
            self.proxy.refuses(SEND, "txpool is full")
        else:
            self.proxy.says("eth_getTransactionReceipt", None)

    async def heal(self) -> None:
        self.proxy.is_honest()

    async def raise_base_fee(self) -> None:
        await self.rig.chain.rpc("anvil_setNextBlockBaseFeePerGas", hex(self.chance.randint(1, 20) * GWEI))


def booked(rig: Rig) -> set[str]:
    """What a book holds that adds what it is told and takes back what it is told: hashes of transactions."""
    held: set[tuple[str, str]] = set()
    for event in rig.events:
        key = event.row.hash, event.row.block_hash
        if event.row.state in {OrderState.INCLUDED, OrderState.REVERTED, OrderState.FINAL}:
            held.add(key)
        elif event.row.state is OrderState.REORGED:
            held.discard(key)  # told at least once: a start tells again what may not have been booked
    return {name for name, _ in held}


@pytest.mark.feature("X01", part="random")
@pytest.mark.fault("F34", "F35", "F37", "F38", "F42", "F46")
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_every_order_is_mined_once_or_never(
    bare_chain: BareChain, proxy: ProxyNode, seed: int
) -> None:
    async with rig_on(bare_chain, POLICY, [endpoint(proxy.url)]) as rig:
        walk = Walk(rig, proxy, seed)
        await walk.live()
        mined = await rig.on_chain()
        values = [int(str(tx["value"]), 16) for tx in mined if tx["value"] != "0x0"]
        assert len(values) == len(set(values)), f"an order was mined twice: {walk.trace}"
        assert [int(str(tx["nonce"]), 16) for tx in mined] == list(range(len(mined)))
        assert booked(rig) == {tx["hash"] for tx in mined}, walk.trace
        for number in range(1, walk.orders + 1):
            handle = rig.account.find(f"order-{number}")
            is_sent = handle is not None and handle.row.is_final and handle.row.attempt != "cancel"
            assert is_sent == (number in values), f"order-{number}: {handle and handle.row}, {walk.trace}"
            assert handle is None or handle.row.is_final or handle.row.state is OrderState.DROPPED
