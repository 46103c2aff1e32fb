"""Whether the trading loop moves: every part of it must have come round before it counts as alive."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from basis_daemon.ports import Clock

_NS = 1_000_000_000


class Heartbeat:
    """Calls ``on_beat`` once every one of ``loops`` has come round since the last time.

    A timer would go on beating while accounts are no longer asked. A venue's silence is not a stop: an attempt that
    ended without an answer has come round too, for a restart would not make the venue speak.
    """

    def __init__(self, loops: Iterable[str], clock: Clock, on_beat: Callable[[], None]) -> None:
        self._loops = frozenset(loops)
        self._clock = clock
        self._on_beat = on_beat
        self._seen: set[str] = set()
        self._beat_ns: int | None = None

    def came_round(self, loop: str) -> None:
        """One part has finished a round; raises KeyError for one that is not watched."""
        if loop not in self._loops:
            raise KeyError(loop)
        self._seen.add(loop)
        if self._seen == self._loops:
            self._seen.clear()
            self._beat_ns = self._clock.monotonic_ns()
            self._on_beat()

    def age_s(self) -> float | None:
        """Process seconds since the last beat; None before the first."""
        return None if self._beat_ns is None else (self._clock.monotonic_ns() - self._beat_ns) / _NS
