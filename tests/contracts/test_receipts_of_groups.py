from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web3.types import TxReceipt

from basis_daemon.domain.errors import IntegrityError
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.trade import Fee, OrderState, Trade, TradeStatus
from basis_daemon.venues.chain.atomic import GroupCall
from basis_daemon.venues.chain.atomic_receipt import MinedGroup
from basis_daemon.venues.chain.atomic_simulation import reason_of
from basis_daemon.venues.chain.deltas import Moved, moved
from basis_daemon.venues.chain.tokens import amount_of, atoken, held_at, vdebt
from tests.contracts.flows import Flow, entry
from tests.contracts.lab import ETHER, Lab
from tests.contracts.test_unwind import FULL
from tests.venues.chain.groups import NOW, EntryGroup, ExitGroup, health, ltv

D = Decimal
Wei = Mapping[PositionKey, int]
ETH, WETH, DEBT = held_at("ETH"), held_at("WETH"), vdebt("WETH")


async def holdings(lab: Lab, owner: str, lst: str) -> Wei:
    held = await lab.held(owner)
    return {
        ETH: held.eth,
        WETH: held.weth,
        held_at(lst): {"weETH": held.weeth, "wstETH": held.wsteth}[lst],
        atoken(lst): await lab.collateral(owner, lst),
        DEBT: await lab.debt(owner),
    }


async def holdings_since(lab: Lab, owner: str, lst: str, last_event: Wei) -> Wei:
    """Now, but Aave's balances as they were at the owner's last event there: interest is told from then on."""
    now = await holdings(lab, owner, lst)
    return {**now, **{key: held for key, held in last_event.items() if key.venue == "aave_v3"}}


async def explained(
    lab: Lab, flow: Flow, group: GroupCall, raw: TxReceipt, before: Wei
) -> tuple[MinedGroup, tuple[Trade, ...]]:
    """The trades of a mined group, whose sums are what the owner's balances did; Aave's own rounding apart."""
    receipt = await lab.receipt(raw)
    found = moved(receipt, lab.book, flow.owner)
    mined = MinedGroup(group.orders, receipt, found, lab.book, flow.owner)
    trades = mined.trades("name", None, NOW)
    after = await holdings(lab, flow.owner, group.lst)
    for key, held in before.items():
        total = sum((trade.deltas.get(key, D(0)) for trade in trades), D(0))
        grown = found.interest.get(key, D(0)) + found.rounding.get(key, D(0))
        assert amount_of(after[key] - held, 18) == total + grown, key
    assert all(key in before for trade in trades for key in trade.deltas)
    assert not any(trade.deltas for trade in trades[1:])
    return mined, trades


def by_operation(mined: MinedGroup) -> dict[str, Mapping[PositionKey, Decimal]]:
    return {str(order.operation): row for order, row in zip(mined.orders, mined.leg_deltas(), strict=True)}


@pytest.mark.parametrize("lst", ["weETH", "wstETH"])
async def test_each_leg_of_an_entry_says_what_it_moved(lab: Lab, lst: str) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    group = await flow.prepared(replace(entry(lst=lst), loan=D(50)))
    before = await holdings(lab, lab.owner, lst)
    raw = await lab.do(lab.owner, group.call)
    mined, trades = await explained(lab, flow, group, raw, before)
    legs = by_operation(mined)
    got = legs["supply"][atoken(lst)]
    gas = amount_of(raw["gasUsed"] * raw["effectiveGasPrice"], 18)
    assert legs["set_emode"] == {}
    assert legs["flash_borrow"] == {WETH: D(50)}
    assert legs["unwrap"] == {WETH: D(-60), ETH: D(60)}
    assert legs["stake"] == {ETH: D(-60), held_at(lst): got}
    assert legs["supply"] == {held_at(lst): -got, atoken(lst): got}
    assert legs["borrow"] == {DEBT: D(50)}
    assert (trades[3].qty_base, trades[3].qty_quote, trades[3].price) == (D(60), got, got / 60)
    assert [trade.qty_base for trade in trades] == [D(0), D(0), D(0), D(60), D(0), D(0)]
    assert trades[0].deltas == {ETH: -gas, WETH: D(-10), atoken(lst): got, DEBT: D(50)}
    assert trades[0].fees == (Fee(asset="ETH", quantity=gas),)
    assert [trade.trade_id for trade in trades] == ["name", *(f"name/{leg}" for leg in range(1, 6))]
    assert [trade.order_id for trade in trades] == [order.order_id for order in group.orders]
    assert {trade.status for trade in trades} == {TradeStatus.FILLED}
    assert {trade.order_state for trade in trades} == {OrderState.FILLED}
    assert trades[0].tx is not None
    assert trades[0].tx.gas_used == raw["gasUsed"]


