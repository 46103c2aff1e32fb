"""The machine's clocks, as libraries read them, put on virtual time for as long as a loop plays."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from basis_daemon.simulation.virtual import VirtualClock

_NS = 1_000_000_000
CONNECTOR = "aiohttp.connector"
"""It takes ``monotonic`` by name, so that putting another one into `time` would not reach it."""


@contextmanager
def clocks_of(clock: VirtualClock) -> Iterator[None]:
    """``time.time`` and ``time.monotonic`` say what ``clock`` says; nothing here but ccxt and aiohttp asks them."""
    epoch = datetime.fromtimestamp(0, clock.wall().tzinfo)

    def time_ns() -> int:
        return int((clock.wall() - epoch).total_seconds() * 1_000_000) * 1000

    own = {name: getattr(time, name) for name in ("time", "time_ns", "monotonic", "monotonic_ns")}
    virtual = {
        "time": lambda: time_ns() / _NS,
        "time_ns": time_ns,
        "monotonic": lambda: clock.monotonic_ns() / _NS,
        "monotonic_ns": clock.monotonic_ns,
    }
    connector = sys.modules.get(CONNECTOR)
    for name, reading in virtual.items():
        setattr(time, name, reading)
    if connector is not None:
        vars(connector)["monotonic"] = virtual["monotonic"]
    try:
        yield
    finally:
        for name, reading in own.items():
            setattr(time, name, reading)
        if connector is not None:
            vars(connector)["monotonic"] = own["monotonic"]
