"""Strangers, routers and nested loans against the receiver, while a victim has everything allowed to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.abi import MAX, Call, function
from basis_daemon.venues.chain.atomic_receiver import (
    ENTRY_TYPE,
    EXIT_TYPE,
    FLASH_LOAN,
    FLASH_LOAN_SIMPLE,
    UNWIND_THROUGH_MORPHO,
    Bounds,
    Entry,
    Exit,
    Route,
    enter_call,
    exit_call,
    exit_call_morpho,
    receiver_artifact,
)
from basis_daemon.venues.chain.atomic_simulation import reason_of
from basis_daemon.venues.chain.contracts.artifact import deployment
from tests.contracts.flows import Flow, clean, entry, ether
from tests.contracts.lab import ETHER, Held, Lab
from tests.contracts.test_unwind import FULL

D = Decimal
NO_BOUNDS = Bounds(2**40, 0)
CALLED_ENTER = function("executeOperation(address[],uint256[],uint256[],address,bytes) -> (bool)")
CALLED_EXIT = function("executeOperation(address,uint256,uint256,address,bytes) -> (bool)")
CALLED_MORPHO = function("onMorphoFlashLoan(uint256,bytes)")
MORPHO_LOAN = function("flashLoan(address,uint256,bytes)")


class Victim:
    """A levered owner with WETH, LST and aTokens in his wallet, all of which the receiver may take from him."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.lab, self.address = flow, flow.lab, flow.owner

    async def expose(self) -> None:
        lab = self.lab
        await self.flow.enter()
        await lab.fund(self.address, 20 * ETHER)
        for token in (lab.address("WETH"), lab.address("weETH"), lab.book.reserve("weETH").atoken):
            await lab.approve(self.address, token, lab.receiver, MAX)

    async def belongings(self) -> tuple[Held, int, int]:
        """Wallet, collateral, and debt without the interest of some seconds."""
        debt = await self.lab.debt(self.address)
        return await self.lab.held(self.address), await self.lab.collateral(self.address), debt // 10**14


@pytest.fixture
async def victim(lab: Lab) -> AsyncIterator[Victim]:
    """Whatever happens in the test, he loses nothing."""
    exposed = Victim(Flow(lab))
    await exposed.expose()
    before = await exposed.belongings()
    yield exposed
    assert await exposed.belongings() == before


async def refused(lab: Lab, call: Call, sender: str | None = None) -> str:
    """Why a stranger's call reverts; it is also sent, and does."""
    who = sender or lab.stranger
    why = reason_of(await lab.why(who, call)).name
    assert (await lab.send(who, call))["status"] == 0
    return why


def entry_of(lab: Lab, **changes: object) -> Entry:
    plan = Entry(lab.address("weETH"), Route.ETHERFI, 0, 0, 1, NO_BOUNDS)
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields of a dataclass by name


def exit_of(lab: Lab, **changes: object) -> Exit:
    plan = Exit(lab.address("weETH"), 100, MAX, MAX, MAX, 1, NO_BOUNDS)
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields of a dataclass by name


def entry_params(plan: Entry) -> bytes:
    return encode([ENTRY_TYPE], [plan.values()])


def exit_params(plan: Exit) -> bytes:
    return encode([EXIT_TYPE], [plan.values()])


async def test_nobody_but_the_lenders_may_call_back(lab: Lab, victim: Victim) -> None:
    weth = lab.address("WETH")
    own = entry_params(entry_of(lab, own=ETHER))
    out = exit_params(exit_of(lab))
    for call in (
        CALLED_ENTER(lab.receiver, [weth], [ETHER], [0], victim.address, own),
        CALLED_EXIT(lab.receiver, weth, ETHER, 0, victim.address, out),
        CALLED_MORPHO(lab.receiver, ETHER, encode(["address", EXIT_TYPE], [victim.address, exit_of(lab).values()])),
    ):
        assert await refused(lab, call) == "CallerNotAllowed"
        assert reason_of(await lab.why(victim.address, call)).name == "CallerNotAllowed"


async def test_a_stranger_cannot_put_debt_on_a_victim(lab: Lab, victim: Victim) -> None:
    call = enter_call(lab.book, lab.receiver, victim.address, ETHER, entry_of(lab))
    assert await refused(lab, call) == "0x1cb19ef3"  # InsufficientBorrowAllowance(address,uint256,uint256)


async def test_a_stranger_cannot_spend_what_the_victim_allowed(lab: Lab, victim: Victim) -> None:
    del victim  # his allowances stand
    own = enter_call(lab.book, lab.receiver, lab.stranger, ETHER, entry_of(lab, own=ETHER))
    await refused(lab, own)
    part = exit_of(lab, withdraw=ETHER)
    for call in (exit_call(lab.book, lab.receiver, ETHER, part), exit_call_morpho(lab.receiver, ETHER, part)):
        await refused(lab, call)


