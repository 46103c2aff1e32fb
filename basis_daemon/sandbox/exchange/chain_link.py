"""The exchange's own window on a sandbox chain: plain JSON-RPC, one hot wallet, a deposit address for every account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from eth_account import Account as Keys
from eth_account.signers.local import LocalAccount
from eth_typing import HexStr
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from basis_daemon.sandbox.exchange.custody import Incoming

CALL_TIMEOUT_S = 10.0
ETHER, ETHER_PLACES = "ETH", 18
TRANSFER_TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
TRANSFER_CALL = keccak(text="transfer(address,uint256)")[:4]
GAS = 120_000
HASHES, WHOLE = False, True
"""How a block is told: with the names of its transactions, or all of them."""
WALLET_FUNDS = {"ETH": 10_000, "USDT": 50_000_000}
"""What the hot wallet begins with, out of the chain's own controls."""


class LinkError(Exception):
    """The chain's node refused a call; the message holds its words."""


@dataclass(frozen=True, slots=True)
class Token:
    """Where a token's contract is, and how many places it counts."""

    address: str
    places: int

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Token:
        """One entry of the world file."""
        return cls(to_checksum_address(entry["address"]), int(entry["decimals"]))


def _read(ready_file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the chain says of itself, its world), read once before anything is served."""
    told = orjson.loads(ready_file.read_bytes())
    return told, orjson.loads((ready_file.parent / Path(told["world_file"]).name).read_bytes())


def deposit_key(seed: int, api_key: str) -> LocalAccount:
    """Whose address receives the deposits of an account; the key is as public as the seed."""
    made: LocalAccount = Keys.from_key(keccak(text=f"sandbox exchange {seed} deposits of {api_key}"))
    return made


def hot_wallet(seed: int) -> LocalAccount:
    """Out of which withdrawals are paid; the key is as public as the seed."""
    made: LocalAccount = Keys.from_key(keccak(text=f"sandbox exchange {seed} hot wallet"))
    return made


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block; ``at_s`` in seconds since the epoch."""

    number: int
    hash: str
    at_s: int = 0


