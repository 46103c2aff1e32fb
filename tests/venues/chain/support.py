"""An account on a real node of its own, with a journal that remembers only what a disk would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address
from pydantic import SecretStr

from basis_daemon.clock import SystemClock
from basis_daemon.ports import KillPoint
from basis_daemon.tasks import TaskTree
from basis_daemon.venues.chain.account import AccountPolicy, ChainAccount
from basis_daemon.venues.chain.endpoint import ChainIdentity, EndpointOptions, hex_of, newest_header
from basis_daemon.venues.chain.heads import ChainWalk, Head, HeadOptions
from basis_daemon.venues.chain.rpc import PoolPolicy, RpcPool
from basis_daemon.venues.chain.signers import KeySigner
from basis_daemon.venues.chain.tracker import TrackPolicy
from basis_daemon.venues.chain.transactions import TxEvent, TxRecord, TxRequest, TxRow
from tests.chain_support import BareChain, Chain

KEY = "0x" + "5e" * 32
OWNER = Account.from_key(KEY).address
ELSEWHERE = to_checksum_address("0x" + "ee" * 20)
WHOLE, HASHES_ONLY, OFF = True, False, False
GWEI, ETHER = 10**9, 10**18
SHORT: dict[str, Any] = {"timeout_s": 1.0, "connect_timeout_s": 1.0}
QUICK = AccountPolicy(track=TrackPolicy(confirmations=3))


class MemoryTxJournal:
    """Honours `TxJournal`; what was not made durable is gone after a `crash`."""

    def __init__(self, records: Sequence[TxRecord] = ()) -> None:
        self._durable: list[TxRecord] = list(records)
        self._soon: list[TxRecord] = []

    async def append_durable(self, records: Sequence[TxRecord]) -> None:
        self._durable += [*self._soon, *records]
        self._soon.clear()

    def append(self, record: TxRecord) -> None:
        self._soon.append(record)

    def read(self, address: str) -> Sequence[TxRecord]:
        return [record for record in (*self._durable, *self._soon) if record.address == address]

    def crash(self) -> MemoryTxJournal:
        """What the next process finds."""
        return MemoryTxJournal(self._durable)


class KilledError(Exception):
    """The process ended at a kill point."""


@dataclass
class Killer:
    """A probe that ends the process at one point, once."""

    point: KillPoint | None = None

    def __call__(self, point: KillPoint) -> None:
        if point is self.point:
            self.point = None
            raise KilledError(point)


@dataclass
class Notes:
    """Everything that an operator was told."""

    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        self.told.append((event, dict(facts)))
        self._more.set()

    async def until(self, event: str) -> None:
        """Once this was told, ever."""
        while event not in self.events:
            self._more.clear()
            await self._more.wait()

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.told]


def endpoint(url: str, name: str = "node", **changes: object) -> EndpointOptions:
    return EndpointOptions(name=name, url=SecretStr(url), **changes)  # type: ignore[arg-type]  # by name


async def identity_of(chain: BareChain | Chain) -> ChainIdentity:
    block = await chain.rpc("eth_getBlockByNumber", "0x0", HASHES_ONLY)
    assert isinstance(block, dict)
    return ChainIdentity(31337, hex_of(block["hash"]))


def request(order_id: str = "order-1", **changes: object) -> TxRequest:
    """A transfer of 1 wei to somebody."""
    fields: dict[str, object] = {
        "order_id": order_id, "to": ELSEWHERE, "data": b"", "value": 1, "fee_cap_wei": 1000 * GWEI, **changes,
    }  # fmt: skip
    return TxRequest(**fields)  # type: ignore[arg-type]  # by name


class Rig:
    """An account and its pool over a node; the test mines, and has the account look at the new head."""

    def __init__(self, chain: BareChain, rpc: RpcPool, journal: MemoryTxJournal, policy: AccountPolicy) -> None:
        self.chain, self.rpc, self.journal = chain, rpc, journal
        self.policy = policy
        self.events: list[TxEvent] = []
        self.notes = Notes()
        self.killer = Killer()
        self.account = self.new_account()
        self._walk = ChainWalk(rpc, HeadOptions())

    def new_account(self) -> ChainAccount:
        return ChainAccount(
            KeySigner(SecretStr(KEY)), self.rpc, self.journal, SystemClock(), self.events.append,
            self.policy, self.killer, self.notes,
        )  # fmt: skip

    async def restart(self, *, is_crash: bool = True) -> None:
        """The same address in a new process."""
        if is_crash:
            self.journal = self.journal.crash()
        self.account = self.new_account()
        await self.account.start()

    async def mine(self, blocks: int = 1) -> None:
        """Blocks with whatever the node's pool holds, each followed by the account."""
        for _ in range(blocks):
            await self.chain.rpc("anvil_mine", "0x1")
            await self.follow()

    async def follow(self) -> Head:
        """Have the account look at the newest head."""
        header = await self.rpc.ask("newest", newest_header)
        head = await self._walk.step_to(header) or Head(header)
        await self.account.follow(head)
        self.account.on_head(head)
        return head

    async def on_chain(self) -> list[dict[str, object]]:
        """All transactions of the owner in all blocks, in order."""
        found = []
        newest = await self.rpc.ask("newest", newest_header)
        for number in range(newest.block.number + 1):
            block = await self.chain.rpc("eth_getBlockByNumber", hex(number), WHOLE)
            assert isinstance(block, dict)
            found += [tx for tx in block["transactions"] if tx["from"].lower() == OWNER.lower()]
        return found

    async def foreign(self, nonce: int, fee_wei: int = 100 * GWEI) -> None:
        """Somebody else who has the key sends a transaction."""
        fields = {
            "type": 2, "chainId": 31337, "nonce": nonce, "to": ELSEWHERE, "value": 7, "gas": 21_000,
            "maxFeePerGas": fee_wei, "maxPriorityFeePerGas": fee_wei,
        }  # fmt: skip
        raw = Account.from_key(KEY).sign_transaction(fields).raw_transaction
        await self.chain.rpc("eth_sendRawTransaction", hex_of(raw))

    def steps(self, order_id: str = "order-1") -> list[str]:
        """What the sink was told of one order: state, and which attempt when it is not the first."""
        return [_step(event.row) for event in self.events if event.row.order_id == order_id]


