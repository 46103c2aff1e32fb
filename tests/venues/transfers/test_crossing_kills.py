"""Killed anywhere around a transfer, the next life ends the doubt by asking: money moves once, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from basis_daemon.domain.trade import OrderState
from basis_daemon.ports import KillPoint as At
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.sandbox.exchange.faults import Fault
from tests.venues.transfers.bridge_rig import AT_EXCHANGE, AT_WALLET, D, Ground, Life, crossing

pytestmark = pytest.mark.timeout(180)
APPLY = {"method": "POST", "path": "withdraw/apply"}


@pytest.fixture
async def ground(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[Ground]:
    async with Ground(tmp_path, chain_world) as one:
        yield one


async def is_true(ground: Ground, life: Life) -> bool:
    """The book holds what exchange and chain hold, and nothing is on its way."""
    coin = "USDT"
    travelling = life.held(f"binance:transit:{coin}") + life.held(f"wallet:transit:{coin}")
    at_exchange = ground.account.holding(coin).free == life.held(AT_EXCHANGE)
    at_wallet = await ground.on_chain(coin, ground.wallet_address) == life.held(AT_WALLET)
    return not travelling and at_exchange and at_wallet and await life.agrees()


@pytest.mark.feature("T01", part="withdrawal")
@pytest.mark.parametrize(
    ("point", "count"),
    [
        (At.AFTER_INTENT, 0),
        (At.TRANSFER_SUBMITTING, 0),
        (At.AFTER_ACK, 1),
        (At.TRANSFER_LEFT, 1),
        (At.TRANSFER_ARRIVED, 1),
    ],
)
async def test_a_killed_withdrawal_is_made_once_or_not_at_all(ground: Ground, point: At, count: int) -> None:
    life = await (await ground.new_life()).adopt()
    order = crossing("binance", "wallet", "USDT", "1500")
    await life.killed(order, point)
    again = await ground.new_life()
    await again.recover()
    ended = again.state.orders[order.order_id]
    assert ended.state is (OrderState.SETTLED if count else OrderState.NEVER_ACCEPTED)
    assert len(ground.rows("withdrawal")) == count
    assert await is_true(ground, again)
    if not count:  # what was not done may be wished for again, under another id
        assert (await again.run(crossing("binance", "wallet", "USDT", "1500"))).state is OrderState.SETTLED
        assert [row.client_id for row in ground.rows("withdrawal")] != [order.order_id]
    assert len(ground.rows("withdrawal")) == 1


@pytest.mark.feature("T01", part="deposit")
@pytest.mark.parametrize(
    ("point", "count"),
    [
        (At.AFTER_INTENT, 0),
        (At.TRANSFER_SUBMITTING, 0),
        (At.TX_SIGNED, 0),
        (At.TX_JOURNALLED, 1),
        (At.TX_BROADCAST, 1),
        (At.TX_INCLUDED, 1),
        (At.TRANSFER_LEFT, 1),
        (At.TRANSFER_ARRIVED, 1),
    ],
)
async def test_a_killed_deposit_is_made_once_or_not_at_all(ground: Ground, point: At, count: int) -> None:
    life = await (await ground.new_life()).adopt()
    order = crossing("wallet", "binance", "USDT", "1500")
    await life.killed(order, point)
    again = await ground.new_life()
    await again.recover()
    ended = again.state.orders[order.order_id]
    assert ended.state is (OrderState.SETTLED if count else OrderState.NEVER_ACCEPTED)
    assert await ground.on_chain("USDT", ground.deposit_address) == 1500 * count
    assert len(ground.rows("deposit")) == count
    assert await is_true(ground, again)


@pytest.mark.feature("T01", part="withdrawal")
async def test_a_withdrawal_whose_answer_was_lost_is_found_by_its_id_and_not_sent_again(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    ground.exchange.faults.arm(Fault("accept_then_drop", **APPLY))  # type: ignore[arg-type]  # by name
    done = await life.run(crossing("binance", "wallet", "USDT", "1500"))
    assert done.state is OrderState.SETTLED
    assert len(ground.rows("withdrawal")) == 1
    assert await is_true(ground, life)


@pytest.mark.feature("T01", part="withdrawal")
async def test_a_withdrawal_that_lost_its_id_at_the_exchange_is_known_by_what_it_is(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    await ground.steer(hold=True)
    order = crossing("binance", "wallet", "USDT", "1500")
    await life.killed(order, At.AFTER_ACK)
    ground.rows("withdrawal")[0].client_id = ""
    await ground.steer(hold=False)
    again = await ground.new_life()
    await again.recover()
    assert again.state.orders[order.order_id].state is OrderState.SETTLED
    assert len(ground.rows("withdrawal")) == 1


@pytest.mark.feature("T01", part="withdrawal")
async def test_a_withdrawal_that_never_reached_the_exchange_is_given_up_only_while_the_money_is_there(
    ground: Ground,
) -> None:
    life = await (await ground.new_life()).adopt()
    ground.exchange.faults.arm(Fault("unavailable", **APPLY))  # type: ignore[arg-type]  # by name
    done = await life.run(crossing("binance", "wallet", "USDT", "1500"))
    assert done.state is OrderState.NEVER_ACCEPTED
    assert (ground.rows("withdrawal"), life.held(AT_EXCHANGE)) == ([], D(100_000))
    assert await is_true(ground, life)
