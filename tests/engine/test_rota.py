"""Reconciliation in rhythm, at once when wanted, and ever more slowly where it does not help."""

from __future__ import annotations

from basis_daemon.engine.rota import Rota

S = 1_000_000_000
ALL = frozenset({"spot", "futures"})


def test_everybody_is_asked_in_rhythm() -> None:
    rota = Rota(ALL, 10.0, 0)
    assert rota.wait_s(4 * S) == 6.0
    assert rota.take((), 10 * S) == ALL
    assert rota.wait_s(10 * S) == 10.0


def test_who_is_wanted_is_asked_at_once_and_alone() -> None:
    rota = Rota(ALL, 10.0, 0)
    assert rota.take({"spot", "nobody's"}, S) == {"spot"}


def test_who_does_not_agree_is_asked_again_after_a_pause_that_doubles_up_to_the_rhythm() -> None:
    rota, pauses = Rota(ALL, 10.0, 0), list[float]()
    for _ in range(9):
        assert rota.take((), 0) <= {"spot"}
        rota.asked({"spot"})
        pauses.append(rota.wait_s(0))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    rota.asked(())
    rota.asked({"spot"})
    assert rota.wait_s(0) == 0.2


def test_one_account_that_never_agrees_does_not_keep_the_others_from_their_turn() -> None:
    rota, asked, now_ns = Rota(ALL, 10.0, 0), list[tuple[float, bool]](), 0
    while now_ns < 60 * S:
        now_ns += int(rota.wait_s(now_ns) * S)
        turn = rota.take((), now_ns)
        asked.append((now_ns / S, "futures" in turn))
        rota.asked({"spot"})
    assert [at for at, is_all in asked if is_all] == [10, 20, 30, 40, 50, 60]
    assert len(asked) < 20
