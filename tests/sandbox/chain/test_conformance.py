"""The world speaks as the protocols do: its functions, events and errors are those that they publish."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from eth_utils.abi import abi_to_signature

from basis_daemon.sandbox.chain.world import Prepared

Abi = list[dict[str, Any]]
LIDO = "@lido-sdk/contracts/dist/cjs/generated/factories"
BOOK = "@bgd-labs/aave-address-book/dist/abis"
BESIDE = {
    "StEth": {
        "owner()", "queue()", "setQueue(address)", "report(uint256,uint256)", "finalizeWithdrawals(uint256,uint256)",
    },
    "WstEth": {"eip712Domain()", "EIP712DomainChanged()"},
    "WithdrawalQueue": {
        "setBunkerMode(bool)", "totalSupply()", "tokenByIndex(uint256)", "tokenOfOwnerByIndex(address,uint256)",
    },
}  # fmt: skip
"""What the stand-ins have more than the official contracts: the owner's levers, and what their base classes bring."""
POOLS = (("PoolInstance", "IPool"), ("PoolConfiguratorInstance", "IPoolConfigurator"), ("AaveOracle", "IAaveOracle"))


def published(modules: Path, expression: str) -> Abi:
    """An ABI out of a JavaScript package."""
    script = f"Promise.resolve({expression}).then(abi => console.log(JSON.stringify(abi)))"
    done = subprocess.run(["node", "-e", script], cwd=modules, capture_output=True, text=True, check=True)
    found: Abi = json.loads(done.stdout)
    return found


def forms(abi: Abi, kind: str) -> dict[str, Any]:
    """Signature -> everything that a caller or a decoder depends on, names of results and arguments left out."""
    rows = [row for row in abi if row["type"] == kind and row.get("name")]
    return {abi_to_signature(row): _form(row) for row in rows}  # type: ignore[arg-type]  # as JSON brought it


def _form(row: dict[str, Any]) -> tuple[object, ...]:
    outputs = [output["type"] for output in row.get("outputs", [])]
    is_view = row.get("stateMutability") in {"view", "pure"}
    return outputs, is_view, row.get("stateMutability") == "payable", [i.get("indexed") for i in row.get("inputs", [])]


@pytest.mark.parametrize(
    ("ours", "theirs"), [("StEth", "StethAbi"), ("WstEth", "WstethAbi"), ("WithdrawalQueue", "WithdrawalQueueAbi")]
)
@pytest.mark.parametrize("kind", ["function", "event"])
def test_lidos_stand_ins_say_nothing_that_lido_does_not(
    chain_packages: Path, chain_world: Prepared, ours: str, theirs: str, kind: str
) -> None:
    official = forms(published(chain_packages, f'require("./{LIDO}/{theirs}__factory.js").{theirs}__factory.abi'), kind)
    found = forms(chain_world.abis[ours], kind)
    assert {s: f for s, f in found.items() if official.get(s) != f and s not in BESIDE[ours]} == {}


def test_the_lending_pool_answers_to_the_whole_published_interface(chain_packages: Path, chain_world: Prepared) -> None:
    for ours, theirs in POOLS:
        official = published(chain_packages, f'import("./{BOOK}/{theirs}.mjs").then(found => found.{theirs}_ABI)')
        found = forms(chain_world.abis[ours], "function")
        missing = {s for s, form in forms(official, "function").items() if found.get(s) != form}
        assert missing == set(), theirs


@pytest.mark.parametrize(
    ("contract", "functions"),
    [
        ("StrategyManager", {"depositIntoStrategy(address,address,uint256)"}),
        (
            "DelegationManager",
            {
                "delegateTo(address,(bytes,uint256),bytes32)", "queueWithdrawals((address[],uint256[],address)[])",
                "delegatedTo(address)", "undelegate(address)", "isOperator(address)", "operatorShares(address,address)",
            },
        ),
        (
            "RewardsCoordinator",
            {
                "submitRoot(bytes32,uint32)", "cumulativeClaimed(address,address)", "setClaimerFor(address)",
                "processClaim((uint32,uint32,bytes,(address,bytes32),uint32[],bytes[],(address,uint256)[]),address)",
            },
        ),
    ],
)  # fmt: skip
def test_what_eigenlayer_has_kept_since_2024_is_as_published_then(
    chain_packages: Path, chain_world: Prepared, contract: str, functions: set[str]
) -> None:
    path = chain_packages / "eigenlayer-contracts/out" / f"{contract}.sol" / f"{contract}.json"
    then, now = (forms(abi, "function") for abi in (json.loads(path.read_bytes())["abi"], chain_world.abis[contract]))
    assert {s: now.get(s) for s in functions} == {s: then.get(s) for s in functions}
    assert not any("middleware" in str(row) for row in chain_world.abis[contract])
