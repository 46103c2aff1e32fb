"""Market time under a monotonic clock that the test turns by hand."""

import pytest

from basis_daemon.sandbox.exchange.clock import FRAME_S, LINGER_S, RECONNECT_S, SETTLE_S, MarketClock, Mode

START, MINUTE, HOUR = 0, 60_000, 3_600_000


class Watch:
    """A clock and its driver: `run` does what the server does, with real time as a number."""

    def __init__(self, mode: Mode = "auto", speed: float = 60.0, end_ms: int = 24 * HOUR) -> None:
        self.clock = MarketClock(START, end_ms, mode, speed=speed)
        self.real = 100.0
        self.frames: list[int] = []

    def run(self, seconds: float) -> list[int]:
        """Let real time pass; returns the stamps of the frames sent."""
        until, first = self.real + seconds, len(self.frames)
        while self.real < until:
            move = self.clock.poll(self.real)
            if move.to_ms is None:
                self.real = min(until, self.real + max(move.wait_s, 1e-6))
                continue
            for stamp in self.clock.steps_to(move.to_ms):
                self.clock.moved(stamp, self.real)
                self.frames.append(stamp)
        return self.frames[first:]

    def started(self) -> "Watch":
        self.clock.subscribed(self.real)
        self.run(SETTLE_S)
        return self


def test_it_stands_until_a_subscriber_has_settled() -> None:
    watch = Watch()
    assert watch.run(60) == []
    watch.clock.subscribed(watch.real)
    assert watch.run(SETTLE_S / 2) == []
    watch.clock.subscribed(watch.real)
    assert watch.run(SETTLE_S * 0.9) == []
    assert watch.run(SETTLE_S)[:2] == [MINUTE, 2 * MINUTE]


def test_it_jumps_step_by_step_at_most_500_times_a_second() -> None:
    frames = Watch().started().run(0.2)
    assert frames == [n * MINUTE for n in range(1, len(frames) + 1)]
    assert 95 <= len(frames) <= 0.2 / FRAME_S + 1


def test_it_runs_at_the_real_speed_while_a_request_is_outstanding_and_a_little_after() -> None:
    watch = Watch().started()
    watch.run(0.02)
    before = watch.clock.now_ms(watch.real)
    watch.clock.request_began(watch.real)
    assert watch.run(3.5)[-1] - before == pytest.approx(3_000, abs=1_000)
    assert watch.clock.now_ms(watch.real) - before == pytest.approx(3_500, abs=20)
    watch.clock.request_ended(watch.real)
    assert watch.run(LINGER_S * 0.9) == []
    assert watch.run(0.02)[0] % MINUTE == 0


def test_several_requests_hold_it_until_the_last_is_answered() -> None:
    watch = Watch().started()
    watch.clock.request_began(watch.real)
    watch.clock.request_began(watch.real)
    watch.run(0.1)
    watch.clock.request_ended(watch.real)
    assert all(stamp % MINUTE for stamp in watch.run(2.5))
    watch.clock.request_ended(watch.real)
    assert watch.run(LINGER_S + 0.01)[-1] % MINUTE == 0


def test_stamps_never_go_back() -> None:
    watch = Watch().started()
    for _ in range(20):
        watch.clock.request_began(watch.real)
        watch.run(0.7)
        watch.clock.request_ended(watch.real)
        watch.run(0.06)
    assert watch.frames == sorted(set(watch.frames))


def test_a_lost_subscriber_has_time_to_come_back() -> None:
    watch = Watch().started()
    watch.run(0.02)
    before = watch.clock.now_ms(watch.real)
    watch.clock.abandoned(watch.real, watched=False)
    watch.run(10)
    assert watch.clock.now_ms(watch.real) - before == pytest.approx(10_000, abs=20)
    watch.clock.subscribed(watch.real)
    assert watch.run(0.05)[-1] % MINUTE == 0
    watch.clock.abandoned(watch.real, watched=True)
    assert all(stamp % MINUTE for stamp in watch.run(RECONNECT_S * 0.9))
    assert watch.run(1)[-1] % MINUTE == 0


def test_a_resumed_clock_runs_without_onlookers() -> None:
    watch = Watch()
    watch.clock.resume(watch.real)
    assert watch.run(0.01)[0] == MINUTE


def test_a_held_clock_stands_also_during_requests() -> None:
    watch = Watch().started()
    watch.run(0.02)
    watch.clock.hold(watch.real)
    now = watch.clock.now_ms(watch.real)
    watch.clock.request_began(watch.real)
    assert watch.run(5) == []
    assert watch.clock.now_ms(watch.real) == now
    watch.clock.resume(watch.real)
    assert all(stamp % MINUTE for stamp in watch.run(2.5))


def test_it_stops_at_the_end() -> None:
    watch = Watch(end_ms=HOUR).started()
    assert watch.run(5)[-1] == HOUR
    assert watch.clock.done
    watch.clock.request_began(watch.real)
    assert watch.run(5) == []
    assert watch.clock.now_ms(watch.real) == HOUR


def test_manual_time_moves_only_when_told() -> None:
    watch = Watch(mode="manual").started()
    assert watch.run(60) == []
    assert watch.clock.steps_to(150_000) == [MINUTE, 2 * MINUTE, 150_000]


def test_paced_time_is_a_multiple_of_real_time() -> None:
    watch = Watch(mode="paced", speed=600).started()
    watch.run(10)
    assert watch.clock.now_ms(watch.real) == pytest.approx(6_000_000, rel=0.05)


def test_the_effective_speed_leaves_pauses_out() -> None:
    watch = Watch(mode="paced", speed=600).started()
    watch.run(10)
    watch.clock.hold(watch.real)
    watch.run(1000)
    assert watch.clock.effective_speed(watch.real) == pytest.approx(600, rel=0.05)


@pytest.mark.parametrize(("end", "step", "message"), [(0, MINUTE, "ends at 0"), (HOUR, 9_999, "at least 10000 ms")])
def test_nonsense_is_refused(end: int, step: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MarketClock(START, end, step_ms=step)
