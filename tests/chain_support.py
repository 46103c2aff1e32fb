"""Fixtures of every test that needs a chain: real nodes, real contracts, no state left from one test to the next.

`chain` is a node with the whole world of the sandbox, shared by a worker's tests, each of which finds it as built.
`bare_chain` is a node of one test's own without any contract. Both mine a block for every transaction.
Whatever needs one is slow: `make test-fast` starts no node.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3.contract import AsyncContract
from web3.contract.async_contract import AsyncContractFunction
from web3.types import TxParams, TxReceipt, Wei

from basis_daemon.sandbox.chain.anvil import Anvil, AnvilOptions
from basis_daemon.sandbox.chain.controls import ChainControls
from basis_daemon.sandbox.chain.description import World
from basis_daemon.sandbox.chain.node import Web3, connect, rpc
from basis_daemon.sandbox.chain.toolchain import exclusive, install
from basis_daemon.sandbox.chain.world import Prepared, prepare

FRESH_BLOCKS = 8
"""How deep a reorganisation may go from the start of a test; it cannot reach below what the node mined itself."""
NODES = frozenset({"chain_packages", "chain_world"})
"""One of these is behind every fixture of a node."""
FEES: TxParams = {"maxFeePerGas": Wei(100 * 10**9), "maxPriorityFeePerGas": Wei(10**9)}


class BareChain:
    """A node without any contract: for nonces, replacements, reorganisations."""

    def __init__(self, node: Anvil, client: Web3) -> None:
        self.node, self.client = node, client
        self.rpc_url, self.ws_url = node.rpc_url, node.ws_url
        self._made = 0

    async def rpc(self, method: str, *params: object) -> object:
        """One raw call; raises `ChainError` when the node refuses."""
        return await rpc(self.client, method, *params)

    async def account(self, *, eth: Decimal | int = 100) -> LocalAccount:
        """A key that nobody has used on this chain, with ether."""
        self._made += 1
        made: LocalAccount = Account.from_key(self._made.to_bytes(31, "big") + b"\xba")
        await self.rpc("anvil_setBalance", made.address, hex(int(Decimal(eth) * 10**18)))
        return made


class Chain(BareChain):
    """A node with the world; what a test changes is undone after it."""

    def __init__(self, node: Anvil, client: Web3, prepared: Prepared, controls: ChainControls) -> None:
        super().__init__(node, client)
        self.prepared, self.controls = prepared, controls
        self.world: World = prepared.world

    async def account(self, *, eth: Decimal | int = 100, **tokens: Decimal | int) -> LocalAccount:
        """A key that nobody has used on this chain, with ether and whole tokens (``USDT=1000``)."""
        made = await super().account(eth=eth)
        await self.controls.fund(made.address, **tokens)
        return made

    def token(self, symbol: str) -> AsyncContract:
        """The token's contract; `world` has its address and decimals."""
        return self.controls.contracts.token(symbol)

    def contract(self, abi: str, *path: str) -> AsyncContract:
        """``contract("PoolInstance", "aave_v3", "pool")``: a contract of `world` under the name of its source."""
        return self.controls.contracts.at(abi, *path)

    async def balance(self, symbol: str, account: str) -> int:
        """Base units; ``ETH`` for ether."""
        if symbol == "ETH":
            return await self.client.eth.get_balance(self.client.to_checksum_address(account))
        return int(await self.token(symbol).functions.balanceOf(account).call())

    async def send(self, account: LocalAccount, call: AsyncContractFunction, *, value: int = 0) -> TxReceipt:
        """Sign and send ``contract(...).functions.f(...)``; the receipt, whatever its status."""
        nonce = await self.client.eth.get_transaction_count(account.address)
        params: TxParams = FEES | {"from": account.address, "nonce": nonce, "value": Wei(value), "gas": 3_000_000}
        wanted: dict[str, Any] = {**await call.build_transaction(params)}
        signed = account.sign_transaction(wanted)
        return await self.client.eth.wait_for_transaction_receipt(
            await self.client.eth.send_raw_transaction(signed.raw_transaction)
        )


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a node."""
    for item in items:
        if isinstance(item, pytest.Function) and not NODES.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chain_packages() -> Path:
    """The folder `node_modules`, installed once per machine."""
    with exclusive():
        return install()


@pytest.fixture(scope="session")
def chain_world() -> Prepared:
    """The world on disk, built once per machine and state of its sources."""
    return prepare()


@pytest.fixture(scope="session")
def chain_node(chain_world: Prepared) -> Iterator[Anvil]:
    """The worker's node with the world."""
    with Anvil(AnvilOptions(state=chain_world.state)) as node:
        yield node


@pytest.fixture
async def chain(chain_node: Anvil, chain_world: Prepared) -> AsyncIterator[Chain]:
    client = connect(chain_node.rpc_url)
    before = await rpc(client, "evm_snapshot")
    controls = await ChainControls.of(client, chain_world)
    await controls.mine(FRESH_BLOCKS)
    yield Chain(chain_node, client, chain_world, controls)
    is_undone = await rpc(client, "evm_revert", before)
    await client.provider.disconnect()
    assert is_undone, f"snapshot {before} was gone: what this test did would reach the next one"


@pytest.fixture
async def bare_chain(chain_packages: Path) -> AsyncIterator[BareChain]:
    del chain_packages  # only that they are there
    async with Anvil(AnvilOptions()) as node:
        client = connect(node.rpc_url)
        yield BareChain(node, client)
        await client.provider.disconnect()
