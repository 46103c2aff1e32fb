"""Groups by the daemon's own account on real contracts: sent once, booked whole, exact in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.errors import (
    ErrorClass,
    IntegrityError,
    OrderRejectedError,
    OutcomeUnknownError,
    PlanRefusedError,
)
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import OrderState, Trade, TradeStatus
from basis_daemon.ports import Evidence, Finding, GroupExecution
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.atomic_bookings import GroupBookings
from basis_daemon.venues.chain.atomic_deploy import deploy_receiver
from basis_daemon.venues.chain.atomic_execution import AtomicExecutionInterface, GroupSetup
from basis_daemon.venues.chain.atomic_receiver import NOWHERE, receiver_deployment
from basis_daemon.venues.chain.atomic_safe import Treasury
from basis_daemon.venues.chain.chain_execution import ChainDesk, GasCaps
from basis_daemon.venues.chain.heads import Head, HeadOptions, HeadStream
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.tokens import ETH, atoken, held_at, vdebt
from tests.chain_support import Chain
from tests.contracts.flows import entry
from tests.contracts.lab import Built, Lab, new_treasury
from tests.contracts.test_unwind import FULL
from tests.venues.chain.actor import Actor
from tests.venues.chain.groups import NOW, EntryGroup, ExitGroup
from tests.venues.chain.support import endpoint, identity_of
from tests.venues.chain.trader import OFF, ON, POLL_S, Trader

D = Decimal
GWEI = 10**9
MORE = replace(entry(), own=D(0), loan=D("0.2"))
"""A little more on a position that exists, without own money: no allowance is needed."""
WETH, DEBT, WEETH, COLLATERAL = held_at("WETH"), vdebt("WETH"), held_at("weETH"), atoken("weETH")


class GroupTrader(Trader):
    """A trader that can also run groups; the receiver is deployed by its own account."""

    groups: AtomicExecutionInterface
    treasury: Treasury | None = None
    permits: KeySigner | None = None
    _made = 0

    @property
    def owner(self) -> str:
        """Whose position it is."""
        return self._key.address if self.treasury is None else self.treasury.safe

    def new_bookings(self) -> GroupBookings:
        return GroupBookings(self.book, self.owner, SystemClock(), self.hear, self.recall)

    def hear_head(self, head: Head) -> None:
        """To whoever is the account now."""
        self.account.on_head(head)

    def arm(self) -> None:
        assert isinstance(self.bookings, GroupBookings)
        desk = ChainDesk(self.book, self.account, self.rpc, self.bookings, GasCaps(ordinary_gwei=500))
        self.groups = AtomicExecutionInterface(
            desk, self.bookings, GroupSetup(treasury=self.treasury, permits=self.permits)
        )

    async def orders(self, group: EntryGroup | ExitGroup, **same: object) -> list[Order]:
        """The orders of a group with ids that nobody has used."""
        GroupTrader._made += 1
        due = replace(group, deadline=await self.soon())
        return [
            order.model_copy(update={"order_id": f"{GroupTrader._made:016x}{place:016x}", **same})
            for place, order in enumerate(due.orders())
        ]

    async def run(self, orders: Sequence[Order]) -> tuple[Trade, ...]:
        return await self.groups.execute_group(orders, NOW)

    async def transactions(self) -> int:
        return await self.chain.client.eth.get_transaction_count(
            self.chain.client.to_checksum_address(self.account.address)
        )

    async def run_while(self, orders: Sequence[Order], meanwhile: Coroutine[Any, Any, None]) -> tuple[Trade, ...]:
        """What happens ``meanwhile`` happens between the simulation of the group and its inclusion."""
        outcome: asyncio.Future[tuple[Trade, ...]] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            outcome.set_result(await self.run(orders))

        self._tree.spawn("group", run())
        while (row := await self.broadcast.get()).order_id != orders[0].order_id:
            pass
        await self.chain.rpc("anvil_dropAllTransactions")
        await self.chain.rpc("evm_setAutomine", ON)
        await meanwhile
        await self.rpc.send_raw(row.raw, row.hash)
        return await outcome


@asynccontextmanager
async def grouping(
    chain: Chain, actor: Actor, key: LocalAccount, treasury: Treasury | None = None
) -> AsyncIterator[GroupTrader]:
    """A trader whose account follows the chain; ``actor`` is who owns the position."""
    async with AsyncExitStack() as after:
        tree = await after.enter_async_context(TaskTree("test"))
        rpc = RpcPool([endpoint(chain.rpc_url)], await identity_of(chain), SystemClock(), tree)
        after.push_async_callback(rpc.close)
        after.callback(tree.cancel_all)
        await rpc.start()
        trader = GroupTrader(chain, actor, rpc, key, tree)
        trader.treasury = treasury
        await trader.restart()
        heads = HeadStream(rpc, SystemClock(), tree, trader.hear_head, HeadOptions(POLL_S))
        tree.spawn("heads", heads.run())
        await trader.open()
        yield trader


@pytest.fixture
async def trader(chain: Chain, actor: Actor, key: LocalAccount) -> AsyncIterator[GroupTrader]:
    async with grouping(chain, actor, key) as trader:
        await deploy_receiver(trader.account, trader.rpc, trader.book, None, 500 * GWEI)
        trader.arm()
        yield trader


@pytest.fixture
async def treasurer(chain: Chain, actor: Actor, key: LocalAccount, chain_packages: Path) -> AsyncIterator[GroupTrader]:
    """One whose positions are a Safe's, of which his key is the owner; the receiver is there already."""
    nobody = Built(chain.node, chain.prepared, actor.book, NOWHERE, NOWHERE, Treasury(NOWHERE, NOWHERE), {})
    lab = Lab(chain.client, nobody, await chain.client.eth.accounts, chain.controls)
    lab.owner = key.address
    treasury = await new_treasury(lab, chain_packages)
    await lab.do(lab.whale, receiver_deployment(actor.book, None).call)
    await chain.controls.fund(treasury.safe, WETH=50)
    async with grouping(chain, Actor(chain.client, chain.controls, actor.book, treasury.safe), key, treasury) as trader:
        trader.arm()
        yield trader