async def test_a_stranger_who_runs_an_exit_repays_and_withdraws_nothing_of_the_victim(lab: Lab, victim: Victim) -> None:
    """He has no debt and no collateral: the loan goes back, and at Aave he pays its fee himself or reverts."""
    del victim
    nothing = exit_of(lab, sell=0)
    assert await refused(lab, exit_call(lab.book, lab.receiver, ETHER, nothing)) == "LoanUnderpaid"
    assert (await lab.send(lab.stranger, exit_call_morpho(lab.receiver, ETHER, nothing)))["status"] == 1
    await clean(lab)


async def test_a_stranger_cannot_use_a_loan_of_morpho_to_call_back_with_another_s_name(
    lab: Lab, victim: Victim
) -> None:
    """Morpho calls back whoever borrowed: a borrower that is not the receiver never reaches it."""
    data = encode(["address", EXIT_TYPE], [victim.address, exit_of(lab).values()])
    assert (await lab.send(lab.stranger, MORPHO_LOAN(lab.morpho, lab.address("WETH"), ETHER, data)))["status"] == 0
    nested = await lab.create(lab.built.hostile["Nested"])
    run = function("run(address,bytes,address,bytes)")
    first = FLASH_LOAN_SIMPLE(
        lab.book.aave.pool, lab.receiver, lab.address("WETH"), ETHER, exit_params(exit_of(lab)), 0
    )
    then = CALLED_MORPHO(lab.receiver, ETHER, data)
    await refused(lab, run(nested, first.to, first.data, then.to, then.data))


@pytest.mark.parametrize("mode", [0, 1])
async def test_a_loan_that_is_not_taken_as_debt_cannot_be_paid_back_and_reverts(
    lab: Lab, victim: Victim, mode: int
) -> None:
    del victim
    await lab.fund(lab.stranger, 10 * ETHER)
    await lab.approve(lab.stranger, lab.address("WETH"), lab.receiver, ETHER)
    plan = entry_params(entry_of(lab, own=ETHER))
    call = FLASH_LOAN(lab.book.aave.pool, lab.receiver, [lab.address("WETH")], [ETHER], [mode], lab.stranger, plan, 0)
    await refused(lab, call)


async def test_only_weth_may_be_lent_and_only_one_loan_at_a_time(lab: Lab, victim: Victim) -> None:
    del victim
    pool, weth, usdt = lab.book.aave.pool, lab.address("WETH"), lab.address("USDT")
    own, out = entry_params(entry_of(lab)), exit_params(exit_of(lab))
    for call in (
        FLASH_LOAN(pool, lab.receiver, [usdt], [10**6], [2], lab.stranger, own, 0),
        FLASH_LOAN(pool, lab.receiver, [weth, usdt], [ETHER, 10**6], [2, 2], lab.stranger, own, 0),
        FLASH_LOAN_SIMPLE(pool, lab.receiver, usdt, 10**6, out, 0),
    ):
        assert await refused(lab, call) == "LoanNotWeth"


async def test_no_token_and_no_issuer_can_be_named_but_those_of_the_deployment(lab: Lab) -> None:
    evil = await lab.create(lab.built.hostile["HostileToken"])
    plans = [
        entry_of(lab, lst=evil),
        entry_of(lab, lst=lab.address("USDT")),
        entry_of(lab, lst=lab.address("eETH")),
        entry_of(lab, route=Route.LIDO),
        entry_of(lab, lst=lab.address("wstETH"), route=Route.ETHERFI),
    ]
    for plan in plans:
        call = enter_call(lab.book, lab.receiver, lab.stranger, ETHER, plan)
        assert await refused(lab, call) == "CollateralNotAllowed"
    call = exit_call_morpho(lab.receiver, ETHER, exit_of(lab, lst=evil))
    assert await refused(lab, call) == "CollateralNotAllowed"


async def test_a_swap_through_a_pool_that_does_not_exist_reverts(lab: Lab) -> None:
    plan = entry_of(lab, route=Route.SWAP, pool_fee=12_345)
    assert (await lab.send(lab.stranger, enter_call(lab.book, lab.receiver, lab.stranger, ETHER, plan)))["status"] == 0


async def test_garbage_instead_of_a_plan_reverts(lab: Lab) -> None:
    pool, weth = lab.book.aave.pool, lab.address("WETH")
    for params in (b"", b"\xff" * 31, bytes(32 * 40), exit_params(exit_of(lab))):
        call = FLASH_LOAN(pool, lab.receiver, [weth], [ETHER], [2], lab.stranger, params, 0)
        assert (await lab.send(lab.stranger, call))["status"] == 0
    assert (await lab.send(lab.stranger, Call(lab.receiver, b"\x12\x34\x56\x78")))["status"] == 0


async def test_ether_is_taken_from_weth_only(lab: Lab) -> None:
    assert await refused(lab, Call(lab.receiver, b"", ETHER)) == "CallerNotAllowed"


async def test_a_receiver_without_a_second_lender_says_so(lab: Lab) -> None:
    receiver = await deployed(lab, morpho="0x" + "00" * 20)
    assert await refused(lab, UNWIND_THROUGH_MORPHO(receiver, ETHER, exit_of(lab).values())) == "LenderAbsent"


