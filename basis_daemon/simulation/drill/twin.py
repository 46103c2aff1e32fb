"""A seed played twice, the second time by a process that hashes differently: both have to leave the same trace."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Asked = TypeVar("Asked")

HASH_SEED = "PYTHONHASHSEED"
EVERY, AT = 501, 25
"""One seed in so many, counted from there: a second process costs some seconds. Every profile has its turn."""


def is_due(seed: int) -> bool:
    """True for a seed that is to be played twice."""
    return seed % EVERY == AT


def elsewhere(play: Callable[[Asked], str], asked: Asked) -> str:
    """What ``play`` answers in a new process under another hash seed."""
    with _other_hashes(), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(play, asked).result()


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
