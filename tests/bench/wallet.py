"""A wallet on a node of its own as the daemon has it, journal on disk included, and the floor: a bare client beside it.

The node mines when it is told to, so that no block is made while somebody is timed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TypeVar

import aiohttp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.types import AccessList
from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from pydantic import SecretStr
from web3 import AsyncWeb3
from web3.eth import AsyncEth
from web3.types import TxParams, Wei

from basis_daemon.clock import SystemClock
from basis_daemon.domain.order import Order
from basis_daemon.domain.trade import Trade, TradeStatus
from basis_daemon.engine.recorder import Recorder
from basis_daemon.engine.state import recover
from basis_daemon.journal.schema import Identity, Mode, Run
from basis_daemon.journal.sqlite import SqliteJournal
from basis_daemon.ports import ExecutionInterface, KillPoint
from basis_daemon.sandbox.chain.anvil import CHAIN_ID, Anvil, AnvilOptions
from basis_daemon.sandbox.chain.controls import ChainControls
from basis_daemon.sandbox.chain.node import connect, rpc
from basis_daemon.sandbox.chain.world import Prepared
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.account import AccountPolicy
from basis_daemon.venues.chain.address_check import verified
from basis_daemon.venues.chain.addresses import AddressBook, sandbox_book
from basis_daemon.venues.chain.endpoint import ChainIdentity, EndpointOptions, hex_of, newest_header
from basis_daemon.venues.chain.heads import ChainWalk, Head, HeadOptions
from basis_daemon.venues.chain.notes import ignore_note
from basis_daemon.venues.chain.provider import HttpProvider
from basis_daemon.venues.chain.rpc import Question, RpcPool
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.venues.chain.venue import Chain, ChainOptions, ChainWallet, Surroundings
from basis_daemon.wiring_transactions import TransactionJournal
from tests.venues.chain.actor import Actor, order

T = TypeVar("T")
GWEI, ETHER = 10**9, 10**18
FRESH_BLOCKS = 8
TIMEOUT_S = 20.0
OFF = False
OURS, BARE, LEVERED = ("0x" + f"{number:02x}" * 32 for number in (0x51, 0x52, 0x53))
"""Keys that are worth nothing: of the daemon's wallet, of the bare client, and of the owner of a levered position."""
WRAPPED = Decimal("0.001")


class StampedPool(RpcPool):
    """The daemon's own, which notes when each question was asked and answered."""

    stamps: list[tuple[str, int, int]]

    async def ask(self, what: str, question: Question[T]) -> T:
        began = time.perf_counter_ns()
        try:
            return await super().ask(what, question)
        finally:
            self.stamps.append((what, began, time.perf_counter_ns()))


@dataclass(slots=True)
class Stages:
    """Nanoseconds of the way of one order, from `execute_order` until the node has answered for its bytes."""

    reads: int
    simulation: int
    fees: int
    signing: int
    durable: int
    sending: int

    @property
    def whole(self) -> int:
        return self.reads + self.simulation + self.fees + self.signing + self.durable + self.sending


@dataclass
class LiveWallet:
    """A wallet that follows the chain when it is told to."""

    wallet: ChainWallet
    pool: StampedPool
    book: AddressBook
    actor: Actor
    bare: BareClient
    interface: ExecutionInterface
    passed: dict[KillPoint, int]
    offered: asyncio.Event
    tree: TaskTree
    _walk: ChainWalk
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def wrap(self) -> Order:
        """The cheapest order there is: no allowance, one transaction."""
        sides = {"token_in": "wallet:token:ETH", "token_out": "wallet:token:WETH"}
        return order("wrap", "wallet", order_id=f"{next(self._numbers):032x}", amount=WRAPPED, **sides)

    async def execute(self) -> Stages:
        """One order up to its trade; what its way to the node took."""
        self.pool.stamps.clear()
        self.offered.clear()
        done: asyncio.Future[Trade] = asyncio.get_running_loop().create_future()
        wish = self.wrap()
        began = 0

        async def run() -> None:
            nonlocal began
            began = time.perf_counter_ns()
            done.set_result(await self.interface.execute_order(wish, wish.created_at))

        self.tree.spawn("order", run())
        async with asyncio.timeout(TIMEOUT_S):
            await self.offered.wait()
            await self.mine()
            trade = await done
        if trade.status is not TradeStatus.FILLED:
            raise RuntimeError(f"order {wish.order_id} ended {trade.status}, expected FILLED")
        return self._stages(wish.order_id, began)

    async def hold(self) -> None:
        """From now on blocks are made by ``mine`` alone."""
        await rpc(self.actor.client, "evm_setAutomine", OFF)
        await self.mine()

    async def mine(self) -> None:
        """A block, and the account looks at it."""
        await self.actor.controls.mine()
        header = await self.pool.ask("newest block", newest_header)
        head = await self._walk.step_to(header) or Head(header)
        await self.wallet.account.follow(head)
        self.wallet.account.on_head(head)

    def _stages(self, order_id: str, began: int) -> Stages:
        asked = {what: (begun, ended) for what, begun, ended in self.pool.stamps}
        simulated, estimated = asked[f"order {order_id}: simulation"][0], asked[f"order {order_id}: gas"][1]
        priced = asked["fee history"][1]
        signed, durable, sent = (
            self.passed[point] for point in (KillPoint.TX_SIGNED, KillPoint.TX_JOURNALLED, KillPoint.TX_BROADCAST)
        )
        return Stages(
            simulated - began, estimated - simulated, priced - estimated, signed - priced, durable - signed,
            sent - durable,
        )  # fmt: skip


