from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.atomic_safe import batch_of, safe_call, signature_of_sender
from tests.contracts.flows import Flow, entry
from tests.contracts.lab import ETHER, Lab
from tests.contracts.test_treasury_and_permit import signed, signing_owner
from tests.contracts.test_unwind import FULL
from tests.venues.chain.groups import EntryGroup, ExitGroup, health, ltv

D = Decimal
BASELINE: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parent / "gas.yaml").read_text())
WSTETH_EXIT = replace(FULL, lst="wstETH", sell=D("48.5"))
PART = ExitGroup(
    D(20), D(19), D("20.01"), repay=D(20), withdraw=D(19), conditions=(health("1.1"), ltv("0.9")), lst="weETH"
)


Ready = tuple[str, Call]
"""Who sends what."""


async def entering(lab: Lab, group: EntryGroup) -> Ready:
    await lab.fund(lab.owner, 10 * ETHER)
    return lab.owner, (await Flow(lab).prepared(group)).call


async def entering_again(lab: Lab) -> Ready:
    await Flow(lab).enter()
    return await entering(lab, entry(D(5)))


async def entering_by_safe(lab: Lab) -> Ready:
    safe = lab.built.treasury.safe
    await lab.fund(lab.owner, 10 * ETHER)
    await lab.give(lab.owner, lab.address("WETH"), safe, 10 * ETHER)
    flow = Flow(lab, safe)
    orders = replace(entry(), deadline=await lab.deadline()).orders()
    batch = batch_of(flow.compiler.compile(orders, await flow.scene(orders)))
    return lab.owner, safe_call(lab.built.treasury, batch, signature_of_sender(lab.owner))


async def leaving(lab: Lab, group: ExitGroup, *, morpho: bool) -> Ready:
    flow = Flow(lab)
    await flow.enter(lst=group.lst)
    return lab.owner, (await flow.prepared(group, morpho=morpho)).call


async def leaving_with_permit(lab: Lab) -> Ready:
    signer, flow = await signing_owner(lab, "wstETH")
    due = replace(WSTETH_EXIT, deadline=await lab.deadline())
    permit = await signed(lab, signer, flow, due, morpho=False)
    scene = replace(await flow.scene(due.orders(), morpho=False), permit=permit)
    return flow.owner, flow.compiler.compile(due.orders(), scene).call


RUNS: dict[str, Callable[[Lab], Awaitable[Ready]]] = {
    "entry_wsteth": lambda lab: entering(lab, entry(lst="wstETH")),
    "entry_weeth": lambda lab: entering(lab, entry()),
    "entry_weeth_again": entering_again,
    "entry_weeth_swap": lambda lab: entering(lab, replace(entry(), swap=True)),
    "entry_weeth_safe": entering_by_safe,
    "exit_wsteth_permit": leaving_with_permit,
    "exit_wsteth": lambda lab: leaving(lab, WSTETH_EXIT, morpho=False),
    "exit_wsteth_morpho": lambda lab: leaving(lab, WSTETH_EXIT, morpho=True),
    "exit_weeth_morpho": lambda lab: leaving(lab, FULL, morpho=True),
    "delever_weeth_morpho": lambda lab: leaving(lab, PART, morpho=True),
}


@pytest.mark.feature("A04")
@pytest.mark.parametrize("name", sorted(BASELINE["groups"]))
async def test_a_group_uses_no_more_gas_than_is_committed(lab: Lab, name: str) -> None:
    sender, call = await RUNS[name](lab)
    await lab.rpc("evm_increaseTime", 60)  # a block of its own time: the reserves accrue interest, as they would
    used, committed = (await lab.do(sender, call))["gasUsed"], BASELINE["groups"][name]["gas"]
    assert used <= committed * (1 + BASELINE["regression_max"]), f"{name} used {used} gas, committed are {committed}"


def test_every_group_that_is_measured_is_committed() -> None:
    assert BASELINE["groups"].keys() == RUNS.keys()
