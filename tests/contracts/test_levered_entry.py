from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from basis_daemon.venues.chain.atomic import Scene
from tests.contracts.flows import EMODES, Flow, clean, entry, ether
from tests.contracts.lab import ETHER, Lab
from tests.venues.chain.groups import EntryGroup

D = Decimal
ONE_BP = D("0.0001")


@pytest.mark.feature("S07")
@pytest.mark.feature("A01", part="chain")
@pytest.mark.feature("A04")
@pytest.mark.parametrize("lst", ["weETH", "wstETH"])
async def test_a_levered_position_is_opened_in_one_transaction_and_meets_its_ltv_within_a_basis_point(
    lab: Lab, lst: str
) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    group = await flow.prepared(entry(lst=lst))
    sent_before = await lab.client.eth.get_transaction_count(lab.client.to_checksum_address(lab.owner))
    await lab.do(lab.owner, group.call)
    assert await lab.client.eth.get_transaction_count(lab.client.to_checksum_address(lab.owner)) == sent_before + 1
    position = await flow.position(lst)
    assert abs(position.ltv - D("0.85")) < ONE_BP
    assert abs(D(position.health) / ETHER - D("1.1176471")) < ONE_BP
    assert 0 <= position.debt - group.loan <= 2
    held = await lab.held(lab.owner)
    assert (held.weth, held.weeth, held.wsteth) == (0, 0, 0)
    await clean(lab)


async def test_an_entry_adds_to_a_position_that_exists(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    await lab.fund(lab.owner, 5 * ETHER)
    await flow.run(entry(D(5)))
    position = await flow.position()
    assert abs(position.ltv - D("0.85")) < ONE_BP
    assert abs(position.debt - ether("85")) < ETHER // 1000
    await clean(lab)


async def test_an_emode_can_be_set_before_where_one_transaction_cannot_hold_both(lab: Lab) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    orders = replace(entry(), deadline=await lab.deadline()).orders()
    group = flow.compiler.compile(orders, Scene(emode=0, has_multicall=False, lenders=()))
    await flow.allow(group)
    await lab.do(lab.owner, *group.before, group.call)
    assert abs((await flow.position()).ltv - D("0.85")) < ONE_BP


@pytest.mark.parametrize("lst", ["weETH", "wstETH"])
async def test_an_entry_can_buy_the_token_instead_of_staking(lab: Lab, lst: str) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    group = replace(entry(lst=lst), swap=True)
    await flow.run(group)
    position = await flow.position(lst)
    assert D("0.85") < position.ltv < D("0.852")
    await clean(lab)


async def test_a_loan_without_own_weth_adds_to_a_healthy_position(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter(target=D("0.5"))
    more = EntryGroup(D(2), conditions=entry(target=D("0.6")).conditions, emode=EMODES["weETH"])
    await flow.run(more)
    assert D("0.54") < (await flow.position()).ltv < D("0.55")
    await clean(lab)


async def test_what_strangers_left_in_the_receiver_goes_to_whoever_comes_next_and_stops_nobody(lab: Lab) -> None:
    flow = Flow(lab)
    await lab.fund(lab.stranger, 3 * ETHER)
    weth = lab.address("WETH")
    await lab.give(lab.stranger, weth, lab.receiver, ETHER)
    await lab.rpc("anvil_setBalance", lab.receiver, hex(ETHER))
    await flow.enter()
    position = await flow.position()
    assert position.ltv < D("0.83")
    await clean(lab)
