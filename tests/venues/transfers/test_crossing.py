"""Money between an exchange and the wallet: real client, real exchange wire, real transactions, the real ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from basis_daemon.domain.ledger import Cause
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState
from basis_daemon.domain.transfer import TransferStep
from basis_daemon.ports import KillPoint
from basis_daemon.sandbox.chain.world import Prepared
from tests.venues.transfers.bridge_rig import TERMS, D, Ground, Life, crossing

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def ground(tmp_path: Path, chain_world: Prepared) -> AsyncIterator[Ground]:
    async with Ground(tmp_path, chain_world) as one:
        yield one


@pytest.mark.feature("T01", part="withdrawal")
@pytest.mark.parametrize(("coin", "amount", "fee"), [("USDT", "1500.50", "1.5"), ("ETH", "2.5", "0.0003")])
async def test_a_withdrawal_goes_through_transit_to_the_wallet_and_its_fee_is_a_cost(
    ground: Ground, coin: str, amount: str, fee: str
) -> None:
    life = await (await ground.new_life()).adopt()
    at_exchange, at_wallet = life.held(f"binance:spot:{coin}"), life.held(f"wallet:token:{coin}")
    done = await life.run(crossing("binance", "wallet", coin, amount))
    assert done.state is OrderState.SETTLED
    assert life.held(f"binance:spot:{coin}") == at_exchange - D(amount)
    assert life.held(f"binance:transit:{coin}") == 0
    assert life.held(f"wallet:token:{coin}") == at_wallet + D(amount) - D(fee)
    assert life.state.ledger.total(Cause.TRANSFER_FEE, coin) == -D(fee)
    assert await ground.on_chain(coin, ground.wallet_address) == life.held(f"wallet:token:{coin}")
    assert step_of(life, done.order) is TransferStep.DONE
    assert await life.agrees()


@pytest.mark.feature("T01", part="deposit")
@pytest.mark.parametrize(("coin", "amount"), [("USDT", "1500.50"), ("ETH", "2.5")])
async def test_a_deposit_goes_through_transit_to_the_exchange(ground: Ground, coin: str, amount: str) -> None:
    life = await (await ground.new_life()).adopt()
    at_exchange = life.held(f"binance:spot:{coin}")
    done = await life.run(crossing("wallet", "binance", coin, amount))
    assert done.state is OrderState.SETTLED
    assert life.held(f"wallet:transit:{coin}") == 0
    assert life.held(f"binance:spot:{coin}") == at_exchange + D(amount) == ground.account.holding(coin).free
    assert await ground.on_chain(coin, ground.wallet_address) == life.held(f"wallet:token:{coin}")
    assert await life.agrees()
    assert life.state.ledger.total(Cause.EXTERNAL, coin) == 0, "our own deposit is no capital"


@pytest.mark.feature("T03", part="ledger")
async def test_what_is_on_its_way_is_in_no_account_and_in_no_break(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    await ground.steer(hold=True)
    order = crossing("binance", "wallet", "USDT", "1500")
    done = await life.run(order.model_copy(update={"timeout_s": D("0.2")}))
    assert done.state is OrderState.PENDING
    assert done.is_travelling
    assert life.held("binance:transit:USDT") == D("1498.5")
    assert life.held("binance:spot:USDT") == 98_500 == ground.account.holding("USDT").free
    assert await life.agrees(), "a withdrawal that waits keeps nobody from comparing"
    await ground.steer(hold=False)
    await ground.mined_until(lambda: ground.rows("withdrawal")[0].status == 6)
    assert await life.agrees(), "there already, and not yet in the book: no break"
    assert life.state.breaks == {}
    assert not await life.reconcilers["wallet"].check(), "nobody is to count it twice"
    await life.arrive(done)
    assert await life.reconcilers["wallet"].check()
    assert life.held("binance:transit:USDT") == 0
    assert await life.agrees()


@pytest.mark.feature("T01", part="withdrawal")
async def test_a_withdrawal_that_the_exchange_gives_back_is_where_it_was(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    await ground.steer(hold=False, reject=True)
    done = await life.run(crossing("binance", "wallet", "USDT", "1500"))
    assert done.state is OrderState.REJECTED
    assert life.held("binance:spot:USDT") == 100_000
    assert life.held("binance:transit:USDT") == 0
    assert life.state.ledger.total(Cause.TRANSFER_FEE, "USDT") == 0
    assert await life.agrees()


@pytest.mark.feature("T01", part="overdue")
async def test_a_transfer_that_takes_too_long_is_a_persons_and_nothing_new_leaves(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    await ground.steer(hold=True)
    first = crossing("binance", "wallet", "USDT", "1500").model_copy(update={"timeout_s": D("0.2")})
    await life.run(first)
    life.clock.ahead += timedelta(seconds=TERMS.timeout_s + 1)
    late = life.state.orders[first.order_id]
    await life.runner.look_after(late)
    assert (late.state, step_of(life, first)) == (OrderState.OVERDUE, TransferStep.MANUAL)
    assert "transfer_overdue_alarm" in life.notes.events
    for other in (crossing("wallet", "binance", "ETH", "1"), crossing("binance", "wallet", "ETH", "1")):
        refused = await life.run(other)
        assert refused.state is OrderState.REJECTED
    assert len(ground.rows("withdrawal")) == 1, "it is never sent again"
    await ground.steer(hold=False)
    await life.arrive(late)
    assert (late.state, step_of(life, first)) == (OrderState.SETTLED, TransferStep.DONE)
    assert (await life.run(crossing("wallet", "binance", "ETH", "1"))).state is OrderState.SETTLED
    assert await life.agrees()


async def test_the_address_book_bounds_each_transfer_and_each_day(ground: Ground) -> None:
    life = await (await ground.new_life(ground.routes(once_max=D(2_000), day_max=D(3_000)))).adopt()
    assert (await life.run(crossing("binance", "wallet", "USDT", "2000.01"))).state is OrderState.REJECTED
    assert (await life.run(crossing("binance", "wallet", "USDT", "2000"))).state is OrderState.SETTLED
    assert (await life.run(crossing("binance", "wallet", "USDT", "1500"))).state is OrderState.REJECTED
    life.clock.ahead += timedelta(hours=25)
    assert (await life.run(crossing("binance", "wallet", "USDT", "1500"))).state is OrderState.SETTLED
    assert [row.amount for row in ground.rows("withdrawal")] == [D("1998.5"), D("1498.5")]


async def test_the_first_transfer_on_a_route_is_a_small_one_and_the_rest_is_for_the_next_order(ground: Ground) -> None:
    life = await (await ground.new_life(ground.routes(first_max=D(20)))).adopt()
    for source, target in (("binance", "wallet"), ("wallet", "binance")):
        first = await life.run(crossing(source, target, "USDT", "1500"))
        assert first.state is OrderState.CANCELLED
        assert life.state.transfers[first.order.order_id].amount == 20
        assert (await life.run(crossing(source, target, "USDT", "1500"))).state is OrderState.SETTLED
    assert [row.amount for row in ground.rows("withdrawal")] == [D("18.5"), D("1498.5")]
    assert [row.amount for row in ground.rows("deposit")] == [20, 1500]
    assert await life.agrees()


async def test_nothing_is_sent_to_an_address_that_exchange_and_book_do_not_both_name(ground: Ground) -> None:
    routes = ground.routes()
    wrong = tuple(replace(route, address="0x" + "ab" * 20) for route in routes.routes)
    life = await (await ground.new_life(replace(routes, routes=wrong))).adopt()
    refused = await life.run(crossing("wallet", "binance", "USDT", "100"))
    assert refused.state is OrderState.REJECTED
    assert "transfer_address_alarm" in life.notes.events
    assert await ground.on_chain("USDT", "0x" + "ab" * 20) == 0


async def test_an_order_that_the_wallet_cannot_take_bars_no_later_one(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    stranger = crossing("wallet", "binance", "USDT", "100").model_copy(update={"on_behalf_of": "0x" + "ab" * 20})
    refused = await life.run(stranger)
    assert (refused.state, step_of(life, stranger)) == (OrderState.NEVER_ACCEPTED, TransferStep.FAILED)
    assert (await life.run(crossing("wallet", "binance", "USDT", "100"))).state is OrderState.SETTLED
    assert len(ground.rows("deposit")) == 1


@pytest.mark.feature("T01", part="bounds")
@pytest.mark.parametrize(
    ("source", "target", "coin", "amount", "closed"),
    [
        ("binance", "wallet", "USDT", "9", ()),
        ("binance", "wallet", "USDT", "100.0000001", ()),
        ("binance", "wallet", "USDT", "100", ("USDT",)),
        ("wallet", "binance", "USDT", "100", ("USDT",)),
        ("binance", "wallet", "BNB", "1", ()),
        ("wallet", "okx", "USDT", "100", ()),
    ],
)
async def test_what_cannot_arrive_does_not_leave(
    ground: Ground, source: str, target: str, coin: str, amount: str, closed: tuple[str, ...]
) -> None:
    await ground.steer(closed=list(closed))
    life = await (await ground.new_life()).adopt()
    refused = await life.run(crossing(source, target, coin, amount))
    assert refused.state is OrderState.REJECTED
    assert ground.rows("withdrawal") == ground.rows("deposit") == []
    assert life.state.transfers == {}


async def test_two_transfers_of_a_coin_are_never_under_way_at_once(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    await ground.steer(hold=True)
    await life.run(crossing("binance", "wallet", "USDT", "1500").model_copy(update={"timeout_s": D("0.2")}))
    for source, target in (("binance", "wallet"), ("wallet", "binance")):
        assert (await life.run(crossing(source, target, "USDT", "100"))).state is OrderState.REJECTED
    await ground.steer(hold=False)
    assert (await life.run(crossing("wallet", "binance", "ETH", "1"))).state is OrderState.SETTLED, "another coin may"


@pytest.mark.feature("T01", part="deposit")
async def test_a_deposit_whose_block_was_taken_back_is_followed_into_the_next_one(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    order = crossing("wallet", "binance", "USDT", "1500")
    await life.killed(order, KillPoint.TRANSFER_LEFT)
    await ground.chain.controls.reorg(1)
    again = await ground.new_life()
    await again.recover()
    assert again.state.orders[order.order_id].state is OrderState.SETTLED
    assert await ground.on_chain("USDT", ground.deposit_address) == 1500
    assert len(ground.rows("deposit")) == 1
    assert await again.agrees()


async def test_coin_that_somebody_else_deposits_is_capital_still(ground: Ground) -> None:
    life = await (await ground.new_life()).adopt()
    assert (await life.run(crossing("wallet", "binance", "USDT", "1500"))).state is OrderState.SETTLED
    await ground.pay_in("USDT", D(700))
    await ground.mined_until(lambda: len(ground.rows("deposit")) == 2 and ground.rows("deposit")[1].status == 1)
    life.clock.ahead += timedelta(minutes=2)
    assert await life.agrees()
    assert life.state.ledger.total(Cause.EXTERNAL, "USDT") == 700


def step_of(life: Life, order: Order) -> TransferStep:
    return life.state.transfers[order.order_id].step
