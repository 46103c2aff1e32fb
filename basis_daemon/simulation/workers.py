"""Processes that play side by side, and none that outlives the one that started it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext

from basis_daemon.telemetry.memory import settle_heap

ORPHANED = 1
"""Exit code of a process whose parent is gone."""


def workers(count: int, context: BaseContext | None = None) -> ProcessPoolExecutor:
    """A pool of ``count`` processes that end with this one, however it ends.

    A pool's own end is told by the one who made it, and a process that is killed tells nobody.
    """
    return ProcessPoolExecutor(count, mp_context=context, initializer=_begin)


def _begin() -> None:
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    settle_heap()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(ORPHANED)
