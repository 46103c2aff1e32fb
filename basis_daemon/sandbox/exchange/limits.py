"""Request weight and order counts per minute, as the venue reports and enforces them.

A window ends when the real minute or the market minute ends: a client that keeps its budget per market minute is not
punished because the sandbox runs thousands of times faster than the clock on the wall.
"""

from __future__ import annotations

from dataclasses import dataclass

from basis_daemon.sandbox.exchange.rejects import RejectError

MINUTE_MS = 60_000


@dataclass(slots=True)
class _Window:
    stamp: tuple[int, int] = (0, 0)
    weight: int = 0
    orders: int = 0


class TooManyRequestsError(RejectError):
    """429 with the real seconds after which the window is over."""

    def __init__(self, limit: int, retry_after_s: int) -> None:
        super().__init__(
            -1003,
            f"Too many requests; current limit of IP(127.0.0.1) is {limit} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API.",
            429,
        )
        self.retry_after_s = retry_after_s


class Limits:
    """Counts of one API (spot or USD-M) for the loopback client."""

    def __init__(self, weight_1m: int) -> None:
        self.weight_1m = weight_1m
        self._window = _Window()

    def charge(self, weight: int, orders: int, real_ms: int, market_ms: int) -> dict[str, str]:
        """Count one request; the usage headers of its answer. Raises `TooManyRequestsError` above the limit."""
        stamp = real_ms // MINUTE_MS, market_ms // MINUTE_MS
        if stamp != self._window.stamp:
            self._window = _Window(stamp)
        window = self._window
        if window.weight + weight > self.weight_1m:
            raise TooManyRequestsError(self.weight_1m, (MINUTE_MS - real_ms % MINUTE_MS) // 1000 + 1)
        window.weight += weight
        window.orders += orders
        headers = {"X-MBX-USED-WEIGHT-1M": str(window.weight)}
        if orders:
            headers |= {"X-MBX-ORDER-COUNT-10S": str(window.orders), "X-MBX-ORDER-COUNT-1M": str(window.orders)}
        return headers
