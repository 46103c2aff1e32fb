"""A loop that stands is seen from a thread, told with every stack, and ended; one that was stopped with it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import Metrics
from basis_daemon.telemetry.watchdog import STALLED, Silence
from basis_daemon.wiring_vitals import Vitals

S = 1_000_000_000
BLOCKED = """
import asyncio, sys
from pathlib import Path
from basis_daemon.clock import SystemClock
from basis_daemon.telemetry import LoopWatchdog

def a_strategy_that_never_returns():
    while True:
        pass

async def live():
    with LoopWatchdog(Path(sys.argv[1]), SystemClock(), lambda late_s: None, stall_max_s=1.0) as watchdog:
        task = asyncio.ensure_future(watchdog.keep())
        await asyncio.sleep(0)
        if sys.argv[2] == "blocks":
            a_strategy_that_never_returns()
        task.cancel()

asyncio.run(live())
"""


def lived(stacks: Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED, str(stacks), how]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.fault("F55")
@pytest.mark.slow
def test_a_blocked_loop_ends_the_process_with_a_code_of_its_own_and_the_stacks_of_all_threads(tmp_path: Path) -> None:
    stacks = tmp_path / "stacks.txt"
    found = lived(stacks, "blocks")
    assert found.returncode == STALLED
    assert "event loop stalled" in found.stderr
    told = stacks.read_text()
    assert "a_strategy_that_never_returns" in told
    assert "_watch" in told
    assert stacks.stat().st_mode & 0o777 == 0o600


def test_a_loop_that_ends_in_order_is_left_alone(tmp_path: Path) -> None:
    assert lived(tmp_path / "stacks.txt", "ends").returncode == 0
    assert not (tmp_path / "stacks.txt").exists()


@pytest.mark.fault("F33")
def test_only_time_counts_in_which_the_watcher_was_awake_and_the_loop_was_watched() -> None:
    silence = Silence(0)
    assert silence.look(0, 1 * S) == 0  # nobody turns it yet
    assert silence.look(1, 2 * S) == 0
    assert silence.look(1, 3 * S) == 1
    assert silence.look(1, 4 * S) == 2
    assert silence.look(1, 604 * S) == 0  # ten minutes of SIGSTOP: both stood
    assert silence.look(1, 605 * S) == 1
    assert silence.look(2, 606 * S) == 0


@pytest.mark.feature("V06")
async def test_loop_lag_tasks_their_failures_and_queues_are_metrics() -> None:
    metrics, depth = Metrics(), [3]

    async def fails() -> None:
        raise OSError("unforeseen")

    tree = TaskTree("daemon")
    vitals = Vitals(metrics, tree, {"journal": lambda: depth[0]})

    async def lives() -> None:
        async with tree:
            vitals.pulse(0.25)
            assert metrics.value("task_failures_total") == 0
            tree.spawn("feed", fails())
            assert vitals.state()["tasks"] == 1

    with pytest.raises(ExceptionGroup):
        await lives()
    vitals.pulse(0.125)
    vitals.pulse(0.0)
    told = metrics.snapshot()
    assert (told["event_loop_lag_seconds"], told["event_loop_lag_max_seconds"]) == (0.0, 0.25)
    assert (told["task_failures_total"], told["tasks"]) == (1, 0)
    assert told['queue_depth{queue="journal"}'] == 3
    assert vitals.state()["queues"] == {"journal": 3}
