"""When an account is reconciled: in rhythm, at once when something says so, and ever later while it is off."""

from __future__ import annotations

RETRY_FIRST_S = 0.1
_NS = 1_000_000_000


class Rota:
    """Pure; the caller hands in the monotonic clock. What does not heal must not eat the venue's request budget."""

    def __init__(self, rhythm_s: float, now_ns: int) -> None:
        self._rhythm_s = rhythm_s
        self._due_ns = now_ns + int(rhythm_s * _NS)
        self._retry_s = RETRY_FIRST_S
        self._is_off = False

    def wait_s(self, now_ns: int) -> float:
        """How long its turn does not come, unless it is wanted before."""
        left_s = max((self._due_ns - now_ns) / _NS, 0.0)
        return min(left_s, self._retry_s) if self._is_off else left_s

    def is_due(self, now_ns: int, *, is_wanted: bool) -> bool:
        """True when the rhythm or somebody asks for it, or when it was off."""
        if now_ns < self._due_ns:
            return self._is_off or is_wanted
        self._due_ns = now_ns + int(self._rhythm_s * _NS)
        return True

    def asked(self, *, is_off: bool) -> None:
        """What did not agree, or did not answer, is asked again; each time after twice the pause."""
        self._is_off = is_off
        self._retry_s = min(self._retry_s * 2, self._rhythm_s) if is_off else RETRY_FIRST_S