@pytest.mark.parametrize("paid", [0, 5_000, 9_999])
async def test_a_router_that_keeps_what_it_was_given_gains_nothing(lab: Lab, paid: int) -> None:
    """Not even one that was deployed with the receiver: what counts is the balance, and not what a router says."""
    router = await lab.create(lab.built.hostile["HostileRouter"] + encode(["uint256"], [paid]))
    receiver = await deployed(lab, router=router)
    flow = Flow(lab, receiver=receiver)
    await lab.fund(lab.whale, 100 * ETHER)
    await lab.give(lab.whale, lab.address("WETH"), router, 70 * ETHER)
    await flow.enter()
    group = await flow.prepared(FULL)
    before = (await lab.held(lab.owner)).weth, await lab.collateral(lab.owner)
    assert await refused(lab, group.call, lab.owner) == "OutBelowMinimum"
    assert ((await lab.held(lab.owner)).weth, await lab.collateral(lab.owner)) == before
    bought = await flow.prepared(replace(entry(D(1)), swap=True, own=D(0), loan=D(1)))
    assert (await lab.send(lab.owner, bought.call))["status"] == 0


async def test_gifts_of_any_kind_stop_nobody(lab: Lab) -> None:
    """WETH, the token itself, its aToken, ether and shares lie in the receiver: the next owner gets them."""
    flow = Flow(lab)
    await flow.enter()
    donor = Flow(lab, lab.stranger)
    await donor.enter(D(1), D("0.5"))
    await lab.fund(lab.stranger, ETHER)
    await lab.give(lab.stranger, lab.address("WETH"), lab.receiver, ETHER)
    await lab.give(lab.stranger, lab.book.reserve("weETH").atoken, lab.receiver, ETHER // 10)
    await lab.do(
        lab.stranger,
        function("deposit() -> (uint256)")(lab.book.part(lab.book.etherfi, "etherfi").liquidity_pool, value_wei=ETHER),
    )
    await lab.give(lab.stranger, lab.address("eETH"), lab.receiver, ETHER // 2)
    await lab.rpc("anvil_setBalance", lab.receiver, hex(ether("0.25")))
    supplied = (await flow.position()).collateral
    await flow.run(FULL)
    held = await lab.held(lab.owner)
    assert held.weeth == supplied - 55 * ETHER + ETHER // 10
    assert held.weth > ether("1.25")
    await flow.run(replace(entry(D(1)), own=D(0), loan=D(1)))
    assert D("0.66") < (await flow.position()).ltv < D("0.67")
    await clean(lab)


STRANGERS = st.tuples(
    st.sampled_from(["enter", "exit", "morpho"]),
    st.integers(1, 100 * ETHER),
    st.sampled_from(["weETH", "wstETH"]),
    st.sampled_from(list(Route)),
    st.sampled_from([0, 1, ETHER, MAX]),
    st.sampled_from([0, 1, ETHER, MAX]),
    st.sampled_from([0, 1, ETHER, MAX]),
    st.booleans(),
)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tried=STRANGERS)
async def test_whatever_a_stranger_tries_costs_the_victim_nothing_and_leaves_nothing(
    lab: Lab, tried: tuple[str, int, str, Route, int, int, int, bool]
) -> None:
    what, loan, lst, route, first, second, third, on_victim = tried
    snapshot = await lab.rpc("evm_snapshot")
    exposed = Victim(Flow(lab))
    await exposed.expose()
    before = await exposed.belongings()
    token = lab.address(lst)
    into = entry_of(lab, lst=token, route=route, pool_fee=100, own=first % (200 * ETHER))
    out = exit_of(lab, lst=token, repay=first, withdraw=second, sell=third, weth_min=0)
    debtor = exposed.address if on_victim else lab.stranger
    call = {
        "enter": enter_call(lab.book, lab.receiver, debtor, loan, into),
        "exit": exit_call(lab.book, lab.receiver, loan, out),
        "morpho": exit_call_morpho(lab.receiver, loan, out),
    }[what]
    await lab.send(lab.stranger, call)
    assert await exposed.belongings() == before
    await clean(lab)
    assert await lab.rpc("evm_revert", snapshot) is True


async def deployed(lab: Lab, **instead: str) -> str:
    """Another receiver of the same code, with some of its contracts changed."""
    book = lab.book
    given = {
        "pool": book.aave.pool,
        "weth": lab.address("WETH"),
        "router": book.dex.router,
        "morpho": lab.morpho,
        "wsteth": lab.address("wstETH"),
        "liquidityPool": book.part(book.etherfi, "etherfi").liquidity_pool,
        "eeth": lab.address("eETH"),
        "weeth": lab.address("weETH"),
    }
    ours = deployment(receiver_artifact(), {**given, **instead})
    await lab.do(lab.whale, ours.call)
    return ours.address


async def test_an_allowance_of_the_receiver_never_outlives_its_transaction(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    await flow.run(replace(FULL, loan=D(60), repaid=D(61)), morpho=False)
    await clean(lab)
    for spender in (lab.book.aave.pool, lab.morpho):
        assert await lab.read(erc20.ALLOWANCE, lab.address("WETH"), lab.receiver, spender) == 0
