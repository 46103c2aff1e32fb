"""``python -m basis_daemon.venues.chain.contracts`` writes the artefacts; with ``--check`` it compares every byte."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from basis_daemon.venues.chain.contracts.compiler import FOLDER, CompilerError, compile_all, find_solc


def differing(made: dict[str, str], folder: Path = FOLDER) -> list[str]:
    """Names of the artefacts whose committed text is not what was just made."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in made.keys() | committed.keys() if made.get(name) != committed.get(name))


def main(arguments: list[str]) -> int:
    """Exit status: 0 done or equal, 1 different, 2 no compiler or a fault in a source."""
    parser = argparse.ArgumentParser(prog="python -m basis_daemon.venues.chain.contracts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when an artefact differs")
    parser.add_argument("--solc", type=Path, help="folder of the npm package solc (default: the sandbox chain's)")
    options = parser.parse_args(arguments)
    try:
        made = compile_all(options.solc or find_solc())
    except CompilerError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    if options.check:
        wrong = differing(made)
        sys.stdout.write("\n".join(f"{name}: not what its source compiles to" for name in wrong) or "artefacts agree")
        sys.stdout.write("\n")
        return 1 if wrong else 0
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
