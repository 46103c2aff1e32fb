"""A seed played twice, the second time by a process that hashes differently: both have to leave the same trace.

That process is started for the first such seed and plays all of them: a start costs more than ten seeds.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from basis_daemon.simulation.workers import workers

Asked = TypeVar("Asked")

HASH_SEED = "PYTHONHASHSEED"
EVERY, AT = 501, 25
"""One seed in so many, counted from there: a second process costs some seconds. Every profile has its turn."""


def is_due(seed: int) -> bool:
    """True for a seed that is to be played twice."""
    return seed % EVERY == AT


class Elsewhere:
    """A process under another hash seed, from the first question to the end of the context."""

    def __init__(self) -> None:
        self._pool = workers(1, multiprocessing.get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ask(self, play: Callable[[Asked], str], asked: Asked) -> str:
        """What ``play`` answers there."""
        with _other_hashes():
            return self._pool.submit(play, asked).result()


@contextmanager
def _other_hashes() -> Iterator[None]:
    own = os.environ.get(HASH_SEED)
    os.environ[HASH_SEED] = "1" if own == "0" else "0"
    try:
        yield
    finally:
        if own is None:
            del os.environ[HASH_SEED]
        else:
            os.environ[HASH_SEED] = own
