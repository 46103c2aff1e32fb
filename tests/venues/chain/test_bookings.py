"""A block that is no longer in the chain takes its bookings with it; what is included again is booked again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from basis_daemon.domain.trade import OrderState
from basis_daemon.venues.chain.tokens import ETH, atoken, held_at
from tests.venues.chain.trader import Trader

WETH = held_at("WETH")


async def reorganised(trader: Trader, depth: int) -> None:
    """The last blocks are replaced; returns once the account has looked."""
    await trader.actor.controls.reorg(depth)
    await trader.until(lambda: any(trade.trade_id.endswith(":reorged") for trade in trader.trades))


@pytest.mark.feature("X05")
async def test_a_reorganised_transaction_is_unbooked_and_booked_again_where_it_lands(trader: Trader) -> None:
    await trader.do("approve", "wallet", token_in=WETH, recipient="aave_v3", amount=Decimal(2), expected_deltas={})
    await trader.actor.controls.mine(3)
    done = await trader.do("supply", "aave_v3", token_in=WETH, amount=Decimal(2))
    await reorganised(trader, 1)
    back = trader.trades[-1]
    await trader.until(lambda: trader.trades[-1].trade_id != back.trade_id)
    again = trader.trades[-1]
    assert back.deltas == {key: -amount for key, amount in done.deltas.items()}
    assert (again.order_id, again.order_state) == (done.order_id, OrderState.FILLED)
    assert again.tx is not None
    assert done.tx is not None
    assert again.tx.hash == done.tx.hash
    assert again.tx.block_hash != done.tx.block_hash
    assert again.deltas[atoken("WETH")] == 2
    await trader.assert_exact()


@pytest.mark.feature("X05")
async def test_an_exchange_that_is_booked_twice_counts_as_filled_once(trader: Trader) -> None:
    await trader.actor.controls.mine(3)
    done = await trader.do("wrap", "wallet", token_in=ETH, token_out=WETH, amount=Decimal(4))
    await reorganised(trader, 1)
    await trader.until(lambda: trader.trades[-1].trade_id.split(":")[:2] != done.trade_id.split(":")[:2])
    assert sum(trade.qty_base for trade in trader.trades) == 4
    await trader.assert_exact()


@pytest.mark.feature("X05")
async def test_what_an_earlier_process_booked_is_taken_back_by_the_next(trader: Trader) -> None:
    await trader.actor.controls.mine(3)
    done = await trader.do("wrap", "wallet", token_in=ETH, token_out=WETH, amount=Decimal(4))
    await trader.restart()
    await reorganised(trader, 1)
    back = next(trade for trade in trader.trades if trade.trade_id.endswith(":reorged"))
    assert back.trade_id.startswith(done.trade_id)
    await trader.until(lambda: trader.trades[-1] is not back)
    assert [back.order_state, trader.trades[-1].order_state] == [OrderState.REORGED, OrderState.FILLED]
    await trader.assert_exact()
