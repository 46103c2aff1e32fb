"""What somebody else's transaction brought to the wallet: read from its receipt, which two endpoints tell alike."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from web3.eth import AsyncEth
from web3.exceptions import TransactionNotFound
from web3.types import TxReceipt

from basis_daemon.venues.chain.abi import Log
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.endpoint import newest_header
from basis_daemon.venues.chain.erc20 import TRANSFERRED
from basis_daemon.venues.chain.prepared import Situation, ask_balance, decimals_of
from basis_daemon.venues.chain.rpc import RpcPool
from basis_daemon.venues.chain.seams import Questions
from basis_daemon.venues.chain.tokens import amount_of
from basis_daemon.venues.transfers.ends import Arrival

ETHER = "ETH"


@dataclass(frozen=True, slots=True)
class _Brought:
    """Base units that a transaction brought, and where it stands."""

    units: int
    block: int
    time: int


class WalletEnd:
    """Honours ``transfers.ends.ChainEnd``."""

    def __init__(
        self, rpc: RpcPool, book: AddressBook, address: str, signed_for: Callable[[str], Collection[str]]
    ) -> None:
        """``signed_for`` tells the hashes of what was signed for an order."""
        self._rpc, self._book, self._address = rpc, book, to_checksum_address(address)
        self._signed_for = signed_for

    @property
    def network(self) -> str:
        """The chain's name in the address book."""
        return self._book.network

    @property
    def address(self) -> str:
        """Of the wallet."""
        return self._address

    def signed_for(self, order_id: str) -> Collection[str]:
        """Every attempt on the order's nonce: any of them may be the one that was mined."""
        return self._signed_for(order_id)

    async def balance(self, coin: str) -> Decimal:
        """At the newest block."""
        newest = await self._rpc.ask("newest block", newest_header)
        questions = Questions()
        held = ask_balance(questions, Situation(self._book, self._address, self._rpc, newest.block), coin)
        await questions.put(self._rpc, newest.block)
        return amount_of(held.value, decimals_of(self._book, coin))

    async def arrival(self, coin: str, tx_id: str, amount: Decimal) -> Arrival | None:
        """What this transaction brought; None while no block holds it, it failed, or it brought nothing here."""

        async def ask(eth: AsyncEth) -> _Brought | None:
            try:
                receipt = await eth.get_transaction_receipt(HexStr(tx_id))
            except TransactionNotFound:
                return None
            units = await self._ether(eth, receipt, amount) if coin == ETHER else self._tokens(receipt, coin)
            if receipt["status"] != 1 or units == 0:
                return None
            block = await eth.get_block(receipt["blockHash"])
            return _Brought(units, receipt["blockNumber"], block["timestamp"])

        found = await self._rpc.agreed(f"transaction {tx_id}: what it brought", ask)
        if found is None:
            return None
        head = await self._rpc.ask("newest block", newest_header)
        confirmations = head.block.number - found.block + 1
        brought = amount_of(found.units, decimals_of(self._book, coin))
        return Arrival(brought, confirmations, datetime.fromtimestamp(found.time, UTC))

    def _tokens(self, receipt: TxReceipt, coin: str) -> int:
        logs = [
            Log(str(log["address"]), tuple(bytes(topic) for topic in log["topics"]), bytes(log["data"]))
            for log in receipt["logs"]
        ]
        moved = TRANSFERRED.all_of(logs, self._book.token(coin).address)
        return sum(int(units) for _, to, units in moved if str(to).lower() == self._address.lower())

    async def _ether(self, eth: AsyncEth, receipt: TxReceipt, amount: Decimal) -> int:
        """Of a plain payment its value; of any other what the balance has grown in the block, if that is expected.

        A contract that sends ether leaves no trace of it in a receipt.
        """
        sent = await eth.get_transaction(receipt["transactionHash"])
        if sent.get("to") == self._address:
            return int(sent["value"])
        number = receipt["blockNumber"]
        before, after = [await eth.get_balance(self._address, block) for block in (number - 1, number)]
        grown = after - before
        return grown if amount_of(grown, decimals_of(self._book, ETHER)) == amount else 0
