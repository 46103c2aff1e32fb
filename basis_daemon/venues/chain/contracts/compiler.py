"""The contracts of this folder through npm's solc: same sources, same compiler, same bytes, on any machine.

Compiled by whoever changes a source, and by the build that compares; the daemon reads only the committed artefacts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
CONTRACTS = ("GroupReceiver",)
SOLC_VERSION = "0.8.27"
COMPILE_TIMEOUT_S = 300
TRANSIENT_STORAGE_NOTE = "2394"
"""solc reminds everybody who uses transient storage to clear it; the receiver does."""
SETTINGS: Mapping[str, Any] = {
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "viaIR": True,
    "evmVersion": "cancun",
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "outputSelection": {
        "*": {
            "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode"],
            "": ["ast"],
        }
    },
}
_DRIVER = """
const solc = require(process.argv[1]);
let input = '';
process.stdin.on('data', (part) => { input += part; });
process.stdin.on('end', () => process.stdout.write(JSON.stringify(
  {version: solc.version(), output: JSON.parse(solc.compile(input))})));
"""


class CompilerError(Exception):
    """The contracts could not be compiled; the message says what is missing or what solc said."""


def find_solc() -> Path:
    """The package folder of solc in the cache of the sandbox chain; raises CompilerError when it is not there."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "basis-daemon" / "chain"
    for manifest in sorted(cache.glob("*/node_modules/solc/package.json")):
        if json.loads(manifest.read_text())["version"] == SOLC_VERSION:
            return manifest.parent
    raise CompilerError(
        f"solc {SOLC_VERSION} is in no folder of {cache}: build the sandbox chain once, or name the folder of the npm "
        "package with --solc"
    )


def sources() -> dict[str, str]:
    """Name and text of every source, without the place where it lies."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sol"))}


def compile_all(solc: Path) -> dict[str, str]:
    """The text of each artefact by file name. Raises CompilerError."""
    given = sources()
    output = compiled(solc, given)
    return {f"{name}.json": _artifact(name, output, given) for name in CONTRACTS}


def compiled(solc: Path, given: Mapping[str, str]) -> Mapping[str, Any]:
    """What solc makes of these sources, with its own long version under ``version``. Raises CompilerError."""
    question = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in given.items()},
        "settings": SETTINGS,
    }
    answer = _ask(solc, json.dumps(question))
    output: dict[str, Any] = answer["output"]
    errors = [error for error in output.get("errors", ()) if error["errorCode"] != TRANSIENT_STORAGE_NOTE]
    if errors:
        raise CompilerError("solc found fault:\n" + "\n".join(error["formattedMessage"] for error in errors))
    return {**output, "version": answer["version"]}


def _ask(solc: Path, question: str) -> Mapping[str, Any]:
    node = shutil.which("node")
    if node is None:
        raise CompilerError("`node` is not on PATH: solc is an npm package; install Node.js 20 or newer")
    done = subprocess.run(  # noqa: S603 - node by its full path, the program is above
        [node, "-e", _DRIVER, str(solc)],
        input=question,
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise CompilerError(f"solc at {solc} ended with status {done.returncode}: {done.stderr.strip()[-2000:]}")
    answer: Mapping[str, Any] = json.loads(done.stdout)
    if not answer["version"].startswith(f"{SOLC_VERSION}+"):
        raise CompilerError(f"solc at {solc} is {answer['version']}, expected {SOLC_VERSION}")
    return answer


def _artifact(name: str, output: Mapping[str, Any], given: Mapping[str, str]) -> str:
    found = output["contracts"][f"{name}.sol"][name]
    deployed = found["evm"]["deployedBytecode"]
    names = dict(_declarations(output["sources"]))
    artifact = {
        "contract": name,
        "solc": output["version"],
        "settings": SETTINGS,
        "sources": {file: hashlib.sha256(text.encode()).hexdigest() for file, text in given.items()},
        "abi": found["abi"],
        "bytecode": "0x" + found["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + deployed["object"],
        "immutableReferences": {
            names[int(node)]: places
            for node, places in sorted(deployed["immutableReferences"].items(), key=lambda item: names[int(item[0])])
        },
    }
    return json.dumps(artifact, indent=1) + "\n"


def _declarations(trees: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Node id and name of every variable of every contract: solc names immutables by the id only."""
    for tree in trees.values():
        for unit in tree["ast"]["nodes"]:
            for node in unit.get("nodes", ()):
                if node["nodeType"] == "VariableDeclaration":
                    yield node["id"], node["name"]
