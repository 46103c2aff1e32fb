"""What a daemon has built by the end of its start-up is not looked at by the garbage collector again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from basis_daemon.telemetry.memory import THRESHOLDS, settle_heap

pytestmark = pytest.mark.slow


class _Knot:
    """Garbage that only the collector can find."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector of the test process, as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_what_lives_at_the_start_is_left_alone_and_what_is_dropped_later_is_still_found() -> None:
    lives = _Knot()
    settle_heap()
    assert not any(seen is lives for seen in gc.get_objects())
    assert gc.get_threshold() == THRESHOLDS
    dropped = weakref.ref(_Knot())
    gc.collect()
    assert dropped() is None
