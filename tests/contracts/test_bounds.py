from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basis_daemon.domain.order import PostCondition, PostConditionKind
from basis_daemon.venues.chain.atomic import GroupCall
from basis_daemon.venues.chain.atomic_simulation import reason_of
from basis_daemon.venues.chain.reverts import Revert
from tests.contracts.flows import Flow, clean, entry
from tests.contracts.lab import ETHER, Lab
from tests.contracts.test_unwind import FULL
from tests.venues.chain.groups import EntryGroup, ExitGroup, debt_max, health, ltv

D = Decimal
WEI = D("1e-18")
pytestmark = pytest.mark.feature("A03")

K = PostConditionKind
NEEDED = (health("0"), ltv("9"))


def bound(kind: PostConditionKind, value: Decimal) -> PostCondition:
    if kind is K.DEBT_MAX:
        return debt_max(value)
    return health(str(value)) if kind is K.HEALTH_FACTOR_MIN else ltv(str(value))


async def refusal(lab: Lab, flow: Flow, group: GroupCall) -> Revert:
    return reason_of(await lab.why(flow.owner, group.call))


async def figure(lab: Lab, flow: Flow, group: EntryGroup | ExitGroup, kind: PostConditionKind) -> int:
    """What the receiver finds, as it says when it refuses."""
    impossible = bound(kind, D(1000) if kind is K.HEALTH_FACTOR_MIN else WEI)
    refused = await refusal(lab, flow, await flow.prepared(replace(group, conditions=(*NEEDED, impossible))))
    assert (
        refused.name
        == {
            K.HEALTH_FACTOR_MIN: "HealthFactorBelowMinimum",
            K.LTV_MAX: "LtvAboveMaximum",
            K.DEBT_MAX: "DebtAboveMaximum",
        }[kind]
    )
    return int(str(refused.arguments[0]))


async def sent_with(lab: Lab, flow: Flow, group: EntryGroup | ExitGroup, conditions: Sequence[PostCondition]) -> int:
    prepared = await flow.prepared(replace(group, conditions=(*NEEDED, *conditions)))
    return int((await lab.send(flow.owner, prepared.call))["status"])


@pytest.mark.parametrize("kind", [K.HEALTH_FACTOR_MIN, K.LTV_MAX, K.DEBT_MAX])
async def test_a_bound_of_an_entry_holds_to_the_last_digit(lab: Lab, kind: PostConditionKind) -> None:
    """What the receiver finds is allowed; one unit stricter is not."""
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    found = await figure(lab, flow, entry(), kind) * WEI
    stricter = found + WEI if kind is K.HEALTH_FACTOR_MIN else found - WEI
    assert await sent_with(lab, flow, entry(), (bound(kind, stricter),)) == 0
    assert (await flow.position()).debt == 0
    assert await sent_with(lab, flow, entry(), (bound(kind, found),)) == 1
    await clean(lab)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    own=st.integers(1, 100 * ETHER),
    first=st.decimals("0.2", "0.85", places=5),
    then=st.decimals("0.2", "0.92", places=5),
    days=st.integers(0, 60),
    lst=st.sampled_from(["weETH", "wstETH"]),
)
async def test_what_the_receiver_foresees_is_never_better_than_what_aave_then_says(
    lab: Lab, own: int, first: Decimal, then: Decimal, days: int, lst: str
) -> None:
    """The debt of an entry comes after the check: the figures are prospective, exact to Aave's rounding."""
    snapshot = await lab.rpc("evm_snapshot")
    flow = Flow(lab)
    await flow.enter(D(own + ETHER) / ETHER, first, lst)
    await lab.rpc("evm_increaseTime", days * 86_400)
    await lab.rpc("evm_mine")
    await lab.fund(lab.owner, own + ETHER)
    more = replace(entry(D(own + ETHER) / ETHER, then, lst), conditions=NEEDED)
    prepared = await flow.prepared(replace(more, conditions=(*NEEDED, health("1000"))))
    foreseen = int(str((await refusal(lab, flow, prepared)).arguments[0]))
    await lab.do(lab.owner, (await flow.prepared(more)).call)
    found = (await flow.position(lst)).health
    # a block passes between the two, and with it interest of a few seconds
    assert foreseen * (1 - D("1e-7")) <= found <= foreseen * (1 + D("1e-7"))
    assert await lab.rpc("evm_revert", snapshot) is True