def _step(row: TxRow) -> str:
    return str(row.state) if row.attempt == "original" else f"{row.attempt}:{row.state}"


@asynccontextmanager
async def rig_on(
    chain: BareChain,
    policy: AccountPolicy = QUICK,
    endpoints: Sequence[EndpointOptions] = (),
    pool: PoolPolicy | None = None,
) -> AsyncIterator[Rig]:
    """The node mines only when it is told to; the owner has 100 ETH."""
    await chain.rpc("evm_setAutomine", OFF)
    await chain.rpc("anvil_setBalance", OWNER, hex(100 * ETHER))
    async with TaskTree("test") as tree:
        identity = await identity_of(chain)
        rpc = RpcPool(endpoints or [endpoint(chain.rpc_url)], identity, SystemClock(), tree, pool)
        try:
            await rpc.start()
            rig = Rig(chain, rpc, MemoryTxJournal(), policy)
            await rig.account.start()
            await rig.follow()
            yield rig
        finally:
            await rpc.close()
            tree.cancel_all()


@asynccontextmanager
async def pool_of(
    chain: BareChain | Chain,
    endpoints: Sequence[EndpointOptions],
    policy: PoolPolicy | None = None,
    notes: Notes | None = None,
) -> AsyncIterator[RpcPool]:
    async with TaskTree("test") as tree:
        pool = RpcPool(endpoints, await identity_of(chain), SystemClock(), tree, policy, notes or Notes())
        try:
            await pool.start()
            yield pool
        finally:
            await pool.close()
            tree.cancel_all()


def signed(nonce: int = 0) -> tuple[bytes, str]:
    """A transfer of the owner, and its hash."""
    fields = {
        "type": 2, "chainId": 31337, "nonce": nonce, "to": ELSEWHERE, "value": 1, "gas": 21_000,
        "maxFeePerGas": 10 * GWEI, "maxPriorityFeePerGas": GWEI,
    }  # fmt: skip
    transaction = Account.from_key(KEY).sign_transaction(fields)
    return bytes(transaction.raw_transaction), hex_of(transaction.hash)
