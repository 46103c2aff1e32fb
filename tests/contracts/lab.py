"""The real contracts with ours among them, in wei: the world with Morpho, a Safe and the receiver.

What a test does is undone after it.
Everything is sent as a stranger or an owner would send it, and everything is read from the contracts themselves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from hexbytes import HexBytes
from web3.exceptions import TransactionNotFound
from web3.types import TxReceipt

from basis_daemon.domain.chain import BlockRef
from basis_daemon.sandbox.chain.anvil import Anvil, AnvilOptions
from basis_daemon.sandbox.chain.compiler import Unit, compiled
from basis_daemon.sandbox.chain.controls import ChainControls
from basis_daemon.sandbox.chain.node import Web3, connect, rpc
from basis_daemon.sandbox.chain.toolchain import digest, exclusive, home
from basis_daemon.sandbox.chain.world import Prepared, prepare
from basis_daemon.venues.chain import erc20
from basis_daemon.venues.chain.abi import Call, Function, Log, function
from basis_daemon.venues.chain.addresses import AddressBook
from basis_daemon.venues.chain.atomic_receiver import NOWHERE, receiver_deployment
from basis_daemon.venues.chain.atomic_safe import Treasury
from basis_daemon.venues.chain.contracts import compiler
from basis_daemon.venues.chain.deltas import Receipt

ETHER = 10**18
HERE = Path(__file__).resolve().parent
GAS = 10_000_000
ASKED_MAX = 200
"""The node answers before it has mined; so often is it asked for the receipt."""
ATOKEN = function("getReserveAToken(address) -> (address)")
VDEBT = function("getReserveVariableDebtToken(address) -> (address)")
ACCOUNT_DATA = function("getUserAccountData(address) -> (uint256,uint256,uint256,uint256,uint256,uint256)")
SAFE_SETUP = function("setup(address[],uint256,address,bytes,address,address,uint256,address)")
CREATE_PROXY = function("createProxyWithNonce(address,bytes,uint256) -> (address)")
MORPHO = Unit("morpho", ("@morpho-org/morpho-blue/src/Morpho.sol",), compiler="solc0819", evm="paris", via_ir=True)
MORPHO_WETH = 5_000 * ETHER


@dataclass(frozen=True)
class Built:
    """Where everything is in the world of the laboratory."""

    node: Anvil
    prepared: Prepared
    book: AddressBook
    receiver: str
    morpho: str
    treasury: Treasury
    hostile: Mapping[str, bytes]
    """Creation code of each hostile contract."""


@dataclass(frozen=True)
class Held:
    """Wei of one address by what it is."""

    eth: int
    weth: int
    wsteth: int
    weeth: int
    eeth: int
    steth: int


class Lab:
    """One test's hands: accounts that the node signs for, calls, receipts and readings."""

    def __init__(self, client: Web3, built: Built, accounts: Sequence[str], controls: ChainControls) -> None:
        self.client, self.built, self.book, self.controls = client, built, built.book, controls
        self.receiver, self.morpho = built.receiver, built.morpho
        self.owner, self.stranger, self.third, self.whale = accounts[5], accounts[6], accounts[7], accounts[0]

    async def rpc(self, method: str, *params: object) -> Any:  # noqa: ANN401 - each method has its own answer
        return await rpc(self.client, method, *params)

    def address(self, symbol: str) -> str:
        return self.book.token(symbol).address

    # ------------------------------------------------------------------------------------------------ doing
    async def send(self, sender: str, call: Call, *, gas: int = GAS) -> TxReceipt:
        """The receipt, whether it succeeded or not."""
        return await self._sent({"from": sender, "to": call.to, "data": _hex(call.data), "value": call.value_wei}, gas)

    async def do(self, sender: str, *calls: Call) -> TxReceipt:
        """The last receipt; every call must succeed."""
        for call in calls:
            receipt = await self.send(sender, call)
            assert receipt["status"] == 1, f"{call} reverted: {(await self.why(sender, call)).hex()}"
        return receipt

    async def create(self, code: bytes, *, value: int = 0) -> str:
        receipt = await self._sent({"from": self.whale, "data": _hex(code), "value": value}, GAS)
        assert receipt["status"] == 1
        assert receipt["contractAddress"] is not None
        return str(receipt["contractAddress"])

    async def why(self, sender: str, call: Call) -> bytes:
        """The revert data of a call on the present state; fails when it does not revert."""
        params = {"from": sender, "to": call.to, "data": _hex(call.data), "value": hex(call.value_wei)}
        answer = await self.client.provider.make_request("eth_call", [params, "latest"])
        assert "error" in answer, f"{call} does not revert"
        data = answer["error"].get("data")
        return bytes(HexBytes(data)) if data else b""

    async def _sent(self, params: Mapping[str, object], gas: int) -> TxReceipt:
        fees = {"gas": gas, "maxFeePerGas": 100 * 10**9, "maxPriorityFeePerGas": 10**9}
        sent = await self.client.eth.send_transaction({**fees, **params})  # type: ignore[typeddict-item]  # built above
        for _ in range(ASKED_MAX):
            with suppress(TransactionNotFound):
                return await self.client.eth.get_transaction_receipt(sent)
        raise AssertionError(f"transaction {sent.to_0x_hex()} is in no block")

    async def fund(self, owner: str, weth: int) -> None:
        await self.rpc("anvil_setBalance", owner, hex(weth + 1_000 * ETHER))
        await self.do(owner, erc20.WRAP(self.address("WETH"), value_wei=weth))

    async def approve(self, owner: str, token: str, spender: str, units: int) -> None:
        await self.do(owner, erc20.APPROVE(token, spender, units))

    async def give(self, owner: str, token: str, to: str, units: int) -> None:
        await self.do(owner, erc20.TRANSFER(token, to, units))

    # ---------------------------------------------------------------------------------------------- reading
    async def read(self, asked: Function, to: str, *arguments: object, sender: str = NOWHERE) -> Any:  # noqa: ANN401 - the type is the signature's
        call = asked(to, *arguments)
        data = await self.client.eth.call({"from": sender, "to": call.to, "data": _hex(call.data)})  # type: ignore[typeddict-item]  # plain text
        values = asked.answer(bytes(data))
        return values[0] if len(values) == 1 else values

    async def balance(self, token: str, owner: str) -> int:
        return int(await self.read(erc20.BALANCE_OF, token, owner))

    async def held(self, owner: str) -> Held:
        tokens = [await self.balance(self.address(s), owner) for s in ("WETH", "wstETH", "weETH", "eETH", "stETH")]
        return Held(await self.client.eth.get_balance(self.client.to_checksum_address(owner)), *tokens)

    async def debt(self, owner: str) -> int:
        return await self.balance(self.book.reserve("WETH").vdebt, owner)

    async def collateral(self, owner: str, symbol: str = "weETH") -> int:
        return await self.balance(self.book.reserve(symbol).atoken, owner)

    async def health(self, owner: str) -> int:
        return int((await self.read(ACCOUNT_DATA, self.book.aave.pool, owner))[5])

    async def head(self) -> BlockRef:
        block = await self.client.eth.get_block("latest")
        return BlockRef(block["number"], block["hash"].to_0x_hex(), datetime.fromtimestamp(block["timestamp"], UTC))

    async def deadline(self, ahead_s: int = 600) -> datetime:
        head = await self.head()
        return datetime.fromtimestamp(int(head.time.timestamp()) + ahead_s, UTC)

    async def receipt(self, raw: TxReceipt) -> Receipt:
        """As the daemon reads it."""
        block = await self.client.eth.get_block(raw["blockHash"])
        sent = await self.client.eth.get_transaction(raw["transactionHash"])
        time = datetime.fromtimestamp(block["timestamp"], UTC)
        return Receipt(
            tx_hash=raw["transactionHash"].to_0x_hex(),
            block=BlockRef(raw["blockNumber"], raw["blockHash"].to_0x_hex(), time),
            is_success=raw["status"] == 1,
            sender=raw["from"],
            call=Call(str(sent["to"]), bytes(sent["input"]), sent["value"]),
            nonce=sent["nonce"],
            gas_used=raw["gasUsed"],
            gas_price_wei=raw["effectiveGasPrice"],
            logs=tuple(
                Log(log["address"], tuple(map(bytes, log["topics"])), bytes(log["data"]), log["logIndex"])
                for log in raw["logs"]
            ),
        )