@pytest.mark.feature("S07")
@pytest.mark.feature("A01", part="execution")
@pytest.mark.feature("X06", part="groups")
async def test_a_position_is_opened_and_closed_by_one_transaction_each_and_the_ledger_knows_every_wei(
    trader: GroupTrader,
) -> None:
    is_port: GroupExecution = trader.groups
    orders = await trader.orders(entry())
    trades = await is_port.execute_group(orders, NOW)
    assert [trade.order_id for trade in trades] == [order.order_id for order in orders]
    assert {trade.status for trade in trades} == {TradeStatus.FILLED}
    assert trades[0].deltas[WETH] == -10
    await trader.assert_exact()
    before = await trader.transactions()
    out = await trader.run(await trader.orders(FULL))
    assert await trader.transactions() == before + 2, "the allowance of the collateral, and the group"
    assert out[0].deltas[DEBT] < -56
    assert out[0].deltas[COLLATERAL] == -trades[0].deltas[COLLATERAL]
    assert out[3].price is not None
    await trader.assert_exact()
    assert (trader.ledger.holding(DEBT), trader.ledger.holding(COLLATERAL)) == (D(0), D(0))


async def test_a_signature_makes_an_exit_the_only_transaction(trader: GroupTrader) -> None:
    await trader.run(await trader.orders(entry()))
    trader.permits = KeySigner(SecretStr("0x" + bytes(trader._key.key).hex()))
    trader.arm()
    before = await trader.transactions()
    await trader.run(await trader.orders(FULL))
    assert await trader.transactions() == before + 1
    await trader.assert_exact()
    assert trader.ledger.holding(DEBT) == 0


