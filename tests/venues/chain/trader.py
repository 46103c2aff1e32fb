"""A whole trader on the sandbox chain: account, interfaces and ledger, as the daemon has them, without the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_account.types import AccessList
from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.domain.instrument import Kind, PositionKey
from basis_daemon.domain.ledger import Ledger, entry_of_cash_flow, entry_of_opening, entry_of_trade
from basis_daemon.domain.order import Order
from basis_daemon.domain.position import AccountReport
from basis_daemon.domain.trade import OrderState, Trade
from basis_daemon.ports import ExecutionInterface
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.account import AccountPolicy, ChainAccount
from basis_daemon.venues.chain.accrual import Balances, accruals
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.bookings import Bookings
from basis_daemon.venues.chain.chain_execution import ChainDesk, GasCaps
from basis_daemon.venues.chain.chain_transfer import TransferExecutionInterface
from basis_daemon.venues.chain.deltas import Moved
from basis_daemon.venues.chain.dex import DEXExecutionInterface
from basis_daemon.venues.chain.eigenlayer import RewardClaim
from basis_daemon.venues.chain.endpoint import hex_of
from basis_daemon.venues.chain.heads import Head, HeadOptions, HeadStream
from basis_daemon.venues.chain.onchain import VENUES, OnChainExecutionInterface
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.venues.chain.transactions import TxEvent, TxRow
from tests.chain_support import Chain
from tests.venues.chain.actor import Actor, order
from tests.venues.chain.support import MemoryTxJournal, endpoint, identity_of

POLL_S = 0.02
FOREIGN_FEE_WEI = 100 * 10**9
ON, OFF = True, False
POLICY = AccountPolicy(track=TrackPolicy(confirmations=3))


class Trader:
    """Executes orders by the real interfaces; every trade and accrual goes into a real ledger."""

    def __init__(self, chain: Chain, actor: Actor, rpc: RpcPool, key: LocalAccount, tree: TaskTree) -> None:
        self.chain, self.actor, self.book, self.rpc, self._key = chain, actor, actor.book, rpc, key
        self._tree, self.is_blind = tree, False
        self._told = asyncio.Event()
        self.broadcast: asyncio.Queue[TxRow] = asyncio.Queue()
        self.journal = MemoryTxJournal()
        self.trades: list[Trade] = []
        self._moved: dict[str, Moved] = {}
        self._numbers = count(1)
        self.ledger = Ledger()
        self.bookings = self.new_bookings()
        self.account = self.new_account()
        self.interfaces = self.new_interfaces()

    def new_bookings(self) -> Bookings:
        return Bookings(self.book, self._key.address, SystemClock(), self.hear, self.recall)

    def new_account(self) -> ChainAccount:
        signer = KeySigner(SecretStr("0x" + bytes(self._key.key).hex()))
        return ChainAccount(signer, self.rpc, self.journal, SystemClock(), self._step, POLICY)

    def new_interfaces(self) -> dict[tuple[str, str], ExecutionInterface]:
        desk = ChainDesk(self.book, self.account, self.rpc, self.bookings, GasCaps(ordinary_gwei=500))
        found: list[ExecutionInterface] = [OnChainExecutionInterface(venue, desk, self.claim) for venue in VENUES]
        if self.book.uniswap_v3 is not None:
            found.append(DEXExecutionInterface(desk))
        found.append(TransferExecutionInterface(desk))
        return {(op, one.account): one for one in found for op in one.operations}

    def on_head(self, head: Head) -> None:
        """To whoever is the account now, unless it is not to see what goes on."""
        if not self.is_blind:
            self.account.on_head(head)

    def _step(self, event: TxEvent) -> None:
        if event.row.state is OrderState.BROADCAST:
            self.broadcast.put_nowait(event.row)
        self.bookings(event)

    def hear(self, trade: Trade) -> None:
        """A sink: what is new goes into the ledger, and what it moved beside it is kept for the accruals."""
        if self.ledger.has(trade.trade_id):
            return
        self.ledger.apply(entry_of_trade(trade, Decimal(0), Decimal(0), None))
        self.trades.append(trade)
        self._told.set()
        receipt = self.bookings.receipt_at(trade.tx.hash, trade.tx.block_hash) if trade.tx is not None else None
        if trade.trade_id.endswith(":reorged"):
            self._moved.pop(trade.trade_id.removesuffix(":reorged"), None)
        elif receipt is not None:
            self._moved[trade.trade_id] = self.bookings.moved(receipt)

    def recall(self, trade_id: str) -> Trade | None:
        return next((trade for trade in self.trades if trade.trade_id == trade_id), None)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return once the trades that were told make it so."""
        while not is_so():
            self._told.clear()
            await self._told.wait()

    async def restart(self) -> None:
        """The same address in a new process, which knows what the journal knows."""
        self.bookings, self.account = self.new_bookings(), self.new_account()
        await self.account.start()
        self._tree.spawn("account", self.account.run())
        self.interfaces = self.new_interfaces()

    async def claim(self, earner: str, symbol: str) -> RewardClaim | None:
        """The sandbox's distributor."""
        found = self.chain.controls.claims.get(to_checksum_address(earner))
        return None if found is None or symbol != "EIGEN" else RewardClaim.read(found)

    def use_book(self, book: AddressBook) -> None:
        """Trade by another book from now on."""
        self.book = self.actor.book = book
        self.bookings = self.new_bookings()
        self.interfaces = self.new_interfaces()

    async def accrue_funds(self) -> None:
        """Money that somebody gave us: a new opening."""
        self.ledger = Ledger()
        await self.open()

    async def open(self) -> None:
        """What the chain holds becomes the opening balance."""
        self.since = await self.actor.balances()
        report = AccountReport("wallet", self.since.block.time, 0, self.since.held, frozenset())
        self.ledger.apply(entry_of_opening(report, {}))

    async def accrue(self) -> Balances:
        """Post what has accrued since the last look; returns what the chain says now."""
        until = await self.actor.balances()
        own = Moved(_sum(m.deltas for m in self._moved.values()), _sum(m.rounding for m in self._moved.values()))
        for flow in accruals(self.since, until, own):
            self.ledger.apply(entry_of_cash_flow(flow))
        self._moved.clear()
        self.since = until
        return until

    async def assert_exact(self) -> None:
        """The ledger is what the chain says, under every key, to the last wei."""
        told = await self.accrue()
        for key, amount in self.ledger.holdings().items():
            if key.kind is not Kind.TRANSIT:
                assert amount == told.held.get(key, Decimal(0)), key
        assert not {key for key, amount in told.held.items() if amount and not self.ledger.holding(key)}

    def order(self, operation: str, venue: str, **fields: object) -> Order:
        return order(operation, venue, order_id=f"{next(self._numbers):032x}", **fields)

    async def execute(self, wish: Order) -> Trade:
        return await self.interfaces[wish.operation, wish.venue].execute_order(wish, wish.created_at)

    @asynccontextmanager
    async def without_blocks(self) -> AsyncIterator[None]:
        """Nothing is mined meanwhile, but by an order of the test."""
        await self.chain.rpc("evm_setAutomine", OFF)
        try:
            yield
        finally:
            await self.chain.rpc("evm_setAutomine", ON)

    async def execute_both(self, *wishes: Order) -> list[Trade]:
        """At the same time; what came of each."""
        done: list[Trade] = []

        async def run(wish: Order) -> None:
            done.append(await self.execute(wish))

        async with TaskTree("both") as tree:
            for wish in wishes:
                tree.spawn(wish.order_id, run(wish))
        return done

    async def execute_while(self, wish: Order, meanwhile: Coroutine[Any, Any, None]) -> Trade:
        """What happens ``meanwhile`` happens between the simulation of an order and its inclusion."""
        outcome: asyncio.Future[Trade] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            outcome.set_result(await self.execute(wish))

        await self.chain.rpc("evm_setAutomine", OFF)
        self._tree.spawn("order", run())
        while (row := await self.broadcast.get()).order_id != wish.order_id:
            pass
        self.is_blind = True  # it would offer its transaction again
        await self.chain.rpc("anvil_dropAllTransactions")
        await self.chain.rpc("evm_setAutomine", ON)
        await meanwhile
        self.is_blind = False
        await self.rpc.send_raw(row.raw, row.hash)
        return await outcome

    async def usurp(self, nonce: int) -> None:
        """Somebody else who has the key uses this nonce instead of us; return once that was noticed."""
        fields: dict[str, AccessList | bytes | HexStr | int] = {
            "type": 2, "chainId": 31337, "nonce": nonce, "to": HexStr(self.actor.address), "value": 0, "gas": 21_000,
            "maxFeePerGas": FOREIGN_FEE_WEI, "maxPriorityFeePerGas": FOREIGN_FEE_WEI,
        }  # fmt: skip
        self.is_blind = True  # it would offer its transaction again
        await self.chain.rpc("anvil_dropAllTransactions")
        await self.chain.rpc("eth_sendRawTransaction", hex_of(self._key.sign_transaction(fields).raw_transaction))
        self.is_blind = False
        while self.account.halted is None:
            await self.chain.rpc("anvil_mine", hex(1))

    async def do(self, operation: str, venue: str, **fields: object) -> Trade:
        """One order from its fields to its trade."""
        return await self.execute(self.order(operation, venue, **fields))

    async def soon(self, seconds: int = 600) -> datetime:
        """A deadline after the newest block."""
        return (await self.actor.head()).time + timedelta(seconds=seconds)


def _sum(parts: Iterable[object]) -> dict[PositionKey, Decimal]:
    sums: dict[PositionKey, Decimal] = {}
    for part in parts:
        assert isinstance(part, dict)
        for key, amount in part.items():
            sums[key] = sums.get(key, Decimal(0)) + amount
    return sums


@asynccontextmanager
async def trading(chain: Chain, actor: Actor, key: LocalAccount) -> AsyncIterator[Trader]:
    """A trader whose account follows the chain."""
    async with AsyncExitStack() as after:
        tree = await after.enter_async_context(TaskTree("test"))
        rpc = RpcPool([endpoint(chain.rpc_url)], await identity_of(chain), SystemClock(), tree)
        after.push_async_callback(rpc.close)
        after.callback(tree.cancel_all)
        await rpc.start()
        trader = Trader(chain, actor, rpc, key, tree)
        await trader.restart()
        heads = HeadStream(rpc, SystemClock(), tree, trader.on_head, HeadOptions(POLL_S))
        tree.spawn("heads", heads.run())
        await trader.open()
        yield trader
