"""``python -m tests.mutation`` plants each bug, drills until it is found, prints the table; exit 0 when all are.

It writes ``docs/mutation.md``. Words after it choose bugs by name or file: the rows of the others stay as they are.
"""

from __future__ import annotations

import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.mutation.catalogue import PLANTED
from tests.mutation.page import PAGE, Hunt, page, told
from tests.mutation.planted import Bug, chosen, drilled, planted

SEEDS_MAX = 5_000
NONSENSE = re.compile("NameError|UnboundLocalError|SyntaxError|ImportError")


def hunted(bug: Bug) -> Hunt:
    """The first seed that finds it, by which invariant, after how long."""
    begun = time.monotonic()
    with TemporaryDirectory(prefix="planted-") as place:
        directory = planted(bug, Path(place))
        words = ("--seeds", str(SEEDS_MAX), "--until-violation", "--jobs", "1", "--as-is", *bug.words)
        failures = drilled(directory, *words)["failures"]
    took_s = time.monotonic() - begun
    if not failures:
        return Hunt(bug, None, "", took_s)
    first = failures[0]["violations"][0]
    if NONSENSE.search(first["facts"]):
        raise ValueError(f"`{bug.name}` is no bug but no program: {first['facts']}")
    return Hunt(bug, failures[0]["seed"], first["invariant"], took_s)


def main(words: list[str]) -> int:
    """Exit code 1 when a bug was not found."""
    console, bugs = Console(), chosen(PLANTED, words)
    hunts: list[Hunt] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for done in as_completed([pool.submit(hunted, bug) for bug in bugs]):
            hunts.append(hunt := done.result())
            console.print(f"{len(hunts)}/{len(bugs)} {hunt.bug.name}: {hunt.told}", style="dim", highlight=False)
    hunts.sort(key=lambda hunt: PLANTED.index(hunt.bug))
    console.print(_table(hunts))
    _write(hunts)
    return 1 if any(hunt.seed is None for hunt in hunts) else 0


def _write(hunts: list[Hunt]) -> None:
    known = told(PAGE.read_text(encoding="utf-8"), PLANTED) if PAGE.exists() else []
    newest = {hunt.bug.name: hunt for hunt in (*known, *hunts)}
    every = [newest[bug.name] for bug in PLANTED if bug.name in newest]
    PAGE.write_text(page(every), encoding="utf-8")


def _table(hunts: list[Hunt]) -> Table:
    table = Table("planted bug", "against", "file", "first seed", "found by", "seconds")
    for hunt in hunts:
        seed = "not found" if hunt.seed is None else str(hunt.seed)
        table.add_row(hunt.bug.name, hunt.bug.against, hunt.bug.file, seed, hunt.found_by, f"{hunt.seconds:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
