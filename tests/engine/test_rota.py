"""Reconciliation in rhythm, at once when wanted, and ever more slowly where it does not help."""

from __future__ import annotations

import pytest

from basis_daemon.engine.rota import Rota

S = 1_000_000_000


@pytest.mark.fault("F18")
def test_an_account_is_asked_in_rhythm() -> None:
    rota = Rota(10.0, 0)
    assert rota.wait_s(4 * S) == 6.0
    assert not rota.is_due(9 * S, is_wanted=False)
    assert rota.is_due(10 * S, is_wanted=False)
    assert rota.wait_s(10 * S) == 10.0


def test_an_account_that_is_wanted_is_asked_at_once() -> None:
    assert Rota(10.0, 0).is_due(S, is_wanted=True)


def test_what_does_not_agree_is_asked_again_after_a_pause_that_doubles_up_to_the_rhythm() -> None:
    rota, pauses = Rota(10.0, 0), list[float]()
    for turn in range(9):
        assert rota.is_due(0, is_wanted=turn == 0)
        rota.asked(is_off=True)
        pauses.append(rota.wait_s(0))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0]
    rota.asked(is_off=False)
    rota.asked(is_off=True)
    assert rota.wait_s(0) == 0.2


def test_an_account_that_never_agrees_is_asked_a_few_times_a_minute_and_not_more() -> None:
    rota, asked, now_ns = Rota(10.0, 0), 0, 0
    while now_ns < 60 * S:
        now_ns += int(rota.wait_s(now_ns) * S)
        asked += rota.is_due(now_ns, is_wanted=False)
        rota.asked(is_off=True)
    assert 6 <= asked < 20
