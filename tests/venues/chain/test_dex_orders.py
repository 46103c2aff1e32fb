"""Swaps on real Uniswap V3: quoted, bounded below, in time, and booked as filled."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from basis_daemon.domain.errors import ErrorClass, InvalidOrderError, OrderRejectedError
from basis_daemon.domain.trade import TradeStatus
from basis_daemon.venues.chain.dex import quotes
from basis_daemon.venues.chain.tokens import ETH, held_at
from tests.venues.chain.trader import Trader

USDT, WETH, WEETH = held_at("USDT"), held_at("WETH"), held_at("weETH")


async def swap(trader: Trader, **fields: object) -> dict[str, object]:
    defaults = {"token_in": WEETH, "token_out": WETH, "amount": Decimal(10), "min_out": Decimal("10.6")}
    return {**defaults, "deadline": await trader.soon(), **fields}


@pytest.mark.feature("X10")
async def test_a_swap_gives_at_least_its_least_and_tells_its_price(trader: Trader) -> None:
    best = (await quotes(await trader.actor.situation(), "weETH", "WETH", 10 * 10**18))[0]
    trade = await trader.do("swap", "uniswap_v3", **await swap(trader))
    assert trade.status is TradeStatus.FILLED
    assert trade.deltas[WEETH] == -10
    assert trade.deltas[WETH] == Decimal(best.units_out).scaleb(-18), "as quoted, when nobody comes in between"
    assert trade.price == trade.deltas[WETH] / 10
    assert trade.qty_base == trade.cum_filled == 10
    await trader.assert_exact()


@pytest.mark.feature("X10")
async def test_a_swap_that_no_pool_pays_for_is_refused_with_what_the_best_one_pays(trader: Trader) -> None:
    with pytest.raises(OrderRejectedError, match=r"pays 10\.6\d+ WETH, expected at least 11") as refusal:
        await trader.do("swap", "uniswap_v3", **await swap(trader, min_out=Decimal(11)))
    assert (refusal.value.code, refusal.value.error_class) == ("min_out", ErrorClass.RETRYABLE)
    assert trader.trades == []


@pytest.mark.feature("X10")
async def test_the_reference_price_and_its_slippage_bound_the_output_too(trader: Trader) -> None:
    wish = await swap(trader, min_out=Decimal(1), ref_price=Decimal("1.08"), max_slippage_bp=Decimal(10))
    with pytest.raises(OrderRejectedError, match=r"expected at least 10\.7892"):
        await trader.do("swap", "uniswap_v3", **wish)


@pytest.mark.feature("X10")
@pytest.mark.fault("F43")
async def test_a_pool_that_moves_before_inclusion_costs_gas_and_not_the_position(trader: Trader) -> None:
    spender = {"recipient": "uniswap_v3", "amount": Decimal(10), "expected_deltas": {}}
    await trader.do("approve", "wallet", token_in=WEETH, **spender)
    wish = trader.order("swap", "uniswap_v3", **await swap(trader, min_out=Decimal("10.66")))
    trade = await trader.execute_while(wish, trader.actor.controls.pool_price("weETH/WETH", Decimal("0.97")))
    assert trade.status is TradeStatus.FAILED
    assert set(trade.deltas) == {ETH}
    assert trade.error is not None
    assert (trade.error.code, trade.error.error_class) == ("Too little received", ErrorClass.RETRYABLE)
    await trader.assert_exact()


@pytest.mark.feature("X10")
async def test_a_deadline_that_has_passed_sends_nothing(trader: Trader) -> None:
    late = (await trader.actor.head()).time - timedelta(seconds=1)
    with pytest.raises(OrderRejectedError, match="expected later"):
        await trader.do("swap", "uniswap_v3", **await swap(trader, deadline=late))


@pytest.mark.feature("X10")
async def test_the_route_names_a_pool_by_its_fee_and_an_unknown_one_is_refused(trader: Trader) -> None:
    fee = next(str(pool.fee) for pool in trader.book.dex.pools if pool.trades("WETH", "weETH"))
    await trader.do("swap", "uniswap_v3", **await swap(trader, route=(fee,)))
    with pytest.raises(OrderRejectedError, match="no pool trades weETH for WETH"):
        await trader.do("swap", "uniswap_v3", **await swap(trader, route=("7",)))
    with pytest.raises(OrderRejectedError, match="no pool trades weETH for USDT"):
        await trader.do("swap", "uniswap_v3", **await swap(trader, token_out=USDT))


async def test_ether_itself_is_not_swapped_and_any_price_will_not_do(trader: Trader) -> None:
    with pytest.raises(InvalidOrderError, match="a pool holds WETH"):
        await trader.do("swap", "uniswap_v3", **await swap(trader, token_in=ETH))
    with pytest.raises(InvalidOrderError, match="any price would do"):
        await trader.do("swap", "uniswap_v3", **await swap(trader, min_out=Decimal(0)))


@pytest.mark.feature("X08")
@pytest.mark.fault("F44")
async def test_the_router_is_allowed_what_the_swap_takes_and_nothing_after(trader: Trader) -> None:
    await trader.do("swap", "uniswap_v3", **await swap(trader))
    assert await trader.actor.allowed(trader.book.token("weETH").address, trader.book.dex.router) == 0