@pytest.mark.parametrize("morpho", [True, False])
async def test_each_leg_of_an_exit_says_what_it_moved(lab: Lab, *, morpho: bool) -> None:
    flow = Flow(lab)
    await flow.enter()
    entered = await holdings(lab, lab.owner, "weETH")
    await lab.rpc("evm_increaseTime", 30 * 86_400)
    await lab.rpc("evm_mine")
    group = await flow.prepared(replace(FULL, loan=D(57), weth_min=D("56.9"), repaid=D("57.05")), morpho=morpho)
    before = await holdings_since(lab, lab.owner, "weETH", entered)
    raw = await lab.do(lab.owner, group.call)
    mined, trades = await explained(lab, flow, group, raw, before)
    legs = by_operation(mined)
    fee = D(0) if morpho else D("0.0285")
    assert [one.quantity for one in trades[0].fees[1:]] == ([] if morpho else [fee])
    assert (trades[3].qty_base, trades[3].qty_quote) == (D(55), legs["swap"][WETH])
    repaid = -legs["repay"][DEBT]
    assert D("56.75") < repaid < D(57)
    assert legs["repay"] == {WETH: -repaid, DEBT: -repaid}
    assert legs["withdraw"][held_at("weETH")] == -legs["withdraw"][atoken("weETH")]
    assert legs["swap"][held_at("weETH")] == D(-55)
    assert legs["flash_repay"] == {WETH: -D(57) - fee}


async def test_a_swap_that_enters_shows_what_the_pool_took_and_gave(lab: Lab) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    group = await flow.prepared(replace(entry(), swap=True))
    before = await holdings(lab, lab.owner, "weETH")
    mined, _ = await explained(lab, flow, group, await lab.do(lab.owner, group.call), before)
    legs = by_operation(mined)
    assert legs["swap"][WETH] == -amount_of(group.loan, 18) - 10
    assert legs["swap"][held_at("weETH")] == legs["supply"][atoken("weETH")]


async def test_a_reverted_group_is_failed_and_cost_gas_only(lab: Lab) -> None:
    flow = Flow(lab)
    await flow.enter()
    group = await flow.prepared(replace(FULL, loan=D(50)))
    before = await holdings(lab, lab.owner, "weETH")
    before = {key: held for key, held in before.items() if key != DEBT}  # which grows meanwhile
    raw = await lab.send(lab.owner, group.call)
    mined, trades = await explained(lab, flow, group, raw, before)
    assert {trade.status for trade in trades} == {TradeStatus.FAILED}
    assert {trade.order_state for trade in trades} == {OrderState.REJECTED}
    assert trades[0].deltas == {ETH: -mined.receipt.gas}
    told = mined.trades("name", reason_of(await lab.why(lab.owner, group.call)), NOW)
    assert {trade.error.code for trade in told if trade.error is not None} == {"LoanBelowDebt"}


async def test_a_receipt_that_the_legs_do_not_explain_is_not_booked(lab: Lab) -> None:
    flow = Flow(lab)
    await lab.fund(lab.owner, 10 * ETHER)
    group = await flow.prepared(entry())
    receipt = await lab.receipt(await lab.do(lab.owner, group.call))
    found = moved(receipt, lab.book, lab.owner)
    foreign = Moved(deltas={**found.deltas, PositionKey("wallet:token:USDT"): D(1)})
    with pytest.raises(IntegrityError, match="USDT"):
        MinedGroup(group.orders, receipt, foreign, lab.book, flow.owner).leg_deltas()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    own=st.integers(1, 50 * ETHER),
    leverage=st.decimals("0.3", "0.9", places=4),
    days=st.integers(0, 90),
    sold=st.decimals("0.2", "0.9", places=6),
    lst=st.sampled_from(["weETH", "wstETH"]),
    morpho=st.booleans(),
)
async def test_the_legs_add_up_to_the_balances_for_any_amounts(
    lab: Lab, own: int, leverage: Decimal, days: int, sold: Decimal, lst: str, *, morpho: bool
) -> None:
    """Odd weis, an index that grows, an unwind of any part: what the trades say is what the balances did."""
    snapshot = await lab.rpc("evm_snapshot")
    flow = Flow(lab)
    await lab.fund(lab.owner, own + ETHER)
    equity = amount_of(own + ETHER, 18)
    loan = amount_of(int(equity * leverage / (1 - leverage) * ETHER), 18)
    bounds = (health("1.01"), ltv("0.94"))
    enter = await flow.prepared(EntryGroup(loan, equity, lst, emode={"wstETH": 1, "weETH": 2}[lst], conditions=bounds))
    before = await holdings(lab, lab.owner, lst)
    await explained(lab, flow, enter, await lab.do(lab.owner, enter.call), before)
    entered = await holdings(lab, lab.owner, lst)
    await lab.rpc("evm_increaseTime", days * 86_400 + 1)
    await lab.rpc("evm_mine")
    held = amount_of((await flow.position(lst)).collateral, 18)
    out = (held * sold).quantize(D("1e-18"))
    less = ExitGroup(out, out, out * D("1.0005"), out, out, lst, conditions=(health("1.0001"), ltv("0.95")))
    if out < loan:
        unwind = await flow.prepared(less, morpho=morpho)
        before = await holdings_since(lab, lab.owner, lst, entered)
        await explained(lab, flow, unwind, await lab.do(lab.owner, unwind.call), before)
    assert await lab.rpc("evm_revert", snapshot) is True