@pytest.fixture(scope="session")
def built(chain_packages: Path) -> Iterator[Built]:
    """The world, ours in it, once per run."""
    prepared = prepare()
    with exclusive():
        morpho = compiled(MORPHO, chain_packages)["Morpho"].bytecode
    with Anvil(AnvilOptions(state=prepared.state)) as node:
        yield asyncio.run(_build(node, prepared, morpho, chain_packages))


@pytest.fixture
async def lab(built: Built) -> AsyncIterator[Lab]:
    """A laboratory whose traces are gone afterwards."""
    client = connect(built.node.rpc_url)
    snapshot = await rpc(client, "evm_snapshot")
    controls = await ChainControls.of(client, built.prepared)
    yield Lab(client, built, await client.eth.accounts, controls)
    assert await rpc(client, "evm_revert", snapshot) is True
    await client.provider.disconnect()


async def _build(node: Anvil, prepared: Prepared, morpho: str, modules: Path) -> Built:
    client = connect(node.rpc_url)
    try:
        accounts = await client.eth.accounts
        bare = AddressBook.model_validate({**prepared.world, "network": "sandbox"})
        empty = Treasury(NOWHERE, NOWHERE)
        controls = await ChainControls.of(client, prepared)
        lab = Lab(client, Built(node, prepared, bare, NOWHERE, NOWHERE, empty, {}), accounts, controls)
        book = await _with_reserves(lab, bare)
        lender = await lab.create(bytes.fromhex(morpho) + encode(["address"], [lab.whale]))
        await lab.do(lab.whale, erc20.TRANSFER(book.token("WETH").address, lender, MORPHO_WETH))
        ours = receiver_deployment(book, lender)
        await lab.do(lab.whale, ours.call)
        treasury = await new_treasury(lab, modules)
        return Built(node, prepared, book, ours.address, lender, treasury, _hostile(modules))
    finally:
        await client.provider.disconnect()


