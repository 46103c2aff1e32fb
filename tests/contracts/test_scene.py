from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from basis_daemon.domain.errors import PlanRefusedError, VenueUnreachableError
from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.addresses import AddressBook, PoolEntry
from basis_daemon.venues.chain.atomic_flash import Lender, LenderName
from basis_daemon.venues.chain.atomic_scene import SceneReader
from basis_daemon.venues.chain.erc20 import Allowance
from tests.contracts.flows import WEETH_EMODE, Flow, NodeReader, entry
from tests.contracts.lab import ETHER, MORPHO_WETH, Lab
from tests.contracts.test_unwind import FULL

D = Decimal
FEES_OF_WORLD = {"weETH": 100, "wstETH": 100}


def reader(lab: Lab, book: AddressBook | None = None, morpho: str | None = None) -> SceneReader:
    return SceneReader(NodeReader(lab), book or lab.book, lab.owner, morpho)


def with_pool(lab: Lab, fee: int) -> AddressBook:
    """A book that names one pool more, which nobody has made."""
    more = (PoolEntry(token0="WETH", token1="weETH", fee=fee), *lab.book.dex.pools)
    return lab.book.model_copy(update={"uniswap_v3": lab.book.dex.model_copy(update={"pools": more})})


async def test_a_scene_is_what_the_chain_says_at_its_block(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    scene = await reader(lab, morpho=lab.morpho).read(await lab.head(), FULL.orders())
    assert (scene.emode, scene.has_multicall, scene.pool_fee) == (WEETH_EMODE, True, FEES_OF_WORLD["weETH"])
    assert scene.collateral == {"weETH": (await flow.position()).collateral}
    aave, morpho = scene.lenders
    assert morpho == Lender(LenderName.MORPHO, 0, MORPHO_WETH)
    assert (aave.name, aave.fee_bp) == (LenderName.AAVE, 5)
    assert 10_000 * ETHER < aave.available < 10**6 * ETHER


async def test_a_network_without_a_second_lender_has_one(lab: Lab) -> None:
    scene = await reader(lab).read(await lab.head(), entry().orders())
    assert [lender.name for lender in scene.lenders] == [LenderName.AAVE]
    assert scene.pool_fee is None, "a group that swaps nothing needs no pool"


@pytest.mark.feature("A02")
async def test_a_loan_that_no_lender_has_is_refused_with_what_each_has(lab: Lab) -> None:
    """More than Morpho holds goes to Aave, more than Aave has idle to nobody."""
    flow = Flow(lab)
    large = replace(FULL, loan=D(6_000), repaid=D(6_003))
    orders = large.orders()
    group = flow.compiler.compile(orders, await flow.scene(orders))
    assert group.lender is LenderName.AAVE
    orders = replace(large, loan=D(10**6), repaid=D(2 * 10**6)).orders()
    with pytest.raises(PlanRefusedError, match=r"nobody lends .*; morpho has 5000000000000000000000 "):
        flow.compiler.compile(orders, await flow.scene(orders))


async def test_the_pool_that_pays_most_is_taken_and_one_that_is_not_there_is_not(lab: Lab) -> None:
    scene = await reader(lab, with_pool(lab, 500)).read(await lab.head(), FULL.orders())
    assert scene.pool_fee == FEES_OF_WORLD["weETH"]
    named = replace(FULL, route=("500",)).orders()
    assert (await reader(lab, with_pool(lab, 500)).read(await lab.head(), named)).pool_fee is None


async def test_only_allowances_that_differ_are_missing(lab: Lab) -> None:
    weth = lab.address("WETH")
    need = Allowance("WETH", weth, lab.receiver, 5)
    at = reader(lab)
    assert await at.missing(await lab.head(), (need,)) == ((need, 0),)
    await lab.do(lab.owner, erc20.APPROVE(weth, lab.receiver, 5))
    assert await at.missing(await lab.head(), (need,)) == ()
    await lab.do(lab.owner, erc20.APPROVE(weth, lab.receiver, 6))
    assert await at.missing(await lab.head(), (need,)) == ((need, 6),)


async def test_a_scene_with_a_hole_is_no_scene(lab: Lab) -> None:
    nowhere = lab.book.aave.model_copy(update={"pool": lab.stranger})
    with pytest.raises(VenueUnreachableError):
        await reader(lab, lab.book.model_copy(update={"aave_v3": nowhere})).read(await lab.head(), entry().orders())
