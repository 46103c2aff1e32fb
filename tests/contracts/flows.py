"""Groups as a book would run them: compiled from orders, allowed exactly, sent as one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from hexbytes import HexBytes
from web3.types import TxReceipt

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.order import Order
from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.atomic import GroupCall, GroupCompiler, Scene
from basis_daemon.venues.chain.atomic_scene import SceneReader
from basis_daemon.venues.chain.tokens import ETHER_DECIMALS, units_of
from tests.contracts.lab import ACCOUNT_DATA, ETHER, Lab
from tests.venues.chain.groups import EntryGroup, ExitGroup, health, ltv

D = Decimal
WSTETH_EMODE, WEETH_EMODE = 1, 2
EMODES = {"wstETH": WSTETH_EMODE, "weETH": WEETH_EMODE}


@dataclass(frozen=True, slots=True)
class Said:
    """What a call answered."""

    is_ok: bool
    data: bytes


class NodeReader:
    """Asks the laboratory's node, one call after the other."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def call_at(self, block: BlockRef, calls: Sequence[tuple[str, bytes]]) -> Sequence[Said]:
        return [await self._one(block, to, data) for to, data in calls]

    async def code(self, address: str) -> bytes:
        return bytes(await self._lab.client.eth.get_code(self._lab.client.to_checksum_address(address)))

    async def _one(self, block: BlockRef, to: str, data: bytes) -> Said:
        params = [{"to": to, "data": "0x" + data.hex()}, hex(block.number)]
        answer = await self._lab.client.provider.make_request("eth_call", params)
        if "error" in answer:
            return Said(is_ok=False, data=b"")
        return Said(is_ok=True, data=bytes(HexBytes(answer["result"])))


@dataclass(frozen=True)
class Position:
    """Aave's own figures of an account, 1e18 = 1, wei of debt and of collateral tokens."""

    ltv: Decimal
    health: int
    debt: int
    collateral: int


class Flow:
    """One owner's groups, with one receiver."""

    def __init__(self, lab: Lab, owner: str | None = None, receiver: str | None = None) -> None:
        self.lab, self.owner = lab, owner or lab.owner
        self.compiler = GroupCompiler(lab.book, receiver or lab.receiver, self.owner)

    async def scene(self, orders: Sequence[Order], *, morpho: bool = True) -> Scene:
        reader = SceneReader(NodeReader(self.lab), self.lab.book, self.owner, self.lab.morpho if morpho else None)
        return await reader.read(await self.lab.head(), orders)

    async def prepared(self, group: EntryGroup | ExitGroup, *, morpho: bool = True) -> GroupCall:
        """Compiled, and allowed exactly what it needs."""
        orders = replace(group, deadline=await self.lab.deadline()).orders()
        call = self.compiler.compile(orders, await self.scene(orders, morpho=morpho))
        await self.allow(call)
        return call

    async def allow(self, call: GroupCall) -> None:
        for need in call.allowances:
            await self.lab.approve(self.owner, need.token, need.spender, need.units)

    async def run(self, group: EntryGroup | ExitGroup, *, morpho: bool = True) -> TxReceipt:
        """The receipt of a group that succeeded."""
        return await self.lab.do(self.owner, (await self.prepared(group, morpho=morpho)).call)

    async def enter(self, own: Decimal = D(10), target: Decimal = D("0.85"), lst: str = "weETH") -> TxReceipt:
        """A fresh levered position of ``own`` ETH at this LTV."""
        await self.lab.fund(self.owner, units_of(own, ETHER_DECIMALS))
        return await self.run(entry(own, target, lst))

    async def position(self, lst: str = "weETH") -> Position:
        collateral, debt, *_, found = await self.lab.read(ACCOUNT_DATA, self.lab.book.aave.pool, self.owner)
        held = await self.lab.collateral(self.owner, lst)
        return Position(D(debt) / D(collateral or 1), found, await self.lab.debt(self.owner), held)


def entry(own: Decimal = D(10), target: Decimal = D("0.85"), lst: str = "weETH") -> EntryGroup:
    """Frictionless: the loan that gives this LTV."""
    loan = (own * target / (1 - target)).quantize(D("1e-18"))
    bounds = (health(str(D("0.95") / target - D("0.005"))), ltv(str(target + D("0.002"))))
    return EntryGroup(loan, own, lst, emode=EMODES[lst], conditions=bounds)


async def clean(lab: Lab, receiver: str | None = None) -> None:
    """Nothing is left in the receiver, and it allows nobody anything. A share token may keep less than one share."""
    where = receiver or lab.receiver
    held = await lab.held(where)
    assert (held.eth, held.weth, held.wsteth, held.weeth, held.steth) == (0, 0, 0, 0, 0)
    assert held.eeth <= 2
    for symbol in ("WETH", "wstETH", "weETH", "eETH"):
        for spender in (lab.book.aave.pool, lab.book.dex.router, lab.morpho, lab.address("weETH")):
            assert await lab.read(erc20.ALLOWANCE, lab.address(symbol), where, spender) == 0
    for symbol in ("WETH", "wstETH", "weETH"):
        assert await lab.collateral(where, symbol) == 0


def ether(amount: str) -> int:
    """Wei."""
    return int(D(amount) * ETHER)
