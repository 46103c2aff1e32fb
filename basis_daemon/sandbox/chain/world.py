"""The world: built once from the packages, kept as a state file, and described for the daemon's address book."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from basis_daemon.sandbox.chain.anvil import Anvil, AnvilOptions
from basis_daemon.sandbox.chain.build_dex import Dex, Side, build_dex, dex_artefacts
from basis_daemon.sandbox.chain.build_lending import build_lending
from basis_daemon.sandbox.chain.build_restaking import build_restaking
from basis_daemon.sandbox.chain.build_staking import (
    EETH_RATE,
    EIGEN_PRICE_WETH,
    ETH,
    ETH_USD,
    STETH_RATE,
    Staking,
    build_staking,
)
from basis_daemon.sandbox.chain.build_tools import build_tools, safe_artefacts
from basis_daemon.sandbox.chain.compiler import AAVE, MORPHO, OWN, Artefacts, compiled
from basis_daemon.sandbox.chain.crowd import Crowd
from basis_daemon.sandbox.chain.description import MULTICALL3, World, describe, describe_more
from basis_daemon.sandbox.chain.node import Deployer, connect, rpc
from basis_daemon.sandbox.chain.toolchain import (
    MANIFESTS,
    Progress,
    digest,
    exclusive,
    home,
    install,
    lock_digest,
    silent,
)

GENESIS_TIME = 1_767_225_600
"""2026-01-01T00:00:00Z: the same addresses, balances and times everywhere; block hashes hold chance of the node."""
BLOCK_TIME_S, BASE_FEE_WEI = 12, 10**9
OWNER_ETH = 50_000_000
OWNER_WETH = 2_000_000
WORLDS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Code:
    """What is deployed, by where it comes from."""

    own: Artefacts
    aave: Artefacts
    morpho: Artefacts
    dex: Artefacts
    safe: Artefacts


@dataclass(frozen=True, slots=True)
class Prepared:
    """A world on disk: the node's state file, what is where, and what each contract can be asked."""

    state: Path
    world: World
    abis: dict[str, list[dict[str, Any]]]


def prepare(progress: Progress = silent) -> Prepared:
    """Install, compile and build what is missing, seconds to a minute the first time, nothing afterwards.

    Raises `ToolchainError` when this machine lacks something. Blocks: call it before or beside an event loop.
    """
    with exclusive():
        modules = install(progress)
        own, aave, morpho = (compiled(unit, modules, progress) for unit in (OWN, AAVE, MORPHO))
        code = Code(own, aave, morpho, dex_artefacts(modules), safe_artefacts(modules))
        state, described = (home() / f"world-{_key()}.{ending}" for ending in ("state.json", "json"))
        if not (state.exists() and described.exists()):
            progress("building the world: Aave, Uniswap, Lido, ether.fi, EigenLayer, Morpho, Safe (once)")
            world, dump = asyncio.run(_build(code))
            _replace(state, dump)
            _replace(described, json.dumps(world, indent=2).encode())
            _forget_old_worlds()
    everything = code.safe | code.morpho | code.dex | code.aave | code.own
    abis = {name: artefact.abi for name, artefact in everything.items()}
    return Prepared(state, json.loads(described.read_bytes()), abis)


def _key() -> str:
    """Changes with the lock file, the contracts, and whatever takes part in building."""
    names = ("anvil", "compiler", "crowd", "description", "node", "world")
    sources = [MANIFESTS / f"{name}.py" for name in names] + sorted(MANIFESTS.glob("build_*.py"))
    sources += sorted((MANIFESTS / "contracts").glob("*.sol"))
    return digest(lock_digest().encode(), *(path.read_bytes() for path in sources))


def _forget_old_worlds() -> None:
    """Every change of the sources makes a new world; the newest of them stay."""
    worlds = sorted(home().glob("world-*.state.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for state in worlds[WORLDS_KEPT:]:
        state.unlink(missing_ok=True)
        state.with_name(state.name.replace(".state.json", ".json")).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(content)
    unfinished.replace(path)


async def _build(code: Code) -> tuple[World, bytes]:
    async with Anvil(AnvilOptions(timestamp=GENESIS_TIME)) as node:
        client = connect(node.rpc_url)
        try:
            await rpc(client, "anvil_setBlockTimestampInterval", BLOCK_TIME_S)
            owner, supplier, borrower, operator, *_ = list(await client.eth.accounts)
            for account in (owner, supplier, borrower):
                await rpc(client, "anvil_setBalance", account, hex(OWNER_ETH * ETH))
            chain = Deployer(client, owner)
            await _multicall(chain, code.own)
            staking = await build_staking(chain, code.own, code.aave)
            await chain.send(staking.weth.functions.deposit(), value=OWNER_WETH * ETH)
            tokens = {symbol: token.address for symbol, token in staking.tokens.items()}
            feeds = {symbol: feed.address for symbol, feed in staking.feeds.items()}
            lending = await build_lending(chain, code.aave, tokens, feeds)
            dex = await _dex(chain, code.dex, staking)
            await Crowd(chain, staking, lending).arrive(supplier, borrower)
            restaking = await build_restaking(chain, code.own, staking, operator)
            tools = await build_tools(chain, code.morpho, code.safe, staking)
            await rpc(client, "anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE_WEI))
            await rpc(client, "evm_mine")
            genesis = await client.eth.get_block(0)
            world = (
                describe(staking, lending, dex)
                | describe_more(restaking, tools)
                | {"genesis_hash": genesis["hash"].to_0x_hex()}
            )
            dump = bytes.fromhex((await rpc(client, "anvil_dumpState")).removeprefix("0x"))
            return world, gzip.decompress(dump)
        finally:
            await client.provider.disconnect()


async def _multicall(chain: Deployer, own: Artefacts) -> None:
    made = await chain.deploy(own["Multicall3"])
    code = await chain.client.eth.get_code(made.address)
    await rpc(chain.client, "anvil_setCode", MULTICALL3, code.to_0x_hex())


async def _dex(chain: Deployer, code: Artefacts, staking: Staking) -> Dex:
    sides = {symbol: Side(token, 6 if symbol == "USDT" else 18) for symbol, token in staking.tokens.items()}
    prices = {
        "WETH/USDT": Decimal(ETH_USD),
        "wstETH/WETH": Decimal(STETH_RATE[0]) / STETH_RATE[1],
        "weETH/WETH": Decimal(EETH_RATE[0]) / EETH_RATE[1],
        "EIGEN/WETH": EIGEN_PRICE_WETH,
    }
    return await build_dex(chain, code, staking.weth, sides, prices)
