from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.atomic_flash import LenderName
from tests.contracts.flows import Flow, clean, ether
from tests.contracts.lab import ETHER, MORPHO_WETH, Lab
from tests.venues.chain.groups import ExitGroup, health, ltv

D = Decimal
ONE_BP = D("0.0001")
FULL = ExitGroup(D("56.7"), D(55), D("56.67"))
"""Out of the position that 10 ETH open at LTV .85, with a pad of five basis points on the loan."""


@pytest.mark.feature("S07")
@pytest.mark.feature("A01", part="chain")
@pytest.mark.feature("A04")
@pytest.mark.parametrize(("lst", "sell"), [("weETH", D(55)), ("wstETH", D("48.5"))])
@pytest.mark.parametrize("morpho", [True, False])
async def test_a_position_is_closed_in_one_transaction_down_to_the_last_wei(
    lab: Lab, lst: str, sell: Decimal, *, morpho: bool
) -> None:
    flow = Flow(lab)
    await flow.enter(lst=lst)
    supplied = (await flow.position(lst)).collateral
    group = await flow.prepared(replace(FULL, lst=lst, sell=sell), morpho=morpho)
    assert group.lender is (LenderName.MORPHO if morpho else LenderName.AAVE)
    await lab.do(lab.owner, group.call)
    position = await flow.position(lst)
    assert (position.debt, position.collateral) == (0, 0)
    held = await lab.held(lab.owner)
    assert {"weETH": held.weeth, "wstETH": held.wsteth}[lst] == supplied - int(sell * ETHER)
    assert held.weth > 0
    await clean(lab)
    fee = 0 if morpho else ether("0.02835")
    assert group.fee == fee
    assert await lab.balance(lab.address("WETH"), lab.morpho) == MORPHO_WETH


@pytest.mark.parametrize("morpho", [True, False])
async def test_a_delever_meets_the_ltv_that_it_was_sized_for(lab: Lab, *, morpho: bool) -> None:
    """R = (D - l1 C)/(1 - l1(1 + phi)/(1 - c)), W = R(1 + phi)/(1 - c), with the pool's 1 bp and some impact as c."""
    flow = Flow(lab)
    await flow.enter(target=D("0.88"))
    rate, cost, fee = D("1.0668"), D("0.0012"), D(0) if morpho else D("0.0005")
    debt, value, target = D("73.333333"), D("83.333333"), D("0.80")
    repaid = (debt - target * value) / (1 - target * (1 + fee) / (1 - cost))
    sold = repaid * (1 + fee) / (1 - cost) / rate
    bounds = (health("1.18"), ltv("0.802"))
    repaid = repaid.quantize(D("1e-18"))
    await flow.run(
        ExitGroup(repaid, sold, repaid * (1 + fee), repay=repaid, withdraw=sold, conditions=bounds), morpho=morpho
    )
    position = await flow.position()
    assert abs(position.ltv - target) < 10 * ONE_BP
    assert position.health > ether("1.18")
    await clean(lab)


async def test_money_is_taken_out_at_a_constant_ltv(lab: Lab) -> None:
    """Sell for the loan and for ten more; what the loan does not need is the owner's."""
    flow = Flow(lab)
    await flow.enter(own=D(100), target=D("0.65"))
    bounds = (health("1.44"), ltv("0.652"))
    repaid = D("18.624642")
    sold = (D("28.653295") / D("1.0668")).quantize(D("1e-18"))
    await flow.run(ExitGroup(repaid, sold, D("28.6"), repay=repaid, withdraw=sold, conditions=bounds))
    held = await lab.held(lab.owner)
    assert ether("9.99") < held.weth < ether("10.03")
    assert abs((await flow.position()).ltv - D("0.65")) < 5 * ONE_BP
    await clean(lab)


async def test_what_the_loan_had_too_much_returns_to_the_lender(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    await flow.run(replace(FULL, loan=D(80), repaid=D(80)))
    assert (await flow.position()).debt == 0
    await clean(lab)


async def test_a_loan_that_does_not_cover_the_debt_reverts_and_leaves_only_gas(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    group = await flow.prepared(replace(FULL, loan=D("56.6")))
    before, position = await lab.held(lab.owner), await flow.position()
    receipt = await lab.send(lab.owner, group.call)
    assert receipt["status"] == 0
    after = await lab.held(lab.owner)
    assert replace(after, eth=before.eth) == before
    assert before.eth - after.eth == receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert (await flow.position()).collateral == position.collateral
    await clean(lab)


async def test_an_allowance_of_collateral_is_used_up_but_for_what_it_might_have_grown(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    group = await flow.prepared(FULL)
    await lab.do(lab.owner, group.call)
    left = await lab.read(erc20.ALLOWANCE, lab.book.reserve("weETH").atoken, lab.owner, lab.receiver)
    assert 0 < left <= group.allowances[0].units // 10_000 + 1
