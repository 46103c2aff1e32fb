"""Where a transaction of ours is, by the chain's word: one question, asked of one endpoint or of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_typing import BlockIdentifier, ChecksumAddress, HexStr
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from web3.eth import AsyncEth
from web3.exceptions import BlockNotFound, TransactionNotFound
from web3.types import BlockData, TxReceipt

from basis_daemon.domain.chain import BlockRef
from basis_daemon.venues.chain.endpoint import hex_of, whole
from basis_daemon.venues.chain.rpc import Question
from basis_daemon.venues.chain.transactions import Found

SEARCHED_BLOCKS = 64
_SIGNED = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "accessList")


def where_is(address: str, hashes: Sequence[str]) -> Question[Found | None]:
    """The one of these transactions that a block holds, or None. A node that mixes them up is at fault."""

    async def ask(eth: AsyncEth) -> Found | None:
        for wanted in hashes:
            try:
                receipt = await eth.get_transaction_receipt(HexStr(wanted))
            except TransactionNotFound:
                continue
            if hex_of(receipt["transactionHash"]) != wanted or receipt["from"].lower() != address.lower():
                raise ValueError(
                    f"receipt of {hex_of(receipt['transactionHash'])} from {receipt['from']}, asked {wanted}"
                )
            block = await _block(eth, receipt["blockHash"])
            return _found(wanted, receipt, block["timestamp"])
        return None

    return ask


def bytes_of(tx_hash: str) -> Question[bytes]:
    """What we signed, out of what a node tells of a transaction. Whatever does not hash to ``tx_hash`` is at fault."""

    async def ask(eth: AsyncEth) -> bytes:
        try:
            told = await eth.get_transaction(HexStr(tx_hash))
        except TransactionNotFound:
            raise ValueError(f"no transaction {tx_hash}, although a block held it") from None
        fields: dict[str, Any] = {name: told[name] for name in _SIGNED}  # type: ignore[literal-required]  # names of the TypedDict
        signature = {"v": told["v"], "r": _whole(told["r"]), "s": _whole(told["s"])}
        raw = TypedTransaction.from_dict(fields | signature | {"type": 2, "data": told["input"]}).encode()
        if hex_of(keccak(raw)) != tx_hash:
            raise ValueError(f"told of {hex_of(keccak(raw))}, asked {tx_hash}")
        return bytes(raw)

    return ask


def _whole(number: HexBytes | bytes) -> int:
    return int.from_bytes(number, "big")


def who_used(address: str, nonce: int, newest: BlockRef) -> Question[str | None]:
    """The hash of whatever used this nonce, None when that is further back than is searched."""

    async def ask(eth: AsyncEth) -> str | None:
        for number in range(newest.number, max(newest.number - SEARCHED_BLOCKS, -1), -1):
            block = await _block(eth, number, is_full=True)
            for transaction in block["transactions"]:
                if isinstance(transaction, Mapping) and _is_of(transaction, address, nonce):
                    return hex_of(transaction["hash"])
        return None

    return ask


def _is_of(transaction: Mapping[str, Any], address: str, nonce: int) -> bool:
    return bool(transaction["from"].lower() == address.lower() and transaction["nonce"] == nonce)


def count_at(address: ChecksumAddress, block: BlockRef) -> Question[int]:
    """How many nonces of ``address`` were used up to ``block``, which has to be canonical."""

    async def ask(eth: AsyncEth) -> int:
        pinned = {"blockHash": block.hash, "requireCanonical": True}
        # web3 passes the object of EIP-1898 on as it is; its types know only numbers, tags and hashes
        return whole(await eth.get_transaction_count(address, pinned))  # type: ignore[arg-type]  # see above

    return ask


async def finalized(eth: AsyncEth) -> int:
    """The number of the newest block that consensus will not take back."""
    return whole((await _block(eth, "finalized"))["number"])


async def _block(eth: AsyncEth, which: BlockIdentifier | HexBytes, *, is_full: bool = False) -> BlockData:
    """One that has to be there: a node without it is behind, or ill, and of no use for this question."""
    try:
        return await eth.get_block(which, full_transactions=is_full)
    except BlockNotFound:
        raise ValueError(f"no block {which!r:.70}, expected it") from None


def _found(wanted: str, receipt: TxReceipt, time: int) -> Found:
    return Found(
        hash=wanted,
        block=receipt["blockNumber"],
        block_hash=hex_of(receipt["blockHash"]),
        block_time=time,
        is_success=receipt["status"] == 1,
        gas_used=receipt["gasUsed"],
        gas_price_wei=receipt["effectiveGasPrice"],
        logs=tuple(
            (str(log["address"]), tuple(hex_of(topic) for topic in log["topics"]), hex_of(log["data"]))
            for log in receipt["logs"]
        ),
        receipt=receipt,
    )
