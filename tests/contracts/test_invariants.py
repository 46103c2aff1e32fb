"""Any sequence of owners, strangers, gifts, prices and time: what must hold holds after every single step."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from basis_daemon.venues.chain.abi import MAX
from basis_daemon.venues.chain.atomic_receiver import (
    Bounds,
    Entry,
    Exit,
    Route,
    enter_call,
    exit_call,
    exit_call_morpho,
)
from tests.contracts.flows import EMODES, Flow, Position, clean
from tests.contracts.lab import ETHER, Held, Lab
from tests.venues.chain.groups import EntryGroup, ExitGroup, debt_max, health, ltv

D = Decimal
pytestmark = [pytest.mark.feature("A03"), pytest.mark.slow]
LSTS = st.sampled_from(["weETH", "wstETH"])
SHARES = st.one_of(st.just(D(1)), st.decimals("0.05", "1", places=4))
RATES = {"weETH": D("1.0668"), "wstETH": D("1.2")}
STEPS = st.one_of(
    st.tuples(
        st.just("enter"), st.integers(0, 1), st.decimals("0", "20", places=6), st.decimals("0.1", "0.94", places=4)
    ),
    st.tuples(st.just("leave"), st.integers(0, 1), SHARES, st.decimals("0.99", "1.2", places=4)),
    st.tuples(st.just("attack"), st.integers(0, 2), st.integers(1, 50 * ETHER), st.sampled_from([0, ETHER, MAX])),
    st.tuples(st.just("gift"), st.integers(0, 2), st.integers(1, ETHER), st.just(0)),
    st.tuples(st.just("price"), st.just(0), st.decimals("0.97", "1.02", places=4), st.just(0)),
    st.tuples(st.just("time"), st.just(0), st.integers(1, 30 * 86_400), st.just(0)),
)
Step = tuple[str, int, object, object]


class Town:
    """Two owners with standing allowances, one stranger, one kind of collateral."""

    def __init__(self, lab: Lab, lst: str) -> None:
        self.lab, self.lst = lab, lst
        self.owners = [Flow(lab, lab.owner), Flow(lab, lab.third)]

    async def open(self) -> None:
        for flow in self.owners:
            await self.lab.fund(flow.owner, 400 * ETHER)
            for token in (self.lab.address("WETH"), self.lab.book.reserve(self.lst).atoken):
                await self.lab.approve(flow.owner, token, self.lab.receiver, MAX)
            await self.enter(self.owners.index(flow), D(10), D("0.8"))

    async def state(self, flow: Flow) -> tuple[Held, Position]:
        held = await self.lab.held(flow.owner)
        return replace(held, eth=0), await flow.position(self.lst)

    async def step(self, step: Step) -> None:
        """What happens, and that it happens to nobody else."""
        what, who, first, second = step
        acting = self.owners[who % 2] if what in {"enter", "leave"} else None
        others = [flow for flow in self.owners if flow is not acting]
        before = [await self.state(flow) for flow in others]
        await getattr(self, what)(who, first, second)
        await clean(self.lab)
        if what not in {"price", "time"}:
            for flow, (held, position) in zip(others, before, strict=True):
                now_held, now = await self.state(flow)
                assert now_held == held
                assert now.collateral == position.collateral
                assert now.debt - position.debt <= position.debt // 10**6 + 2  # interest of some seconds

    async def enter(self, who: int, own: Decimal, target: Decimal) -> None:
        flow = self.owners[who]
        loan = (own * target / (1 - target)).quantize(D("1e-18"))
        floor, cap, debt = D("0.95") / target - D("0.01"), target + D("0.01"), await self.lab.debt(flow.owner)
        bounds = (health(str(floor)), ltv(str(cap)), debt_max(D(debt) / ETHER + loan + D("1e-6")))
        if loan <= 0 or own <= 0:
            return
        group = EntryGroup(loan, own, self.lst, emode=EMODES[self.lst], conditions=bounds)
        if (await self._send(flow, group)) == 1:
            position = await flow.position(self.lst)
            assert position.health >= int(floor * ETHER)
            assert position.ltv <= cap
            assert position.debt <= debt + int(loan * ETHER) + 10**12

    async def leave(self, who: int, part: Decimal, surplus: Decimal) -> None:
        flow = self.owners[who]
        position = await flow.position(self.lst)
        if not position.debt:
            return
        loan = D(position.debt) / ETHER * (part if part < 1 else D("1.0005"))
        out = min(loan * surplus / RATES[self.lst], D(position.collateral) / ETHER).quantize(D("1e-18"))
        bounds = (health("1.03"), ltv("0.94"))
        whole: dict[str, object] = (
            {"repay": "MAX", "withdraw": "MAX"} if part == 1 else {"repay": loan, "withdraw": out}
        )
        group = ExitGroup(loan, out, D("1e-18"), lst=self.lst, conditions=bounds, repaid=loan * 2, **whole)  # type: ignore[arg-type]  # by name
        if (await self._send(flow, group)) == 1:
            now = await flow.position(self.lst)
            assert now.debt == 0 or (now.health >= int(D("1.03") * ETHER) and now.ltv <= D("0.94"))
            assert now.debt < position.debt

    async def attack(self, how: int, loan: int, amount: int) -> None:
        lab, book, nobody = self.lab, self.lab.book, Bounds(2**40, 0)
        token = lab.address(self.lst)
        route = Route.LIDO if self.lst == "wstETH" else Route.ETHERFI
        out = Exit(token, 100, amount, amount, amount, 0, nobody)
        into = Entry(token, route, 0, min(amount, 100 * ETHER), 0, nobody)
        calls = [
            enter_call(book, lab.receiver, lab.owner, loan, into),
            exit_call(book, lab.receiver, loan, out),
            exit_call_morpho(lab.receiver, loan, out),
        ]
        await lab.send(lab.stranger, calls[how])

    async def gift(self, what: int, amount: int, _: object) -> None:
        """It lies in the receiver until the next group takes it along, which is run at once."""
        lab = self.lab
        await lab.fund(lab.stranger, amount)
        if what == 0:
            await lab.give(lab.stranger, lab.address("WETH"), lab.receiver, amount)
        elif what == 1:
            await lab.rpc("anvil_setBalance", lab.receiver, hex(amount))
        else:
            await lab.give(lab.whale, lab.address(self.lst), lab.receiver, amount)
        taker = Flow(lab, lab.stranger)
        await lab.fund(lab.stranger, ETHER)
        await lab.approve(lab.stranger, lab.address("WETH"), lab.receiver, MAX)
        group = EntryGroup(D("0.2"), D(1), self.lst, emode=EMODES[self.lst], conditions=(health("1.5"), ltv("0.5")))
        assert await self._send(taker, group) == 1

    async def price(self, _: int, factor: Decimal, __: object) -> None:
        await self.lab.controls.price(self.lst, factor=factor)

    async def time(self, _: int, seconds: int, __: object) -> None:
        await self.lab.rpc("evm_increaseTime", seconds)
        await self.lab.rpc("evm_mine")

    async def _send(self, flow: Flow, group: EntryGroup | ExitGroup) -> int:
        orders = replace(group, deadline=await self.lab.deadline()).orders()
        call = flow.compiler.compile(orders, await flow.scene(orders)).call
        status = int((await self.lab.send(flow.owner, call))["status"])
        event(f"{type(group).__name__}: {'done' if status else 'reverted'}")
        return status


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(lst=LSTS, steps=st.lists(STEPS, min_size=2, max_size=10))
async def test_owners_keep_what_is_theirs_and_the_receiver_keeps_nothing(lab: Lab, lst: str, steps: list[Step]) -> None:
    snapshot = await lab.rpc("evm_snapshot")
    town = Town(lab, lst)
    await town.open()
    for step in steps:
        await town.step(step)
    assert await lab.rpc("evm_revert", snapshot) is True