async def test_a_fresh_position_is_foreseen_from_below_and_to_a_part_in_a_trillion(lab: Lab) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    foreseen = await figure(lab, flow, entry(), K.HEALTH_FACTOR_MIN)
    await flow.run(entry())
    found = (await flow.position()).health
    assert foreseen <= found <= foreseen + foreseen // 10**11


@pytest.mark.parametrize("kind", [K.HEALTH_FACTOR_MIN, K.LTV_MAX, K.DEBT_MAX])
async def test_a_bound_of_a_delever_is_kept(lab: Lab, kind: PostConditionKind) -> None:
    flow = Flow(lab)
    await flow.enter()
    less = ExitGroup(D(20), D(19), D("20.01"), repay=D(20), withdraw=D(19))
    found = await figure(lab, flow, less, kind) * WEI
    tight = D("1.000001") if kind is K.HEALTH_FACTOR_MIN else D("0.999999")
    assert await sent_with(lab, flow, less, (bound(kind, found * tight),)) == 0
    assert await sent_with(lab, flow, less, (bound(kind, found / tight),)) == 1


async def test_an_entry_that_gets_less_than_its_minimum_reverts(lab: Lab) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    group = entry()
    prepared = await flow.prepared(replace(group, lst_min=D(1000)))
    refused = await refusal(lab, flow, prepared)
    assert refused.name == "OutBelowMinimum"
    got = int(str(refused.arguments[1]))
    wei = D(got) * WEI
    assert (await lab.send(lab.owner, (await flow.prepared(replace(group, lst_min=wei + WEI))).call))["status"] == 0
    assert (await lab.send(lab.owner, (await flow.prepared(replace(group, lst_min=wei))).call))["status"] == 1


async def test_a_sale_below_its_minimum_reverts(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    group = await flow.prepared(replace(FULL, weth_min=D(59)))
    assert (await refusal(lab, flow, group)).name == "Too little received"


async def test_a_sale_that_does_not_bring_what_the_loan_costs_reverts(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    refused = await refusal(lab, flow, await flow.prepared(replace(FULL, sell=D(50), weth_min=D(1))))
    assert refused.name == "LoanUnderpaid"


@pytest.mark.feature("A05", part="deadline")
async def test_a_group_is_good_until_the_second_of_its_deadline_and_not_after(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    group = await flow.prepared(FULL)
    due = int(group.deadline.timestamp())
    snapshot = await lab.rpc("evm_snapshot")
    await lab.rpc("evm_setNextBlockTimestamp", due + 1)
    assert (await lab.send(lab.owner, group.call))["status"] == 0
    assert (await refusal(lab, flow, group)).name == "DeadlinePassed"
    assert await lab.rpc("evm_revert", snapshot) is True
    await lab.rpc("evm_setNextBlockTimestamp", due)
    assert (await lab.send(lab.owner, group.call))["status"] == 1
    assert group.deadline - (await lab.head()).time == timedelta(0)


async def test_an_oracle_that_falls_before_inclusion_stops_the_entry(lab: Lab) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    group = await flow.prepared(entry())
    await lab.controls.price("weETH", factor=D("0.99"))
    assert (await refusal(lab, flow, group)).name == "HealthFactorBelowMinimum"
    before = await lab.held(lab.owner)
    receipt = await lab.send(lab.owner, group.call)
    after = await lab.held(lab.owner)
    assert receipt["status"] == 0
    assert replace(after, eth=before.eth) == before
    assert before.eth - after.eth == receipt["gasUsed"] * receipt["effectiveGasPrice"]