async def _with_reserves(lab: Lab, book: AddressBook) -> AddressBook:
    reserves = {}
    for symbol in ("USDT", "WETH", "wstETH", "weETH"):
        asset = book.token(symbol).address
        atoken, vdebt = [await lab.read(asked, book.aave.pool, asset) for asked in (ATOKEN, VDEBT)]
        reserves[symbol] = {"atoken": atoken, "vdebt": vdebt}
    raw = book.model_dump()
    raw["aave_v3"]["reserves"] = reserves
    return AddressBook.model_validate(raw)


async def new_treasury(lab: Lab, modules: Path) -> Treasury:
    """A Safe of the owner alone, made the official way."""
    folder = modules / "@safe-global" / "safe-smart-account" / "build" / "artifacts" / "contracts"
    made = {
        name: await lab.create(bytes.fromhex(json.loads((folder / path).read_text())["bytecode"][2:]))
        for name, path in (
            ("safe", "Safe.sol/Safe.json"),
            ("factory", "proxies/SafeProxyFactory.sol/SafeProxyFactory.json"),
            ("multi", "libraries/MultiSendCallOnly.sol/MultiSendCallOnly.json"),
        )
    }
    setup = SAFE_SETUP(made["safe"], [lab.owner], 1, NOWHERE, b"", NOWHERE, NOWHERE, 0, NOWHERE).data
    creation = (made["factory"], made["safe"], setup, 0)
    safe = await lab.read(CREATE_PROXY, *creation)
    await lab.do(lab.whale, CREATE_PROXY(*creation))
    return Treasury(lab.client.to_checksum_address(safe), made["multi"])


def _hostile(modules: Path) -> Mapping[str, bytes]:
    """What attacks us, compiled once per text."""
    text = (HERE / "Hostile.sol").read_text()
    kept = home() / f"hostile-{digest(text.encode())}.json"
    if not kept.exists():
        output = compiler.compiled(modules / "solc", {"Hostile.sol": text})
        found = output["contracts"]["Hostile.sol"]
        kept.write_text(json.dumps({name: made["evm"]["bytecode"]["object"] for name, made in found.items()}))
    return {name: bytes.fromhex(code) for name, code in json.loads(kept.read_text()).items()}


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