class ChainLink:
    """Open one with ``open``. Raises LinkError for what the node refuses, aiohttp.ClientError for one that is gone."""

    def __init__(
        self, session: aiohttp.ClientSession, rpc_url: str, control_url: str, tokens: Mapping[str, Token], seed: int
    ) -> None:
        self._session, self._rpc_url, self._control_url, self._tokens = session, rpc_url, control_url, tokens
        self._wallet = hot_wallet(seed)
        self._symbols = {token.address.lower(): symbol for symbol, token in tokens.items()}
        self._calls = 0

    @classmethod
    async def open(cls, ready_file: Path, coins: Iterable[str], seed: int) -> ChainLink:
        """Read what the chain says of itself and have the hot wallet funded. Raises OSError naming the file."""
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S))
        try:
            told, world = _read(ready_file)
            tokens = {coin: Token.of(world["tokens"][coin]) for coin in coins if coin != ETHER}
            link = cls(session, told["rpc_url"], f"http://127.0.0.1:{told['control_port']}", tokens, seed)
            await link._steer("fund", {"account": link._wallet.address, **WALLET_FUNDS})
        except (OSError, ValueError, KeyError, aiohttp.ClientError) as error:
            await session.close()
            raise OSError(f"chain {ready_file}: {error}; start `basis-daemon sandbox chain` first") from error
        return link

    async def close(self) -> None:
        await self._session.close()

    async def head(self) -> Head:
        block = await self._call("eth_getBlockByNumber", "latest", HASHES)
        return Head(int(block["number"], 16), block["hash"], int(block["timestamp"], 16))

    async def next_at(self, at_s: int) -> None:
        """The next block is of this time, from which the chain's own clock goes on."""
        await self._call("evm_setNextBlockTimestamp", at_s)

    async def mine(self) -> None:
        """A block, empty or not."""
        await self._call("evm_mine")

    async def ether_costs(self, usdt: Decimal) -> None:
        """At the chain's oracle and in its pool, from now on."""
        await self._steer("ether", {"usdt": str(usdt)})

    async def signed(self, coin: str, to: str, amount: Decimal) -> tuple[str, str]:
        """(hash, raw transaction) of a payment out of the hot wallet; nothing has left yet."""
        sender = self._wallet.address
        nonce = int(await self._call("eth_getTransactionCount", sender, "pending"), 16)
        price = int(await self._call("eth_gasPrice"), 16) * 2
        chain_id = int(await self._call("eth_chainId"), 16)
        target, value, data = str(to_checksum_address(to)), self._units(coin, amount), b""
        if coin != ETHER:
            data = TRANSFER_CALL + bytes.fromhex(target[2:]).rjust(32, b"\0") + value.to_bytes(32, "big")
            target, value = self._tokens[coin].address, 0
        signed = self._wallet.sign_transaction(
            {
                "to": HexStr(target), "value": value, "data": data, "nonce": nonce, "gas": GAS, "gasPrice": price,
                "chainId": chain_id,
            }
        )  # fmt: skip
        return "0x" + bytes(signed.hash).hex(), "0x" + bytes(signed.raw_transaction).hex()

    async def send(self, raw: str) -> None:
        """Offer a transaction, again if it was offered before."""
        try:
            await self._call("eth_sendRawTransaction", raw)
        except LinkError as refusal:
            if "already" not in str(refusal) and "known" not in str(refusal):
                raise

    async def confirmations(self, tx_id: str, head: Head) -> tuple[int, bool] | None:
        """(blocks from its own to the newest, whether it succeeded); None while no block holds it."""
        receipt = await self._call("eth_getTransactionReceipt", tx_id)
        if receipt is None:
            return None
        return head.number - int(receipt["blockNumber"], 16) + 1, int(receipt["status"], 16) == 1

    async def payments(self, addresses: Iterable[str], first: int, last: int) -> Sequence[Incoming]:
        """What these addresses received in these blocks: ether of plain transactions, and tokens."""
        ours = {address.lower(): address for address in addresses}
        found: list[Incoming] = []
        for number in range(first, last + 1):
            block = await self._call("eth_getBlockByNumber", hex(number), WHOLE)
            for sent in block["transactions"] if block else ():
                to = ours.get((sent["to"] or "").lower())
                if to is not None and int(sent["value"], 16):
                    amount = Decimal(int(sent["value"], 16)).scaleb(-ETHER_PLACES)
                    found.append(Incoming(ETHER, to, amount, sent["hash"], -1))
        topics = [TRANSFER_TOPIC, None, ["0x" + address[2:].rjust(64, "0") for address in ours]]
        places = [token.address for token in self._tokens.values()]
        wanted = {"fromBlock": hex(first), "toBlock": hex(last), "address": places, "topics": topics}
        for log in await self._call("eth_getLogs", wanted):
            coin = self._symbols[log["address"].lower()]
            amount = Decimal(int(log["data"], 16)).scaleb(-self._tokens[coin].places)
            to = ours["0x" + log["topics"][2][-40:].lower()]
            found.append(Incoming(coin, to, amount, log["transactionHash"], int(log["logIndex"], 16)))
        return found

    def _units(self, coin: str, amount: Decimal) -> int:
        return int(amount.scaleb(ETHER_PLACES if coin == ETHER else self._tokens[coin].places))

    async def _steer(self, action: str, body: Mapping[str, object]) -> None:
        async with self._session.post(f"{self._control_url}/{action}", json=body) as answer:
            answer.raise_for_status()

    async def _call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - what a method answers is the method's own
        self._calls += 1
        body = {"jsonrpc": "2.0", "id": self._calls, "method": method, "params": list(params)}
        async with self._session.post(self._rpc_url, json=body) as answer:
            told = orjson.loads(await answer.read())
        if "error" in told:
            raise LinkError(f"{method}: {told['error'].get('message')}")
        return told["result"]
