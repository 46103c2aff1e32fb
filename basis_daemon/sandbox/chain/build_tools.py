"""What groups of orders lean on: Morpho Blue as a source of flash loans without a fee, and Safe's contracts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from web3.contract import AsyncContract

from basis_daemon.sandbox.chain.build_staking import ETH, Staking
from basis_daemon.sandbox.chain.compiler import Artefacts, shipped
from basis_daemon.sandbox.chain.node import Deployer

MORPHO_WETH, MORPHO_USDT = 100_000, 100_000_000


@dataclass(frozen=True, slots=True)
class Tools:
    """Safe is version 1.5.0."""

    morpho: AsyncContract
    safe: AsyncContract
    factory: AsyncContract
    multisend: AsyncContract
    handler: AsyncContract


def safe_artefacts(modules: Path) -> Artefacts:
    folder = modules / "@safe-global/safe-smart-account/build/artifacts/contracts"
    names = (
        "Safe", "proxies/SafeProxyFactory", "libraries/MultiSendCallOnly", "handler/CompatibilityFallbackHandler",
    )  # fmt: skip
    paths = [folder / f"{name}.sol" / f"{Path(name).name}.json" for name in names]
    return {path.stem: shipped(path) for path in paths}


async def build_tools(chain: Deployer, morpho: Artefacts, safe: Artefacts, staking: Staking) -> Tools:
    """Morpho lends what it holds, whoever brought it."""
    lender = await chain.deploy(morpho["Morpho"], chain.owner)
    await chain.send(staking.weth.functions.transfer(lender.address, MORPHO_WETH * ETH))
    await chain.send(staking.usdt.functions.transfer(lender.address, MORPHO_USDT * 10**6))
    return Tools(
        lender,
        await chain.deploy(safe["Safe"]),
        await chain.deploy(safe["SafeProxyFactory"]),
        await chain.deploy(safe["MultiSendCallOnly"]),
        await chain.deploy(safe["CompatibilityFallbackHandler"]),
    )
