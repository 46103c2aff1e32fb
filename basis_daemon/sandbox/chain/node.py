"""Talking to the sandbox's own node: web3 over one kept connection, transactions that either succeed or raise."""

from __future__ import annotations

from typing import Any

import aiohttp
from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3 import AsyncWeb3
from web3.contract import AsyncContract
from web3.contract.async_contract import AsyncContractFunction
from web3.exceptions import ContractLogicError, TransactionNotFound
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse, TxParams, TxReceipt, Wei

from basis_daemon.sandbox.chain.compiler import Artefact

RPC_TIMEOUT_S = 30.0
GAS_MAX = 16_000_000
FEE_MAX, TIP = 10_000 * 10**9, 10**9

_HEADERS = {"Content-Type": "application/json"}


class ChainError(Exception):
    """The sandbox's own call or transaction did not do what it must; the message names it."""


class NodeProvider(AsyncJSONBaseProvider):
    """Keeps its connection, which web3's own opens for every request; asks once, and asks nothing that nobody asked."""

    def __init__(self, rpc_url: str) -> None:
        super().__init__()
        self._rpc_url = rpc_url
        self._session: aiohttp.ClientSession | None = None

    async def make_request(self, method: str, params: Any) -> RPCResponse:  # noqa: ANN401 - web3's signature
        """Raises aiohttp's errors and TimeoutError."""
        if self._session is None:  # not earlier: it belongs to the loop that runs
            timeout = aiohttp.ClientTimeout(total=RPC_TIMEOUT_S)
            self._session = aiohttp.ClientSession(timeout=timeout, raise_for_status=True)
        question = self.encode_rpc_request(RPCEndpoint(method), params)
        async with self._session.post(self._rpc_url, data=question, headers=_HEADERS) as answer:
            return self.decode_rpc_response(await answer.read())

    async def disconnect(self) -> None:
        """Leave nothing open."""
        if self._session is not None:
            await self._session.close()


Web3 = AsyncWeb3[NodeProvider]


def connect(rpc_url: str) -> Web3:
    """A client of a node on loopback; close it with ``await client.provider.disconnect()``."""
    return AsyncWeb3(NodeProvider(rpc_url), middleware=[])


class Deployer:
    """Creates contracts and sends transactions from accounts that the node itself holds."""

    def __init__(self, client: Web3, owner: ChecksumAddress) -> None:
        self.client, self.owner = client, owner

    def at(self, address: str, abi: list[dict[str, Any]]) -> AsyncContract:
        return self.client.eth.contract(address=self.client.to_checksum_address(address), abi=abi)

    async def deploy(self, artefact: Artefact, *args: object, libraries: dict[str, str] | None = None) -> AsyncContract:
        """The new contract; raises `ChainError` when its constructor reverts."""
        code = artefact.linked(libraries or {})
        creation = self.client.eth.contract(abi=artefact.abi, bytecode=code).constructor(*args)
        sent = await creation.transact(self._params(self.owner, 0))
        receipt = await self._mined(sent)
        if receipt["status"] != 1 or receipt["contractAddress"] is None:
            raise ChainError(f"creating {artefact.name} with {len(args)} arguments reverted")
        return self.at(receipt["contractAddress"], artefact.abi)

    async def send(
        self, call: AsyncContractFunction, *, sender: ChecksumAddress | None = None, value: int = 0
    ) -> TxReceipt:
        """The receipt of a transaction that succeeded; raises `ChainError` with the reason of one that did not."""
        params = self._params(sender or self.owner, value)
        receipt = await self._mined(await call.transact(params))
        if receipt["status"] != 1:
            raise ChainError(
                f"{call.fn_name}{call.args} from {params['from']!r} reverted: {await _reason(call, params)}"
            )
        return receipt

    async def _mined(self, sent: HexBytes) -> TxReceipt:
        """The receipt at once, by a block of its own where the node mines on a clock."""
        try:
            return await self.client.eth.get_transaction_receipt(sent)
        except TransactionNotFound:
            await rpc(self.client, "evm_mine")
            return await self.client.eth.get_transaction_receipt(sent)

    @staticmethod
    def _params(sender: ChecksumAddress, value: int) -> TxParams:
        fees: TxParams = {"maxFeePerGas": Wei(FEE_MAX), "maxPriorityFeePerGas": Wei(TIP)}
        return fees | {"from": sender, "value": Wei(value), "gas": GAS_MAX}


async def _reason(call: AsyncContractFunction, params: TxParams) -> str:
    try:
        await call.call(params)
    except ContractLogicError as error:
        return str(error)
    return "and does not when it is called again"


async def rpc(client: Web3, method: str, *params: object) -> Any:  # noqa: ANN401 - each method has its own answer
    """One raw call; raises `ChainError` with the node's own words when it refuses."""
    answer = await client.provider.make_request(method, list(params))
    if "error" in answer:
        raise ChainError(f"{method}: {answer['error']}")
    return answer["result"]