async def test_an_allowance_that_stands_is_not_given_again(trader: GroupTrader) -> None:
    await trader.run(await trader.orders(entry()))
    first = await trader.transactions()
    await trader.run(await trader.orders(MORE))
    assert await trader.transactions() == first + 1


async def test_a_group_that_was_sent_before_is_only_waited_for(trader: GroupTrader) -> None:
    orders = await trader.orders(entry())
    trades = await trader.run(orders)
    sent = await trader.transactions()
    again = await trader.run(orders)
    assert [trade.trade_id for trade in again] == [trade.trade_id for trade in trades]
    assert await trader.transactions() == sent
    await trader.assert_exact()


@pytest.mark.fault("F43")
async def test_a_group_that_would_revert_is_refused_by_its_reason_before_anything_is_sent(trader: GroupTrader) -> None:
    sent = await trader.transactions()
    with pytest.raises(OrderRejectedError, match="OutBelowMinimum") as refusal:
        await trader.run(await trader.orders(replace(entry(), lst_min=D(1000))))
    assert (refusal.value.code, refusal.value.error_class) == ("OutBelowMinimum", ErrorClass.RETRYABLE)
    assert await trader.transactions() == sent, "not even its allowance"
    await trader.assert_exact()


async def test_a_group_that_is_no_transaction_is_refused_before_anything_is_sent(trader: GroupTrader) -> None:
    sent = await trader.transactions()
    with pytest.raises(PlanRefusedError, match="health_factor_min"):
        await trader.run(await trader.orders(replace(entry(), conditions=())))
    assert await trader.transactions() == sent


@pytest.mark.fault("F39")
async def test_a_group_that_reverts_on_the_chain_costs_its_gas_and_says_why(trader: GroupTrader) -> None:
    await trader.run(await trader.orders(entry()))
    orders = await trader.orders(MORE)
    await trader.chain.rpc("evm_setAutomine", OFF)
    trades = await trader.run_while(orders, trader.actor.controls.price("weETH", factor=D("0.98")))
    assert {trade.status for trade in trades} == {TradeStatus.FAILED}
    assert set(trades[0].deltas) == {ETH}
    assert [trade.error.code for trade in trades if trade.error] == ["HealthFactorBelowMinimum"] * len(orders)
    await trader.assert_exact()


async def test_a_group_in_doubt_is_found_whole_once_it_is_in_a_block(trader: GroupTrader) -> None:
    await trader.run(await trader.orders(entry()))
    orders = await trader.orders(MORE, timeout_s=D("0.2"))
    assert findings(await trader.groups.find_group(orders, NOW)) == {Finding.ABSENT}
    await trader.chain.rpc("evm_setAutomine", OFF)
    with pytest.raises(OutcomeUnknownError, match=r"after 0\.2 s"):
        await trader.run(orders)
    assert findings(await trader.groups.find_group(orders, NOW)) == {Finding.NOT_YET}
    await trader.chain.rpc("evm_setAutomine", ON)
    await trader.chain.rpc("evm_mine")
    handle = trader.account.find(orders[0].order_id)
    assert handle is not None
    await handle.in_chain()
    found = await trader.groups.find_group(orders, NOW)
    assert findings(found) == {Finding.FOUND}
    assert [one.trade.order_id for one in found if one.trade is not None] == [order.order_id for order in orders]
    await trader.assert_exact()


async def test_a_group_that_another_process_sent_is_booked_once_whoever_remembers_it(trader: GroupTrader) -> None:
    """After a restart the account tells its transactions before anybody knows their orders: the money is the same."""
    orders = await trader.orders(entry())
    await trader.run(orders)
    booked = len(trader.trades)
    await trader.restart()
    trader.arm()
    found = await trader.groups.find_group(orders, NOW)
    assert findings(found) == {Finding.FOUND}
    assert {one.trade.order_state for one in found if one.trade is not None} == {OrderState.FILLED}
    assert len(trader.trades) == booked
    await trader.assert_exact()