class BareClient:
    """What nobody can do without: estimate, sign, send. It knows its nonce and asks for no price."""

    def __init__(self, eth: AsyncEth, key: LocalAccount, weth: str) -> None:
        self.eth, self._key, self._weth = eth, key, weth
        self._nonce = 0

    async def send(self) -> int:
        """Nanoseconds until the node has answered for the bytes."""
        fields: dict[str, AccessList | bytes | HexStr | int] = {
            "type": 2, "chainId": CHAIN_ID, "nonce": self._nonce, "to": HexStr(to_checksum_address(self._weth)),
            "value": int(WRAPPED * ETHER), "data": HexStr("0xd0e30db0"), "maxFeePerGas": 100 * GWEI,
            "maxPriorityFeePerGas": GWEI,
        }  # fmt: skip
        asked: TxParams = {
            "from": self._key.address, "to": to_checksum_address(self._weth), "value": Wei(int(WRAPPED * ETHER)),
            "data": HexStr("0xd0e30db0"),
        }  # fmt: skip
        began = time.perf_counter_ns()
        gas = await self.eth.estimate_gas(asked, "latest")
        signed = self._key.sign_transaction(fields | {"gas": gas * 115 // 100})
        await self.eth.send_raw_transaction(signed.raw_transaction)
        taken = time.perf_counter_ns() - began
        self._nonce += 1
        return taken


@asynccontextmanager
async def live_wallet(place: Path, prepared: Prepared) -> AsyncIterator[LiveWallet]:
    """Wallet and bare client on one node, both with ether."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(Anvil(AnvilOptions(state=prepared.state)))
        client = connect(node.rpc_url)
        stack.push_async_callback(client.provider.disconnect)
        controls = await ChainControls.of(client, prepared)
        await controls.mine(FRESH_BLOCKS)
        accounts = [Account.from_key(key) for key in (OURS, BARE, LEVERED)]
        for account in accounts:
            await controls.fund(account.address, ETH=Decimal(1000))
        (place / "world.json").write_text(json.dumps(prepared.world), encoding="utf-8")
        claimed = sandbox_book(place / "world.json")
        tree = await stack.enter_async_context(TaskTree("bench"))
        stack.callback(tree.cancel_all)
        genesis = hex_of((await client.eth.get_block(0))["hash"])
        endpoints = [EndpointOptions("node", SecretStr(node.rpc_url))]
        pool = StampedPool(endpoints, ChainIdentity(CHAIN_ID, genesis), SystemClock(), tree)
        pool.stamps = []
        stack.push_async_callback(pool.close)
        await pool.start()
        book = await verified(pool, (await pool.ask("newest block", newest_header)).block, claimed)
        options = ChainOptions(endpoints, book, genesis, policy=AccountPolicy(track=TrackPolicy(confirmations=2)))
        journal = _journal(place)
        stack.push_async_callback(journal.close)
        provider = HttpProvider(SecretStr(node.rpc_url), aiohttp.ClientTimeout(TIMEOUT_S))
        await provider.open()
        stack.push_async_callback(provider.close)
        bare = BareClient(AsyncWeb3(provider, middleware=[]).eth, accounts[1], book.token("WETH").address)
        live = _live(
            Chain(options, pool, book), journal, tree, Actor(client, controls, book, accounts[2].address), bare
        )
        await live.wallet.account.start()
        yield live


def _journal(place: Path) -> SqliteJournal:
    identity, run = Identity("bench", Mode.SANDBOX, "bench"), Run("bench", "bench")
    return SqliteJournal.open(place / "journal.db", identity, run, SystemClock())


def _live(chain: Chain, journal: SqliteJournal, tree: TaskTree, actor: Actor, bare: BareClient) -> LiveWallet:
    passed: dict[KillPoint, int] = {}
    offered = asyncio.Event()

    def probe(point: KillPoint) -> None:
        passed[point] = time.perf_counter_ns()
        if point is KillPoint.TX_BROADCAST:
            offered.set()

    recorder = Recorder(recover(journal), journal)
    around = Surroundings(
        SystemClock(), tree, ignore_note, probe, TransactionJournal(recorder, journal), lambda _: None,
        recorder.state.ledger.holdings, recorder.state.ledger.has,
    )  # fmt: skip
    wallet = ChainWallet(chain, KeySigner(SecretStr(OURS)), (), around)
    (interface,) = [
        one for one in wallet.interfaces(lambda _: None) if one.account == "wallet" and "wrap" in one.operations
    ]
    assert isinstance(chain.rpc, StampedPool)
    walk = ChainWalk(chain.rpc, HeadOptions())
    return LiveWallet(wallet, chain.rpc, chain.book, actor, bare, interface, passed, offered, tree, walk)
