"""Two nodes that see the chain: each late, deaf or forgetful for itself, behind the daemon's own pool of endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_typing import ChecksumAddress
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from pydantic import SecretStr
from web3.eth import AsyncEth
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3RPCError

from basis_daemon.domain.errors import OrderRejectedError
from basis_daemon.ports import Clock, TaskScope
from basis_daemon.simulation.chain.ledger import UNPAID
from basis_daemon.simulation.drill.chain.node import Block, ChainNode, Mined, Payment
from basis_daemon.simulation.drill.chance import Chance, Fault
from basis_daemon.simulation.drill.disk import KilledError
from basis_daemon.venues.chain.addresses import AddressBook, shipped
from basis_daemon.venues.chain.endpoint import ChainIdentity, Endpoint, EndpointOptions
from basis_daemon.venues.chain.notes import Note
from basis_daemon.venues.chain.rpc import PoolPolicy, RpcPool

CHAIN_ID = 31_337
WAY_S, TIMEOUT_S = (0.005, 0.1), 1.0
BEHIND_MAX = 2
ETHER, STRANGER = "ETH", "0x" + "57" * 20
NAMES = ("first", "second")


@cache
def address_book() -> AddressBook:
    """Tokens are named by it; what the wallet calls is named by calldata."""
    return shipped("mainnet")


class DrillEth:
    """The part of web3's ``AsyncEth`` that the wallet asks, answered by one node of a drilled chain."""

    def __init__(self, node: ChainNode, chance: Chance, is_dead: Callable[[], bool]) -> None:
        self._node, self._chance, self._is_dead = node, chance, is_dead
        self._seen: Block | None = None
        self._behind = 0

    # -------------------------------------------------------------------------------------------------- the blocks
    @property
    def _top(self) -> int:
        """The newest block that this node knows: now and then it is a few behind, until another one or all is well."""
        if self._seen is not self._node.head:
            self._seen = self._node.head
            is_behind = self._chance.strikes(Fault.RPC_BEHIND)
            self._behind = 1 + self._chance.below(BEHIND_MAX) if is_behind else 0
        first = self._node.chain[0].ref.number
        return max(self._node.head.ref.number - (self._behind if self._chance.is_on else 0), first)

    def _block(self, which: object) -> Block:
        chain, top = self._node.chain, self._top
        first = chain[0].ref.number
        if which in {"latest", "pending"}:
            return chain[top - first]
        if isinstance(which, int):
            if first <= which <= top:
                return chain[which - first]
            raise BlockNotFound(f"block {which} not found")
        found = self._node.blocks.get(str(which))
        if found is None or found.ref.number > top:
            raise BlockNotFound(f"block {which!r} not found")
        return found

    def _pinned(self, block: Mapping[str, Any]) -> Block:
        found = self._node.blocks.get(block["blockHash"])
        if found is None or found.ref.number > self._top or not self._node.is_canonical(found):
            raise Web3RPCError("hash is not currently canonical")
        return found

    @property
    async def chain_id(self) -> int:
        await self._asked()
        return CHAIN_ID

    async def get_block(self, which: object, full_transactions: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - as web3 has it
        """As a node tells it."""
        await self._asked()
        del full_transactions
        if which == 0:
            return {"hash": HexBytes(self._node.genesis.hash)}
        if isinstance(which, bytes):
            which = "0x" + bytes(which).hex()
        block = self._block(which)
        return {
            "number": block.ref.number,
            "hash": HexBytes(block.ref.hash),
            "parentHash": HexBytes(block.parent_hash),
            "timestamp": int(block.ref.time.timestamp()),
            "baseFeePerGas": block.base_fee_wei,
            "transactions": [
                {"hash": HexBytes(tx_hash), "from": self._node.address, "nonce": mined.tx.nonce}
                for tx_hash, mined in block.mined.items()
            ],
        }

    async def state(self, block_hash: str) -> Block:
        """Everything at one block of the chain, as many calls would tell it."""
        await self._asked()
        return self._pinned({"blockHash": block_hash})

    # -------------------------------------------------------------------------------------------- the transactions
    async def get_transaction_count(self, address: ChecksumAddress, block: Mapping[str, Any]) -> int:
        """Nonces that were used behind a block."""
        del address
        await self._asked()
        return self._pinned(block).nonce

    async def get_transaction_receipt(self, tx_hash: str) -> dict[str, Any]:
        """Raises TransactionNotFound where none is known, and sometimes where one should be."""
        await self._asked()
        paid = self._node.brought(tx_hash, self._top)
        if paid is not None:
            return self._receipt_of_payment(*paid)
        block, mined = self._found(tx_hash)
        return {
            "transactionHash": HexBytes(tx_hash),
            "from": self._node.address,
            "blockHash": HexBytes(block.ref.hash),
            "blockNumber": block.ref.number,
            "status": int(mined.is_success),
            "gasUsed": mined.gas_used,
            "effectiveGasPrice": mined.gas_price_wei,
            "logs": [],
        }

    def _receipt_of_payment(self, block: Block, payment: Payment) -> dict[str, Any]:
        """As of any transfer of ether or of a token by somebody else."""
        if self._chance.strikes(Fault.RPC_NULL):
            raise TransactionNotFound(f"transaction {payment.tx_hash} not found")
        logs = []
        if payment.coin != ETHER:
            places = [bytes(12) + bytes(HexBytes(address)) for address in (STRANGER, self._node.address)]
            topics = [keccak(text="Transfer(address,address,uint256)"), *places]
            token = address_book().token(payment.coin).address
            logs.append({"address": token, "topics": topics, "data": payment.units.to_bytes(32, "big"), "logIndex": 0})
        return {
            "transactionHash": HexBytes(payment.tx_hash),
            "blockHash": HexBytes(block.ref.hash),
            "blockNumber": block.ref.number,
            "status": 1,
            "logs": logs,
        }

    async def get_transaction(self, tx_hash: object) -> dict[str, Any]:
        """What was signed."""
        await self._asked()
        name = "0x" + bytes(tx_hash).hex() if isinstance(tx_hash, bytes) else str(tx_hash)
        if (paid := self._node.brought(name, self._top)) is not None:
            return {"to": self._node.address, "value": paid[1].units}
        _, mined = self._found(name)
        fields: dict[str, Any] = dict(TypedTransaction.from_bytes(HexBytes(mined.tx.raw)).as_dict())
        return fields | {"input": fields["data"], "r": _bytes(fields["r"]), "s": _bytes(fields["s"])}

    def _found(self, tx_hash: str) -> tuple[Block, Mined]:
        block = self._node.holder(tx_hash, self._top)
        if block is None or self._chance.strikes(Fault.RPC_NULL):
            raise TransactionNotFound(f"transaction {tx_hash} not found")
        return block, block.mined[tx_hash]

    async def send_raw_transaction(self, raw: bytes) -> HexBytes:
        """Into the pool, unless the node wants more for it; the answer may not come, or say nothing of it."""
        await self._asked()
        if self._chance.strikes(Fault.SEND_UNCLEAR):
            if self._chance.below(2):
                self._node.offer(bytes(raw))
            raise Web3RPCError("internal error")
        is_too_cheap = self._chance.strikes(Fault.SEND_UNDERPAID)
        refusal = "transaction underpriced" if is_too_cheap else self._node.offer(bytes(raw))
        if self._chance.strikes(Fault.SEND_UNHEARD):
            await asyncio.sleep(TIMEOUT_S)
        if refusal:
            raise Web3RPCError(refusal)
        return HexBytes(_hash_of(bytes(raw)))

    async def fee_history(self, count: int, newest: str, percentiles: list[float]) -> dict[str, Any]:
        """Tips of the last blocks."""
        await self._asked()
        del count, newest, percentiles
        return {"reward": [[10**8]]}

    async def call(self, request: Mapping[str, Any], block: object = "latest") -> HexBytes:
        """Raises ContractLogicError for what would revert."""
        await self._tried(request, block)
        return HexBytes("0x")

    async def estimate_gas(self, request: Mapping[str, Any], block: object = "latest") -> int:
        """Units that it would use; raises as ``call``."""
        return await self._tried(request, block)

    async def _tried(self, request: Mapping[str, Any], block: object) -> int:
        await self._asked()
        try:
            return self._node.try_out(bytes(HexBytes(request["data"])), self._block(block))
        except OrderRejectedError as refusal:
            if refusal.code == UNPAID:
                raise Web3RPCError("insufficient funds for gas * price + value") from None
            raise ContractLogicError(f"execution reverted: {refusal.code}", data="0x") from None

    async def _asked(self) -> None:
        """A question on its way; raises KilledError in a daemon that is dead."""
        if self._is_dead():
            raise KilledError
        await asyncio.sleep(self._chance.between(*WAY_S))
        if self._is_dead():
            raise KilledError
        if self._chance.strikes(Fault.RPC_FAILS):
            raise OSError("connection reset")


class DrillEndpoint(Endpoint):
    """The daemon's own endpoint, over one of these nodes."""

    def __init__(self, name: str, eth: DrillEth, clock: Clock) -> None:
        self.options = EndpointOptions(name, SecretStr("http://127.0.0.1"), timeout_s=TIMEOUT_S)
        self.name = name
        self._clock, self._eth = clock, eth
        self.banned = ""
        self.is_verified = False
        self.top = None
        self.went_back_from = self.faults = 0
        self._resting_until_ns = 0

    @property
    def eth(self) -> AsyncEth:
        """What web3 would be."""
        return self._eth  # type: ignore[return-value]  # the part of it that is asked

    async def open(self) -> None:
        """Nothing: there is no socket."""

    async def close(self) -> None:
        """Nothing; see ``open``."""


def pool_of(
    node: ChainNode, chance: Chance, is_dead: Callable[[], bool], clock: Clock, scope: TaskScope, note: Note
) -> RpcPool:
    """The daemon's own pool over two nodes."""
    return _Pool(node, chance, is_dead, clock, scope, note)


class _Pool(RpcPool):
    def __init__(
        self, node: ChainNode, chance: Chance, is_dead: Callable[[], bool], clock: Clock, scope: TaskScope, note: Note
    ) -> None:
        super().__init__(
            [], ChainIdentity(CHAIN_ID, node.genesis.hash), clock, scope, PoolPolicy(rarely=chance.rarely), note
        )
        self._public = [DrillEndpoint(name, DrillEth(node, chance, is_dead), clock) for name in NAMES]


def _bytes(number: object) -> bytes:
    return number if isinstance(number, bytes) else int(str(number)).to_bytes(32, "big")


def _hash_of(raw: bytes) -> str:
    return "0x" + keccak(raw).hex()
