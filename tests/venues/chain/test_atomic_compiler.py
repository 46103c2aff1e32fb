from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from basis_daemon.domain.errors import PlanRefusedError
from basis_daemon.domain.order import Order, OrderOperation, PostCondition, PostConditionKind
from basis_daemon.domain.plan import batches
from basis_daemon.venues.chain.abi import MAX, function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic import MULTICALL, GroupCall, GroupCompiler, Scene
from basis_daemon.venues.chain.atomic_flash import Lender, LenderName, choose_lender
from basis_daemon.venues.chain.atomic_receiver import (
    ENTRY_TYPE,
    EXIT_TYPE,
    FLASH_LOAN,
    FLASH_LOAN_SIMPLE,
    UNWIND_THROUGH_MORPHO,
    Permit,
)
from tests.venues.chain.groups import (
    ETH,
    LATER,
    WETH,
    EntryGroup,
    ExitGroup,
    changed,
    debt_max,
    health,
    leg,
    ltv,
    without,
)

D = Decimal
ETHER = 10**18
NAMES = ["pool", "provider", "oracle", "data", "weth", "weeth", "wsteth", "x"]
AT = {name: f"0x{place:040x}" for place, name in enumerate(NAMES, 1)}
OWNER, RECEIVER = f"0x{77:040x}", f"0x{78:040x}"
BOOK = AddressBook.model_validate(
    {
        "network": "test",
        "chain_id": 1,
        "tokens": {
            "WETH": {"address": AT["weth"], "decimals": 18},
            "weETH": {"address": AT["weeth"], "decimals": 18},
            "wstETH": {"address": AT["wsteth"], "decimals": 18},
        },
        "aave_v3": {
            "pool": AT["pool"],
            "addresses_provider": AT["provider"],
            "oracle": AT["oracle"],
            "data_provider": AT["data"],
            "reserves": {"weETH": {"atoken": AT["x"], "vdebt": AT["x"]}, "WETH": {"atoken": AT["x"], "vdebt": AT["x"]}},
        },
        "uniswap_v3": {
            "factory": AT["x"],
            "router": AT["x"],
            "quoter": AT["x"],
        },
    }
)
CHAINS = dict.fromkeys(("aave_v3", "wallet", "lido", "etherfi", "uniswap_v3"), "ethereum")
MORPHO = Lender(LenderName.MORPHO, 0, 10_000 * ETHER)
AAVE = Lender(LenderName.AAVE, 5, 50_000 * ETHER)
SCENE = Scene(emode=0, has_multicall=True, lenders=(AAVE, MORPHO), collateral={"weETH": 100 * ETHER}, pool_fee=100)
COMPILER = GroupCompiler(BOOK, RECEIVER, OWNER)
ENTRY = EntryGroup(loan=D(60), own=D(10), lst_min=D("65.5"))
DELEVER = ExitGroup(D(20), D(19), D("20.01"), repay=D(20), withdraw=D(19), conditions=(health("1.1"), ltv("0.9")))


def entry_plan(group: GroupCall) -> tuple[object, ...]:
    (params,) = FLASH_LOAN.arguments(group.call.data)[5:6]
    return tuple(decode([ENTRY_TYPE], params)[0])


def exit_plan(group: GroupCall) -> tuple[object, ...]:
    return tuple(decode([EXIT_TYPE], FLASH_LOAN_SIMPLE.arguments(group.call.data)[3])[0])


def refusal(orders: list[Order], scene: Scene = SCENE) -> str:
    with pytest.raises(PlanRefusedError) as raised:
        COMPILER.compile(orders, scene)
    return str(raised.value)


