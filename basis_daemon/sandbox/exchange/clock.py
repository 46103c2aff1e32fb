"""Market time: when it jumps, when it runs at the speed of the real clock, and when it stands.

Pure: the caller hands in the monotonic clock and carries out the moves. Three modes:
`auto` runs at 1x while a private request is outstanding (and `LINGER_S` after), while a client asks for an order that
is not there (`DOUBT_S`), while a lost subscriber may still come back (`RECONNECT_S`) and while nobody listens to market
data; otherwise it jumps to the next step;
`manual` moves only when told to; `paced` runs at a fixed multiple of real time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["auto", "manual", "paced"]
MODES: tuple[Mode, ...] = ("auto", "manual", "paced")
LINGER_S = 0.050
SETTLE_S = 0.5
RECONNECT_S = 2.0
DOUBT_S = 6.0
LEAST_STEP_MS = 10_000
MAX_FRAMES_PER_S = 500
FRAME_S = 1 / MAX_FRAMES_PER_S
LIVE_FRAME_MS = 1_000
PACED_FRAME_S = 0.1


@dataclass(frozen=True, slots=True)
class Move:
    """Advance market time to `to_ms` now (None: stand still), and come back after `wait_s` at the latest."""

    to_ms: int | None
    wait_s: float


class MarketClock:
    """Where market time stands. It starts when the first market-data subscriber has settled, and stops at the end."""

    def __init__(
        self, start_ms: int, end_ms: int, mode: Mode = "auto", step_ms: int = 60_000, speed: float = 60.0
    ) -> None:
        if end_ms <= start_ms:
            raise ValueError(f"market time ends at {end_ms}, before it starts at {start_ms}")
        if step_ms < LEAST_STEP_MS:
            raise ValueError(f"a market step is at least {LEAST_STEP_MS} ms, found {step_ms}")
        self.start_ms, self.end_ms, self.step_ms = start_ms, end_ms, step_ms
        self.held = False
        self.outstanding = 0
        self._now_ms = start_ms
        self._mode: Mode = mode
        self._speed = speed
        self._subscribed_at: float | None = None
        self._watched = False
        self._unattended = False
        self._linger_until = float("-inf")
        self._live_since: float | None = None
        self._last_frame = float("-inf")
        self._running_since: float | None = None
        self._ran_s = 0.0

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def done(self) -> bool:
        return self._now_ms >= self.end_ms

    @property
    def started(self) -> bool:
        return self._subscribed_at is not None

    def now_ms(self, mono: float) -> int:
        """The stamp an event carries: inside a 1x stretch it follows the real clock, otherwise it is the last step."""
        if self._live_since is None:
            return self._now_ms
        return min(self.end_ms, self._now_ms + int((mono - self._live_since) * 1000))

    def effective_speed(self, mono: float) -> float:
        """Market seconds per real second since the first move, pauses excluded."""
        ran = self._ran_s + (mono - self._running_since if self._running_since is not None else 0.0)
        return (self._now_ms - self.start_ms) / 1000 / ran if ran > 0 else 0.0

    def subscribed(self, mono: float) -> None:
        """A market-data subscriber arrived; before the first move each new one restarts the settling time."""
        self._watched = True
        if self._subscribed_at is None or (self._now_ms == self.start_ms and not self._unattended):
            self._subscribed_at = mono

    def abandoned(self, mono: float, *, watched: bool) -> None:
        """A market-data subscriber went away: time to reconnect at 1x, and 1x for as long as nobody is left."""
        self._watched = watched
        self._linger_until = max(self._linger_until, mono + RECONNECT_S)

    def request_began(self, mono: float) -> None:
        self.outstanding += 1
        if self._live_since is None and self._flowing(mono):
            self._live_since = mono

    def request_ended(self, mono: float) -> None:
        if not self.outstanding:
            raise RuntimeError("a request ended that never began")
        self.outstanding -= 1
        self._linger_until = max(self._linger_until, mono + LINGER_S)

    def doubted(self, mono: float) -> None:
        """Somebody asked for an order that is not there: the market waits for the end of that doubt."""
        self._linger_until = max(self._linger_until, mono + DOUBT_S)

    def hold(self, mono: float) -> None:
        self._absorb(mono)
        self.held = True
        self._pause(mono)

    def resume(self, mono: float) -> None:
        """Run on; with no subscriber present this also allows jumps that nobody watches."""
        self.held = False
        self._unattended = self._unattended or not self._watched
        if self._unattended:
            self._subscribed_at = float("-inf")
        if self.outstanding and self._flowing(mono):
            self._live_since = mono

    def set_mode(self, mode: Mode, speed: float | None, mono: float) -> None:
        self._absorb(mono)
        self._mode = mode
        self._speed = speed if speed is not None else self._speed
        self._last_frame = mono

    def steps_to(self, target_ms: int) -> list[int]:
        """The stamps of the frames on the way to `target_ms`: every grid step, then the target itself."""
        target_ms = min(target_ms, self.end_ms)
        stamps, at = [], self._now_ms
        while at < target_ms:
            at = min(target_ms, self._grid_after(at))
            stamps.append(at)
        return stamps

    def moved(self, to_ms: int, mono: float) -> None:
        """Market time is now `to_ms`: a frame was sent."""
        if to_ms < self._now_ms:
            raise RuntimeError(f"market time went back from {self._now_ms} to {to_ms}")
        self._now_ms = to_ms
        self._last_frame = mono
        if self._running_since is None:
            self._running_since = mono
        if self._live_since is not None:
            self._live_since = mono
        if self.done:
            self._live_since = None
            self._pause(mono)

    def poll(self, mono: float) -> Move:
        """What to do now."""
        if self.done or self._mode == "manual" or not self._flowing(mono):
            return Move(None, self._idle_wait(mono))
        if self._mode == "paced":
            return self._paced(mono)
        if self.outstanding or mono < self._linger_until or not (self._watched or self._unattended):
            return self._live(mono)
        self._absorb(mono)
        early = self._last_frame + FRAME_S - mono
        if early > 0:
            return Move(None, early)
        return Move(self._next_step(), 0.0)

    def _flowing(self, mono: float) -> bool:
        if self.held or self.done or self._mode == "manual" or self._subscribed_at is None:
            return False
        return mono >= self._subscribed_at + SETTLE_S

    def _idle_wait(self, mono: float) -> float:
        if self._subscribed_at is not None and not self.held and not self.done and self._mode != "manual":
            return max(0.0, self._subscribed_at + SETTLE_S - mono)
        return 1.0

    def _live(self, mono: float) -> Move:
        if self._live_since is None:
            self._live_since = mono
        now = self.now_ms(mono)
        due = min(self.end_ms, (self._now_ms // LIVE_FRAME_MS + 1) * LIVE_FRAME_MS)
        if now >= due:
            return Move(now, 0.0)
        wait = (due - now) / 1000
        lingering = self._linger_until - mono
        return Move(None, min(wait, lingering) if lingering > 0 and not self.outstanding else wait)

    def _paced(self, mono: float) -> Move:
        since = mono - self._last_frame
        if since < PACED_FRAME_S:
            return Move(None, PACED_FRAME_S - since)
        gone = PACED_FRAME_S if since == float("inf") else since
        return Move(min(self.end_ms, self._now_ms + max(1, int(gone * self._speed * 1000))), 0.0)

    def _next_step(self) -> int:
        return min(self.end_ms, self._grid_after(self._now_ms))

    def _grid_after(self, at_ms: int) -> int:
        step = self.step_ms
        ahead = self.start_ms + ((at_ms - self.start_ms) // step + 1) * step
        return ahead if ahead - at_ms >= LEAST_STEP_MS else ahead + step

    def _absorb(self, mono: float) -> None:
        """End a 1x stretch: what passed on the real clock has passed in the market."""
        if self._live_since is not None:
            self._now_ms = self.now_ms(mono)
            self._live_since = None

    def _pause(self, mono: float) -> None:
        if self._running_since is not None:
            self._ran_s += mono - self._running_since
            self._running_since = None
