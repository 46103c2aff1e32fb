"""Solidity to artefacts: npm's compiler, run by node, its answers cached by what went in."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basis_daemon.sandbox.chain.toolchain import MANIFESTS, Progress, ToolchainError, digest, home, need, silent

COMPILE_TIMEOUT_S = 300
_AAVE = "@aave-dao/aave-v3-origin/src/contracts"


@dataclass(frozen=True, slots=True)
class Artefact:
    """One contract: what it can be asked, and its creation code with the places where libraries' addresses go."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    links: dict[str, list[int]]

    def linked(self, libraries: dict[str, str]) -> str:
        """Creation code (0x...) with every library in its place; raises `KeyError` naming the one that is missing."""
        code = self.bytecode
        for library, starts in self.links.items():
            address = libraries[library].removeprefix("0x").lower()
            for start in starts:
                code = code[: 2 * start] + address + code[2 * start + 40 :]
        return "0x" + code


Artefacts = dict[str, Artefact]


@dataclass(frozen=True, slots=True)
class Unit:
    """Sources that are compiled together: names relative to `node_modules`, or of own contracts."""

    name: str
    entries: tuple[str, ...]
    compiler: str = "solc"
    evm: str = "shanghai"
    is_own: bool = False
    via_ir: bool = False

    def sources(self, modules: Path) -> dict[str, dict[str, str]]:
        folder = MANIFESTS / "contracts" if self.is_own else modules
        prefix = "sandbox/" if self.is_own else ""
        return {prefix + entry: {"content": (folder / entry).read_text()} for entry in self.entries}

    def request(self, modules: Path) -> dict[str, Any]:
        """Standard JSON; virtual names and no metadata hash make the code the same on every machine."""
        sources = self.sources(modules)
        wanted = ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"]
        return {
            "language": "Solidity",
            "sources": sources,
            "settings": {
                "optimizer": {"enabled": True, "runs": 200},
                "evmVersion": self.evm,
                "viaIR": self.via_ir,
                "metadata": {"bytecodeHash": "none"},
                "remappings": [
                    "openzeppelin-contracts/contracts/=@openzeppelin/contracts/",
                    "openzeppelin-contracts-upgradeable/contracts/=@openzeppelin/contracts-upgradeable/",
                    "solidity-utils/=@bgd-labs/solidity-utils/src/",
                ],
                "outputSelection": {name: {"*": wanted} for name in sources},
            },
        }


AAVE = Unit(
    "aave",
    tuple(
        f"{_AAVE}/{name}.sol"
        for name in (
            "instances/PoolInstance", "instances/PoolConfiguratorInstance", "instances/ATokenInstance",
            "instances/VariableDebtTokenInstance", "protocol/configuration/PoolAddressesProvider",
            "protocol/configuration/ACLManager", "misc/AaveOracle", "misc/DefaultReserveInterestRateStrategyV2",
            "helpers/AaveProtocolDataProvider", "protocol/libraries/logic/BorrowLogic",
            "protocol/libraries/logic/FlashLoanLogic", "protocol/libraries/logic/LiquidationLogic",
            "protocol/libraries/logic/PoolLogic", "protocol/libraries/logic/SupplyLogic",
            "protocol/libraries/logic/ConfiguratorLogic", "protocol/libraries/helpers/Errors",
            "dependencies/weth/WETH9",
        )
    ),
)  # fmt: skip
MORPHO = Unit("morpho", ("@morpho-org/morpho-blue/src/Morpho.sol",), compiler="solc0819", evm="paris", via_ir=True)
OWN = Unit(
    "own",
    tuple(sorted(path.name for path in (MANIFESTS / "contracts").glob("*.sol"))),
    is_own=True,
)


def compiled(unit: Unit, modules: Path, progress: Progress = silent) -> Artefacts:
    """All contracts of a unit, from the cache or compiled now; call it under `toolchain.exclusive()`."""
    request = json.dumps(unit.request(modules), sort_keys=True).encode()
    kept = home() / "artefacts" / f"{unit.name}-{digest(request, unit.compiler.encode())}.json"
    if not kept.exists():
        progress(f"compiling the contracts of {unit.name} (once)")
        answer = _compile(unit, modules, request)
        kept.parent.mkdir(exist_ok=True)
        unfinished = kept.with_suffix(".new")
        unfinished.write_text(json.dumps(answer["contracts"]))
        unfinished.replace(kept)
    found: Artefacts = {}
    for contracts in json.loads(kept.read_bytes()).values():
        for name, contract in contracts.items():
            code = contract["evm"]["bytecode"]
            links = {
                library: [place["start"] for place in places]
                for libraries in code["linkReferences"].values()
                for library, places in libraries.items()
            }
            found[name] = Artefact(name, contract["abi"], code["object"], links)
    return found


def _compile(unit: Unit, modules: Path, request: bytes) -> dict[str, Any]:
    command = [need("node"), str(modules / unit.compiler / "solc.js"), "--standard-json"]
    command += ["--base-path", str(modules)]
    # Files and no pipes: the compiler gives up on a pipe that is not filled yet, and exits before one is drained.
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as output:
        asked.write(request)
        asked.seek(0)
        done = subprocess.run(  # noqa: S603 - node by its full path, with fixed arguments
            command, stdin=asked, stdout=output, stderr=subprocess.PIPE, timeout=COMPILE_TIMEOUT_S, check=False
        )
        output.seek(0)
        said = output.read()
    start = said.find(b"{")  # it talks about its callbacks first
    if start < 0:
        raise ToolchainError(f"the compiler of {unit.name} said nothing: {done.stderr.decode(errors='replace')[-800:]}")
    answer: dict[str, Any] = json.loads(said[start:])
    errors = [error["formattedMessage"] for error in answer.get("errors", []) if error["severity"] == "error"]
    if errors:
        raise ToolchainError(f"{unit.name} does not compile: {errors[0]}")
    return answer


def shipped(path: Path) -> Artefact:
    """An artefact that a package brings along (hardhat's layout)."""
    raw = json.loads(path.read_bytes())
    return Artefact(raw["contractName"], raw["abi"], raw["bytecode"].removeprefix("0x"), {})
