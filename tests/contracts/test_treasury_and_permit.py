"""The two other ways to run the same group: a Safe's batch, and a permit instead of an allowance of its own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import SecretStr

from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.abi import function
from basis_daemon.venues.chain.atomic_permit import DOMAIN_SEPARATOR, NONCES, permit_digest, sign_permit
from basis_daemon.venues.chain.atomic_receiver import Permit
from basis_daemon.venues.chain.atomic_safe import batch_of, safe_call, signature_of_sender
from basis_daemon.venues.chain.signers import KeySigner
from tests.contracts.flows import Flow, clean, entry
from tests.contracts.lab import ETHER, Lab
from tests.contracts.test_unwind import FULL
from tests.venues.chain.groups import EntryGroup, ExitGroup

D = Decimal
PERMIT = function("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)")


# ------------------------------------------------------------------------------------------------------ the Safe
async def through_safe(lab: Lab, group: EntryGroup | ExitGroup, sender: str, *, morpho: bool = True) -> int:
    """Status of the one transaction in which the Safe does everything that the group needs."""
    flow = Flow(lab, lab.built.treasury.safe)
    orders = replace(group, deadline=await lab.deadline()).orders()
    call = flow.compiler.compile(orders, await flow.scene(orders, morpho=morpho))
    batch = safe_call(lab.built.treasury, batch_of(call), signature_of_sender(sender))
    return int((await lab.send(sender, batch))["status"])


@pytest.mark.feature("S07")
@pytest.mark.parametrize("morpho", [True, False])
async def test_a_safe_enters_and_leaves_in_one_transaction_each_and_allows_nothing_afterwards(
    lab: Lab, *, morpho: bool
) -> None:
    safe = lab.built.treasury.safe
    await lab.fund(lab.owner, 10 * ETHER)
    await lab.give(lab.owner, lab.address("WETH"), safe, 10 * ETHER)
    assert await through_safe(lab, entry(), lab.owner) == 1
    position = await Flow(lab, safe).position()
    assert abs(position.ltv - D("0.85")) < D("0.0001")
    assert await through_safe(lab, FULL, lab.owner, morpho=morpho) == 1
    assert ((await Flow(lab, safe).position()).debt, await lab.collateral(safe)) == (0, 0)
    assert (await lab.held(safe)).weeth == position.collateral - 55 * ETHER
    for token in (lab.book.reserve("weETH").atoken, lab.address("WETH")):
        assert await lab.read(erc20.ALLOWANCE, token, safe, lab.receiver) == 0
    await clean(lab)


async def test_a_group_of_a_safe_fails_as_a_whole_with_everything_around_it(lab: Lab) -> None:
    safe = lab.built.treasury.safe
    await lab.fund(lab.owner, 10 * ETHER)
    await lab.give(lab.owner, lab.address("WETH"), safe, 10 * ETHER)
    assert await through_safe(lab, replace(entry(), lst_min=D(1000)), lab.owner) == 0
    assert await lab.read(erc20.ALLOWANCE, lab.address("WETH"), safe, lab.receiver) == 0


async def test_nobody_but_its_owner_moves_a_safe(lab: Lab) -> None:
    safe = lab.built.treasury.safe
    await lab.fund(lab.owner, 10 * ETHER)
    await lab.give(lab.owner, lab.address("WETH"), safe, 10 * ETHER)
    assert await through_safe(lab, entry(), lab.stranger) == 0


# ------------------------------------------------------------------------------------------------------- permits
async def signing_owner(lab: Lab, lst: str = "weETH") -> tuple[KeySigner, Flow]:
    signer = KeySigner(SecretStr("0x" + "7a" * 32))
    await lab.rpc("anvil_impersonateAccount", signer.address)
    flow = Flow(lab, signer.address)
    await flow.enter(lst=lst)
    return signer, flow


async def signed(lab: Lab, signer: KeySigner, flow: Flow, group: ExitGroup, *, morpho: bool = True) -> Permit:
    orders = group.orders()
    need = flow.compiler.compile(orders, await flow.scene(orders, morpho=morpho)).allowances[0]
    domain = await lab.read(DOMAIN_SEPARATOR, need.token)
    nonce = await lab.read(NONCES, need.token, flow.owner)
    assert group.deadline is not None
    return await sign_permit(signer, domain, need, nonce, int(group.deadline.timestamp()))


@pytest.mark.parametrize("morpho", [True, False])
async def test_a_permit_makes_a_full_exit_the_only_transaction(lab: Lab, *, morpho: bool) -> None:
    signer, flow = await signing_owner(lab)
    due = replace(FULL, deadline=await lab.deadline())
    permit = await signed(lab, signer, flow, due, morpho=morpho)
    scene = replace(await flow.scene(due.orders(), morpho=morpho), permit=permit)
    group = flow.compiler.compile(due.orders(), scene)
    assert group.allowances == ()
    await lab.do(flow.owner, group.call)
    assert ((await flow.position()).debt, (await flow.position()).collateral) == (0, 0)
    await clean(lab)


async def test_a_permit_that_somebody_used_before_us_does_not_stop_the_exit(lab: Lab) -> None:
    signer, flow = await signing_owner(lab)
    due = replace(FULL, deadline=await lab.deadline())
    permit = await signed(lab, signer, flow, due)
    scene = replace(await flow.scene(due.orders()), permit=permit)
    group = flow.compiler.compile(due.orders(), scene)
    token = lab.book.reserve("weETH").atoken
    used = PERMIT(token, flow.owner, lab.receiver, permit.value, permit.deadline, permit.v, permit.r, permit.s)
    await lab.do(lab.stranger, used)
    await lab.do(flow.owner, group.call)
    assert (await flow.position()).debt == 0


async def test_a_stranger_gains_nothing_by_a_permit_that_he_has_seen(lab: Lab) -> None:
    signer, flow = await signing_owner(lab)
    due = replace(FULL, deadline=await lab.deadline())
    permit = await signed(lab, signer, flow, due)
    thief = Flow(lab, lab.stranger)
    stolen = thief.compiler.compile(due.orders(), replace(await flow.scene(due.orders()), permit=permit))
    collateral = (await flow.position()).collateral
    assert (await lab.send(lab.stranger, stolen.call))["status"] == 0
    assert (await flow.position()).collateral == collateral


async def test_a_permit_of_another_amount_spender_or_time_is_worth_nothing(lab: Lab) -> None:
    signer, flow = await signing_owner(lab)
    due = replace(FULL, deadline=await lab.deadline())
    permit = await signed(lab, signer, flow, due)
    for wrong in (replace(permit, value=permit.value + 1), replace(permit, deadline=permit.deadline + 1)):
        group = flow.compiler.compile(due.orders(), replace(await flow.scene(due.orders()), permit=wrong))
        assert (await lab.send(flow.owner, group.call))["status"] == 0
    need = flow.compiler.compile(due.orders(), await flow.scene(due.orders())).allowances[0]
    digests = {
        permit_digest(bytes(32), flow.owner, changed, nonce, 1)
        for changed in (need, replace(need, units=1), replace(need, spender=flow.owner))
        for nonce in (0, 1)
    }
    assert len(digests) == 6