async def test_a_group_that_is_cancelled_in_time_did_nothing_but_cost_the_cancel(trader: GroupTrader) -> None:
    await trader.run(await trader.orders(entry()))
    orders = await trader.orders(MORE, timeout_s=D("0.2"))
    await trader.chain.rpc("evm_setAutomine", OFF)
    with pytest.raises(OutcomeUnknownError):
        await trader.run(orders)
    await trader.account.cancel(orders[0].order_id)
    await trader.chain.rpc("evm_setAutomine", ON)
    await trader.chain.rpc("evm_mine")
    handle = trader.account.find(orders[0].order_id)
    assert handle is not None
    await handle.in_chain()
    trades = await trader.run(orders)
    assert {trade.order_state for trade in trades} == {OrderState.CANCELLED}
    assert [trade.order_id for trade in trades] == [order.order_id for order in orders]
    assert [set(trade.deltas) for trade in trades] == [{ETH}, *[set() for _ in orders[1:]]]
    await trader.assert_exact()


async def test_a_group_whose_block_is_taken_back_is_taken_out_of_the_ledger_and_booked_where_it_lands(
    trader: GroupTrader,
) -> None:
    await trader.actor.controls.mine(4)
    done = (await trader.run(await trader.orders(entry())))[0]
    await trader.actor.controls.reorg(1)
    await trader.until(lambda: len([trade for trade in trader.trades if trade.deltas.get(DEBT)]) == 3)
    back, again = trader.trades[-2:]
    assert back.deltas == {key: -amount for key, amount in done.deltas.items()}
    assert again.tx is not None
    assert done.tx is not None
    assert (again.tx.hash, again.order_id) == (done.tx.hash, done.order_id)
    assert again.tx.block_hash != done.tx.block_hash
    assert {key: trader.ledger.holding(key) for key in (DEBT, COLLATERAL)} == {
        key: again.deltas[key] for key in (DEBT, COLLATERAL)
    }


@pytest.mark.feature("S07")
async def test_a_safe_runs_the_same_groups_in_one_transaction_each_and_its_key_pays_the_gas(
    treasurer: GroupTrader,
) -> None:
    sent = await treasurer.transactions()
    trades = await treasurer.run(await treasurer.orders(entry()))
    assert await treasurer.transactions() == sent + 1
    assert (trades[0].deltas[WETH], ETH in trades[0].deltas) == (D(-10), False)
    await treasurer.assert_exact()
    await treasurer.run(await treasurer.orders(FULL))
    assert await treasurer.transactions() == sent + 2
    await treasurer.assert_exact()
    assert treasurer.ledger.holding(DEBT) == 0


async def test_a_group_of_a_safe_that_would_revert_says_why(treasurer: GroupTrader) -> None:
    with pytest.raises(OrderRejectedError, match="OutBelowMinimum"):
        await treasurer.run(await treasurer.orders(replace(entry(), lst_min=D(1000))))


async def test_a_receiver_of_other_code_is_never_used(trader: GroupTrader) -> None:
    code = await trader.chain.rpc("eth_getCode", trader.groups.receiver, "latest")
    await trader.chain.rpc("anvil_setCode", trader.groups.receiver, f"{code}00")
    with pytest.raises(OrderRejectedError, match=r"nothing was signed: .* other code"):
        await trader.run(await trader.orders(entry()))
    with pytest.raises(IntegrityError, match="other code"):
        await trader.groups.verify()


async def test_a_receiver_is_deployed_once(trader: GroupTrader) -> None:
    sent = await trader.transactions()
    again = await deploy_receiver(trader.account, trader.rpc, trader.book, None, 500 * GWEI)
    assert (again, await trader.transactions()) == (trader.groups.receiver, sent)


def findings(found: Sequence[Evidence]) -> set[Finding]:
    return {one.finding for one in found}
