"""An account on the sandbox chain that sends what the codecs encode, and reads it back with a plain web3 client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3.types import TxReceipt

from basis_daemon.domain.chain import BlockRef
from basis_daemon.domain.instrument import PositionKey
from basis_daemon.domain.order import Order
from basis_daemon.sandbox.chain.controls import ChainControls
from basis_daemon.sandbox.chain.node import Web3, rpc
from basis_daemon.venues.chain.aave_reads import read_account
from basis_daemon.venues.chain.abi import Call, Log
from basis_daemon.venues.chain.accrual import Balances
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.deltas import Moved, Receipt, moved
from basis_daemon.venues.chain.erc20 import ALLOWANCE, approvals
from basis_daemon.venues.chain.multicall import MULTICALL3, CallResult, decode_results, encode_calls
from basis_daemon.venues.chain.prepared import Prepared, Situation
from basis_daemon.venues.chain.wallet_reads import read_etherfi_claims, read_lido_claims, read_restaked, read_wallet

GAS = 3_000_000


class Reader:
    """Reads at one block through Multicall3, and nothing else."""

    def __init__(self, client: Web3) -> None:
        self._client = client

    async def call_at(self, block: BlockRef, calls: Sequence[tuple[str, bytes]]) -> Sequence[CallResult]:
        data = HexStr("0x" + encode_calls(calls).hex())
        answer = await self._client.eth.call({"to": to_checksum_address(MULTICALL3), "data": data}, block.number)
        return decode_results(bytes(answer), len(calls))


class Actor:
    """One impersonated account, its book and its reader."""

    def __init__(self, client: Web3, controls: ChainControls, book: AddressBook, address: str) -> None:
        self.client, self.controls, self.book, self.address = client, controls, book, to_checksum_address(address)
        self.reader = Reader(client)
        self.etherfi_claims: list[int] = []

    async def head(self) -> BlockRef:
        found = await self.client.eth.get_block("latest")
        stamp = datetime.fromtimestamp(found["timestamp"], UTC)
        return BlockRef(found["number"], found["hash"].to_0x_hex(), stamp)

    async def situation(self) -> Situation:
        return Situation(self.book, self.address, self.reader, await self.head())

    async def fund(self, **amounts: Decimal | int) -> None:
        await self.controls.fund(self.address, **amounts)

    async def send(self, call: Call) -> Receipt:
        """The receipt, whatever became of it."""
        wish = {"from": self.address, "to": call.to, "data": "0x" + call.data.hex(), "value": hex(call.value_wei)}
        await rpc(self.client, "anvil_impersonateAccount", self.address)
        sent = await rpc(self.client, "eth_sendTransaction", wish | {"gas": hex(GAS), "maxFeePerGas": hex(100 * 10**9)})
        return await self.receipt(HexBytes(sent), call)

    async def receipt(self, tx_hash: HexBytes, call: Call) -> Receipt:
        raw = await self.client.eth.wait_for_transaction_receipt(tx_hash)
        block = await self.client.eth.get_block(raw["blockHash"])
        stamp = datetime.fromtimestamp(block["timestamp"], UTC)
        return receipt_of(raw, BlockRef(raw["blockNumber"], raw["blockHash"].to_0x_hex(), stamp), call)

    async def approve(self, prepared: Prepared) -> list[Receipt]:
        """What was sent so that the allowance is exactly what is needed."""
        if (need := prepared.allowance) is None:
            return []
        allowed = await self.allowed(need.token, need.spender)
        return [await self.send(call) for call in approvals(need, allowed)]

    async def allowed(self, token: str, spender: str) -> int:
        asked = ALLOWANCE(token, self.address, spender)
        (told,) = await self.reader.call_at(await self.head(), [(asked.to, asked.data)])
        return int(ALLOWANCE.one(told.data))

    async def do(self, prepared: Prepared) -> tuple[Moved, Receipt]:
        """Approve and send; what it moved, and its receipt."""
        await self.approve(prepared)
        receipt = await self.send(prepared.call)
        return moved(receipt, self.book, self.address), receipt

    async def balances(self) -> Balances:
        """Everything that the account holds, by the chain's word."""
        at, book, block = self.reader, self.book, await self.head()
        held: dict[PositionKey, Decimal] = dict(await read_wallet(at, block, book, self.address))
        held |= dict((await read_account(at, block, book, self.address)).balances)
        held |= dict(await read_lido_claims(at, block, book, self.address))
        held |= dict(await read_restaked(at, block, book, self.address))
        held |= dict(await read_etherfi_claims(at, block, book, self.address, self.etherfi_claims))
        return Balances(block, held)


def receipt_of(raw: TxReceipt, block: BlockRef, call: Call) -> Receipt:
    """A receipt as the codecs read it."""
    return Receipt(
        tx_hash=raw["transactionHash"].to_0x_hex(),
        block=block,
        is_success=raw["status"] == 1,
        sender=raw["from"],
        call=call,
        nonce=0,
        gas_used=raw["gasUsed"],
        gas_price_wei=raw["effectiveGasPrice"],
        logs=tuple(
            Log(log["address"], tuple(bytes(topic) for topic in log["topics"]), bytes(log["data"]), log["logIndex"])
            for log in raw["logs"]
        ),
    )


def order(operation: str, venue: str, **fields: object) -> Order:
    """An order as a strategy would write it; deltas are whatever, nobody books them."""
    token = fields.get("token_in") or fields.get("token_out") or "wallet:token:ETH"
    defaults: Mapping[str, object] = {
        "order_id": "ab" * 16, "strategy": "tests", "decision": 1, "leg": 0, "operation": operation, "venue": venue,
        "instrument": token, "amount": Decimal(1), "reason": "ENTRY", "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "expected_deltas": {str(token): Decimal(-1)},
    }  # fmt: skip
    return Order.model_validate({**defaults, **fields})
