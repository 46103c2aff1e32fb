"""Whose turn it is to be reconciled: all in rhythm, one at once when something says so, one that is off ever later."""

from __future__ import annotations

from collections.abc import Iterable

RETRY_FIRST_S = 0.1
_NS = 1_000_000_000


class Rota:
    """Pure; the caller hands in the monotonic clock. What does not heal must not eat the venues' request budgets."""

    def __init__(self, accounts: Iterable[str], rhythm_s: float, now_ns: int) -> None:
        self._all = frozenset(accounts)
        self._rhythm_s = rhythm_s
        self._all_due_ns = now_ns + int(rhythm_s * _NS)
        self._retry_s = RETRY_FIRST_S
        self._off: frozenset[str] = frozenset()

    def wait_s(self, now_ns: int) -> float:
        """How long nobody's turn comes, unless somebody is wanted before."""
        left_s = max((self._all_due_ns - now_ns) / _NS, 0.0)
        return min(left_s, self._retry_s) if self._off else left_s

    def take(self, wanted: Iterable[str], now_ns: int) -> frozenset[str]:
        """Whom to ask now: those wanted and those that were off, or everybody when the rhythm says so."""
        if now_ns < self._all_due_ns:
            return self._off | (self._all & frozenset(wanted))
        self._all_due_ns = now_ns + int(self._rhythm_s * _NS)
        return self._all

    def asked(self, off: Iterable[str]) -> None:
        """Those that did not agree, or did not answer, are asked again; each time after twice the pause."""
        self._off = frozenset(off)
        self._retry_s = min(self._retry_s * 2, self._rhythm_s) if self._off else RETRY_FIRST_S
