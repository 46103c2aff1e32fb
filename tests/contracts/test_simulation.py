from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

import pytest
from web3.eth import AsyncEth

from basis_daemon.domain.errors import ErrorClass, VenueUnreachableError
from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.abi import Call
from basis_daemon.venues.chain.atomic import GroupCall
from basis_daemon.venues.chain.atomic_receiver import receiver_artifact
from basis_daemon.venues.chain.atomic_simulation import _SENTENCES, reason_of, simulate
from tests.contracts.flows import Flow, entry
from tests.contracts.lab import ETHER, Lab
from tests.contracts.test_unwind import FULL

D = Decimal
T = TypeVar("T")
pytestmark = pytest.mark.feature("X06", part="groups")


class Node:
    """Asks one node, whatever becomes of it."""

    def __init__(self, lab: Lab) -> None:
        self._eth = lab.client.eth

    async def ask(self, what: str, question: Callable[[AsyncEth], Awaitable[T]]) -> T:
        return await question(self._eth)


class Silent:
    """Answers with something that is no simulation."""

    async def ask(self, what: str, question: Callable[[AsyncEth], Awaitable[T]]) -> T:
        return [{}]  # type: ignore[return-value]  # what a proxy may say


async def unallowed(lab: Lab, flow: Flow, **changes: object) -> GroupCall:
    await lab.fund(lab.owner, 10 * ETHER)
    group = replace(entry(), deadline=await lab.deadline(), **changes)  # type: ignore[arg-type]  # fields by name
    orders = group.orders()
    return flow.compiler.compile(orders, await flow.scene(orders))


def steps(group: GroupCall) -> tuple[Call, ...]:
    allowed = tuple(erc20.APPROVE(need.token, need.spender, need.units) for need in group.allowances)
    return (*group.before, *allowed, group.call)


async def test_a_group_is_tried_with_its_allowances_before_any_of_them_is_sent(lab: Lab) -> None:
    flow = Flow(lab)
    group = await unallowed(lab, flow)
    head = await lab.head()
    tried = await simulate(Node(lab), lab.owner, steps(group))
    assert [one.is_ok for one in tried] == [True, True]
    assert (await lab.head()).number == head.number
    assert await lab.debt(lab.owner) == 0
    for call in steps(group):
        await lab.do(lab.owner, call)


async def test_a_group_that_would_revert_says_why_and_costs_nothing_at_all(lab: Lab) -> None:
    flow = Flow(lab)
    group = await unallowed(lab, flow, lst_min=D(1000))
    before = await lab.held(lab.owner)
    tried = await simulate(Node(lab), lab.owner, steps(group))
    assert [one.is_ok for one in tried] == [True, False]
    reason = reason_of(tried[-1].data)
    assert (reason.name, reason.error_class) == ("OutBelowMinimum", ErrorClass.RETRYABLE)
    assert reason.arguments[0] == lab.address("weETH").lower()
    assert await lab.held(lab.owner) == before


async def test_a_refusal_of_a_contract_behind_the_receiver_is_read_too(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    due = replace(FULL, deadline=await lab.deadline())
    group = flow.compiler.compile(due.orders(), await flow.scene(due.orders()))
    tried = await simulate(Node(lab), lab.owner, (group.call,))
    assert reason_of(tried[0].data).name == "ERC20InsufficientAllowance"


async def test_an_answer_that_is_no_simulation_is_no_answer() -> None:
    with pytest.raises(VenueUnreachableError, match="cannot be read"):
        await simulate(Silent(), "0x" + "11" * 20, ())


def test_every_error_of_the_receiver_has_a_class_and_a_sentence() -> None:
    assert {entry["name"] for entry in receiver_artifact().abi if entry["type"] == "error"} == _SENTENCES.keys()
