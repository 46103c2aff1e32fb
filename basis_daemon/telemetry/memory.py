"""How much of the memory that this process may use it uses: of its control group's limit, else of the machine's.

And what of it the garbage collector need not look at.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

CGROUP, OF_CGROUP = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
UNIFIED = "0::"
UNLIMITED = "max"

THRESHOLDS = 50_000, 20, 100
"""New objects until the youngest are collected, and how many collections of one generation until one of the next."""


def settle_heap() -> None:
    """Once, when the start-up is over: what lives by then lives to the end, and no collection walks over it again.

    The defaults would collect within almost every decision, and now and then stop the loop for as long as it takes to
    look at all modules and markets. Cycles that come later are still found.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


class MemoryWatch:
    """Reads the kernel's own figures. A figure that the kernel does not give counts as nothing used."""

    def __init__(self, limit_bytes: int | None = None, statm: Path = Path("/proc/self/statm")) -> None:
        self._statm = statm
        self._limit_bytes = limit_bytes or min(cgroup_limit(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    def share(self) -> float:
        """Resident memory as a share of the limit, 0 where it is not known."""
        try:
            pages = int(self._statm.read_text(encoding="ascii").split()[1])
        except (OSError, ValueError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / self._limit_bytes


def cgroup_limit(own: Path = CGROUP, root: Path = OF_CGROUP) -> int:
    """The tightest ``memory.max`` from this process's control group up to the root; without any, more than there is."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    at = next((line.removeprefix(UNIFIED).strip("/") for line in lines if line.startswith(UNIFIED)), "")
    group = root / at
    limits = [_limit_of(folder) for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return min((limit for limit in limits if limit is not None), default=1 << 62)


def _limit_of(group: Path) -> int | None:
    try:
        text = (group / "memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if text == UNLIMITED else int(text)
