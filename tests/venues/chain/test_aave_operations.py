"""Aave's operations on its real contracts: what the call does, what the receipt says it did, to the last unit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.ledger import Cause
from basis_daemon.venues.chain.aave_orders import AAVE_ORDERS
from basis_daemon.venues.chain.accrual import accruals
from basis_daemon.venues.chain.deltas import Amounts, Moved, with_gas
from basis_daemon.venues.chain.tokens import ETH, atoken, held_at, vdebt
from tests.venues.chain.actor import Actor, order

USDT, WETH = held_at("USDT"), held_at("WETH")
ROUNDING_UNITS_MAX = 2


async def did(actor: Actor, operation: str, token: PositionKey, amount: Decimal | str, side: str = "token_in") -> Moved:
    wish = order(operation, "aave_v3", amount=amount, **{side: token})
    moved, receipt = await actor.do(await AAVE_ORDERS[wish.operation](wish, await actor.situation()))
    assert receipt.is_success
    return moved


def assert_tiny(amounts: Amounts, decimals: dict[PositionKey, int]) -> None:
    for key, amount in amounts.items():
        assert abs(amount) <= ROUNDING_UNITS_MAX * Decimal(10) ** -decimals[key], (key, amount)


@pytest.mark.feature("S08")
@pytest.mark.feature("X09")
async def test_supply_and_withdraw_move_exactly_what_was_asked_and_tell_rounding_apart(actor: Actor) -> None:
    before = await actor.balances()
    x = Decimal("12345.678901")
    supplied = await did(actor, "supply", USDT, x)
    assert supplied.deltas == {USDT: -x, atoken("USDT"): x}
    assert_tiny(supplied.rounding, {atoken("USDT"): 6})
    await actor.controls.advance(86_400)
    y = Decimal("1000.000001")
    withdrawn = await did(actor, "withdraw", USDT, y, "token_out")
    assert withdrawn.deltas == {USDT: y, atoken("USDT"): -y}
    assert withdrawn.interest[atoken("USDT")] > 0, "a day's interest came to light"
    after = await actor.balances()
    assert after.held[USDT] - before.held[USDT] == y - x


@pytest.mark.feature("X09")
async def test_withdraw_max_takes_what_is_there_by_then(actor: Actor) -> None:
    await did(actor, "supply", USDT, Decimal(10_000))
    await actor.controls.advance(30 * 86_400)
    moved = await did(actor, "withdraw", USDT, "MAX", "token_out")
    after = await actor.balances()
    assert moved.deltas[USDT] > 10_000
    assert moved.deltas[atoken("USDT")] == -moved.deltas[USDT]
    assert after.held[atoken("USDT")] == 0


@pytest.mark.feature("X09")
async def test_borrow_and_repay_move_debt_and_token_alike(actor: Actor) -> None:
    await did(actor, "supply", held_at("weETH"), Decimal(100))
    borrowed = await did(actor, "borrow", WETH, Decimal("40.123456789012345678"), "token_out")
    x = Decimal("40.123456789012345678")
    assert borrowed.deltas == {WETH: x, vdebt("WETH"): x}
    await actor.controls.advance(3_600)
    some = await did(actor, "repay", WETH, Decimal(10))
    assert some.deltas == {WETH: Decimal(-10), vdebt("WETH"): Decimal(-10)}
    await actor.controls.advance(86_400)
    rest = await did(actor, "repay", WETH, "MAX")
    assert rest.deltas[vdebt("WETH")] == rest.deltas[WETH] < -30
    assert (await actor.balances()).held[vdebt("WETH")] == 0


@pytest.mark.feature("X09")
async def test_an_emode_lends_more_against_the_same_collateral(actor: Actor) -> None:
    await did(actor, "supply", held_at("weETH"), Decimal(100))
    category = next(n for n, label in actor.controls.world["aave_v3"]["emodes"].items() if label.startswith("weETH"))
    wish = order("set_emode", "aave_v3", memo=category, expected_deltas={})
    moved, receipt = await actor.do(await AAVE_ORDERS[wish.operation](wish, await actor.situation()))
    assert receipt.is_success
    assert moved == Moved(), "nothing but gas"
    assert set(with_gas(moved.deltas, receipt)) == {ETH}
    assert (await did(actor, "borrow", WETH, Decimal(95), "token_out")).deltas[vdebt("WETH")] == 95


@pytest.mark.feature("X09")
async def test_collateral_can_be_taken_back_and_given_again(actor: Actor) -> None:
    await did(actor, "supply", WETH, Decimal(3))
    for memo in ("off", "on"):
        wish = order("set_collateral", "aave_v3", token_in=WETH, memo=memo, expected_deltas={})
        _, receipt = await actor.do(await AAVE_ORDERS[wish.operation](wish, await actor.situation()))
        assert receipt.is_success


async def test_interest_and_rounding_make_up_the_whole_difference_between_two_blocks(actor: Actor) -> None:
    """Whatever the operations and the time between them: postings = difference of balances, exactly."""
    since = await actor.balances()
    parts = [
        await did(actor, "supply", held_at("weETH"), Decimal("77.7")),
        await did(actor, "borrow", WETH, Decimal("31.000000000000000007"), "token_out"),
    ]
    await actor.controls.advance(86_400 * 3 + 7)
    parts.append(await did(actor, "repay", WETH, Decimal("0.5")))
    parts.append(await did(actor, "supply", WETH, Decimal("1.25")))
    await actor.controls.advance(12_345)
    until = await actor.balances()
    own = Moved(*({key: sum((p.get(key, Decimal(0)) for p in side), Decimal(0)) for key in until.held}
                  for side in zip(*((m.deltas, m.rounding, m.interest) for m in parts), strict=True)))  # fmt: skip
    flows = list(accruals(since, until, own))
    for key in (atoken("weETH"), atoken("WETH"), vdebt("WETH")):
        posted = sum((flow.amount for flow in flows if flow.key == key), Decimal(0))
        assert posted + own.deltas[key] == until.held[key] - since.held[key]
    assert {flow.cause for flow in flows} <= {Cause.INTEREST, Cause.ROUNDING}
    growth = {f.key: f.amount for f in flows if f.cause is Cause.INTEREST}
    assert growth[vdebt("WETH")] > 0
    assert growth[atoken("WETH")] > 0
    assert held_at("WETH") not in growth