@pytest.mark.feature("A01", part="compiler")
def test_an_entry_becomes_one_flash_loan_in_debt_mode_for_the_owner() -> None:
    orders = ENTRY.orders()
    assert len(batches(orders, CHAINS)) == 1
    group = COMPILER.compile(orders, SCENE)
    receiver, assets, amounts, modes, owner, _, _ = FLASH_LOAN.arguments(group.call.data)
    assert (group.call.to, group.call.value_wei, group.before) == (AT["pool"], 0, ())
    assert (receiver, assets, amounts, modes, owner) == (RECEIVER, (AT["weth"],), (60 * ETHER,), (2,), OWNER)
    bounds = (int(LATER.timestamp()), 105 * 10**16, 95 * 10**16, MAX)
    assert entry_plan(group) == (AT["weeth"], 1, 0, 10 * ETHER, 655 * 10**17, bounds)
    assert [(need.token, need.spender, need.units) for need in group.allowances] == [(AT["weth"], RECEIVER, 10 * ETHER)]
    assert (group.loan, group.fee, group.deadline) == (60 * ETHER, 0, LATER)


def test_an_entry_without_own_weth_needs_no_allowance() -> None:
    assert COMPILER.compile(EntryGroup(loan=D(5)).orders(), SCENE).allowances == ()


def test_an_emode_is_set_in_the_same_transaction_where_the_pool_can_take_several_calls() -> None:
    group = COMPILER.compile(EntryGroup(loan=D(60), emode=1).orders(), SCENE)
    first, second = MULTICALL.arguments(group.call.data)[0]
    assert first == function("setUserEMode(uint8)")(AT["pool"], 1).data
    assert second[:4] == FLASH_LOAN.selector
    assert group.before == ()


def test_an_emode_is_set_before_where_the_pool_takes_one_call_only() -> None:
    alone = Scene(emode=0, has_multicall=False, lenders=())
    group = COMPILER.compile(EntryGroup(loan=D(60), emode=1).orders(), alone)
    assert [call.data for call in group.before] == [function("setUserEMode(uint8)")(AT["pool"], 1).data]
    assert group.call.data[:4] == FLASH_LOAN.selector


def test_an_emode_that_is_set_already_is_not_set_again() -> None:
    scene = Scene(emode=1, has_multicall=True, lenders=())
    assert COMPILER.compile(EntryGroup(loan=D(60), emode=1).orders(), scene).call.data[:4] == FLASH_LOAN.selector


def test_a_swap_names_the_fee_of_its_pool() -> None:
    orders = EntryGroup(loan=D(60), own=D(1), swap=True).orders()
    assert entry_plan(COMPILER.compile(orders, replace(SCENE, pool_fee=500)))[1:4] == (2, 500, ETHER)
    assert "no pool trades wallet:token:WETH" in refusal(orders, replace(SCENE, pool_fee=None))


def test_the_tightest_of_several_conditions_counts_rounded_against_us() -> None:
    bounds = (health("1.05"), health("1.0600000000000000001"), ltv("0.9000000000000000009"), debt_max(D("61.5")))
    assert entry_plan(COMPILER.compile(EntryGroup(loan=D(60), conditions=bounds).orders(), SCENE))[5] == (
        int(LATER.timestamp()),
        106 * 10**16 + 1,
        9 * 10**17,
        615 * 10**17,
    )


def test_an_out_min_condition_raises_the_minimum_of_the_leg() -> None:
    more = PostCondition(kind=PostConditionKind.OUT_MIN, subject="wallet:lst:weETH", bound=D(66))
    group = COMPILER.compile(EntryGroup(D(60), conditions=(health("1.1"), ltv("0.9"), more)).orders(), SCENE)
    assert entry_plan(group)[4] == 66 * ETHER
    other = PostCondition(kind=PostConditionKind.OUT_MIN, subject="wallet:token:WETH", bound=D(66))
    orders = EntryGroup(D(60), conditions=(health("1.1"), ltv("0.9"), other)).orders()
    assert "out_min of wallet:token:WETH, expected wallet:lst:weETH" in refusal(orders)


