"""The pulse of a process, for metrics and for operators: how late its loop turns, its tasks, and what queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from basis_daemon.tasks import TaskTree
from basis_daemon.telemetry import Metrics


class Vitals:
    """Measured with each turn of the watchdog. ``queues`` tell how many rows, by what they wait for."""

    def __init__(self, metrics: Metrics, tree: TaskTree, queues: Mapping[str, Callable[[], int]]) -> None:
        self._metrics, self._tree, self._queues = metrics, tree, queues
        self._lag_s = self._lag_max_s = 0.0
        self._failures = 0

    def pulse(self, late_s: float) -> None:
        """The loop came round so many seconds later than it was asked to."""
        self._lag_s, self._lag_max_s = late_s, max(late_s, self._lag_max_s)
        self._metrics.gauge("event_loop_lag_seconds", late_s)
        self._metrics.gauge("event_loop_lag_max_seconds", self._lag_max_s)
        self._metrics.gauge("tasks", self._tree.live)
        for name, depth in self._queues.items():
            self._metrics.gauge("queue_depth", depth(), queue=name)
        failures = len(self._tree.failures)
        self._metrics.count("task_failures_total", failures - self._failures)
        self._failures = failures

    def state(self) -> dict[str, object]:
        """As of the last pulse; queues as of now."""
        return {
            "loop_lag_s": round(self._lag_s, 6),
            "loop_lag_max_s": round(self._lag_max_s, 6),
            "tasks": self._tree.live,
            "task_failures": len(self._tree.failures),
            "queues": {name: depth() for name, depth in self._queues.items()},
        }
