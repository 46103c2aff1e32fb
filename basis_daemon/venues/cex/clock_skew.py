"""How far our clock is from the venue's: measured, taken out of every signing stamp, and told when it is large."""

from __future__ import annotations

from collections.abc import Sequence

from basis_daemon.venues.cex.ccxt_client import ExchangeClient
from basis_daemon.venues.cex.options import Note
from basis_daemon.venues.cex.outcome import Verdicts, outcome_of

SAMPLES = 3


class ClockSkew:
    """The skew between this host and one account's servers, in real milliseconds; positive when we are ahead."""

    def __init__(self, name: str, alarm_ms: int, note: Note) -> None:
        self._name, self._alarm_ms, self._note = name, alarm_ms, note
        self._clients: Sequence[ExchangeClient] = ()
        self.ahead_ms = 0

    def take(self, clients: Sequence[ExchangeClient]) -> None:
        """Whose signing stamps to correct; the last one is asked."""
        self._clients = clients

    async def measure(self, verdicts: Verdicts, timeout_s: float) -> int:
        """Set and return the skew of the fastest of three round trips. Raises CallError when the venue is silent."""
        asked = self._clients[-1]
        trips = []
        for _ in range(SAMPLES):
            before = asked.milliseconds()
            venue_ms = await outcome_of(lambda: _server_time(asked), verdicts, timeout_s)
            after = asked.milliseconds()
            trips.append((after - before, (before + after) // 2 - venue_ms))
        self.ahead_ms = min(trips)[1]
        for client in self._clients:
            client.set_time_difference(self.ahead_ms)
        if abs(self.ahead_ms) > self._alarm_ms:
            self._note("clock_skew_alarm", {"account": self._name, "ahead_ms": self.ahead_ms, "max": self._alarm_ms})
        return self.ahead_ms


async def _server_time(client: ExchangeClient) -> int:
    return int(await client.ask("fetch_time"))