@pytest.mark.feature("A01", part="compiler")
def test_a_delever_becomes_a_loan_that_repays_withdraws_and_sells() -> None:
    only_aave = Scene(emode=1, has_multicall=True, lenders=(AAVE,), pool_fee=100)
    group = COMPILER.compile(DELEVER.orders(), only_aave)
    receiver, asset, loan, _, _ = FLASH_LOAN_SIMPLE.arguments(group.call.data)
    assert (group.call.to, receiver, asset, loan) == (AT["pool"], RECEIVER, AT["weth"], 20 * ETHER)
    no_permit = (0, 0, 0, bytes(32), bytes(32))
    bounds = (int(LATER.timestamp()), 11 * 10**17, 9 * 10**17, MAX)
    amounts = (20 * ETHER, 19 * ETHER, MAX, 2001 * 10**16)
    assert exit_plan(group) == (AT["weeth"], 100, *amounts, no_permit, bounds)
    assert [(need.token, need.spender, need.units) for need in group.allowances] == [(AT["x"], RECEIVER, 19 * ETHER)]
    assert (group.fee, group.lender) == (ETHER // 100, LenderName.AAVE)


@pytest.mark.feature("A02")
def test_an_unwind_takes_the_free_lender_where_it_has_enough() -> None:
    free = COMPILER.compile(DELEVER.orders(), SCENE)
    assert (free.call.to, free.call.data[:4], free.fee) == (RECEIVER, UNWIND_THROUGH_MORPHO.selector, 0)
    dry = Scene(emode=1, has_multicall=True, lenders=(Lender(LenderName.MORPHO, 0, 19 * ETHER), AAVE), pool_fee=100)
    assert COMPILER.compile(DELEVER.orders(), dry).lender is LenderName.AAVE


def test_a_full_exit_repays_and_withdraws_whatever_there_is_and_sells_what_it_was_told() -> None:
    group = COMPILER.compile(ExitGroup(D(85), D(80), D(85)).orders(), SCENE)
    plan = UNWIND_THROUGH_MORPHO.arguments(group.call.data)[1]
    assert plan[2:5] == (MAX, MAX, 80 * ETHER)
    assert plan[7][1:] == (0, MAX, MAX)
    assert group.allowances[0].units == 100 * ETHER + ETHER // 100 + 1


def test_a_permit_takes_the_place_of_the_allowance() -> None:
    permit = Permit(5, 6, 27, b"\1" * 32, b"\2" * 32)
    scene = Scene(emode=0, has_multicall=True, lenders=(MORPHO,), permit=permit, pool_fee=100)
    group = COMPILER.compile(DELEVER.orders(), scene)
    assert group.allowances == ()
    assert UNWIND_THROUGH_MORPHO.arguments(group.call.data)[1][6] == permit.values()


SUPPLY_MORE = leg(9, OrderOperation.SUPPLY, "aave_v3", D(1), token_in=WETH)


@pytest.mark.feature("A01", part="compiler")
@pytest.mark.parametrize(
    ("orders", "why"),
    [
        ([], "without orders"),
        (without(ENTRY.orders(), 0), "0001 (unwrap): cannot stand here in one transaction, expected flash_borrow"),
        (without(ENTRY.orders(), 1), "0002 (stake): a stake takes unwrapped ether"),
        (without(ENTRY.orders(), 3), "0004 (borrow): cannot stand here in one transaction, expected supply"),
        (without(DELEVER.orders(), 4), "0003 (swap): is the last leg, expected flash_repay after it"),
        ([*ENTRY.orders(), SUPPLY_MORE], "0009 (supply): is more than one transaction can do"),
        ([*DELEVER.orders(), SUPPLY_MORE], "0009 (supply): is more than one transaction can do"),
        (changed(ENTRY.orders(), 0, token_out=ETH), "token_out is wallet:token:ETH, expected wallet:token:WETH"),
        (changed(ENTRY.orders(), 4, memo=None), "memo None, expected 'debt_mode'"),
        (changed(ENTRY.orders(), 4, amount=D("60.03")), "amount 60.03, expected that of the loan, 60"),
        (changed(ENTRY.orders(), 1, amount=D(69)), "amount 69, expected what is staked, 70"),
        (changed(EntryGroup(D(60), own=D(0), swap=True).orders(), 1, amount=D(50)), "amount 50 is below the loan, 60"),
        (changed(ENTRY.orders(), 2, token_in=WETH), "token_in is wallet:token:WETH, expected wallet:token:ETH"),
        (changed(ENTRY.orders(), 2, token_out=WETH), "token wallet:token:WETH, expected the wallet's weETH or wstETH"),
        (changed(ENTRY.orders(), 3, token_in=WETH), "token_in is wallet:token:WETH, expected wallet:lst:weETH"),
        (changed(ENTRY.orders(), 2, venue="lido"), "venue lido, expected etherfi, which makes weETH"),
        (changed(ENTRY.orders(), 2, min_out=D(0)), "min_out 0, expected more than nothing"),
        (changed(ENTRY.orders(), 2, amount_unit="contracts"), "amount unit contracts, expected base"),
        (changed(ENTRY.orders(), 2, on_behalf_of=RECEIVER), f"on behalf of {RECEIVER}, expected {OWNER}"),
        (EntryGroup(D(60), deadline=None).orders(), "no leg of the group has a deadline"),
        (EntryGroup(D(60), conditions=()).orders(), "no post-condition health_factor_min and ltv_max in the group"),
        (EntryGroup(D(60), conditions=(health("1"),)).orders(), "no post-condition health_factor_min and ltv_max"),
        (changed(EntryGroup(D(60), emode=1).orders(), 0, memo="weETH"), "expected the number of an e-mode category"),
        (changed(DELEVER.orders(), 1, amount=D(21)), "amount 21 is above the loan, 20"),
        (changed(DELEVER.orders(), 3, amount=D("19.1")), "amount 19.1 is above what is withdrawn, 19"),
        (changed(DELEVER.orders(), 3, token_out=ETH), "token_out is wallet:token:ETH, expected wallet:token:WETH"),
        (changed(DELEVER.orders(), 2, token_out=WETH), "expected the wallet's weETH or wstETH"),
        (changed(DELEVER.orders(), 3, post_conditions=()), "no post-condition health_factor_min and ltv_max"),
        (changed(DELEVER.orders(), 4, amount=D(19)), "nobody lends"),
    ],
)
def test_what_one_transaction_cannot_do_is_refused_by_the_order_s_name(orders: list[Order], why: str) -> None:
    assert why in refusal(orders)


def test_the_earliest_deadline_counts() -> None:
    soon = datetime(2030, 1, 1, tzinfo=UTC)
    group = COMPILER.compile(changed(ENTRY.orders(), 3, deadline=soon), SCENE)
    assert group.deadline == soon


@pytest.mark.feature("A02")
@given(
    loan=st.integers(1, 10**24),
    extra=st.integers(0, 10**22),
    offers=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10**24)), max_size=4),
)
def test_the_chosen_lender_is_deep_enough_paid_enough_and_none_is_cheaper(
    loan: int, extra: int, offers: list[tuple[int, int]]
) -> None:
    lenders = [Lender(LenderName.AAVE, fee, depth) for fee, depth in offers]
    fit = [one for one in lenders if one.available >= loan and one.fee(loan) <= extra]
    if not fit:
        with pytest.raises(PlanRefusedError):
            choose_lender("g", loan, loan + extra, lenders)
        return
    chosen = choose_lender("g", loan, loan + extra, lenders)
    assert chosen in fit
    assert chosen.fee(loan) == min(one.fee(loan) for one in fit)
    assert chosen.fee(loan) * 10_000 >= loan * chosen.fee_bp > (chosen.fee(loan) - 1) * 10_000
