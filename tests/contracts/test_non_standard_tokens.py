"""The collateral's own code turned against us, at its own address, with real Aave around it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from enum import IntEnum

import pytest

from basis_daemon.venues.chain.abi import Call, function
from basis_daemon.venues.chain.atomic_receiver import Route, enter_call, exit_call_morpho
from basis_daemon.venues.chain.atomic_simulation import reason_of
from tests.contracts.flows import Flow, clean, entry
from tests.contracts.lab import ETHER, Lab
from tests.contracts.test_attacks import entry_of, exit_of
from tests.contracts.test_unwind import FULL

D = Decimal
BECOME = function("become(uint8,address,bytes)")
WAS_LET_IN = function("wasLetIn() -> (bool)")
MINT = function("mint(address,uint256)")


class Mode(IntEnum):
    """As in Hostile.sol."""

    HONEST = 0
    ANSWERS_FALSE = 1
    ANSWERS_NOTHING = 2
    TAKES_FEE = 3
    KEEPS_DUST = 4
    CALLS_BACK = 5
    CALLS_BACK_QUIETLY = 6


async def corrupted(lab: Lab, mode: Mode, said: Call | None = None) -> str:
    """The token wstETH with other code at the same address; from now on one wei of ether makes one of it."""
    made = await lab.create(lab.built.hostile["HostileToken"])
    code = await lab.client.eth.get_code(lab.client.to_checksum_address(made))
    token = lab.address("wstETH")
    await lab.rpc("anvil_setCode", token, code.to_0x_hex())
    target, message = (said.to, said.data) if said is not None else (token, b"")
    await lab.do(lab.whale, BECOME(token, int(mode), target, message))
    return token


async def attempt(lab: Lab, *, own: Decimal = D(10)) -> tuple[int, str]:
    """(status, reason) of a levered entry with the corrupted token."""
    flow = Flow(lab)
    await lab.fund(lab.owner, 20 * ETHER)
    group = await flow.prepared(replace(entry(own, lst="wstETH"), lst_min=D(1)))
    receipt = await lab.send(lab.owner, group.call)
    reason = "" if receipt["status"] else reason_of(await lab.why(lab.owner, group.call)).name
    return receipt["status"], reason


async def test_the_honest_stand_in_works_so_that_the_others_prove_something(lab: Lab) -> None:
    await corrupted(lab, Mode.HONEST)
    assert await attempt(lab) == (1, "")
    await clean(lab)


async def test_a_token_that_answers_false_is_refused(lab: Lab) -> None:
    await corrupted(lab, Mode.ANSWERS_FALSE)
    assert await attempt(lab) == (0, "TokenRefused")


async def test_a_token_that_answers_nothing_is_taken_as_it_is(lab: Lab) -> None:
    await corrupted(lab, Mode.ANSWERS_NOTHING)
    assert await attempt(lab) == (1, "")
    await clean(lab)


async def test_a_token_that_cannot_be_handed_back_whole_is_refused(lab: Lab) -> None:
    await corrupted(lab, Mode.KEEPS_DUST)
    assert await attempt(lab) == (0, "ResidueLeft")


async def test_a_fee_on_transfers_never_leaves_the_caller_with_less_than_his_minimum(lab: Lab) -> None:
    token = await corrupted(lab, Mode.HONEST)
    flow = Flow(lab)
    await flow.enter(lst="wstETH")
    await lab.do(lab.whale, MINT(token, lab.whale, 10**6 * ETHER))
    await lab.do(lab.whale, BECOME(token, int(Mode.TAKES_FEE), token, b""))
    group = await flow.prepared(replace(FULL, lst="wstETH", sell=D(55), weth_min=D(55)))
    before = await lab.held(lab.owner)
    assert (await lab.send(lab.owner, group.call))["status"] == 0
    assert replace(await lab.held(lab.owner), eth=before.eth) == before
    await clean(lab)


@pytest.mark.parametrize("mode", [Mode.CALLS_BACK, Mode.CALLS_BACK_QUIETLY])
async def test_a_token_that_calls_the_receiver_while_it_works_is_not_let_in(lab: Lab, mode: Mode) -> None:
    """Neither by the second lender nor through the pool; a quiet attempt spoils nothing, a loud one reverts."""
    inner_exit = exit_call_morpho(lab.receiver, ETHER, exit_of(lab, sell=0))
    inner_entry = enter_call(
        lab.book,
        lab.receiver,
        lab.address("wstETH"),
        ETHER,
        entry_of(lab, lst=lab.address("weETH"), route=Route.ETHERFI),
    )
    for inner in (inner_exit, inner_entry):
        snapshot = await lab.rpc("evm_snapshot")
        token = await corrupted(lab, mode, inner)
        status, reason = await attempt(lab)
        assert (status, reason) == ((0, "Reentered") if mode is Mode.CALLS_BACK else (1, ""))
        assert await lab.read(WAS_LET_IN, token) is False
        await clean(lab)
        assert await lab.rpc("evm_revert", snapshot) is True


async def test_the_receiver_works_again_after_a_call_that_failed_inside(lab: Lab) -> None:
    token = await corrupted(lab, Mode.CALLS_BACK, exit_call_morpho(lab.receiver, ETHER, exit_of(lab)))
    assert (await attempt(lab))[1] == "Reentered"
    await lab.do(lab.whale, BECOME(token, int(Mode.HONEST), token, b""))
    assert await attempt(lab) == (1, "")
