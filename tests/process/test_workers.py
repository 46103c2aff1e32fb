"""Processes that play side by side are gone with the one that started them, also when it had no time to tell them."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(120)

POOL = """
import multiprocessing, os, sys
from basis_daemon.simulation.workers import workers
if __name__ == "__main__":
    pool = workers(2, multiprocessing.get_context(sys.argv[1]))
    print(pool.submit(os.getpid).result() != os.getpid(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_killed_process_leaves_no_worker_behind(start: str) -> None:
    words = (sys.executable, "-c", POOL, start)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "True\n"
        parent.kill()
        # what is printed ends when the last process that could print is gone
        assert parent.communicate(timeout=60)[0] == ""
