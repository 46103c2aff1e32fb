"""``python -m tests.mutation`` plants each bug, drills until it is found, prints the table; exit 0 when all are."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.mutation.planted import PLANTED, Bug, drilled, planted

SLICE, SEEDS_MAX = 50, 5_000


def first_seed(bug: Bug) -> tuple[int | None, str]:
    """The first seed that finds it, and by which invariant."""
    with TemporaryDirectory(prefix="planted-") as place:
        directory = planted(bug, Path(place))
        for seed in range(0, SEEDS_MAX, SLICE):
            found = drilled(directory, "--seed", str(seed), "--seeds", str(SLICE), "--as-is")
            if found["failures"]:
                failure = found["failures"][0]
                return failure["seed"], failure["violations"][0]["invariant"]
    return None, ""


def main() -> int:
    console, table = Console(), Table("planted bug", "file", "first seed", "found by")
    missed = 0
    for bug in PLANTED:
        seed, invariant = first_seed(bug)
        missed += seed is None
        console.print(f"{bug.name}: {f'seed {seed}' if seed is not None else 'NOT FOUND'}", style="dim")
        table.add_row(bug.name, bug.file, "not found" if seed is None else str(seed), invariant)
    console.print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
