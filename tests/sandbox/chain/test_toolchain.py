"""What the chain is built from: locked by hash, named by no address, and shipped as manifests only."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from basis_daemon.sandbox.chain.compiler import Artefact
from basis_daemon.sandbox.chain.toolchain import ANVIL_VERSION, MANIFESTS, digest
from basis_daemon.sandbox.chain.world import Prepared, prepare

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def test_every_package_is_locked_by_its_hash_and_by_no_address() -> None:
    manifest, lock = (json.loads((MANIFESTS / f"{name}.json").read_bytes()) for name in ("package", "package-lock"))
    packages = {name: row for name, row in lock["packages"].items() if name}
    assert [name for name, row in packages.items() if "resolved" in row or not row.get("integrity")] == []
    wanted = manifest["dependencies"] | manifest["optionalDependencies"]
    assert lock["packages"][""]["dependencies"] == manifest["dependencies"]
    exact = {name: version.rpartition("@")[2] for name, version in wanted.items()}
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == exact
    assert exact["@foundry-rs/anvil-linux-amd64"] == ANVIL_VERSION


def test_the_wheel_brings_the_manifests_and_the_contracts_of_its_own_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        shipped = {
            n for n in content.namelist() if n.startswith("basis_daemon/sandbox/chain/") and not n.endswith(".py")
        }
    here = {f"basis_daemon/sandbox/chain/contracts/{path.name}" for path in (MANIFESTS / "contracts").glob("*.sol")}
    assert shipped == here | {f"basis_daemon/sandbox/chain/{name}.json" for name in ("package", "package-lock")}


def test_a_world_that_is_there_is_taken_without_a_word(chain_world: Prepared) -> None:
    said: list[str] = []
    assert prepare(said.append).world == chain_world.world
    assert said == []


def test_where_the_lock_has_no_node_for_the_machine_the_message_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "from basis_daemon.sandbox.chain.toolchain import *\ntry: anvil_binary()\nexcept ToolchainError as e: print(e)"
    )
    env = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert f"install Foundry {ANVIL_VERSION}" in done.stdout


def test_a_library_goes_where_the_compiler_left_room() -> None:
    hole = "__$" + "0" * 34 + "$__"
    artefact = Artefact("Pool", [], "6001" + hole + "6002" + hole, {"Logic": [2, 24]})
    address = "0x" + "Ab" * 20
    assert artefact.linked({"Logic": address}) == "0x6001" + "ab" * 20 + "6002" + "ab" * 20
    with pytest.raises(KeyError, match="Logic"):
        artefact.linked({})


def test_a_digest_changes_with_every_part_and_with_their_bounds() -> None:
    assert len({digest(b"a", b"b"), digest(b"ab"), digest(b"a", b"c"), digest(b"", b"ab")}) == 4


@pytest.mark.parametrize(
    ("node", "said"),
    [("echo v18.20.1", "`node` is v18.20.1; install Node.js 20 or newer"), ("true", "of no known version")],
)
def test_an_old_node_js_is_refused_before_anything_is_installed(tmp_path: Path, node: str, said: str) -> None:
    for name, body in (("node", node), ("npm", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    assert said in _installed(tmp_path, {"PATH": f"{tmp_path}:/bin:/usr/bin"})


def test_an_installation_that_fails_quotes_npm_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    nowhere = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retries": "0"}
    said = _installed(tmp_path, {"PATH": os.environ["PATH"], "npm_config_cache": str(tmp_path / "npm")} | nowhere)
    assert "npm ci failed with status 1" in said
    assert "ECONNREFUSED" in said
    assert list(tmp_path.rglob("node_modules")) == []


def _installed(folder: Path, env: dict[str, str]) -> str:
    """What a first installation into an empty cache says."""
    code = (
        "from basis_daemon.sandbox.chain.toolchain import *\n"
        "try: install()\n"
        "except ToolchainError as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}
    return subprocess.run(command, env=env | cache, capture_output=True, text=True, check=True).stdout
